"""The large SAFMN x4 on DF2K: 16 blocks of 128 features, smaller crops and rate."""

_base_ = ['safmn_x4_df2k_500k.py']
model = dict(generator=dict(num_features=128, num_blocks=16))
optim = dict(generator=dict(optimizer=dict(lr=3e-4), scheduler=dict(eta_min=1e-6)))
data = dict(train=dict(dataset=dict(gt_size=48 * _base_.scale), batch_size=48))
