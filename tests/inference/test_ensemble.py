"""Eight orientations average to something without a preferred one."""

from __future__ import annotations

import torch

from srtoolbox.inference.restore import SelfEnsemble
from srtoolbox.models.networks.bicubic import Bicubic
from tests.inference.networks import build


def noise(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


TURNS = (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-2, -1), lambda x: x.rot90(1, (2, 3)))


def test_the_ensemble_has_no_preferred_orientation() -> None:
    network = SelfEnsemble(build("ESPCN"))
    lq = noise(12, 17)[:, :1]
    with torch.inference_mode():
        plain = network(lq)
        for turn in TURNS:
            torch.testing.assert_close(network(turn(lq)), turn(plain), rtol=0, atol=1e-6)
        assert not torch.allclose(plain, network.network(lq), atol=1e-4)


def test_the_ensemble_of_bicubic_is_bicubic() -> None:
    lq = noise(9, 14)
    torch.testing.assert_close(SelfEnsemble(Bicubic(3))(lq), Bicubic(3)(lq), rtol=0, atol=1e-6)
