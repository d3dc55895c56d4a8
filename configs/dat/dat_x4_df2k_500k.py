"""DAT x4 on DF2K as its authors train it: L1, 500 000 iterations, batches of 32.

DIV2K and Flickr2K are LMDBs, see ../_base_/datasets/df2k.py.
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/df2k.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='DAT', scale=scale, split_size=[8, 32], expansion_factor=4.0),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 500_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=2e-4, betas=(0.9, 0.99)),
    scheduler=dict(type='MultiStepLR', milestones=[250_000, 400_000, 450_000, 475_000], gamma=0.5),
))
data = dict(train=dict(
    dataset=dict(
        gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=32,
))
hooks = dict(checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
