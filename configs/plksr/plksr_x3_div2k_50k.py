"""PLKSR x3 on DIV2K; its authors begin with the x2 network, by load_from: see README.md."""

_base_ = ['plksr_x2_div2k_450k.py']
_variables_ = dict(scale=3)
max_iters = 50_000
optim = dict(generator=dict(optimizer=dict(lr=1e-4), scheduler=dict(milestones=[max_iters])))
