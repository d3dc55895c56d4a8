"""HAT x4 on DF2K, fine-tuned from x2 as by its authors, with load_from: half the rate, half the iterations."""

_base_ = ['hat_x2_df2k_500k.py']
_variables_ = dict(scale=4, max_iters=250_000, lr=1e-4, milestones=[125_000, 200_000, 225_000, 240_000])
