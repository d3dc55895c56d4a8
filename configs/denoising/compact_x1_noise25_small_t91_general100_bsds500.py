"""A small SRVGGNetCompact against noise of sigma 25, for a CPU or one GPU: 8 layers of 32 features, 10k iterations."""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/noise.py']
scale = 1
model = dict(
    type='Restorer', generator=dict(type='SRVGGNetCompact', scale=scale, num_features=32, num_blocks=8),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 10_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=1e-3),
    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=1e-6),
))
data = dict(train=dict(dataset=dict(gt_size=48), batch_size=8), val=dict(interval=2000))
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(interval=1000, best=['set5/psnr']))
