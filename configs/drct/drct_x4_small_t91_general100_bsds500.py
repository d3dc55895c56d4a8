"""A small DRCT x4 for a CPU or one GPU, on T91, General100 and BSDS500."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(
    type='DRCT', scale=scale, num_features=48, num_heads=[4, 4], growth_channels=16, window_size=8,
))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=5e-4, betas=(0.9, 0.99))))
data = dict(train=dict(dataset=dict(gt_size=32 * scale)))
