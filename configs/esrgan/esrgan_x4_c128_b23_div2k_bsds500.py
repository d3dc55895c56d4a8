"""ESRGAN x4 on DIV2K and BSDS500's 200 training images: the GAN stage, crops of 128, after a PSNR stage with 192."""

_base_ = ['esrgan_x4_c128_b23_div2k.py']
load_from = 'work_dirs/rrdb_x4_psnr_c192_b23_div2k_bsds500/checkpoints/best_bsds500_psnr.pth'
_variables_ = dict(pictures=800 + 200)
data = dict(train=dict(dataset=dict(gt=[f'{data_root}/DIV2K/X4/gt.lmdb', f'{data_root}/BSDS500/train'])))
