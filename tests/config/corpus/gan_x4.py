_base_ = ['./_base_/runtime.py', './_base_/sets_x4.py', './_base_/schedule.py', './_base_/gan.py']

experiment_name = 'gan_x4'
work_dir = f'./work_dirs/{experiment_name}'
save_dir = './work_dirs/'

model = dict(
    gan_loss=dict(_delete_=True, type='GANLoss', gan_type='wgan', loss_weight=1e-3),
    generator=dict(num_blocks=8),
    train_cfg=dict(start_iter=1000),
)
train_pipeline = [
    dict(type='LoadImageFromFile', key='img'),
    dict(type='LoadImageFromFile', key='gt'),
    dict(type='SetValues', dictionary=dict(scale=_base_.scale)),
    dict(type='PairedRandomCrop', gt_patch_size=32 * _base_.scale),
    dict(type='Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    num_workers=8, batch_size=16, sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='BasicImageDataset', data_root='data/DIV2K', data_prefix=dict(img='LR', gt='HR'),
        pipeline=train_pipeline))
optim_wrapper = dict(
    _delete_=True,
    constructor='MultiOptimWrapperConstructor',
    generator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999))),
    discriminator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999))),
)
default_hooks = dict(checkpoint=dict(out_dir=save_dir, interval=10_000), timer=None)
