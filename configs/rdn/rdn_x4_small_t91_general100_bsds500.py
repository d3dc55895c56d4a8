"""A small RDN x4 for a CPU or one GPU: 4 blocks of 4 convolutions, 10 000 iterations."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(type='RDN', scale=scale, num_features=32, num_blocks=4, num_convs=4, growth_channels=16))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=5e-4)))
data = dict(train=dict(dataset=dict(gt_size=96)))
