"""MSRResNet x4 on DIV2K as BasicSR trains it: L1, a million iterations with three warm restarts, EMA.

DIV2K as an LMDB first: python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks_x4.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='MSRResNet', scale=scale, num_features=64, num_blocks=16),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 1_000_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=2e-4, betas=(0.9, 0.99)),
    scheduler=dict(type='CosineAnnealingWarmRestarts', T_0=max_iters // 4, eta_min=1e-7),
))
data = dict(train=dict(
    dataset=dict(
        type='PairedDataset', gt=f'{data_root}/DIV2K/X4/gt.lmdb', lq=f'{data_root}/DIV2K/X4/lq.lmdb', scale=scale,
        gt_size=128, sampling='area', transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=16,
))
runtime = dict(amp=None)  # as its scores were measured
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
