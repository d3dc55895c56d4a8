"""EDSR x2 on DIV2K, the paper's large network: 32 blocks of 256 features, scaled by 0.1."""

_base_ = ['edsr_baseline_x2_div2k_300k.py']
model = dict(generator=dict(num_features=256, num_blocks=32, residual_scaling=0.1))
