"""Bicubic interpolation x2, the baseline: python tools/test.py configs/bicubic/bicubic_x2.py"""

_base_ = ['bicubic_x3.py']
_variables_ = dict(scale=2)
