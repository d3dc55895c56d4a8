"""DRCT x4 on DF2K as its authors train it: L1, 500 000 iterations.

DIV2K and Flickr2K are LMDBs, see ../_base_/datasets/df2k.py.
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/df2k.py']
scale = 4
max_iters = 500_000
lr, milestones = 2e-4, [max_iters // 2, max_iters * 4 // 5, max_iters * 9 // 10, max_iters * 19 // 20]
model = dict(
    type='Restorer',
    generator=dict(type='DRCT', scale=scale, num_features=180, num_heads=[6] * 6, growth_channels=32),
    losses=dict(pixel=dict(type='L1Loss')),
)
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=lr, betas=(0.9, 0.99)),
    scheduler=dict(type='MultiStepLR', milestones=milestones, gamma=0.5),
))
data = dict(train=dict(
    dataset=dict(
        gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=32,
))
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
