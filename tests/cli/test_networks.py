"""The command `networks`, as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from srtoolbox.cli import main

PLUGIN = '''"""Mine: a network of a user's."""

from torch import nn
from srtoolbox.interfaces import SRNetwork
from srtoolbox.registry import NETWORKS


@NETWORKS.register
class ZooMine(SRNetwork):
    """One convolution."""

    variants = {"ZooMine": {}, "ZooMine-L": {"num_features": 5}}

    def __init__(self, scale: int, colour: str = "rgb", *, num_features: int = 3) -> None:
        super().__init__(scale, colour)
        self.conv = nn.Conv2d(num_features, 3 * scale**2, 1)
'''


def test_the_list_without_torch() -> None:
    code = (
        "import sys\nfrom srtoolbox.cli import main\nassert main(['networks']) == 0\nassert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HAT-S" in result.stdout and "field: how far" in result.stdout


def test_filters_and_json(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["networks", "--scale", "3", "--max-params", "600k", "--exact", "--no-attention", "pan", "carn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["CARN-M", "PAN"] and not lines[3]
    for order, names in (
        ("parameters", ["CARN-M", "CARN", "HAT-S", "HAT", "HAT-L"]),
        ("year", ["CARN", "CARN-M", "HAT"]),
    ):
        assert main(["networks", "hat", "carn", "--sort", order]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        assert [line.split()[0] for line in lines[: len(names)]] == names
    assert main(["networks", "hat", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["HAT", "HAT-S", "HAT-L"]
    assert rows[1]["arguments"] == {"num_features": 144, "compress_ratio": 24, "squeeze_factor": 24}
    assert rows[1]["parameters"]["4"] == 9_621_183 and rows[1]["family"] == "HAT"
    assert main(["networks", "hat", "--json", str(tmp_path / "hat.json")]) == 0
    assert json.loads((tmp_path / "hat.json").read_text()) == rows and not capsys.readouterr().out


def test_one_family(capsys: pytest.CaptureFixture) -> None:
    assert main(["networks", "edsr-BASELINE"]) == 0
    text = capsys.readouterr().out
    assert "num_features=64, num_blocks=16, residual_scaling=1.0" in text
    assert "edsr/edsr_baseline_x4_div2k_300k.py" in text and "BasicSR's names" in text


def test_faults(capsys: pytest.CaptureFixture) -> None:
    assert main(["networks", "swinri"]) == 2
    assert "no network has 'swinri' in its name or paper. Did you mean 'SwinIR'?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["networks", "--max-params", "few"])
    assert "a number such as 800K or 1.5M is wanted, got 'few'" in capsys.readouterr().err
    assert main(["networks", "hat", "--exact"]) == 0
    assert capsys.readouterr().out.startswith("no network is so")


def test_a_network_of_a_plugin(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srtoolbox.registry import NETWORKS

    monkeypatch.setattr(NETWORKS, "_entries", dict(NETWORKS._entries))
    (tmp_path / "zoo_mine.py").write_text(PLUGIN)
    assert main(["networks", "zoomine", "--scale", "2", "--plugin", str(tmp_path / "zoo_mine.py")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["ZooMine", "ZooMine-L"] and " 72 " in lines[2]
    assert main(["networks", "zoomine-l", "--plugin", str(tmp_path / "zoo_mine.py")]) == 0
    assert "dict(type='ZooMine', scale=4, num_features=5)" in capsys.readouterr().out
