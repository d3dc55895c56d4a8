_base_ = 'chain_middle.py'
experiment_name = _base_.work_dir.split('/')[-1]
model = dict(generator=dict(blocks=dict(growth=64), scale=_base_.scale), gan_loss=dict(_delete_=False, gan_type='ra'))
train_pipeline = _base_.train_pipeline
train_pipeline[3]['gt_patch_size'] = 256
train_dataloader = dict(batch_size=_base_['train_dataloader']['batch_size'] * 2)
_base_.custom_hooks.append(dict(type='ExponentialMovingAverageHook', module_keys=('generator_ema', )))
param_scheduler = [_base_.param_scheduler] * 2
train_cfg = dict(max_iters=_base_.train_cfg.max_iters + 100_000)
