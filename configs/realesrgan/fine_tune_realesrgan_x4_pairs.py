"""Fine-tuning Real-ESRGAN x4 on paired real images: data_root/pairs/gt and data_root/pairs/lq, of equal names.

The published weights are named as for fine_tune_realesrgan_x4_photos.py. Nothing is degraded, and nothing sharpened.
"""

_base_ = ['fine_tune_realesrgan_x4_photos.py']
del _base_.model.preprocess
del _base_.model.targets
data = dict(
    train=dict(
        dataset=dict(
            _delete_=True, type='PairedDataset', scale=_base_.scale, gt_size=_base_.gt_size, cut=True,
            gt=f'{data_root}/pairs/gt', lq=f'{data_root}/pairs/lq',
            transforms=[dict(type='RandomHorizontalFlip')],
        ),
        pool=None,
    ),
)
