"""Batches made ahead of a CUDA device: the loader's, in order, while the device works. Skipped where there is none."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.loading.ahead import BatchesAhead, batches_for
from srtoolbox.data.loading.draws import EndlessSampler
from srtoolbox.data.loading.kept import kept_batches
from srtoolbox.data.loading.loader import build_train_loader
from tests.engine.runs import differing, final_state, records, run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
FLIPS = [dict(type="RandomHorizontalFlip"), dict(type="RandomVerticalFlip"), dict(type="RandomTranspose")]
ON_GPU = ("runtime.device=cuda", "runtime.deterministic=True")


@pytest.mark.parametrize("workers", [0, 2])
def test_they_are_the_batches_of_the_loader_while_the_device_is_busy(photo_folder: Path, workers: int) -> None:
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=48, transforms=FLIPS)
    expected = list(islice(build_train_loader(dataset, 16), 50))
    batches = batches_for(build_train_loader(dataset, 16, workers=workers), torch.device("cuda", 0))
    assert isinstance(batches, BatchesAhead)
    weight, found = torch.rand(2048, 2048, device="cuda"), []
    for batch in islice(batches, 50):
        for _ in range(20):
            weight = weight @ weight / 1024
        found.append({name: batch[name].clone() for name in ("lq", "gt")})
        del batch  # its memory may be given to another copy
    torch.cuda.synchronize()
    assert batches.waits.seconds() >= 0
    batches.close()
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(one[name], other[name].cpu()) for name in ("lq", "gt"))


def test_the_device_waits_where_the_loader_is_slow(photo_folder: Path) -> None:
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=96, transforms=FLIPS)
    batches = batches_for(build_train_loader(dataset, 256), torch.device("cuda", 0))
    assert isinstance(batches, BatchesAhead)
    for _ in islice(batches, 20):
        pass  # no work at all
    torch.cuda.synchronize()
    assert batches.waits.seconds() > 0
    assert "and waits" in batches.rates.sentence()
    batches.close()


def test_nothing_waits_for_the_device(photo_folder: Path) -> None:
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=48, transforms=FLIPS)
    batches = batches_for(build_train_loader(dataset, 16), torch.device("cuda", 0))
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in islice(batches, 20):
            pass
        assert isinstance(batches, BatchesAhead)
        batches.waits.seconds()
    finally:
        torch.cuda.set_sync_debug_mode("default")
        batches.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resume_is_exact(tiny_config: Path, tmp_path: Path, workers: int) -> None:
    settings = (*ON_GPU, f"data.train.workers={workers}", "data.train.on_device=False")
    run(tiny_config, tmp_path / "whole", *settings)
    run(tiny_config, tmp_path / "stopped", *settings, "hooks.kill=dict(type='KillHook', at=7)")
    run(tiny_config, tmp_path / "stopped", *settings, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "stopped")) == []
    assert records(tmp_path / "whole") == records(tmp_path / "stopped")


@pytest.mark.parametrize("size", [24, 96])
def test_a_kept_set_gives_the_batches_of_the_loader(photo_folder: Path, size: int) -> None:
    dataset, device = GTOnlyDataset(str(photo_folder), 3, gt_size=size, transforms=FLIPS), torch.device("cuda", 0)
    kept = kept_batches(dataset, EndlessSampler(dataset, 16, 3), device)
    assert kept is not None, "a small set fits"
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = list(islice(kept, 20))
        assert kept.waits is not None
        kept.waits.seconds()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for one, other in zip(build_train_loader(dataset, 16, seed=3), found, strict=False):
        assert one["key"] == other["key"]
        assert all(torch.equal(one[name], other[name].cpu()) for name in ("lq", "gt", "index", "draw"))
