"""ESPCN x3 as tutorials train it: BSDS300, 5-3-3-3, 64-64-32, ReLU, orthogonal, centre crops, 30 epochs of 50 steps."""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks.py']
scale = 3
pictures = f'{data_root}/BSDS300/images'
gt_size = 256 - 256 % scale
model = dict(
    type='Restorer',
    generator=dict(
        type='ESPCN', scale=scale, kernels=(5, 3, 3, 3), channels=(64, 64, 32), activation='relu', init='orthogonal',
    ),
    losses=dict(pixel=dict(type='MSELoss')),
)
max_iters = 1500
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=1e-3)))
data = dict(
    train=dict(
        dataset=dict(type='GTOnlyDataset', gt=f'{pictures}/train', scale=scale, gt_size=gt_size, crop='center'),
        batch_size=4,
    ),
    val=dict(
        datasets=dict(bsds300=dict(
            type='GTOnlyDataset', gt=f'{pictures}/test', scale=scale, gt_size=gt_size, crop='center',
        )),
        interval=250,
    ),
)
runtime = dict(amp=None)  # as its scores were measured
hooks = dict(checkpoint=dict(interval=250, best=['bsds300/psnr_y_direct']))
