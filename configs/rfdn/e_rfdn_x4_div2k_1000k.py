"""E-RFDN x4 on DIV2K, the network that the authors released: four blocks with spatial attention."""

_base_ = ['rfdn_x4_div2k_1000k.py']
model = dict(generator=dict(num_features=50, num_blocks=4, attention='spatial'))
