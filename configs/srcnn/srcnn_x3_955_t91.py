"""SRCNN 9-5-5 x3 on the 91 images (Dong et al. 2016): as 9-1-5, with wider kernels in the middle."""

_base_ = ['srcnn_x3_915_t91.py']
model = dict(generator=dict(kernels=(9, 5, 5)))
