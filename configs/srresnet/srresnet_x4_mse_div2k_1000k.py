"""SRResNet x4 with MSE (Ledig et al. 2017, SRResNet-MSE), on DIV2K instead of ImageNet.

DIV2K as an LMDB first: python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks_x4.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='SRResNet', scale=scale, num_features=64, num_blocks=16),
    losses=dict(pixel=dict(type='MSELoss')),
)
max_iters = 1_000_000
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=1e-4)))
data = dict(train=dict(
    dataset=dict(
        type='PairedDataset', gt=f'{data_root}/DIV2K/X4/gt.lmdb', lq=f'{data_root}/DIV2K/X4/lq.lmdb', scale=scale,
        gt_size=96, sampling='area', transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=16,
))
runtime = dict(amp=None)  # as its scores were measured
hooks = dict(checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
