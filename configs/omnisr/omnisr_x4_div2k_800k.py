"""OmniSR x4 on DIV2K as its authors train it, but on images in [0, 1]: L1, a thousand epochs of 800 iterations.

DIV2K as an LMDB first: python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks_x4.py']
scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='OmniSR', scale=scale, num_features=64, num_groups=5, num_blocks=1),
    losses=dict(pixel=dict(type='L1Loss')),
)
max_iters = 800_000
optim = dict(generator=dict(
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    scheduler=dict(type='StepLR', step_size=max_iters // 4, gamma=0.5),
))
data = dict(train=dict(
    dataset=dict(
        type='PairedDataset', gt=f'{data_root}/DIV2K/X{scale}/gt.lmdb', lq=f'{data_root}/DIV2K/X{scale}/lq.lmdb',
        scale=scale, gt_size=64 * scale,
        transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomVerticalFlip'), dict(type='RandomTranspose')],
    ),
    batch_size=64,
))
hooks = dict(checkpoint=dict(best=['set5/psnr', 'set5/ssim']))
