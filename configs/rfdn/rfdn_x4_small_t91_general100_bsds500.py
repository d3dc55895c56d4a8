"""A small RFDN x4 for a CPU or one GPU, on T91, General100 and BSDS500."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(type='RFDN', scale=scale, num_features=24, num_blocks=2))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=1e-3, betas=(0.9, 0.99))))
data = dict(train=dict(dataset=dict(gt_size=24 * scale)))
