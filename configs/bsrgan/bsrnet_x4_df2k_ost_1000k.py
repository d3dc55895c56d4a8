"""BSRNet x4: RRDBNet by L1 on BSRGAN's degradations, each image's in an order of its own.

Zhang et al. 2021 (arXiv:2103.14006) with the values of their option file. The codec runs in the data workers.
"""

_base_ = ['../_base_/runtime.py', '../_base_/degradations/bsrgan.py']
model = dict(
    type='Restorer',
    generator=dict(type='RRDBNet', scale=_base_.scale),
    losses=dict(pixel=dict(type='L1Loss')),
    preprocess=dict(type='DegradationPipeline', scale=_base_.scale, gt_size=72 * _base_.scale, steps=_base_.steps),
)
max_iters = 1_000_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=1e-4),
    scheduler=dict(type='MultiStepLR', milestones=[200_000, 400_000, 600_000, 800_000], gamma=0.5),
))
degraded = dict(
    type='GTOnlyDataset', gt=f'{data_root}/Set14/HR/X{_base_.scale}', scale=_base_.scale,
    pipeline=dict(type='DegradationPipeline', scale=_base_.scale, steps=_base_.steps),
)
data = dict(
    train=dict(
        dataset=dict(
            gt_size=80 * _base_.scale,
            transforms=[dict(type=f'Random{kind}') for kind in ('HorizontalFlip', 'VerticalFlip', 'Transpose')],
        ),
        batch_size=48, workers=8,
    ),
    val=dict(datasets=dict(degraded=degraded), metrics=dict(niqe=dict(type='NIQE', crop_border=_base_.scale))),
)
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(best=['degraded/psnr']))
