"""The small network of realesr-general-x4v3, SRVGGNetCompact with 32 layers, by L1: the stage before its GAN."""

_base_ = ['realesrnet_x4_df2k_ost_1000k.py']
model = dict(generator=dict(_delete_=True, type='SRVGGNetCompact', scale=_base_.scale, num_blocks=32))
