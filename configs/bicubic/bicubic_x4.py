"""Bicubic interpolation x4, the baseline: python tools/test.py configs/bicubic/bicubic_x4.py"""

_base_ = ['bicubic_x3.py']
_variables_ = dict(scale=4)
