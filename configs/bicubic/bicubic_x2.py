"""Bicubic interpolation x2, the baseline: python tools/test.py configs/bicubic/bicubic_x2.py"""

_base_ = ['../_base_/datasets/benchmarks_x2.py']
scale = 2
model = dict(type='Restorer', generator=dict(type='Bicubic', scale=scale))
