"""The light SAFMN++ x4 (AIS 2024's network) trained as SAFMN is: DF2K, L1 of pixels and of spectra, EMA."""

_base_ = ['safmn_x4_df2k_500k.py']
model = dict(generator=dict(_delete_=True, type='SAFMNPP', scale=_base_.scale))
