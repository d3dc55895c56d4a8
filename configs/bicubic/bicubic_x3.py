"""Bicubic interpolation x3, the baseline: python tools/test.py configs/bicubic/bicubic_x3.py"""

_base_ = ['../_base_/datasets/benchmarks.py']
scale = 3
model = dict(type='Restorer', generator=dict(type='Bicubic', scale=scale))
