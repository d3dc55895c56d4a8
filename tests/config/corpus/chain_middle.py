_base_ = ['gan_x4.py']
model = dict(
    type='ESRGAN',
    generator=dict(_delete_=True, type='RRDBNet', blocks=dict(num=_base_.model.generator.num_blocks * 2, growth=32)),
    pixel_loss=dict(loss_weight=_base_.model.pixel_loss.loss_weight / 10))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline + [dict(type='Last')]))
work_dir = f'{_base_.save_dir}esrgan'
