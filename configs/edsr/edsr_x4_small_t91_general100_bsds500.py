"""A small EDSR x4 for a CPU or one GPU: 8 blocks of 32 features, 10 000 iterations."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(type='EDSR', scale=scale, num_features=32, num_blocks=8, residual_scaling=1.0))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=5e-4)))
data = dict(train=dict(dataset=dict(gt_size=96)))
