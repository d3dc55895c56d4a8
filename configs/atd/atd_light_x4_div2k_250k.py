"""ATD-light x4 on DIV2K as its authors train it, from their x2 network by load_from: see README.md.

DIV2K as an LMDB first: python tools/convert_lmdb.py data/DIV2K/DIV2K_train_HR --scale 4 -o data/DIV2K/X4
"""

_base_ = ['atd_x4_df2k_250k.py']
model = dict(generator=dict(
    num_features=48, depths=[6] * 4, num_heads=[4] * 4, category_size=128, num_tokens=64, reducted_dim=8,
    convffn_kernel_size=7, mlp_ratio=1.0, upsampler='pixelshuffledirect',
))
store = f'{data_root}/DIV2K/X{_base_.scale}'
data = dict(train=dict(dataset=dict(gt=f'{store}/gt.lmdb', lq=f'{store}/lq.lmdb', gt_size=64 * _base_.scale)))
