"""Set5 while training; Set5, Set14, BSD100, Urban100 for testing: <Set>/HR/X3 and <Set>/LR_bicubic/X3 by `scale`."""

scale = 3
# psnr and ssim as RGB networks are published, the other two as Y networks are: see docs/test.md
metrics = dict(
    psnr=dict(type='PSNR', crop_border=scale),
    ssim=dict(type='SSIM', crop_border=scale),
    psnr_y_direct=dict(type='PSNR', crop_border=scale, protocol='y_direct'),
    ssim_y_direct=dict(type='SSIM', crop_border=scale, protocol='y_direct'),
)
data = dict(
    val=dict(
        datasets=dict(
            set5=dict(
                type='PairedDataset', scale=scale,
                gt=f'{data_root}/Set5/HR/X{scale}', lq=f'{data_root}/Set5/LR_bicubic/X{scale}',
            ),
        ),
        metrics=metrics,
        interval=5000,
    ),
    test=dict(
        metrics=metrics,
        datasets={
            name.lower(): dict(
                type='PairedDataset', scale=scale,
                gt=f'{data_root}/{name}/HR/X{scale}', lq=f'{data_root}/{name}/LR_bicubic/X{scale}',
            )
            for name in ('Set5', 'Set14', 'BSD100', 'Urban100')
        },
    ),
)
