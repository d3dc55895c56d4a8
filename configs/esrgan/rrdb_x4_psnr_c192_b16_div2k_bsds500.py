"""rrdb_x4_psnr_c192_b23_div2k_bsds500.py with 16 blocks."""

_base_ = ['rrdb_x4_psnr_c192_b23_div2k_bsds500.py']
model = dict(generator=dict(num_blocks=16))
