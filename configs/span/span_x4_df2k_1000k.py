"""SPAN x4 on DF2K as its paper trains it: L1, a million iterations, the rate halved at each 200 000.

DIV2K and Flickr2K are LMDBs, see ../_base_/datasets/df2k.py.
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/df2k.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='SPAN', scale=scale, num_features=52),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 1_000_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=5e-4, betas=(0.9, 0.999)),
    scheduler=dict(type='MultiStepLR', milestones=list(range(200_000, max_iters, 200_000)), gamma=0.5),
))
data = dict(train=dict(
    dataset=dict(
        gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=64,
))
hooks = dict(checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
