"""ATD x4 on DF2K as its authors train it, from their x2 network by load_from: see README.md.

DIV2K and Flickr2K are LMDBs, see ../_base_/datasets/df2k.py.
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/df2k.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='ATD', scale=scale),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters, warm_up = 250_000, 10_000
optim = dict(generator=dict(
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.9), weight_decay=0),
    scheduler=[
        dict(type='LinearLR', start_factor=1e-4, total_iters=warm_up),
        dict(type='MultiStepLR', milestones=[140_000, 190_000, 215_000, 230_000], gamma=0.5),  # counted from there
    ],
    milestones=[warm_up],
))
data = dict(train=dict(
    dataset=dict(
        gt_size=96 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=32,
))
hooks = dict(ema=dict(type='EMAHook', decay=0.999), checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
