"""Networks: `network(lq)` maps (N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W).

One paper per file, found by its registry. Facts that every network carries: see `interfaces`.
"""
