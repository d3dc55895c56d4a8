"""RRDBNet x4, 23 blocks: the PSNR stage of ESRGAN (Wang et al. 2018) with L1, 10 000 epochs of DIV2K, crops of 128.

DIV2K as LMDBs first: python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/esrgan_x4.py']
scale = 4
epochs, pictures, batch_size = 10_000, 800, 16
model = dict(
    type='Restorer',
    generator=dict(type='RRDBNet', scale=scale, num_features=64, growth_channels=32, num_blocks=23),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = epochs * pictures // batch_size
optim = dict(generator=dict(
    optimizer=dict(type='Adam', lr=2e-4), scheduler=dict(type='StepLR', step_size=200_000, gamma=0.5),
))
data = dict(train=dict(batch_size=batch_size))
runtime = dict(amp=None)  # as its scores were measured
hooks = dict(checkpoint=dict(best=['bsds500/psnr', 'set5/psnr']))
