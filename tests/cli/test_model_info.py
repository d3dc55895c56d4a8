"""`model_info.py`: figures of configs and checkpoints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srtoolbox.cli import main
from srtoolbox.registry import NETWORKS

GAN = """
model = dict(
    type='Restorer',
    generator=dict(type='ESPCN', scale=3, colour='rgb'),
    discriminator=dict(type='VGGDiscriminator', input_size=32, channels=[8, 8, 16, 16], fc=[16]),
    losses=dict(pixel=dict(type='MSELoss')))
"""


def figures(*arguments: object, folder: Path) -> dict:
    out = folder / "cost.json"
    assert main(["model_info", *map(str, arguments), "--device", "cpu", "--runs", "1", "--json", str(out)]) == 0
    return json.loads(out.read_text())["networks"]


def test_a_config_with_the_numbers_of_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """ESPCN: 5x5x64, 3x3x32, 3x3x9."""
    cost = figures("espcn/espcn_x3_t91.py", "--size", 20, 30, folder=tmp_path)["generator"]
    weights = 25 * 64 + 9 * 64 * 32 + 9 * 32 * 9
    assert cost["parameters"] == cost["trainable"] == weights + 64 + 32 + 9
    assert cost["macs"] == weights * 20 * 30 and cost["flops"] == 2 * cost["macs"]
    assert cost["input"] == [1, 1, 20, 30] and cost["output"] == [1, 1, 60, 90]
    assert cost["receptive_field"] == 4 and cost["type"] == "ESPCN"
    out = capsys.readouterr().out
    assert "13.574 M" in out and "9 px of input" in out and "generator: ESPCN" in out


def test_gt_size_overrides_and_batch(tmp_path: Path) -> None:
    cost = figures(
        "espcn/espcn_x3_t91.py", "model.generator.channels=[8,4]", "--gt", 60, 91, "--batch", 2, folder=tmp_path
    )
    assert cost["generator"]["input"] == [2, 1, 20, 31]
    assert cost["generator"]["parameters"] == 25 * 8 + 8 + 9 * 8 * 4 + 4 + 9 * 4 * 9 + 9


def test_a_discriminator_at_its_own_size(tmp_path: Path) -> None:
    (tmp_path / "gan.py").write_text(GAN)
    costs = figures(tmp_path / "gan.py", "--size", 16, 16, folder=tmp_path)
    assert list(costs) == ["generator", "discriminator"]
    assert costs["discriminator"]["input"] == [1, 3, 32, 32] and costs["discriminator"]["output"] == [1, 1]
    assert costs["discriminator"]["receptive_field"] is None


PLUGIN = """
from srtoolbox.registry import NETWORKS
from torch import nn


@NETWORKS.register
class NamelessJudge(nn.Module):
    kind = 'discriminator'

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 1, 3)

    def forward(self, image):
        return self.head(image).mean((2, 3))
"""


def test_a_plugins_discriminator_without_facts_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "judge.py").write_text(PLUGIN)
    discriminator = "type='VGGDiscriminator', input_size=32, channels=[8, 8, 16, 16], fc=[16]"
    (tmp_path / "gan.py").write_text(GAN.replace(discriminator, "type='NamelessJudge'"))
    arguments = ["model_info", str(tmp_path / "gan.py"), "--plugin", str(tmp_path / "judge.py"), "--device", "cpu"]
    try:
        assert main(arguments) == 2
    finally:
        NETWORKS._entries.pop("NamelessJudge", None)
    error = capsys.readouterr().err
    assert "model.discriminator: NamelessJudge lacks facts that training needs: colour, input_size" in error


def test_a_checkpoint_knows_its_network(tmp_path: Path, tiny_config: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "max_iters=2"]) == 0
    checkpoint = tmp_path / "run/checkpoints/iter_000002.pth"
    of_file = figures(checkpoint, folder=tmp_path)["generator"]
    of_config = figures(tiny_config, folder=tmp_path)["generator"]
    for name in ("type", "parameters", "flops", "input", "output", "peak_bytes"):
        assert of_file[name] == of_config[name]
    assert main(["model_info", str(checkpoint), "model.generator.scale=2"]) == 2
    assert "cannot be changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.pth"], "no such checkpoint"),
        (["nothing.py"], "nothing.py"),
        (["espcn/espcn_x3_t91.py", "model.generator.kernel=3"], "ESPCN takes no 'kernel'"),
        (["empty.py"], "names no network"),
    ],
)
def test_faults(
    arguments: list, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.py").write_text("model = dict(type='Restorer')\n")
    assert main(["model_info", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--size", "0", "4"], ["--size", "4", "4", "--gt", "8", "8"], ["--runs", "0"]])
def test_impossible_options(arguments: list) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["model_info", "espcn/espcn_x3_t91.py", *arguments])
    assert caught.value.code == 2
