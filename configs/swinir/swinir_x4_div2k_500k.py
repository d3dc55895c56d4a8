"""SwinIR x4 on DIV2K; its authors begin with the x2 network, by load_from: see README.md."""

_base_ = ['swinir_x2_div2k_500k.py']
_variables_ = dict(scale=4)
