"""Tiles give the picture that the whole gives; eight orientations average to something without a preferred one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.ensemble import SelfEnsemble
from srtoolbox.inference.tile import Tiled, spans
from srtoolbox.inference.upscale import restore
from srtoolbox.models.networks.bicubic import Bicubic
from srtoolbox.registry import NETWORKS
from tests.models.networks.test_all import GENERATORS, small_config


def build(name: str, scale: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS.build(small_config(name, scale)).eval()


EXACT = [name for name in GENERATORS if build(name).receptive_field is not None]


def picture(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tile", [7, 16, 23])
@pytest.mark.parametrize("name", EXACT)
def test_tiles_cannot_be_seen(name: str, tile: int) -> None:
    network = build(name)
    lq = picture(41, 34)
    with torch.inference_mode():
        whole, tiled = restore(network, lq), restore(Tiled(network, tile), lq)
    torch.testing.assert_close(tiled.output, whole.output, rtol=0, atol=2e-6)


def test_a_halo_one_pixel_short_would_be_seen() -> None:
    network = build("ESPCN")
    tiled = Tiled(network, 16)
    tiled.receptive_field -= 1
    with torch.inference_mode():
        whole, wrong = restore(network, picture(40, 40)), restore(tiled, picture(40, 40))
    assert (whole.output - wrong.output).abs().max() > 1e-5


class Mean(nn.Module):
    """Sees the whole picture."""

    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 4, None

    def forward(self, lq: Tensor) -> Tensor:
        assert lq.shape[-1] % 4 == lq.shape[-2] % 4 == 0
        return lq.repeat_interleave(2, -1).repeat_interleave(2, -2) * 0 + lq.mean((-2, -1), keepdim=True)


def test_networks_that_see_everything_are_faded() -> None:
    lq = torch.linspace(0, 1, 240).expand(1, 3, 90, 240)
    with torch.inference_mode():
        result = restore(Tiled(Mean(), 80), lq).rgb[0, 0, 50]
    steps = result.diff().abs()
    assert result[-1] - result[0] > 0.3 and steps.max() < 0.01  # a hard seam would be a step of about a third


def test_a_constant_stays_constant_under_the_fading() -> None:
    with torch.inference_mode():
        result = restore(Tiled(Mean(), 40), torch.full((1, 3, 97, 130), 0.25)).rgb
    torch.testing.assert_close(result, torch.full_like(result, 0.25))


@pytest.mark.parametrize(
    ("length", "tile", "multiple"), [(41, 7, 1), (64, 16, 8), (72, 16, 8), (5, 16, 1), (16, 16, 4)]
)
def test_spans_cover_each_pixel_once(length: int, tile: int, multiple: int) -> None:
    found = list(spans(length, tile, 6, multiple))
    assert [pixel for span in found for pixel in range(span.low, span.high)] == list(range(length))
    assert all(span.high - span.low <= tile and span.low % multiple == 0 for span in found)
    assert all(0 <= span.start <= span.low and span.high <= span.stop <= length for span in found)


class Hungry(Bicubic):
    """Has memory for 30 x 30 pixels."""

    def forward(self, lq: Tensor, *more: object) -> Tensor:
        if lq.shape[-1] * lq.shape[-2] > 900:
            raise torch.OutOfMemoryError("no")
        return super().forward(lq, *more)


def test_out_of_memory_halves_the_tiles() -> None:
    lq = picture(60, 44)
    with torch.inference_mode():
        tiled = Tiled(Hungry(2), 1000)
        torch.testing.assert_close(restore(tiled, lq).rgb, restore(Bicubic(2), lq).rgb, rtol=0, atol=1e-6)
    assert tiled.tile == 30


def test_a_picture_that_never_fits_is_an_error() -> None:
    class Greedy(Bicubic):
        def forward(self, lq: Tensor, *more: object) -> Tensor:
            raise torch.OutOfMemoryError("no")

    with pytest.raises(torch.OutOfMemoryError), torch.inference_mode():
        restore(Tiled(Greedy(2), 100), picture(20, 20))


def test_a_tile_has_a_size() -> None:
    with pytest.raises(SrtoolboxError, match="at least 1"):
        Tiled(Bicubic(2), 0)


TURNS = (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-2, -1), lambda x: x.rot90(1, (2, 3)))


def test_the_ensemble_has_no_preferred_orientation() -> None:
    torch.manual_seed(0)
    network = SelfEnsemble(build("ESPCN"))
    lq = picture(12, 17)[:, :1]
    with torch.inference_mode():
        plain = network(lq)
        for turn in TURNS:
            torch.testing.assert_close(network(turn(lq)), turn(plain), rtol=0, atol=1e-6)
        assert not torch.allclose(plain, network.network(lq), atol=1e-4)


def test_the_ensemble_of_bicubic_is_bicubic() -> None:
    lq = picture(9, 14)
    torch.testing.assert_close(SelfEnsemble(Bicubic(3))(lq), Bicubic(3)(lq), rtol=0, atol=1e-6)


def test_tiles_of_an_ensemble() -> None:
    network = SelfEnsemble(build("ESPCN"))
    with torch.inference_mode():
        whole, tiled = restore(network, picture(30, 41)), restore(Tiled(network, 16), picture(30, 41))
    torch.testing.assert_close(tiled.output, whole.output, rtol=0, atol=1e-6)
