"""SRCNN 9-1-5 x3 on the 91 images (Dong et al. 2014): MSE, the last layer learns ten times slower."""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks.py']
scale = 3
model = dict(
    type='Restorer',
    # torch's initialisation on centred images converges far faster than the paper's N(0, 0.001): see README.md
    generator=dict(type='SRCNN', scale=scale, kernels=(9, 1, 5), channels=(64, 32), init='torch', mean=0.5),
    losses=dict(pixel=dict(type='MSELoss')),
)
max_iters = 20_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=1e-3),
    param_groups=dict(conv3=dict(lr=1e-4)),
    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters),
))
data = dict(train=dict(
    dataset=dict(
        type='GTOnlyDataset', gt=f'{data_root}/T91', scale=scale, gt_size=48, sampling='area',
        transforms=[dict(type=f'Random{kind}') for kind in ('HorizontalFlip', 'VerticalFlip', 'Transpose')],
    ),
    batch_size=16,
))
runtime = dict(amp=None, channels_last=True)  # as its scores were measured; 1.5 times as fast on a CPU
hooks = dict(checkpoint=dict(best=['set5/psnr_y_direct']))
