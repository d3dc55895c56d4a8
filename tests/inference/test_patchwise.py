"""SRCNN on patches of the interpolated image, against the slow obvious way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srtoolbox.image import to_image, to_tensor
from srtoolbox.inference.restore import PATCH_SIDE, Patchwise, RefinementOnly, restore
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.resize import imresize
from tests.inference.networks import build


def slowly(network, lq, step):
    total, counts = torch.zeros_like(lq), torch.zeros_like(lq)
    tops = range(0, lq.shape[2] if step > 1 else max(1, lq.shape[2] - PATCH_SIDE + 1), step)
    lefts = range(0, lq.shape[3] if step > 1 else max(1, lq.shape[3] - PATCH_SIDE + 1), step)
    for top in tops:
        for left in lefts:
            place = (..., slice(top, top + PATCH_SIDE), slice(left, left + PATCH_SIDE))
            total[place] += network(lq[place])
            counts[place] += 1
    return total / counts, counts


@pytest.mark.parametrize("patches", ["overlapping", "non-overlapping"])
@pytest.mark.parametrize("size", [(40, 47), (33, 66), (20, 38)])
def test_patches_are_averaged_or_put_side_by_side(patches, size):
    network = RefinementOnly(build("SRCNN", 2))
    lq = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, counts = slowly(network, lq, 1 if patches == "overlapping" else PATCH_SIDE)
        torch.testing.assert_close(Patchwise(network, patches)(lq), expected, rtol=0, atol=2e-6)
        assert counts.min() == 1 and (counts.max() > 1) == (patches == "overlapping" and max(size) > PATCH_SIDE)
        assert not torch.allclose(expected, network(lq), atol=1e-4) or max(size) <= PATCH_SIDE


@pytest.mark.parametrize("outscale", [None, 1.7])
def test_as_an_option(photo, outscale):
    network, image = build("SRCNN", 2), np.ascontiguousarray(photo[:30, :25])
    upscaled = imresize(to_tensor(image), outscale or 2)
    with torch.inference_mode():
        expected = restore(Patchwise(RefinementOnly(network), "non-overlapping"), upscaled).rgb
    upscaler = Upscaler(network, patches="non-overlapping", outscale=outscale)
    assert np.abs(upscaler(image).astype(int) - to_image(expected)).max() <= 1
