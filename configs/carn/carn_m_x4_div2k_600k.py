"""CARN-M x4 on DIV2K: 3x3 convolutions in four groups, one residual block for each cascade."""

_base_ = ['carn_x4_div2k_600k.py']
model = dict(generator=dict(groups=4))
