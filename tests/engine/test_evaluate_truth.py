"""Images without truth: scored by metrics that need none, and no other is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from srtoolbox.engine.evaluate import build_metrics, evaluate, score
from srtoolbox.engine.hooks.checkpoint import score_fault
from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.restore import Restored
from srtoolbox.metrics.psnr import PSNR
from srtoolbox.registry import DATASETS, NETWORKS
from tests.engine.runs import records, run

METRICS = {"psnr": {"type": "PSNR"}, "niqe": {"type": "NIQE"}}


class Brightness:
    """Looks at the result alone, as a metric of a plugin may."""

    higher_is_better = None
    protocol = "rgb"
    needs_target = False

    def __call__(self, pred: Tensor) -> Tensor:
        return pred.mean((1, 2, 3))


def test_sets_with_and_without_truth(photo_folder: Path) -> None:
    bicubic = NETWORKS.build({"type": "Bicubic", "scale": 4})
    metrics = {**build_metrics(METRICS), "brightness": Brightness()}
    alone = evaluate(bicubic, DATASETS.build({"type": "FolderDataset", "lq": str(photo_folder)}), metrics)
    assert all(list(row) == ["niqe", "brightness", "seconds"] for row in alone.values())
    assert alone.means["niqe"] > 0
    pairs = {"type": "GTOnlyDataset", "gt": str(photo_folder), "scale": 4}
    both = evaluate(bicubic, DATASETS.build(pairs), {name: metrics[name] for name in ("psnr", "brightness")})
    assert all(list(row) == ["psnr", "brightness", "seconds"] for row in both.values())


def test_an_image_that_cannot_be_scored_is_named(photo_folder: Path) -> None:
    pairs = DATASETS.build({"type": "GTOnlyDataset", "gt": str(photo_folder), "scale": 4})
    bicubic = NETWORKS.build({"type": "Bicubic", "scale": 4})
    with pytest.raises(SrtoolboxError, match=r"image 'cat0': NIQE: an image of 72x60 px .* no blocks of 96x96 px"):
        evaluate(bicubic, pairs, build_metrics(METRICS))


def test_luma_of_colour_results_without_truth() -> None:
    rgb = torch.rand(1, 3, 96, 192)
    metrics = build_metrics({"niqe": {"type": "NIQE", "protocol": "y_direct"}})
    assert float(score(Restored(rgb, rgb), None, metrics)["niqe"]) > 0


def test_a_metric_of_pairs_asks_for_the_truth() -> None:
    with pytest.raises(SrtoolboxError, match=r"PSNR compares images with their truth: call it with \(pred, target\)"):
        PSNR()(torch.rand(1, 3, 8, 8))


REAL = """
_base_ = [{base!r}]
data = dict(val=dict(
    interval=10,
    datasets=dict(_delete_=True, real=dict(type='FolderDataset', lq={photos!r})),
    metrics=dict(_delete_=True, niqe=dict(type='NIQE')),
))
hooks = dict(checkpoint=dict(_delete_=True, type='CheckpointHook', interval=10, best='real/niqe'))
"""


def test_a_run_keeps_the_best_by_a_score_without_truth(tiny_config: Path, photo_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "real.py"
    config.write_text(REAL.format(base=str(tiny_config), photos=str(photo_folder)), encoding="utf-8")
    run(config, tmp_path / "run", "max_iters=10")
    assert (tmp_path / "run/checkpoints/best_real_niqe.pth").is_file()
    assert [list(record["scores"]) for record in records(tmp_path / "run") if record["scores"]] == [["real/niqe"]]


def test_no_best_by_the_truth_that_is_not_there() -> None:
    sets = {"real": {"type": "FolderDataset", "lq": "x"}, "set5": {"type": "GTOnlyDataset", "gt": "y", "scale": 2}}
    context = {"data": {"val": {"datasets": sets, "metrics": METRICS}}}
    assert score_fault("real/psnr", context) == (
        "'real/psnr': PSNR compares with the truth, which the set 'real' has not"
    )
    assert score_fault("set5/psnr", context) is None and score_fault("real/niqe", context) is None
