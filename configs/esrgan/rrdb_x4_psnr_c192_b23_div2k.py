"""rrdb_x4_psnr_c128_b23_div2k.py with crops of 192."""

_base_ = ['rrdb_x4_psnr_c128_b23_div2k.py']
data = dict(train=dict(dataset=dict(gt_size=192)))
