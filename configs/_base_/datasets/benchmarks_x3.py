"""x3: Set5 while training; Set5, Set14, BSD100, Urban100 for testing."""

_base_ = ['benchmarks.py']
_variables_ = dict(scale=3)
