"""DIV2K, Flickr2K and OutdoorScene as GT alone: what LQ is made of is the model's `preprocess`; and the benchmarks.

A config adds `gt_size` and `batch_size`. Each set is an LMDB, made by
python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
python tools/convert_lmdb.py data/Flickr2K/Flickr2K_HR --scale 4 -o data/Flickr2K/X4
python tools/convert_lmdb.py data/OST/OST_HR --scale 4 -o data/OST/X4
"""

_base_ = ['benchmarks_x4.py']
data = dict(train=dict(dataset=dict(
    type='GTOnlyDataset', scale=_base_.scale, sampling='area', small='reflect',
    gt=[f'{data_root}/{name}/X{_base_.scale}/gt.lmdb' for name in ('DIV2K', 'Flickr2K', 'OST')],
    transforms=[dict(type='RandomHorizontalFlip')],
)))
