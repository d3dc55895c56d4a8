"""What every run shares: where it runs and the hooks that schedule, save, evaluate and log it."""

seed = 0
runtime = dict(device='auto', amp='auto', channels_last='auto', compile='auto', graph='auto')
hooks = dict(
    scheduler=dict(type='SchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=5000, keep_last=3),
    evaluate=dict(type='EvaluateHook'),
    logger=dict(type='LoggerHook', interval=100),
)
