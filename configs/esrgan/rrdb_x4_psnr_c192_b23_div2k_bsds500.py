"""RRDBNet x4, the PSNR stage of ESRGAN, on DIV2K and BSDS500's 200 training images, crops of 192."""

_base_ = ['rrdb_x4_psnr_c192_b23_div2k.py']
_variables_ = dict(pictures=800 + 200)
data = dict(train=dict(dataset=dict(gt=[f'{data_root}/DIV2K/X4/gt.lmdb', f'{data_root}/BSDS500/train'])))
