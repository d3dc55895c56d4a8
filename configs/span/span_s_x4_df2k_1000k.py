"""SPAN-S x4 on DF2K: 48 features, else as SPAN."""

_base_ = ['span_x4_df2k_1000k.py']
model = dict(generator=dict(num_features=48))
