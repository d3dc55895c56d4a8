"""SAFMN x4 on DF2K as its authors train it: L1 of pixels and of spectra, 500 000 iterations, EMA.

DIV2K and Flickr2K are LMDBs, see ../_base_/datasets/df2k.py.
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/df2k.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='SAFMN', scale=scale, num_features=36, num_blocks=8),
    losses=dict(pixel=dict(type='L1Loss'), spectrum=dict(type='FFTLoss', weight=0.05)),
)
max_iters = 500_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=1e-3, betas=(0.9, 0.99)),
    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=1e-5),
))
data = dict(train=dict(
    dataset=dict(
        gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=64,
))
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
