"""Bicubic interpolation x4, the baseline: python tools/test.py configs/bicubic/bicubic_x4.py"""

_base_ = ['../_base_/datasets/benchmarks_x4.py']
scale = 4
model = dict(type='Restorer', generator=dict(type='Bicubic', scale=scale))
