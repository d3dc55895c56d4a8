"""A RealESRNet that a CPU trains within the hour: SRVGGNetCompact with 8 layers of 32 features, see README.md."""

_base_ = ['../_base_/small.py', '../_base_/degradations/real_esrgan.py']
model = dict(
    generator=dict(type='SRVGGNetCompact', scale=_base_.scale, num_features=32, num_blocks=8),
    targets=dict(pixel='gt_usm'),
    preprocess=dict(
        type='DegradationPipeline', scale=_base_.scale, gt_size=96, sharpen=dict(type='USMSharpening'),
        steps=_base_.steps,
    ),
)
max_iters = 10_000
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=5e-4, betas=(0.9, 0.99))))
degraded = dict(
    type='GTOnlyDataset', gt=f'{data_root}/Set14/HR/X{_base_.scale}', scale=_base_.scale,
    pipeline=dict(type='DegradationPipeline', scale=_base_.scale, steps=_base_.steps),
)
data = dict(
    train=dict(dataset=dict(gt_size=128)),
    val=dict(datasets=dict(degraded=degraded), metrics=dict(niqe=dict(type='NIQE', crop_border=_base_.scale))),
)
hooks = dict(checkpoint=dict(best=['degraded/psnr']))
