# Four test sets, one data loader and one evaluator each.
test_pipeline = [
    dict(type='LoadImageFromFile', key='img', channel_order='rgb', imdecode_backend='cv2'),
    dict(type='LoadImageFromFile', key='gt', channel_order='rgb', imdecode_backend='cv2'),
    dict(type='PackInputs'),
]
_folders = dict(set5='data/Set5', set14='data/Set14', urban100='data/Urban100', div2k='data/DIV2K')
set5_dataloader = dict(
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BasicImageDataset', metainfo=dict(dataset_type='set5', task_name='sisr'), data_root=_folders['set5'],
        data_prefix=dict(img='LRbicx4', gt='GTmod12'), pipeline=test_pipeline))
set5_evaluator = [
    dict(type='PSNR', crop_border=4, prefix='Set5'),
    dict(type='SSIM', crop_border=4, prefix='Set5'),
]
test_dataloader = [set5_dataloader]
test_evaluator = [set5_evaluator]
for name, root in _folders.items():
    if name == 'set5':
        continue
    test_dataloader.append(dict(
        num_workers=4, persistent_workers=False, sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='BasicImageDataset', metainfo=dict(dataset_type=name, task_name='sisr'), data_root=root,
            data_prefix=dict(img='LRbicx4', gt='GTmod12'), pipeline=test_pipeline)))
    test_evaluator += [[dict(type=kind, crop_border=4, prefix=name.capitalize()) for kind in ('PSNR', 'SSIM')]]
test_cfg = dict(type='MultiTestLoop')
