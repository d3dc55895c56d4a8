scale_test_list = [2, 3, 4, 6.5]
test_pipelines = [[
    dict(type='LoadImageFromFile', key='gt'),
    dict(type='RandomDownSampling', scale_min=scale_test, scale_max=scale_test),
    dict(type='PackInputs'),
] for scale_test in scale_test_list]
set5_dataloaders = [
    dict(num_workers=4, dataset=dict(type='BasicImageDataset', data_root='data/Set5', pipeline=test_pipeline))
    for test_pipeline in test_pipelines
]
set5_evaluators = [[
    dict(type='PSNR', crop_border=int(scale), prefix=f'Set5x{scale}'),
    dict(type='SSIM', crop_border=round(scale), prefix=f'Set5x{scale:05.2f}'),
] for scale in scale_test_list]
grid = [(x, y) for x in range(3) for y in range(x, 3) if x != y]
table = {f'x{scale}': {'size': 48 * scale, 'even': scale % 2 == 0} for scale in scale_test_list if scale < 5}
unique = sorted({len(p) for p in test_pipelines} | {7})
total = sum(s ** 2 for s in scale_test_list)
nested = [[i * j for j in range(1, 4)] for i in range(1, 4)]
test_dataloader = [*set5_dataloaders, *set5_dataloaders[:1]]
test_evaluator = [*set5_evaluators]
