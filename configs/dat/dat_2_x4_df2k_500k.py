"""DAT-2 x4 on DF2K: DAT with half of the hidden channels."""

_base_ = ['dat_x4_df2k_500k.py']
model = dict(generator=dict(expansion_factor=2.0))
