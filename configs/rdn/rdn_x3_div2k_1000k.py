"""RDN x3 on DIV2K."""

_base_ = ['rdn_x2_div2k_1000k.py']
_variables_ = dict(scale=3)
