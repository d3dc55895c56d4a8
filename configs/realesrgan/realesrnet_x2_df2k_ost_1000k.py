"""RealESRNet x2: the x4 network on images rearranged to half their size, as published, after Real-ESRGAN x4."""

_base_ = ['realesrnet_x4_df2k_ost_1000k.py']
_variables_ = dict(scale=2)
load_from = 'work_dirs/realesrgan_x4_df2k_ost_400k/checkpoints/iter_400000.pth'  # all but the first convolution fits
