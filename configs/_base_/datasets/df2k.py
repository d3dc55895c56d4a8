"""DF2K to train on, the 800 pictures of DIV2K and the 2650 of Flickr2K, and the four benchmarks.

A config adds `gt_size`, `transforms` and `batch_size`. Each set is a pair of LMDBs, made for x4 by
python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
python tools/convert_lmdb.py data/Flickr2K/Flickr2K_HR --scale 4 -o data/Flickr2K/X4
"""

_base_ = ['benchmarks_x4.py']
stores = [f'{data_root}/{name}/X{_base_.scale}' for name in ('DIV2K', 'Flickr2K')]
data = dict(train=dict(dataset=dict(
    type='PairedDataset', scale=_base_.scale,
    gt=[f'{store}/gt.lmdb' for store in stores], lq=[f'{store}/lq.lmdb' for store in stores],
)))
