"""A small MSRResNet x4 that a CPU trains in about twenty minutes: the PSNR stage of ../srgan's small ladder."""

_base_ = ['../_base_/small.py']
scale = 4
model = dict(generator=dict(type='MSRResNet', scale=scale, num_features=32, num_blocks=8))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=1e-3, betas=(0.9, 0.99))))
data = dict(train=dict(dataset=dict(gt_size=64)))
runtime = dict(amp=None)  # as its scores were measured
