"""Fine-tuning x4 on T91, General100 and BSDS500: `model.generator=FILE` names the network, see docs/fine_tune.md."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(type='IMDN', scale=scale))  # from scratch, where no file is named
max_iters = 2000
optim = dict(
    generator=dict(
        optimizer=dict(type='Adam', lr=1e-4),
        # a warm-up, while Adam's moments form, and then as it is: no one knows where an early stop will be
        scheduler=dict(_delete_=True, type='LinearLR', start_factor=0.1, total_iters=50),
    )
)
data = dict(train=dict(dataset=dict(gt_size=24 * scale)), val=dict(interval=100))
hooks = dict(
    ema=dict(decay=0.98),
    checkpoint=dict(interval=100),
    stop=dict(type='EarlyStopHook', score='set5/psnr', patience=5),
)
