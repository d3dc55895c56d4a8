"""A small HAT x4 for a CPU or one GPU, on T91, General100 and BSDS500."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(
    type='HAT', scale=scale, num_features=48, depths=[2, 2], num_heads=[4, 4], window_size=8, squeeze_factor=12,
))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=5e-4, betas=(0.9, 0.99))))
data = dict(train=dict(dataset=dict(gt_size=32 * scale)))
