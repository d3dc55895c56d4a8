"""Runs whose model makes LQ of GT alone: the same samples for any number of workers, ranks and resumes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from srtoolbox import dist
from srtoolbox.config import Config
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.engine.halt import replay_dump
from srtoolbox.engine.job.job import Job
from srtoolbox.engine.run import Run
from srtoolbox.engine.stop import Stop
from srtoolbox.errors import DataError, SrtoolboxError
from tests.data.batch import steps as _steps
from tests.engine.graph_losses import SureLoss
from tests.engine.graphs import GAN, Place, Trained
from tests.engine.ranks import run_on_ranks
from tests.engine.runs import build, differing, final_state, run

assert _steps and SureLoss  # registered
CONFIGS = Path(__file__).parents[2] / "configs"
ON_DEVICE = ("Brightening", "Enlarging", "Fitting")
ON_HOST = ("Enlarging", "HostBrightening", "Brightening", "Fitting")


def pipeline(kinds: tuple[str, ...] = ON_DEVICE, **options: Any) -> str:
    steps = {str(number): {"type": kind} for number, kind in enumerate(kinds)}
    options = {"type": "DegradationPipeline", "scale": 3, "gt_size": 18, "share": "batch", "steps": steps, **options}
    return f"model.preprocess={options!r}"


POOLED = (pipeline(ON_HOST), "data.train.pool=22")


def seen(runner: Run, count: int) -> list[dict[str, Any]]:
    """Return the first batches of a run, finished."""
    batches = [runner.next_batch() for _ in range(count)]
    runner.close()
    return batches


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["key"] == other["key"] and all(torch.equal(one[name], other[name]) for name in ("lq", "gt", "draw"))


@pytest.mark.parametrize("kinds", [ON_DEVICE, ON_HOST], ids=["device", "host"])
def test_workers_and_a_kept_set_change_no_sample(kinds: tuple[str, ...], tiny_config: Path, tmp_path: Path) -> None:
    changes = (pipeline(kinds, sharpen={"type": "Brightening"}), "model.generator.colour=rgb")
    alone = seen(build(tiny_config, tmp_path / "a", *changes), 5)
    assert set(alone[0]) == {"lq", "gt", "gt_usm", "key", "index", "draw"}
    assert alone[0]["lq"].shape == (4, 3, 6, 6) and alone[0]["gt"].shape == (4, 3, 18, 18)
    workers = seen(build(tiny_config, tmp_path / "b", *changes, "data.train.workers=2"), 5)
    assert all(map(same, alone, workers))
    if kinds == ON_DEVICE:
        kept = build(tiny_config, tmp_path / "c", *changes, "data.train.on_device=True")
        assert type(kept.batches).__name__ == "KeptBatches" and kept.dataset.image_keys == ("gt",)
        assert all(map(same, alone, seen(kept, 5)))


def test_a_set_is_not_kept_where_a_step_needs_the_cpu(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "srtoolbox")
    runner = build(tiny_config, tmp_path / "a", pipeline(ON_HOST), "data.train.on_device=True")
    runner.close()
    assert "not kept on the device: HostBrightening needs the CPU" in caplog.text


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_is_the_unbroken_one(workers: int, tiny_config: Path, tmp_path: Path) -> None:
    changes = (
        *POOLED,
        f"data.train.workers={workers}",
        "max_iters=10",
        "hooks.evaluate=None",
        "hooks.checkpoint.best=None",
    )
    run(tiny_config, tmp_path / "whole", *changes)
    run(tiny_config, tmp_path / "parts", *changes, "hooks.kill={'type': 'KillHook', 'at': 6}")
    run(tiny_config, tmp_path / "parts", *changes, resume=True)
    assert differing(*(final_state(tmp_path / part, 10) for part in ("whole", "parts"))) == []


@pytest.mark.slow
@pytest.mark.parametrize("codec", [False, True])
def test_real_esrgan_resumes_bit_for_bit(codec: bool, tiny_config: Path, tmp_path: Path) -> None:
    """All its degradations, targets and pool, as published; and with a real codec in data workers."""
    steps = Config.fromfile(CONFIGS / "_base_/degradations/real_esrgan.py").to_dict()["steps"]
    if codec:
        steps["jpeg"] = {"type": "JPEGCompression", "quality": (30, 95)}
    options = {"scale": 3, "gt_size": 24, "share": "batch", "sharpen": {"type": "USMSharpening"}, "steps": steps}
    changes = (
        *GAN,
        f"model.preprocess={ {'type': 'DegradationPipeline', **options}!r}",
        "model.targets={'pixel': 'gt_usm', 'gan': 'gt'}",
        "data.train.dataset.gt_size=36",
        "data.train.pool=60",
        f"data.train.workers={2 * codec}",
    )
    run(tiny_config, tmp_path / "whole", *changes)
    run(tiny_config, tmp_path / "parts", *changes, "hooks.kill={'type': 'KillHook', 'at': 9}")
    run(tiny_config, tmp_path / "parts", *changes, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


@pytest.mark.timeout(280)
def test_two_ranks_see_the_samples_of_one_process(tiny_config: Path, tmp_path: Path) -> None:
    """Leaders, crops, pool and all: what the ranks' networks are given, side by side, is what one is given."""
    one = seen(build(tiny_config, tmp_path / "one", *POOLED), 6)

    def work() -> None:
        runner = build(tiny_config, tmp_path / "two", *POOLED, "data.train.batch_size=2")
        torch.save(seen(runner, 6), tmp_path / f"rank{dist.rank()}.pt")

    run_on_ranks(tmp_path / "ranks", work, seconds=200)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    assert len({tuple(batch["draw"].tolist()) for batch in (*ranks[0], *ranks[1])}) == 12
    for whole, *parts in zip(one, *ranks, strict=True):
        for name in ("lq", "gt", "draw"):
            assert torch.equal(whole[name], torch.cat([part[name] for part in parts]))


def test_a_graph_takes_batches_that_are_finished(trained: Trained, place: Place) -> None:
    trained(pipeline(sharpen={"type": "Brightening"}), "model.targets={'pixel': 'gt_usm'}")
    assert place.graphs.captures == 1 and place.graphs.replays == 8


def test_a_dump_shows_what_the_network_was_given(tiny_config: Path, tmp_path: Path) -> None:
    broken = "model.losses.pixel={'type': 'SureLoss', 'above': 0.0, '_delete_': True}"
    with pytest.raises(Stop, match="no longer finite"):
        run(tiny_config, tmp_path / "run", pipeline(ON_HOST), broken, "runtime.max_skipped=2")
    folder = next((tmp_path / "run/faults").iterdir())
    assert sorted(path.name for path in folder.glob("*.png"))[:2] == ["rank0_00_gt.png", "rank0_00_lq.png"]
    is_gone, lines = replay_dump(folder)
    assert not is_gone and "the fault is there" in lines[-1]


def test_pairs_with_a_pipeline_are_refused(tiny_config: Path, tmp_path: Path, photo_folder: Path) -> None:
    folder = str(photo_folder)
    cfg = {"type": "PairedDataset", "gt": folder, "lq": folder, "scale": 1, "gt_size": 24, "_delete_": True}
    pairs = f"data.train.dataset={cfg!r}"
    with pytest.raises(DataError, match=r"PairedDataset gives LQ, but model\.preprocess makes it from GT"):
        build(tiny_config, tmp_path / "a", pairs, pipeline())


def test_a_batch_that_was_not_begun_is_refused(tiny_config: Path, tmp_path: Path) -> None:
    runner = build(tiny_config, tmp_path / "a", pipeline())
    batch = next(build_train_loader(runner.dataset, 2))
    with pytest.raises(SrtoolboxError, match="DegradationPipeline takes batches that its `begin` was given first"):
        runner.model.train_step(batch, runner.optims)
    runner.close()


@pytest.mark.parametrize("degraded", [False, True])
def test_a_run_is_held_to_bicubic_only_where_its_images_are_degraded(
    degraded: bool, tiny_config: Path, tmp_path: Path, photo_folder: Path
) -> None:
    made = {"type": "DegradationPipeline", "scale": 3, "steps": [{"type": "Fitting"}]}
    photos = {"type": "GTOnlyDataset", "gt": str(photo_folder), "scale": 3, **({"pipeline": made} if degraded else {})}
    changes = [pipeline(), f"data.val.datasets.photos={photos!r}", "max_iters=6", "data.val.interval=3"]
    result = Job(Config.fromfile(tiny_config, changes), tmp_path / "run", source=tiny_config).train()
    assert result.ending == ("learned too little" if degraded else "finished")
