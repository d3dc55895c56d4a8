"""Networks that no library at hand has, against second ones, written from the official code by someone else.

Their random weights are opened by `recognise`, as the official files are.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import nn

from srtoolbox.registry import NETWORKS
from srtoolbox.weights.recognise import recognise
from tests.models.networks.transcriptions import carn, edsr, pan, rdn, rfdn, rlfn

SIZES = ((16, 16), (15, 22), (31, 20))


class Case(NamedTuple):
    name: str
    theirs: nn.Module
    scale: int
    peak: float = 1.0  # of the images that it takes and gives


CASES = (
    Case("CARN", carn.CARN(2, nf=8), 2),
    Case("CARN", carn.CARN(3, nf=8), 3),
    Case("CARN", carn.CARN(4, nf=8), 4),
    Case("CARN", carn.CARN(8, nf=8), 8),
    Case("CARN", carn.CARN(2, nf=8, group=4, efficient=True), 2),
    Case("CARN", carn.CARN(4, nf=8, group=2, efficient=True), 4),
    Case("CARN", carn.CARN(3, nf=8, multi_scale=True), 3),
    Case("CARN", carn.CARN(4, nf=8, group=4, efficient=True, multi_scale=True), 4),
    Case("EDSR", edsr.EDSR(1, n_resblocks=2, n_feats=8), 1, 255.0),
    Case("EDSR", edsr.EDSR(2, n_resblocks=2, n_feats=8), 2, 255.0),
    Case("EDSR", edsr.EDSR(3, n_resblocks=1, n_feats=136, res_scale=0.1), 3, 255.0),
    Case("EDSR", edsr.EDSR(4, n_resblocks=3, n_feats=16), 4, 255.0),
    Case("EDSR", edsr.EDSR(2, n_resblocks=3, n_feats=8, rgb_range=1.0), 2),
    Case("RDN", rdn.RDN(2, (2, 3, 4), g0=8), 2, 255.0),
    Case("RDN", rdn.RDN(3, (2, 3, 8), g0=8), 3, 255.0),
    Case("RDN", rdn.RDN(4, (3, 2, 6), g0=4), 4, 255.0),
    Case("RDN", rdn.RDN(4, (1, 2, 6), g0=4, n_colors=1), 4, 255.0),
    Case("PAN", pan.PAN(2, nf=8, unf=6, nb=2), 2),
    Case("PAN", pan.PAN(3, nf=8, unf=6, nb=2), 3),
    Case("PAN", pan.PAN(4, nf=8, unf=6, nb=2), 4),
    Case("PAN", pan.PAN(4, nf=6, unf=4, nb=1, in_nc=1, out_nc=1), 4),
    *[Case("RFDN", rfdn.RFDN(scale, nf=10, blocks=2), scale) for scale in (1, 2, 3, 4)],
    Case("RFDN", rfdn.RFDN(2, nf=8, blocks=3, in_nc=1, out_nc=1), 2),
    *[Case("RLFN", rlfn.RLFN(scale, nf=10, blocks=2, esa=4), scale, 255.0) for scale in (1, 2, 3, 4)],
    Case("RLFN", rlfn.RLFN(4, nf=8, blocks=1, mid=10, in_nc=1, out_nc=1), 4, 255.0),
)


def randomised(network: nn.Module) -> nn.Module:
    """Let all learned parameters matter; what is frozen stays."""
    generator = torch.Generator().manual_seed(7)
    for parameter in network.parameters():
        if parameter.requires_grad:
            noise = torch.rand(parameter.shape, generator=generator) - 0.45
            parameter.data = noise * (3 / max(1, parameter[0].numel())) ** 0.5
    return network.eval()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-x{case.scale}")
def test_both_give_the_same(case: Case) -> None:
    theirs = randomised(case.theirs)
    found = recognise(theirs.state_dict(), f"weights_x{case.scale}.pth")
    assert (found.config["type"], found.config["scale"]) == (case.name, case.scale)
    ours = NETWORKS.build(found.config).eval()
    ours.load_state_dict(found.tensors)
    generator = torch.Generator().manual_seed(1)
    for size in SIZES:
        lq = torch.rand(2, ours.in_channels, *size, generator=generator)
        with torch.inference_mode():
            expected = theirs(lq * case.peak) / case.peak
            torch.testing.assert_close(ours(lq), expected, rtol=1e-5, atol=1e-5)
            assert expected.std() > 0.05
