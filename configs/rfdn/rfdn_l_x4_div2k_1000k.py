"""RFDN-L x4 on DIV2K: 52 features."""

_base_ = ['rfdn_x4_div2k_1000k.py']
model = dict(generator=dict(num_features=52))
