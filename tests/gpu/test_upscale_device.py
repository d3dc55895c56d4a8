"""On a GPU: an image waits for the device once, frames of one size are replayed. Skipped where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import Picture
from srtoolbox.inference.picture import upscale_picture
from srtoolbox.inference.replay import WARM_UPS
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.registry import NETWORKS
from tests.gpu.test_no_sync import strict

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CASES: dict[str, dict[str, Any]] = {
    "rgb": {},
    "tiles": {"tile": 32, "batch": 2},
    "cross-faded": {"tile": 32, "overlap": 4},
    "resized": {"outscale": 2.5},
    "wraps": {"wrap": "xy"},
    "ensemble": {"ensemble": True},
}


def network(name: str = "ESPCN", colour: str = "rgb") -> torch.nn.Module:
    torch.manual_seed(0)
    return NETWORKS.build({"type": name, "scale": 3, "colour": colour}).eval()


@pytest.mark.parametrize("colour", ["rgb", "y"])
@pytest.mark.parametrize("case", CASES)
def test_the_result_is_that_of_the_cpu(case: str, colour: str, photo: np.ndarray) -> None:
    image = photo[:70, :90]
    on_cpu = Upscaler(network(colour=colour), **CASES[case])
    on_gpu = Upscaler(network(colour=colour), device="cuda", **CASES[case])
    deep = image.astype(np.uint16) * 257
    for pixels, limit in ((image, 1), (image[..., :1], 1), (deep, 20)):
        for _ in range(WARM_UPS + 2):
            result = on_gpu(pixels)
        assert np.abs(result.astype(int) - on_cpu(pixels)).max() <= limit


@pytest.mark.parametrize("colour", ["rgb", "y"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_frames_are_replayed_without_waiting(colour: str, dtype: str, photo: np.ndarray) -> None:
    """An image larger than a piece, so that the graph holds the loop over the pieces too."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (180, 200, 3), np.uint8) for _ in range(WARM_UPS + 4)]
    upscaler, by_operators = (Upscaler(network("SRResNet", colour), device="cuda", dtype=dtype) for _ in range(2))
    by_operators._run.replays[3].graphs = None
    for frame in frames[: WARM_UPS + 1]:
        upscaler(frame)
    assert upscaler._run.replays[3].graphs is not None, "the graph was given up"
    with strict():
        results = [upscaler(frame) for frame in frames]
    for frame, result in zip(frames, results, strict=True):
        assert np.abs(result.astype(int) - by_operators(frame)).max() <= 1


def test_the_next_frame_is_begun_and_overwrites_none() -> None:
    frames = list(np.random.default_rng(0).integers(0, 256, (WARM_UPS + 8, 400, 500, 3), np.uint8))
    upscaler, by_operators = (Upscaler(network("SRResNet"), device="cuda") for _ in range(2))
    by_operators._run.replays[3].graphs = None
    for frame, result in zip(frames, upscaler.each(frames), strict=True):
        assert np.abs(result.astype(int) - by_operators(frame)).max() <= 1


def test_transparency_comes_down_too(photo: np.ndarray) -> None:
    image = Picture(photo[:40, :30], np.ascontiguousarray(photo[40:80, :30, :1]))
    expected = upscale_picture(Upscaler(network()), image)
    result = upscale_picture(Upscaler(network(), device="cuda"), image)
    assert result.alpha is not None and np.abs(result.alpha.astype(int) - expected.alpha).max() <= 1


def test_values_that_are_not_finite_are_met(photo: np.ndarray) -> None:
    ruined = network()
    upscaler = Upscaler(ruined, device="cuda")
    for _ in range(WARM_UPS + 2):
        upscaler(photo[:30, :30])
    with torch.no_grad():
        next(ruined.parameters()).fill_(float("nan"))  # in place: the graph reads it
    with pytest.raises(SrtoolboxError, match="not finite"):
        upscaler(photo[:30, :30])
