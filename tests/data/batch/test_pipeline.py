"""A pipeline of degradations: planned where a batch is made, run there and on the device, the same for any cut."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.loading.workers import Parcel
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.errors import ConfigError, DataError, RunError
from srtoolbox.image import batch_to_float
from srtoolbox.interfaces import BEGUN, Preparation
from tests.data.batch import steps as _steps

DRAWS = [Draw(0, number, 7) for number in (40, 3, 25, 9)]
STEPS: list[dict[str, Any]] = [{"type": "Brightening"}, {"type": "Enlarging"}, {"type": "Fitting"}]
assert _steps


def pipeline(steps: object = STEPS, **options: Any) -> DegradationPipeline:
    return DegradationPipeline(steps, **{"scale": 2, **options})  # type: ignore[arg-type]


def gt_of(photo: np.ndarray, side: int = 24) -> Tensor:
    return torch.from_numpy(np.stack([photo[top : top + side, top : top + side] for top in (0, 50, 90, 200)]))


def made(pipe: DegradationPipeline, gt: Tensor, draws: list[Draw] = DRAWS, group: int = 4) -> dict[str, Tensor]:
    batch = pickle.loads(pickle.dumps(pipe)).begin({"gt": gt, "key": list("abcd")}, draws, group)
    batch[BEGUN] = pickle.loads(pickle.dumps(batch[BEGUN]))
    return pickle.loads(pickle.dumps(pipe)).finish(batch)


def test_gt_alone_becomes_a_pair_of_8_bits(photo: np.ndarray) -> None:
    pipe, gt = pipeline(), gt_of(photo)
    assert isinstance(pipe, Preparation)
    images = made(pipe, gt)
    assert list(images) == ["gt", "lq"] and torch.equal(images["gt"], batch_to_float(gt))
    lq = images["lq"]
    assert lq.shape == (4, 3, 12, 12) and lq.dtype == torch.float32 and 0 <= lq.min() < lq.max() <= 1
    assert torch.equal(batch_to_float((lq * 255).round().to(torch.uint8).permute(0, 2, 3, 1)), lq)
    for number in range(4):
        alone = made(pipe, gt[number : number + 1], DRAWS[number : number + 1])
        assert torch.equal(alone["lq"][0], lq[number]), "it follows from the draw, not from the batch"
    others = made(pipe, gt, [draw._replace(seed=8) for draw in DRAWS])
    assert all(not torch.equal(one, other) for one, other in zip(others["lq"], lq, strict=True))


def test_it_travels_to_workers_that_start_anew(photo: np.ndarray) -> None:
    pipe, gt = pipeline([{"type": "HostBrightening"}, *STEPS]), gt_of(photo)
    begin = Parcel(partial(pipe.begin, group=4), "model.preprocess").open()
    assert torch.equal(begin({"gt": gt}, DRAWS)["lq"], pipe.begin({"gt": gt}, DRAWS, 4)["lq"])
    assert torch.equal(pipe.finish(begin({"gt": gt}, DRAWS))["lq"], made(pipe, gt)["lq"])
    pipe.steps.transforms[0].most = lambda: 3  # type: ignore[attr-defined]
    with pytest.raises(RunError, match=r"model\.preprocess.*\.most, an attribute of HostBrightening, cannot travel"):
        Parcel(partial(pipe.begin, group=4), "model.preprocess")


def test_the_device_goes_on_where_the_host_stops(photo: np.ndarray) -> None:
    """The host's part ends with 8 bits and images of several sizes; the rest is as if all had been done there."""
    gt = gt_of(photo)
    kinds = ["Brightening", "Enlarging", "HostBrightening", "Brightening", "Fitting"]
    cut = pipeline([{"type": kind} for kind in kinds])
    assert cut.host_steps == ["HostBrightening"]
    begun = cut.begin({"gt": gt}, DRAWS, 4)
    assert begun["lq"].dtype == torch.uint8 and len(set(begun[BEGUN].sizes[:, 0].tolist())) == 2
    assert len(begun[BEGUN].actions) == 2
    last = pipeline([{"type": kind} for kind in [*kinds, "HostBrightening"]])
    last.steps.transforms[-1].most = 0.0  # type: ignore[attr-defined]
    on_host = last.begin({"gt": gt}, DRAWS, 4)
    assert on_host["lq"].shape == (4, 12, 12, 3) and not on_host[BEGUN].actions
    nowhere = pipeline([{"type": kind.removeprefix("Host")} for kind in kinds])
    images = made(cut, gt)["lq"]
    assert (images - made(last, gt)["lq"]).abs().max() <= 1.01 / 255  # once rounded more
    assert (images - made(nowhere, gt)["lq"]).abs().max() <= 1.01 / 255
    assert (images - batch_to_float(on_host["lq"])).abs().max() <= 1.01 / 255


def test_gt_and_targets_are_cut_at_a_place_of_each_draw(photo: np.ndarray) -> None:
    gt = gt_of(photo, 40)
    whole = made(pipeline(sharpen={"type": "Brightening"}), gt)
    cut = made(pipeline(sharpen={"type": "Brightening"}, gt_size=24), gt)
    assert sorted(cut) == ["gt", "gt_usm", "lq"] and cut["lq"].shape[2:] == (12, 12)
    corners = pipeline(gt_size=24).corners(np.full((4, 2), 40), DRAWS)
    assert corners is not None and len(set(map(tuple, corners.tolist()))) == 4 and corners.max() <= 8
    for number, (top, left) in enumerate(corners.tolist()):
        assert torch.equal(cut["lq"][number], whole["lq"][number, :, top : top + 12, left : left + 12])
        for name in ("gt", "gt_usm"):
            inner = whole[name][number, :, 2 * top : 2 * top + 24, 2 * left : 2 * left + 24]
            assert torch.equal(cut[name][number], inner)
    places = pipeline(gt_size=24).corners(np.full((400, 2), 40), [Draw(0, n, 1) for n in range(400)])
    assert places is not None and (places.min(0) == 0).all() and (places.max(0) == 8).all()


def test_lq_is_made_of_sharpened_gt(photo: np.ndarray) -> None:
    gt = gt_of(photo)
    for kind in ("Fitting", "HostBrightening"):
        steps = [{"type": kind}, {"type": "Fitting"}]
        images = made(pipeline(steps, sharpen={"type": "Brightening", "most": 90.0}), gt)
        sharp = torch.round(images["gt_usm"] * 255).to(torch.uint8).permute(0, 2, 3, 1)
        assert torch.equal(images["gt"], batch_to_float(gt)) and (images["gt_usm"] - images["gt"]).max() > 0.1
        assert (made(pipeline(steps), sharp)["lq"] - images["lq"]).abs().max() <= 1.01 / 255


def test_what_a_batch_shares_comes_from_the_first_draw_of_its_group() -> None:
    draws = [Draw(0, number, 7) for number in (5, 0, 13, 9, 7)]
    sizes = np.full((5, 2), 24)
    (action, *_) = pipeline(share="batch").plan(sizes, draws, group=8).actions
    shared = action.parameters["shared"]
    assert len({*shared[[0, 1, 4]]}) == 1 and len({*shared[[2, 3]]}) == 1 and shared[0] != shared[2]
    assert len({*action.parameters["own"]}) == 5
    alone = pipeline().plan(sizes, draws, group=8).actions[0].parameters["shared"]
    assert len({*alone}) == 5


@pytest.mark.parametrize("scale", [1, 3])
def test_other_scales_depths_and_channels(photo: np.ndarray, scale: int) -> None:
    gt = gt_of(photo)
    pipe = pipeline(scale=scale)
    lq = made(pipe, gt)["lq"]
    assert lq.shape == (4, 3, 24 // scale, 24 // scale)
    deep = (gt.to(torch.int32) * 257).to(torch.uint16)
    assert (made(pipe, deep)["lq"] - lq).abs().max() <= 1.01 / 255
    assert made(pipe, gt[..., :1])["lq"].shape[1] == 1


def test_steps_that_do_not_end_at_lq_are_refused(photo: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"LQ of 13x13 px from GT of 24x24, x2 needs 12x12: end them by a resize"):
        made(pipeline([{"type": "Fitting", "by": 1}]), gt_of(photo))
    with pytest.raises(DataError, match=r"GT of 24x24 px is smaller than the pipeline's gt_size 32"):
        made(pipeline(gt_size=32), gt_of(photo))
    with pytest.raises(DataError, match=r"GT of 23x25 px has no LQ: cut it to multiples of scale 2"):
        made(pipeline(), gt_of(photo, 25)[:, :, :23])


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"gt_size": 25}, "gt_size must be a multiple of scale 2, got 25"),
        ({"share": "all"}, "share='all' is not possible; allowed: 'batch', None"),
        ({"scale": 0}, "scale=0 is not possible"),
        ({"sharpen": {"type": "HostBrightening"}}, "what sharpens GT must run on the device"),
        ({"steps": [{"type": "RandomHorizontalFlip"}]}, "RandomHorizontalFlip is no degradation of batches"),
        ({"steps": [{"type": "OneOf", "transforms": [{"type": "RandomTranspose"}]}]}, "RandomTranspose is no degr"),
    ],
)
def test_arguments_that_cannot_be_are_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        pipeline(**options)
