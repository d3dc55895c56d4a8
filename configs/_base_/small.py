"""A training for a CPU or one GPU: L1 on T91, General100 and BSDS500, 10 000 iterations, the rate falling once.

A config adds the generator, its optimizer and `gt_size`.
"""

_base_ = ['runtime.py', 'datasets/benchmarks_x4.py']
model = dict(type='Restorer', losses=dict(pixel=dict(type='L1Loss')))
max_iters = 10_000
optim = dict(generator=dict(scheduler=dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=1e-6)))
data = dict(
    train=dict(
        dataset=dict(
            type='GTOnlyDataset', scale=_base_.scale, sampling='area', small='skip',
            gt=[f'{data_root}/{name}' for name in ('T91', 'General100', 'BSDS500/train', 'BSDS500/test')],
            transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')],
        ),
        batch_size=8,
    ),
    val=dict(interval=2000),
)
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(interval=1000, best=['set5/psnr']))
