"""DAT-light x4 on DF2K: one group of 18 blocks of 60 features, one sub-pixel step."""

_base_ = ['dat_x4_df2k_500k.py']
model = dict(generator=dict(
    num_features=60, depths=[18], num_heads=[6], expansion_factor=2.0, resi_connection='3conv',
    upsampler='pixelshuffledirect',
))
