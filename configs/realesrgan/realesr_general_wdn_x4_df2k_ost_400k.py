"""realesr-general x4 that leaves noise as it is: LQ has none but that of JPEG, so that it learns to remove no other."""

_base_ = ['realesr_general_x4_df2k_ost_400k.py']
clean = dict(_delete_=True, type='Sequence', transforms=[])
model = dict(preprocess=dict(steps=dict(noise=clean, second_noise=clean)))
