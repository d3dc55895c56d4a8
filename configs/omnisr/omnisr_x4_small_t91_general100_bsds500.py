"""A small OmniSR x4 for a CPU or one GPU, on T91, General100 and BSDS500."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(type='OmniSR', scale=scale, num_features=32, num_groups=2, num_blocks=1))
optim = dict(generator=dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4)))
data = dict(train=dict(dataset=dict(gt_size=32 * scale)))
