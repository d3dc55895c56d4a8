"""A small ATD x4 for a CPU or one GPU: 2 groups of 3 blocks of 24 features, 10 000 iterations."""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks_x4.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(
        type='ATD', scale=scale, num_features=24, depths=[3, 3], num_heads=[4, 4], window_size=8, category_size=64,
        num_tokens=32, reducted_dim=8, mlp_ratio=1.0, upsampler='pixelshuffledirect',
    ),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 10_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=5e-4),
    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=1e-6),
))
data = dict(
    train=dict(
        dataset=dict(
            type='GTOnlyDataset', scale=scale, gt_size=96, sampling='area', small='skip',
            gt=[f'{data_root}/{name}' for name in ('T91', 'General100', 'BSDS500/train', 'BSDS500/test')],
            transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')],
        ),
        batch_size=8,
    ),
    val=dict(interval=2000),
)
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(interval=1000, best=['set5/psnr']))
