_base_ = ['_base_/gan.py', '_base_/schedule.py']
shared = dict(size=1)
train = dict(part=shared)
test = dict(part=shared)
shared['size'] = 2
_base_.model.extra = shared
shared['size'] = 3
mine = _base_.model.generator
mine['num_blocks'] = 99
_base_.model.second = _base_.model.generator
_base_.model.second.mid_channels = 32
_base_.stages = [shared]
shared['size'] = 4
_base_.param_scheduler.milestones.append(1)
theirs = _base_.param_scheduler.milestones
theirs.append(2)
plain = _base_.model.copy()
plain['type'] = 'Copied'
plain.generator.in_channels = 1
deep = _base_.optim_wrapper.to_dict()
deep['type'] = 'Deep'
