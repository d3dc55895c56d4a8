"""The data of the ESRGAN runs: crops of DIV2K, half of them flipped or transposed, LQ compressed or with holes.

Validation on Set5, Set14 and central crops of BSDS500's and DIV2K's validation images, with the content loss.
"""

_base_ = ['benchmarks_x4.py']
scale = 4
data = dict(
    train=dict(
        dataset=dict(
            type='GTOnlyDataset', gt=f'{data_root}/DIV2K/X4/gt.lmdb', scale=scale, gt_size=128, small='skip',
            transforms=dict(
                spatial=dict(type='RandomApply', p=0.5, transforms=[dict(
                    type='OneOf', weights=[0.25, 0.75],
                    transforms=[dict(type='RandomHorizontalFlip', p=1.0), dict(type='RandomTranspose', p=1.0)],
                )]),
                compression=dict(
                    type='RandomApply', p=0.25, transforms=[dict(type='JPEGCompression', quality=[30, 90])],
                ),
                dropout=dict(
                    type='RandomApply', p=0.25, transforms=[dict(type='CoarseDropout', holes=[1, 8], size=[2, 6])],
                ),
            ),
        ),
    ),
    val=dict(
        datasets=dict(
            set14=dict(
                type='PairedDataset', scale=scale,
                gt=f'{data_root}/Set14/HR/X{scale}', lq=f'{data_root}/Set14/LR_bicubic/X{scale}',
            ),
            bsds500=dict(
                type='GTOnlyDataset', gt=f'{data_root}/BSDS500/val', scale=scale, gt_size=192, crop='center',
            ),
            div2k_val=dict(
                type='GTOnlyDataset', gt=f'{data_root}/DIV2K/DIV2K_valid_HR', scale=scale, gt_size=192, crop='center',
            ),
        ),
        metrics=dict(content=dict(type='LossMetric', losses=dict(content=dict(type='L1Loss')))),
    ),
)
