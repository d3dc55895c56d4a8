"""HAT-S x2 on DF2K: fewer channels, narrow convolutions; else as HAT."""

_base_ = ['hat_x2_df2k_500k.py']
model = dict(generator=dict(num_features=144, compress_ratio=24, squeeze_factor=24))
