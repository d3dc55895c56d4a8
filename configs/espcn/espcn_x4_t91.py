"""ESPCN x4 on the 91 images (Shi et al. 2016), as at x3."""

_base_ = ['espcn_x3_t91.py']
_variables_ = dict(scale=4)
