"""What a network sums over the whole image is the whole image's in tiles, too."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.inference import upscaler
from srtoolbox.inference.restore import AutocastRestore
from srtoolbox.inference.tiling import planner
from srtoolbox.inference.tiling.grid import Tile
from srtoolbox.inference.tiling.statistics import kept_part, measure_statistics, rounds_for
from srtoolbox.inference.tiling.sums import NO_SUMS, find_sums
from srtoolbox.inference.upscaler import Upscaler
from tests.inference.networks import Windows, build


def contrast(features: Tensor) -> Tensor:
    variance, mean = torch.var_mean(features, dim=(2, 3), correction=0, keepdim=True)
    return features * (variance.sqrt() + mean)


def among_channels(features: Tensor) -> Tensor:
    """Transposed attention: by cosines over all pixels."""
    pixels = features.flatten(2)
    likeness = F.normalize(pixels, dim=-1) @ F.normalize(pixels, dim=-1).transpose(-2, -1)
    return ((4 * likeness).softmax(-1) @ pixels).view(features.shape)


def last_channels(features: Tensor) -> Tensor:
    last = features.permute(0, 2, 3, 1)
    return (last * last.mean((1, 2), keepdim=True)).permute(0, 3, 1, 2)


def tokens(features: Tensor) -> Tensor:
    """Each pixel looks at means of pixels, weighted by what they are like."""
    pixels = features.flatten(2)
    weights = torch.sigmoid(pixels)
    return ((weights @ pixels.transpose(1, 2) / pixels.shape[-1]) @ pixels).view(features.shape)


SUMS = {
    "AdaptiveAvgPool2d": lambda features: features * nn.AdaptiveAvgPool2d(1)(features),
    "F.adaptive_avg_pool2d": lambda features: features * F.adaptive_avg_pool2d(features, 1),
    "mean": lambda features: features * features.mean((2, 3), keepdim=True),
    "mean in double": lambda features: features * features.mean((2, 3), keepdim=True, dtype=torch.float64).float(),
    "mean without its axes": lambda features: features * features.mean((2, 3))[..., None, None],
    "mean of pixels last": last_channels,
    "sum by pixels": lambda features: features * (features.sum((2, 3), keepdim=True) / features[0, 0].numel()),
    "var": lambda features: features * features.var((2, 3), keepdim=True),
    "var, correction": lambda features: features * features.var((2, 3), correction=0, keepdim=True),
    "std": lambda features: features * torch.std(features, dim=(2, 3), keepdim=True),
    "std_mean": lambda features: features * sum(torch.std_mean(features, dim=(2, 3), keepdim=True)),
    "var_mean": contrast,
    "instance_norm": F.instance_norm,
    "InstanceNorm2d": nn.InstanceNorm2d(4, affine=True).eval(),
    "group_norm": lambda features: F.group_norm(features, 2, torch.linspace(0.5, 2, 4), torch.linspace(-1, 1, 4)),
    "tokens": tokens,
    "attention among channels": among_channels,
}


class Summing(nn.Module):
    """Sees one pixel around, and a sum over the image."""

    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 1, None

    def __init__(self, change) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.change = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 12, 1), change

    def forward(self, lq: Tensor) -> Tensor:
        return F.pixel_shuffle(torch.sigmoid(self.last(self.change(self.first(lq)))), 2)


def uneven(height: int = 110, width: int = 131) -> np.ndarray:
    """Dark at the left and smooth, bright and noisy at the right: 16 bit."""
    ramp = np.linspace(0.1, 0.8, width)[None, :, None] * np.array([1, 0.8, 0.6])
    noise = np.random.default_rng(0).random((height, width, 3)) - 0.5
    return ((ramp + noise * ramp**4) * 65535).clip(0, 65535).astype(np.uint16)


def difference(network: nn.Module, image: np.ndarray, **how) -> int:
    """The largest, in levels, between tiles and the whole."""
    same = {key: how[key] for key in ("ensemble", "outscale") if key in how}
    whole = Upscaler(network, tile=None, **same)(image)
    return int(np.abs(Upscaler(network, **how)(image).astype(int) - whole).max())


@pytest.mark.parametrize("name", SUMS)
def test_tiles_with_the_sums_of_the_image_are_those_of_the_whole(name):
    assert difference(Summing(SUMS[name]), uneven(), tile=24) <= 2


def test_sums_that_depend_on_sums_come_nearer_with_each_round(monkeypatch):
    network, image, differences = Summing(among_channels), uneven(), []
    for rounds in (1, 2):
        monkeypatch.setattr(upscaler, "measure_statistics", partial(measure_statistics, rounds=rounds))
        differences.append(difference(network, image, tile=24))
    assert own_sums(network, image) > 2 * differences[0] > 200 * differences[1]


@pytest.mark.parametrize(
    "how", [{"ensemble": True}, {"batch": 3}, {"overlap": 10}, {"outscale": 1.5}], ids=lambda how: next(iter(how))
)
def test_they_are_given_in_other_ways_of_running_too(how):
    assert difference(Summing(contrast), uneven(60, 180), tile=24, **how) <= 2


def test_sums_in_half_precision_that_overflow_are_measured_again_in_float32(caplog):
    def large(features: Tensor) -> Tensor:
        return contrast(features * 1000).mul(100) / 1e5 / 1000

    how = {"dtype": "fp16"}
    assert difference(Summing(large), uneven(), tile=24, **how) <= 40
    assert "going on in float32" in caplog.text


@pytest.mark.parametrize("side", ["auto", 150])
def test_tiles_have_them_after_memory_ran_out_for_the_whole(side):
    class Large(Summing):
        def forward(self, lq: Tensor) -> Tensor:
            if lq.shape[-2] * lq.shape[-1] > 100 * 100:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return super().forward(lq)

    image = uneven()
    whole = Upscaler(Summing(contrast), tile=None)(image)
    assert np.abs(Upscaler(Large(contrast), tile=side)(image).astype(int) - whole).max() <= 2


def test_gray_images_have_their_sums_beside_those_of_colours(caplog):
    caplog.set_level(logging.DEBUG)
    upscaler = Upscaler(Summing(contrast), tile=24)
    for image in (uneven(60, 100), uneven(60, 100)[..., :1], uneven(60, 100)):
        upscaler(image)
    assert "does not sum over all tiles alike" not in caplog.text
    assert caplog.text.count("sums over the whole image") == 2


def test_sums_are_over_just_what_is_kept_of_a_tile():
    pixels, row = torch.arange(200)[None, None], Tile(0, 1, 0, 1)
    for first in range(200):
        part = kept_part(row, Tile(0, 200, first, 200)).crop(pixels, (1, 2))
        assert torch.equal(part[0, 0], torch.arange(first, 200)), first


@torch.inference_mode()
def test_many_sums_and_lengths_take_a_second_round():
    def in_a_row(features: Tensor) -> Tensor:
        for _ in range(8):
            features = contrast(features)
        return features

    changes = contrast, in_a_row, among_channels, nn.Sequential(*[nn.InstanceNorm2d(4)] * 8)
    runs = (AutocastRestore(Summing(change).eval(), "fp32") for change in changes)
    assert [rounds_for(find_sums(run)) for run in runs] == [1, 2, 2, 8]


class InARow(nn.Module):
    """Twelve blocks, each of which normalises what depends on the one before, not linearly."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(12))
        self.norm, self.gain, self.runs = nn.InstanceNorm2d(4), gain, 0

    def forward(self, features: Tensor) -> Tensor:
        self.runs += 1
        for block in self.blocks:
            features = features + self.gain * self.norm((2 * block(features)).tanh())
        return features / 8


def test_normalisations_in_a_row_take_rounds_until_they_settle(monkeypatch):
    def found(gain: float, rounds: int | None) -> tuple[int, int]:
        """The difference, and how often the network ran."""
        row = InARow(gain)
        monkeypatch.setattr(upscaler, "measure_statistics", partial(measure_statistics, rounds=rounds))
        return difference(Summing(row).eval(), uneven(20, 140), tile=24), row.runs

    monkeypatch.setattr(planner, "receptive_field_of", lambda network: None)  # as it would find
    (once, _), (exact, _), (settled, most) = (found(1, rounds) for rounds in (1, 12, None))
    assert once > 10000 and exact <= 2 and settled <= 15  # of 65535
    near, fewer = found(0.01, None)
    assert fewer < most and near <= 15


def own_sums(network: nn.Module, image: np.ndarray) -> int:
    """The difference where each tile has its own sums."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upscaler, "find_sums", lambda run, channels: NO_SUMS)
        return difference(network, image, tile=24)


def test_windows_of_attention_are_no_sums_over_the_image():
    assert not find_sums(AutocastRestore(Windows(), "fp32")).axes


def test_what_sums_otherwise_at_other_sizes_keeps_its_own_sums(caplog):
    class Fickle(Summing):
        def forward(self, lq: Tensor) -> Tensor:
            return super().forward(lq) + (0 if lq.shape[-1] in (40, 104) else lq.mean())

    caplog.set_level(logging.DEBUG)
    Upscaler(Fickle(contrast), tile=24)(uneven(88, 200))
    assert "does not sum over all tiles alike" in caplog.text


def test_what_cannot_be_watched_keeps_its_own_sums():
    class Fixed(Summing):
        def forward(self, lq: Tensor) -> Tensor:
            if min(lq.shape[-2:]) < 50:
                raise RuntimeError("too small")
            return super().forward(lq)

    assert Upscaler(Fixed(contrast), tile=24)(uneven()).shape == (220, 262, 3)


@pytest.mark.parametrize("colour", ["y", "rgb"])
def test_tiles_of_imdn_are_near_to_the_whole(colour):
    network, image = build("IMDN", 2, colour=colour), uneven(60, 100)
    assert difference(network, image, tile=24) * 10 < own_sums(network, image)
