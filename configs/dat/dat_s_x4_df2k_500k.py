"""DAT-S x4 on DF2K: smaller windows, half of the hidden channels."""

_base_ = ['dat_x4_df2k_500k.py']
model = dict(generator=dict(split_size=[8, 16], expansion_factor=2.0))
