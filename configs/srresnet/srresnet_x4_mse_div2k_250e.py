"""SRResNet x4 with MSE for 250 epochs of DIV2K: the baseline of a comparison of content losses, see README.md.

DIV2K as LMDBs first: python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
"""

_base_ = ['../_base_/runtime.py', '../_base_/datasets/benchmarks_x4.py', '../_base_/content_losses.py']
scale = 4
epochs, pictures, batch_size = 250, 800, 16
losses = _base_.content_losses.mse
model = dict(
    type='Restorer',
    generator=dict(type='SRResNet', scale=scale, num_features=64, num_blocks=16),
    losses=losses,
)
max_iters = epochs * pictures // batch_size
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999))))
data = dict(
    train=dict(
        dataset=dict(
            type='GTOnlyDataset', gt=f'{data_root}/DIV2K/X4/gt.lmdb', scale=scale, gt_size=128, small='zero',
            transforms=dict(
                rotation=dict(type='RandomRotation', degrees=10, filling='zero'),
                flip=dict(type='RandomHorizontalFlip'),
            ),
        ),
        batch_size=batch_size,
    ),
    val=dict(
        datasets=dict(div2k_val=dict(
            type='GTOnlyDataset', gt=f'{data_root}/DIV2K/DIV2K_valid_HR', scale=scale, gt_size=256, crop='center',
            small='zero',
        )),
        metrics=dict(loss=dict(type='LossMetric', losses=losses)),
        interval=10 * pictures // batch_size,
    ),
)
runtime = dict(amp=None)  # as its scores were measured
hooks = dict(checkpoint=dict(best=['div2k_val/loss', 'set5/psnr']))
