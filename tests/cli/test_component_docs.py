"""docs/add_a_component.md is true: its classes check, train and are found again by the config the run saved."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.check.offers import FACTS
from srtoolbox.image import to_tensor
from srtoolbox.metrics.psnr import PSNR
from srtoolbox.registry import registries

TEXT = (Path(__file__).parents[2] / "docs/add_a_component.md").read_text(encoding="utf-8")
PARTS, CONFIG = re.findall(r"```python\n(.*?)```", TEXT, re.S)
ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def typed(folder: Path, *words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "srtoolbox", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=ENV, cwd=folder, timeout=200)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    (tmp_path / "my_parts.py").write_text(PARTS)
    return tmp_path


def test_its_config_has_no_fault(parts: Path) -> None:
    (parts / "my_config.py").write_text(CONFIG)
    done = typed(parts, "check_config", "my_config.py")
    assert (done.returncode, done.stdout) == (0, "my_config.py: ok (train)\n"), done.stderr


def test_its_classes_train_and_the_saved_config_trains_from_anywhere(parts: Path, tiny_config: Path) -> None:
    text = CONFIG.replace("quickstart/espcn_x3_photos.py", "tiny.py")
    (parts / "my_config.py").write_text(text + "max_iters = 6\n")
    done = typed(parts, "train", "my_config.py", "--work-dir", "run")
    assert done.returncode == 0, done.stderr
    assert "iter 6: " in done.stderr and "below the best photos/psnr" in done.stderr and "photos/worst" in done.stderr
    elsewhere = parts / "elsewhere"
    elsewhere.mkdir()
    done = typed(elsewhere, "train", "../run/config.py", "--work-dir", "again")
    assert done.returncode == 0, done.stderr
    scores = [
        [json.loads(line)["iter"] for line in (parts / name / "scores.jsonl").read_text().splitlines()]
        for name in ("run", "elsewhere/again")
    ]
    assert scores[0] == scores[1]


def test_a_plugin_of_the_command_line_is_saved_too(parts: Path, tiny_config: Path) -> None:
    network = "model.generator=dict(_delete_=True, type='TwoLayers', scale=3)"
    done = typed(parts, "train", "tiny.py", "--plugin", "my_parts.py", network, "max_iters=2", "--work-dir", "run")
    assert done.returncode == 0, done.stderr
    done = typed(parts / "run", "check_config", "config.py")
    assert (done.returncode, done.stdout) == (0, "config.py: ok (train)\n"), done.stderr


def test_the_table_names_every_kind_and_fact() -> None:
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    for kind in set(registries()) - {"optimizer", "scheduler"}:
        assert f"| {'restorer' if kind == 'model' else kind}, `{kind.upper().replace('LOSS', 'LOSSE')}S`" in table, kind
    assert all(f"`{fact}`" in table for fact in FACTS)


def test_its_metric_scores_saved_luma(monkeypatch: pytest.MonkeyPatch, photo: np.ndarray) -> None:
    for registry in registries().values():
        monkeypatch.setattr(registry, "register", lambda cls: cls)
    names: dict[str, Any] = {"__name__": "my_parts"}
    exec(PARTS, names)
    target = to_tensor(photo[:64, :64])
    pred = target * 1.4 - 0.1  # not clipped, not rounded
    whole = names["WorstBlockPSNR"](block=60, crop_border=2)
    assert whole(pred, target).item() == pytest.approx(PSNR(2)(pred, target).item(), abs=1e-4)
    flawed = target.clone()
    flawed[..., 16:32, 32:48] += 0.1  # one block of 16
    blocks = torch.stack([PSNR()(p, t) for p, t in zip(tiles(flawed), tiles(target), strict=True)])
    assert names["WorstBlockPSNR"]()(flawed, target).item() == pytest.approx(blocks.min().item(), abs=1e-4)


def tiles(image: torch.Tensor) -> list[torch.Tensor]:
    return [part for row in image.split(16, dim=2) for part in row.split(16, dim=3)]
