"""Real-ESRGAN x2: the GAN stage after realesrnet_x2_df2k_ost_1000k.py."""

_base_ = ['realesrgan_x4_df2k_ost_400k.py']
_variables_ = dict(scale=2)
