"""PLKSR x2 on DIV2K as its authors train it: L1, 450 000 iterations.

DIV2K as LMDBs first: python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 2 -o data/DIV2K/X2
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks_x2.py']
scale = 2
model = dict(
    type='Restorer',
    generator=dict(type='PLKSR', scale=scale),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 450_000
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=2e-4, betas=(0.9, 0.99)),
    scheduler=dict(type='MultiStepLR', milestones=[100_000, 200_000, 300_000, 400_000, 425_000], gamma=0.5),
))
data = dict(train=dict(
    dataset=dict(
        type='PairedDataset', gt=f'{data_root}/DIV2K/X{scale}/gt.lmdb', lq=f'{data_root}/DIV2K/X{scale}/lq.lmdb',
        scale=scale, gt_size=96 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=64,
))
hooks = dict(checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
