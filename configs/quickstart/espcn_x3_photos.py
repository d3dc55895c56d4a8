"""ESPCN x3 on the photographs that scikit-image carries: what `bash tools/quickstart.sh` trains, in about a minute."""

_base_ = ['../_base_/runtime.py']
scale = 3
photos = 'work_dirs/quickstart/data'

model = dict(
    type='Restorer',
    generator=dict(type='ESPCN', scale=scale, activation='relu', mean=0.5),
    losses=dict(pixel=dict(type='MSELoss')),
)
max_iters = 5000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=2e-3),
    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters),
))
data = dict(
    train=dict(
        dataset=dict(
            type='PairedDataset', gt=f'{photos}/train_lmdb/gt.lmdb', lq=f'{photos}/train_lmdb/lq.lmdb', scale=scale,
            gt_size=17 * scale,
            transforms=[dict(type=f'Random{kind}') for kind in ('HorizontalFlip', 'VerticalFlip', 'Transpose')],
        ),
        batch_size=16,
    ),
    val=dict(
        datasets=dict(photos=dict(type='GTOnlyDataset', gt=f'{photos}/test', scale=scale)),
        metrics=dict(psnr=dict(type='PSNR', crop_border=scale), ssim=dict(type='SSIM', crop_border=scale)),
        interval=1000,
    ),
)
hooks = dict(
    checkpoint=dict(interval=2000, best='photos/psnr'),
    logger=dict(interval=200),
    patches=dict(type='PatchesHook', interval=250, patches=[
        dict(picture=f'{photos}/test/chelsea.png', box=[120, 84, 96, 72]), f'{photos}/test/astronaut.png']),
)
