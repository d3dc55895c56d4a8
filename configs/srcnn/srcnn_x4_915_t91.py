"""SRCNN 9-1-5 x4 on the 91 images (Dong et al. 2014), as at x3."""

_base_ = ['srcnn_x3_915_t91.py']
_variables_ = dict(scale=4)
