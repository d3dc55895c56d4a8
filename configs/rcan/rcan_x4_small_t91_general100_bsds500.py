"""A small RCAN x4 for a CPU or one GPU: 3 groups of 4 blocks, 10 000 iterations."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(type='RCAN', scale=scale, num_features=32, num_groups=3, num_blocks=4, reduction=8))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=5e-4)))
data = dict(train=dict(dataset=dict(gt_size=96)))
