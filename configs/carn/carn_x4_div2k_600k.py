"""CARN x4 on DIV2K as its authors train it, but for one scale, not three at once: L1, 600 000 iterations.

DIV2K as an LMDB first: python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks_x4.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='CARN', scale=scale, num_features=64, num_blocks=3),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 600_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=1e-4),
    scheduler=dict(type='MultiStepLR', milestones=[400_000], gamma=0.5),
    clip=10.0,
))
data = dict(train=dict(
    dataset=dict(
        type='PairedDataset', gt=f'{data_root}/DIV2K/X{scale}/gt.lmdb', lq=f'{data_root}/DIV2K/X{scale}/lq.lmdb',
        scale=scale, gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=64,
))
hooks = dict(checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
