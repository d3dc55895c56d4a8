"""A small SRFormer x4 for a CPU or one GPU: 2 groups of 2 blocks, 10 000 iterations."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(
    type='SRFormer', scale=scale, num_features=32, depths=[2, 2], num_heads=[4, 4], window_size=12,
    upsampler='pixelshuffledirect',
))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=1e-3)))
data = dict(train=dict(dataset=dict(gt_size=96)))
