"""esrgan_x4_c128_b23_div2k_bsds500.py with 16 blocks, after rrdb_x4_psnr_c192_b16_div2k_bsds500.py."""

_base_ = ['esrgan_x4_c128_b23_div2k_bsds500.py']
load_from = 'work_dirs/rrdb_x4_psnr_c192_b16_div2k_bsds500/checkpoints/best_bsds500_psnr.pth'
model = dict(generator=dict(num_blocks=16))
