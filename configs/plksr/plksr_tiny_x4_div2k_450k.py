"""PLKSR-tiny x4 on DIV2K: 12 blocks with kernels of 13 and without attention, from the beginning."""

_base_ = ['plksr_x2_div2k_450k.py']
_variables_ = dict(scale=4)
model = dict(generator=dict(num_blocks=12, kernel_size=13, use_ea=False))
