"""A small ATD x4 for a CPU or one GPU: 2 groups of 3 blocks of 24 features, 10 000 iterations."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(
    type='ATD', scale=scale, num_features=24, depths=[3, 3], num_heads=[4, 4], window_size=8, category_size=64,
    num_tokens=32, reducted_dim=8, mlp_ratio=1.0, upsampler='pixelshuffledirect',
))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=5e-4)))
data = dict(train=dict(dataset=dict(gt_size=96)))
