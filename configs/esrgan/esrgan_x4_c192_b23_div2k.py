"""ESRGAN x4 with crops of 192 in both stages: the GAN stage after rrdb_x4_psnr_c192_b23_div2k.py."""

_base_ = ['esrgan_x4_c128_b23_div2k.py']
load_from = 'work_dirs/rrdb_x4_psnr_c192_b23_div2k/checkpoints/best_bsds500_psnr.pth'
model = dict(discriminator=dict(input_size=192))
data = dict(train=dict(dataset=dict(gt_size=192)))
