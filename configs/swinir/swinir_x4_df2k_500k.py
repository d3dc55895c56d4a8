"""SwinIR x4 on DF2K, with LQ crops of 64; the stores are told in ../_base_/datasets/df2k.py."""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/df2k.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='SwinIR', scale=scale),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 500_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=2e-4),
    scheduler=dict(type='MultiStepLR', milestones=[250_000, 400_000, 450_000, 475_000], gamma=0.5),
))
data = dict(train=dict(
    dataset=dict(
        gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=32,
))
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
