"""The tiny runs that `tools/stress.py` kills: together they use everything a checkpoint must hold."""

ITERATIONS = 24

_COMMON = """
scale = 3
seed = 3
max_iters = 24
data = dict(
    train=dict(
        dataset=dict(type='GTOnlyDataset', gt={folder!r}, scale=scale, gt_size=24,
                     transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')]),
        batch_size=2),
    val=dict(
        datasets=dict(photos=dict(type='GTOnlyDataset', gt={folder!r}, scale=scale)),
        metrics=dict(psnr=dict(type='PSNR', crop_border=scale), mae=dict(type='MAE', crop_border=scale)),
        interval=6))
runtime = dict(device='cpu', threads=1)
hooks = dict(
    scheduler=dict(type='SchedulerHook'),
    ema=dict(type='EMAHook', decay=0.9),
    checkpoint=dict(type='CheckpointHook', interval=4, keep_last=2, best=['photos/psnr', 'photos/mae']),
    evaluate=dict(type='EvaluateHook'),
    logger=dict(type='LoggerHook', interval=3, tensorboard=False))
espcn = dict(type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4])
warm_up = dict(scheduler=[dict(type='LinearLR', start_factor=0.1, total_iters=4),
                          dict(type='CosineAnnealingLR', T_max=20)], milestones=[4])
adam = dict(type='Adam', lr=1e-2)
"""

VARIANTS = {
    "gan": _COMMON
    + """
data.train.update(dict(workers=2))
model = dict(
    type='GANRestorer',
    generator=dict(type='RRDBNet', scale=scale, num_features=4, growth_channels=4, num_blocks=1),
    discriminator=dict(type='VGGDiscriminator', input_size=24, channels=[4, 4, 4, 4], fc=[4]),
    losses=dict(pixel=dict(type='L1Loss', weight=1e-2)),
    gan_loss=dict(type='RelativisticGANLoss', weight=5e-3))
optim = dict(generator=dict(optimizer=adam, **warm_up),
             discriminator=dict(optimizer=adam, scheduler=dict(type='MultiStepLR', milestones=[8], gamma=0.5)))
""",
    "plain": _COMMON
    + """
model = dict(type='Restorer', generator=espcn, losses=dict(pixel=dict(type='L1Loss')))
optim = dict(generator=dict(optimizer=adam, **warm_up))
hooks.update(dict(patches=dict(type='PatchesHook', patches=[{folder!r} + '/0.png'], interval=6)))
hooks.logger.update(dict(tensorboard=True))
""",
    "accumulate_fp16": _COMMON
    + """
accumulate = 2
runtime.update(dict(amp='fp16'))
model = dict(type='Restorer', generator=espcn, losses=dict(pixel=dict(type='MSELoss')))
optim = dict(generator=dict(optimizer=adam, clip=0.5, **warm_up))
""",
}
