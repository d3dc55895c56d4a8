"""RealESRNet x4: RRDBNet by L1 on Real-ESRGAN's degradations of DIV2K, Flickr2K and OutdoorScene.

Wang et al. 2021 (arXiv:2107.10833) with the values of their option file. Batches of 48, as theirs of four GPUs.
"""

_base_ = [
    '../_base_/runtime.py', '../_base_/datasets/df2k_ost.py', '../_base_/degradations/real_esrgan.py',
]
scale, gt_size = 4, 256
model = dict(
    type='Restorer',
    generator=dict(type='RRDBNet', scale=scale),
    losses=dict(pixel=dict(type='L1Loss')),
    targets=dict(pixel='gt_usm'),
    preprocess=dict(
        type='DegradationPipeline', scale=scale, gt_size=gt_size, share='batch',
        sharpen=dict(type='USMSharpening'), steps=_base_.steps,
    ),
)
max_iters = 1_000_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=2e-4, betas=(0.9, 0.99)),
    scheduler=dict(type='MultiStepLR', milestones=[max_iters], gamma=0.5),
))
degraded = dict(
    type='GTOnlyDataset', gt=f'{data_root}/Set14/HR/X{scale}', scale=scale,
    pipeline=dict(type='DegradationPipeline', scale=scale, steps=_base_.steps),
)
data = dict(
    train=dict(dataset=dict(gt_size=400), batch_size=48, pool=720),
    val=dict(datasets=dict(degraded=degraded), metrics=dict(niqe=dict(type='NIQE', crop_border=scale))),
)
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(best=['degraded/psnr']))
