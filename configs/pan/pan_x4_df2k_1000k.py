"""PAN x4 on DF2K as its authors train it: L1, a million iterations with three warm restarts.

DIV2K and Flickr2K are LMDBs, see ../_base_/datasets/df2k.py.
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/df2k.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='PAN', scale=scale, num_features=40, num_blocks=16, upsampling_channels=24),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 1_000_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=7e-4, betas=(0.9, 0.99)),
    scheduler=dict(type='CosineAnnealingWarmRestarts', T_0=max_iters // 4, eta_min=1e-7),
))
data = dict(train=dict(
    dataset=dict(
        gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=32,
))
hooks = dict(checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
