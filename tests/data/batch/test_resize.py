"""Resizing of batches: torch's own values for each image, in both forms; factors and sizes as published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import Images, Plan, stack
from srtoolbox.data.transforms.batch.resize import MODES, DownUp, Resize, resample
from srtoolbox.errors import ConfigError
from srtoolbox.resize import imresize

SIZES = [(100, 37), (64, 100), (1, 9), (2, 1), (33, 64)]
FACTORS = [0.15, 0.1777, 0.51, 0.777, 0.995, 1.0, 1.012, 1.21, 1.4999]


def noise_images() -> Images:
    """The hardest images to interpolate alike: the pixels have nothing to do with each other."""
    generator = torch.Generator().manual_seed(0)
    return stack([torch.rand(3, height, width, generator=generator) for height, width in SIZES])


def in_both_forms(images: Images, modes: Any, sizes: np.ndarray, steps: np.ndarray) -> list[Images]:
    modes = np.broadcast_to(np.array(modes), len(images))
    padded = images.pixels.clone()
    for pixels, (height, width) in zip(padded, images.sizes, strict=True):
        pixels[:, height:], pixels[:, :, width:] = torch.nan, torch.nan
    return [resample(Images(padded, images.sizes, batched=batched), modes, sizes, steps) for batched in (False, True)]


@pytest.mark.parametrize("mode", ["nearest", "area", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", FACTORS)
def test_a_factor_gives_what_torch_gives(mode: str, factor: float) -> None:
    images = noise_images()
    sizes = np.maximum((images.sizes * factor).astype(int), 1)
    steps = np.where(images.sizes * factor < 1, images.sizes / sizes, 1 / factor)
    for result in in_both_forms(images, mode, sizes, steps):
        for before, after in zip(images.each(), result.each(), strict=True):
            if min(before.shape[1:]) * factor >= 1:  # torch makes no image of 0 px
                if mode == "nearest" and factor != 1 and not np.not_equal(before.shape, after.shape)[1:].all():
                    continue  # where a length is kept, torch's kernels differ from each other
                expected = F.interpolate(before[None], scale_factor=factor, mode=mode)[0]
                assert after.shape == expected.shape
                assert (after - expected).abs().max() < 2e-5


@pytest.mark.parametrize("mode", ["nearest", "area", "bilinear", "bicubic"])
def test_a_size_gives_what_torch_gives(mode: str) -> None:
    images = noise_images()
    for sizes in (images.sizes // 2 + 1, images.sizes * 3, np.full((5, 2), (25, 50)), np.ones((5, 2), int)):
        for result in in_both_forms(images, mode, sizes, images.sizes / sizes):
            assert (result.sizes == sizes).all()
            for before, after, size in zip(images.each(), result.each(), sizes.tolist(), strict=True):
                expected = F.interpolate(before[None], size=size, mode=mode)[0]
                assert (after - expected).abs().max() < 2e-5


def test_matlab_is_its_antialiased_bicubic() -> None:
    images = noise_images()
    for sizes in (np.maximum(images.sizes // 3, 1), images.sizes * 2, images.sizes):
        for result in in_both_forms(images, "matlab", sizes, images.sizes / sizes):
            for before, after, size in zip(images.each(), result.each(), sizes.tolist(), strict=True):
                assert (after - imresize(before[None], size=tuple(size))[0]).abs().max() < 2e-6


def test_a_batch_may_have_all_modes_at_once() -> None:
    images = noise_images()
    modes, sizes = np.array(MODES), np.array([(40, 80), (90, 20), (5, 5), (7, 3), (33, 64)])
    looped, batched = in_both_forms(images, modes, sizes, images.sizes / sizes)
    for one, other in zip(looped.each(), batched.each(), strict=True):
        assert (one - other).abs().max() < 2e-6
    last = [list(result.each())[-1] for result in (looped, batched)]
    assert all(torch.equal(each, list(images.each())[-1]) for each in last)  # it kept its size


def test_products_are_exact_whatever_torch_is_set_to() -> None:
    images = noise_images()
    modes, sizes = np.array(["bicubic"] * 5), images.sizes + 7
    _, expected = in_both_forms(images, modes, sizes, images.sizes / sizes)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, result = in_both_forms(images, modes, sizes, images.sizes / sizes)
        assert torch.equal(result.pixels, expected.pixels) and torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def parameters_of(step: Resize | DownUp, count: int = 3000, leaders: np.ndarray | None = None) -> dict[str, np.ndarray]:
    sizes = np.tile([400, 333], (count, 1))
    plan = Plan(sizes, sizes // 4)
    step.add_to(plan, Rngs(1, np.arange(count), leaders), np.arange(count))
    return {**plan.actions[0].parameters, "sizes": plan.sizes}


def test_factors_and_modes_are_drawn_as_published() -> None:
    drawn = parameters_of(Resize())
    scale = drawn["scale"]
    shares = [(scale > 1).mean(), (scale < 1).mean(), (scale == 1).mean()]
    assert np.abs(np.array(shares) - [0.2, 0.7, 0.1]).max() < 0.03
    assert 0.15 <= scale.min() < 0.16 and 1.48 < scale.max() < 1.5
    assert abs(scale[scale < 1].mean() - 0.575) < 0.02 and abs(scale[scale > 1].mean() - 1.25) < 0.02
    names, counts = np.unique(drawn["mode"], return_counts=True)
    assert set(names) == {"area", "bilinear", "bicubic"} and np.abs(counts / 3000 - 1 / 3).max() < 0.03
    assert (drawn["sizes"] == np.floor(scale[:, None] * [400, 333])).all()


def test_a_factor_may_be_one_of_the_size_of_lq() -> None:
    drawn = parameters_of(Resize(up=(1, 1.2), down=(0.3, 1), probabilities=(0.3, 0.4, 0.3), to="lq"))
    assert (drawn["sizes"] == np.floor(drawn["scale"][:, None] * [100, 83])).all()
    assert abs((drawn["scale"] == 1).mean() - 0.3) < 0.03
    assert (parameters_of(Resize(to="lq"))["sizes"] == [100, 83]).all()


def test_a_divisor_may_be_drawn_evenly() -> None:
    divisor = 1 / parameters_of(Resize(down=(0.125, 1), probabilities=(0, 1, 0), evenly="divisor"))["scale"]
    assert np.abs(np.quantile(divisor, [0, 0.25, 0.5, 0.75, 1]) - [1, 2.75, 4.5, 6.25, 8]).max() < 0.25


def test_scale_and_mode_are_alike_over_a_batch_where_they_are_shared() -> None:
    drawn = parameters_of(Resize(), 12, np.arange(12) // 4 * 4)
    for name in ("scale", "mode"):
        values = drawn[name].reshape(3, 4)
        assert (values == values[:, :1]).all() and len(np.unique(values)) > 1


def test_down_and_up_ends_at_the_size_before_and_loses_detail() -> None:
    drawn = parameters_of(DownUp((0.3, 0.9)))
    assert (drawn["sizes"] == [400, 333]).all() and 0.3 <= drawn["scale"].min() < drawn["scale"].max() < 0.9
    assert abs((drawn["mode_down"] == drawn["mode_up"]).mean() - 1 / 3) < 0.03
    images = noise_images()
    plan = Plan(images.sizes, images.sizes)
    DownUp((0.4, 0.4), ["area"]).add_to(plan, Rngs(1, np.arange(5)), np.arange(5))
    result = plan.run(images)
    assert (result.sizes == images.sizes).all()
    for before, after in zip(images.each(), result.each(), strict=True):
        size = [max(1, int(0.4 * length)) for length in before.shape[1:]]
        expected = F.interpolate(F.interpolate(before[None], size, mode="area"), before.shape[1:], mode="area")
        assert (after - expected[0]).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (dict(up=(0.5, 2)), "from 1 up"),
        (dict(down=(0, 1)), "between 0.001 and 1"),
        (dict(probabilities=(0.5, 0.4, 0.3)), "add up to 1"),
        (dict(probabilities=(0.5, 0.5)), "up, down and keep"),
        (dict(modes=["linear"]), "modes are some of nearest, area, bilinear, bicubic, matlab"),
        (dict(modes=[]), "modes are some of"),
        (dict(to="gt"), "to='gt' is not possible"),
        (dict(evenly="area"), "evenly='area' is not possible"),
    ],
)
def test_impossible_values_are_refused(cfg: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Resize(**cfg)


@pytest.mark.parametrize("batched", [False, True])
def test_bicubic_edges_overshoot_unless_they_are_to_be_clipped(batched: bool) -> None:
    values = torch.zeros(2, 1, 8, 8)
    values[..., 4:] = 1
    images = Images(values, batched=batched)
    for step in (Resize(to="lq", modes=["bicubic"]), Resize(to="lq", modes=["bicubic"], clip=True)):
        plan = Plan(images.sizes, images.sizes * 2)
        step.add_to(plan, Rngs(1, np.arange(2)), np.arange(2))
        low, high = plan.actions[0].run(images).pixels.aminmax()
        assert (low < -0.01 and high > 1.01) != step.clip and (low >= 0 and high <= 1) == step.clip


def test_pixels_lie_by_the_factor_or_by_the_ratio_of_sizes() -> None:
    ramp = torch.arange(40.0).expand(1, 1, 40, 40) / 40
    for spacing, expected in (("factor", {"scale_factor": 0.49}), ("size", {"size": (19, 19)})):
        step = Resize(down=(0.49, 0.49), probabilities=(0, 1, 0), modes=["bilinear"], spacing=spacing)
        plan = Plan(np.array([[40, 40]]), np.array([[10, 10]]))
        step.add_to(plan, Rngs(1, np.arange(1)), np.arange(1))
        assert torch.allclose(
            plan.run(Images(ramp)).pixels, F.interpolate(ramp, mode="bilinear", **expected), atol=1e-6
        )
