"""x1: T91, General100 and BSDS500 to train on, and the four benchmarks, with Gaussian noise as they are read.

HR/X2 of a benchmark is the image itself, cut to even sides.
"""

scale = 1
sigma = 25  # levels of 8 bit
noise = [dict(type='GaussianNoise', sigma=[sigma, sigma])]
data = dict(
    train=dict(
        dataset=dict(
            type='GTOnlyDataset', scale=scale, sampling='area', small='skip', degradations=noise,
            gt=[f'{data_root}/{name}' for name in ('T91', 'General100', 'BSDS500/train', 'BSDS500/test')],
            transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')],
        ),
    ),
    val=dict(
        datasets=dict(
            set5=dict(type='GTOnlyDataset', gt=f'{data_root}/Set5/HR/X2', scale=scale, degradations=noise),
        ),
        # as denoisers are published: of R, G and B alike, the border too
        metrics=dict(psnr=dict(type='PSNR', y_channel=False), ssim=dict(type='SSIM', y_channel=False)),
    ),
    test=dict(
        datasets={
            name.lower(): dict(type='GTOnlyDataset', gt=f'{data_root}/{name}/HR/X2', scale=scale, degradations=noise)
            for name in ('Set5', 'Set14', 'BSD100', 'Urban100')
        },
    ),
)
