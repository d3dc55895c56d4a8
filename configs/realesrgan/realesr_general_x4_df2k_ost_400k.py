"""realesr-general x4: SRVGGNetCompact with 32 layers, the GAN stage after realesrnet_general_x4_df2k_ost_1000k.py.

Blended with realesr_general_wdn_x4_df2k_ost_400k.py it removes as much noise as is wanted: see README.md.
"""

_base_ = ['realesrgan_x4_df2k_ost_400k.py']
load_from = 'work_dirs/realesrnet_general_x4_df2k_ost_1000k/checkpoints/iter_1000000.pth'
model = dict(generator=dict(_delete_=True, type='SRVGGNetCompact', scale=_base_.scale, num_blocks=32))
