"""ESPCN x3 on the 91 images (Shi et al. 2016): 5-3-3, luma, MSE on sub-images of 17 LR pixels."""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks.py']
scale = 3
pictures = f'{data_root}/T91'
model = dict(
    type='Restorer',
    # relu on centred images converges in a fraction of the iterations that the paper's tanh takes: see README.md
    generator=dict(type='ESPCN', scale=scale, kernels=(5, 3, 3), channels=(64, 32), activation='relu', mean=0.5),
    losses=dict(pixel=dict(type='MSELoss')),
)
max_iters = 100_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=2e-3),
    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters),
))
data = dict(
    train=dict(
        dataset=dict(
            type='GTOnlyDataset', gt=pictures, scale=scale, gt_size=17 * scale, sampling='area',
            transforms=[dict(type=f'Random{kind}') for kind in ('HorizontalFlip', 'VerticalFlip', 'Transpose')],
        ),
        batch_size=16,
    ),
    # five images of the training set beside Set5: the gap between the two curves is the overfitting
    val=dict(datasets=dict(train=dict(type='GTOnlyDataset', gt=pictures, scale=scale, max_images=5))),
)
runtime = dict(amp=None)  # as its scores were measured
hooks = dict(checkpoint=dict(best=['set5/psnr_y_direct', 'set5/ssim_y_direct']))
