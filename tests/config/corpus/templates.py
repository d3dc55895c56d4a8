_base_ = ['_base_/gan.py', '_base_/schedule.py']
name = '{{ fileBasenameNoExtension }}'
work_dir = './work_dirs/{{fileBasenameNoExtension}}/{{ fileBasename }}'
suffix = '{{ fileExtname }}'
folder = '{{ fileDirname }}'
data_root = '{{$SRTOOLBOX_NOT_SET_ANYWHERE:data/sr}}/DIV2K'
workers = {{'$SRTOOLBOX_NOT_SET_EITHER:8'}}
upscale = {{ _base_.scale }}
optimizer = {{_base_.optim_wrapper.optimizer}}
pipeline = [dict(type='Crop', size={{_base_.scale}}), {{ _base_.param_scheduler.milestones }}]
model = dict(generator=dict(upscale_factor={{ _base_.scale }}), copy_of={{_base_.model.gan_loss}})
