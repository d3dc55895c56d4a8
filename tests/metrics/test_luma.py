"""The metrics' luma weights are those of `image.rgb_to_y`."""

from __future__ import annotations

import torch

from srtoolbox.image import rgb_to_y
from srtoolbox.metrics.base import LUMA


def test_weights_are_those_of_rgb_to_y():
    primaries = torch.eye(3, dtype=torch.float64).view(3, 3, 1, 1)
    weights = (rgb_to_y(primaries) - rgb_to_y(torch.zeros_like(primaries))).flatten()
    torch.testing.assert_close(weights, torch.tensor(LUMA, dtype=torch.float64), rtol=0, atol=1e-12)
