"""RealPLKSR x4 on DF2K by L1 alone: the first stage of a network for real photographs.

DIV2K and Flickr2K are LMDBs, see ../_base_/datasets/df2k.py.
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/df2k.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='RealPLKSR', scale=scale),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 500_000
optim = dict(generator=dict(
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0),
    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=1e-7),
))
data = dict(train=dict(
    dataset=dict(
        gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=16,
))
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
