"""docs/train_gan.md is true: its own discriminator and adversarial loss have no fault, and train."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from srtoolbox.cli import main
from srtoolbox.registry import LOSSES, NETWORKS

TEXT = (Path(__file__).parents[2] / "docs/train_gan.md").read_text(encoding="utf-8")
PARTS, CONFIG = re.findall(r"```python\n(.*?)```", TEXT, re.S)[1:]
SHIPPED = "srgan/srgan_x4_small_t91_general100_bsds500.py"
BASE = """
_base_ = ['./tiny.py']
model = dict(
    type='GANRestorer', generator=dict(colour='rgb'), gan_loss=dict(type='GANLoss', label_smoothing=0.1),
    discriminator=dict(type='VGGDiscriminator', input_size=24, channels=[4, 4], fc=[8]),
)
optim = dict(discriminator=dict(optimizer=dict(type='Adam')))
max_iters = 4
"""


@pytest.fixture
def folder(tmp_path: Path):
    (tmp_path / "my_gan.py").write_text(PARTS)
    (tmp_path / "my_gan_config.py").write_text(CONFIG)
    yield tmp_path
    NETWORKS._entries.pop("SmallCritic", None)
    LOSSES._entries.pop("CriticLoss", None)


def test_its_config_has_no_fault(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["check_config", str(folder / "my_gan_config.py")]) == 0, capsys.readouterr()


def test_its_parts_train(folder: Path, tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "base.py").write_text(BASE)
    (folder / "my_gan_config.py").write_text(CONFIG.replace(SHIPPED, "base.py"))
    assert main(["train", "my_gan_config.py", "--work-dir", "run"]) == 0
    lines = [json.loads(line) for line in (folder / "run/scores.jsonl").read_text().splitlines()]
    terms = [line["terms"] for line in lines if line["kind"] == "train"][-1]
    assert {"gan", "discriminator", "r1", "pixel"} <= set(terms) and terms["gan"] != 0


def test_what_is_left_out_is_told(folder: Path, capsys: pytest.CaptureFixture) -> None:
    lines = PARTS.splitlines(keepends=True)
    (folder / "my_gan.py").write_text("".join(line for line in lines if "relativistic =" not in line))
    assert main(["check_config", str(folder / "my_gan_config.py")]) != 0
    assert "model.gan_loss: CriticLoss lacks relativistic: derive it from" in "".join(capsys.readouterr())
