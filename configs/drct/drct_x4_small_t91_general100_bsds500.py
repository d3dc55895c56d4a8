"""A small DRCT x4 for a CPU or one GPU, on T91, General100 and BSDS500."""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks_x4.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(
        type='DRCT', scale=scale, num_features=48, num_heads=[4, 4], growth_channels=16, window_size=8,
    ),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 10_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=5e-4, betas=(0.9, 0.99)),
    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=1e-6),
))
data = dict(
    train=dict(
        dataset=dict(
            type='GTOnlyDataset', scale=scale, gt_size=32 * scale, sampling='area', small='skip',
            gt=[f'{data_root}/{name}' for name in ('T91', 'General100', 'BSDS500/train', 'BSDS500/test')],
            transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')],
        ),
        batch_size=8,
    ),
    val=dict(interval=2000),
)
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(interval=1000, best=['set5/psnr']))
