"""A small DAT x4 for a CPU or one GPU: 6 blocks of 32 features, 10 000 iterations."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(
    type='DAT', scale=scale, num_features=32, depths=[6], num_heads=[4], split_size=[4, 12], expansion_factor=2.0,
    resi_connection='3conv', upsampler='pixelshuffledirect',
))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=5e-4)))
data = dict(train=dict(dataset=dict(gt_size=96)))
