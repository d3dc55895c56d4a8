_base_ = ['_base_/sets_x4.py', '_base_/schedule.py']

for loader in _base_.test_dataloader:
    loader.num_workers = 2
    loader['dataset']['pipeline'] = _base_.test_pipeline[:-1] + [dict(type='PackInputs', meta=True)]
_base_.test_dataloader[0].dataset.metainfo.update(split='val')
for i, (loader, evaluator) in enumerate(zip(_base_.test_dataloader, _base_.test_evaluator)):
    for metric in evaluator:
        metric['prefix'] = f"{i}_{metric['prefix']}"
        if metric.type == 'SSIM':
            metric.crop_border += 1
            break
    else:
        never = True
optimizer = _base_.optim_wrapper.optimizer
optimizer.lr = optimizer.lr * 2
_base_.param_scheduler.milestones += [250000]
_base_.param_scheduler['gamma'] /= 2
val_dataloader = _base_.test_dataloader
val_evaluator = _base_['test_evaluator'][-1]
