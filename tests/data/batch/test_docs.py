"""docs/degradations.md is true: its first config has no fault, and its step of one's own degrades."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.transforms.batch.base import Images
from srtoolbox.registry import TRANSFORMS, Registry

TEXT = (Path(__file__).parents[3] / "docs/degradations.md").read_text(encoding="utf-8")
FIRST, *_, OWN = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_the_first_pipeline_and_a_step_of_ones_own(
    register: Callable[[Registry, Any], Any], tmp_path: Path, photo: np.ndarray
) -> None:
    names: dict[str, Any] = {"__name__": "my_steps"}
    exec(OWN.replace("@TRANSFORMS.register\n", ""), names)  # the fixture registers it, for this test
    register(TRANSFORMS, names["Haze"])
    (step,) = re.findall(r"`(haze=dict\(.*?\))`", TEXT)
    (tmp_path / "my_config.py").write_text(FIRST.replace("    jpeg=", f"    {step},\n    jpeg="))
    config = Config.fromfile(tmp_path / "my_config.py")
    check(config)
    pipeline = TRANSFORMS.build(config["model"]["preprocess"])
    gt = torch.from_numpy(np.stack([photo[:120, left : left + 120] for left in (0, 40, 200)]))
    draws = [Draw(0, number, 5) for number in range(3)]
    images = pipeline.finish(pipeline.begin({"gt": gt}, draws, 3))
    assert images["lq"].shape == (3, 3, 32, 32) and images["gt"].shape == (3, 3, 96, 96)
    action = next(
        each for each in pipeline.plan(np.full((3, 2), 120), draws).actions if type(each.step).__name__ == "Haze"
    )
    black = torch.zeros(3, 3, 8, 8)
    for batched in (True, False):
        hazy = action.step.apply(Images(black, batched=batched), action.parameters).pixels
        expected = torch.from_numpy(action.parameters["gray"] * action.parameters["strength"]).float()
        assert torch.allclose(hazy, expected[:, None, None, None].expand_as(hazy), atol=1e-6)
