"""docs/add_a_component.md is true: its classes check, train and are found again by the config the run saved."""

from __future__ import annotations

import copy
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

from srtoolbox.image import to_tensor
from srtoolbox.interfaces import FACTS
from srtoolbox.metrics.psnr import PSNR
from srtoolbox.optim.wrapper import OptimWrapper
from srtoolbox.registry import registries
from tests.processes import command

TEXT = (Path(__file__).parents[2] / "docs/add_a_component.md").read_text(encoding="utf-8")
PARTS, CONFIG, *_ = re.findall(r"```python\n(.*?)```", TEXT, re.S)
ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    (tmp_path / "my_parts.py").write_text(PARTS)
    return tmp_path


def test_its_config_has_no_fault(parts: Path) -> None:
    (parts / "my_config.py").write_text(CONFIG)
    typed = [sys.executable, "-m", "srtoolbox", "check_config", "my_config.py"]
    done = subprocess.run(typed, capture_output=True, text=True, env=ENV, cwd=parts, timeout=200)
    assert (done.returncode, done.stdout) == (0, "my_config.py: ok (train)\n"), done.stderr


def test_its_classes_train_and_the_saved_config_trains_from_anywhere(parts: Path, tiny_config: Path) -> None:
    text = CONFIG.replace("quickstart/espcn_x3_photos.py", "tiny.py")
    (parts / "my_config.py").write_text(text + "max_iters = 6\n")
    done = command("train", "my_config.py", "--work-dir", "run", cwd=parts)
    assert done.returncode == 0, done.stderr
    assert "iter 6: " in done.stderr and "below the best photos/psnr" in done.stderr and "photos/worst" in done.stderr
    elsewhere = parts / "elsewhere"
    elsewhere.mkdir()
    done = command("train", "../run/config.py", "--work-dir", "again", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    scores = [
        [json.loads(line)["iter"] for line in (parts / name / "scores.jsonl").read_text().splitlines()]
        for name in ("run", "elsewhere/again")
    ]
    assert scores[0] == scores[1]
    line = json.loads((parts / "run/scores.jsonl").read_text().splitlines()[0])
    assert line["lr"]["generator"] == pytest.approx(5e-4 * (line["iter"] + 1) / 101)


def test_a_plugin_of_the_command_line_is_saved_too(parts: Path, tiny_config: Path) -> None:
    network = "model.generator=dict(_delete_=True, type='TwoLayers', scale=3)"
    done = command(
        "train", "tiny.py", "--plugin", "my_parts.py", network, "max_iters=2", "--work-dir", "run", cwd=parts
    )
    assert done.returncode == 0, done.stderr
    done = command("check_config", "config.py", cwd=parts / "run")
    assert (done.returncode, done.stdout) == (0, "config.py: ok (train)\n"), done.stderr


def test_the_table_names_every_kind_and_fact() -> None:
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    for kind in registries():
        assert f"| {'restorer' if kind == 'model' else kind}, `{kind.upper().replace('LOSS', 'LOSSE')}S`" in table, kind
    assert all(f"`{fact}`" in table for fact in FACTS)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The classes of the page, which no registry hears of."""
    for registry in registries().values():
        monkeypatch.setattr(registry, "register", lambda cls: cls)
    names: dict[str, Any] = {"__name__": "my_parts"}
    exec(PARTS, names)
    return names


def test_its_optimizer_and_schedule_are_what_they_say_and_go_on_after_a_resume(names: dict[str, Any]) -> None:
    def wrapper(start: torch.Tensor) -> tuple[torch.nn.Module, OptimWrapper]:
        network = torch.nn.Linear(2, 1, bias=False)
        network.weight.data = start.clone()
        optimizer = names["SignMomentum"](network.parameters(), lr=1.0, momentum=0.5)
        return network, OptimWrapper(network, optimizer, scheduler=names["WarmUpAndDecay"](optimizer, 8, 4))

    inputs = torch.tensor([[1.0, -1.0]])
    network, optim = wrapper(torch.zeros(1, 2))
    rates, states = [], []
    for _ in range(9):
        rates += optim.rates.values()
        states.append((network.weight.detach().clone(), copy.deepcopy(optim.state_dict())))
        optim.update(network(inputs).sum())
        optim.step_scheduler()
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 0.75, 0.5, 0.25, 0.0])
    torch.testing.assert_close(network.weight.data, torch.tensor([[-sum(rates), sum(rates)]]))
    resumed, again = wrapper(states[4][0])
    again.load_state_dict(states[4][1])
    for _ in range(5):
        again.update(resumed(inputs).sum())
        again.step_scheduler()
    assert torch.equal(resumed.weight, network.weight) and again.rates == optim.rates


def test_its_metric_scores_saved_luma(names: dict[str, Any], photo: np.ndarray) -> None:
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
