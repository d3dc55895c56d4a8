"""RLFN-S x4 on DIV2K: 48 features."""

_base_ = ['rlfn_x4_div2k_1000k.py']
model = dict(generator=dict(num_features=48))
