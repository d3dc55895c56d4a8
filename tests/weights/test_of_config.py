"""A config whose generator is named by its file: `model = dict(generator='weights.pth')`."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from srtoolbox.check import check
from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.engine.job.job import train
from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.spandrel import is_installed
from srtoolbox.weights.load import read_network
from srtoolbox.weights.of_config import with_network_of_file
from tests.engine.runs import differing, final_state, load, records
from tests.weights.fitted import fitted_espcn
from tests.weights.spandrel_files import SMALL, made

NETWORK = {"type": "ESPCN", "scale": 3, "kernels": [3, 3, 3], "channels": [8, 4], "activation": "relu"}
THEIRS = {"conv1": "first_part.0", "conv2": "first_part.2", "conv3": "last_part.0"}  # yjn870's names


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    state = {".".join([THEIRS[key[:5]], key[6:]]): value for key, value in fitted_espcn(NETWORK).items()}
    torch.save(state, tmp_path / "foreign.pth")
    return tmp_path / "foreign.pth"


def test_the_network_and_the_weights_are_the_files(foreign: Path, tiny_config: Path, tmp_path: Path) -> None:
    change = f"model.generator={foreign}"
    config = with_network_of_file(Config.fromfile(tiny_config, [change]))
    assert config.to_dict()["model"]["generator"] == {**NETWORK, "colour": "y", "mean": 0.0}
    assert config["load_from"] == str(foreign)
    still = ("optim.generator.optimizer.lr=0.0", "max_iters=2", "hooks.ema=None")
    train(tiny_config, work_dir=tmp_path / "run", overrides=(change, *still))
    tuned = load(tmp_path / "run", "iter_000002")["networks"]["generator"]
    for key, value in fitted_espcn(NETWORK).items():
        assert torch.equal(tuned[key], value)
    assert [line["iter"] for line in records(tmp_path / "run") if line["kind"] == "eval"] == [0, 2]


def test_other_weights_may_be_named(foreign: Path, tiny_config: Path, tmp_path: Path) -> None:
    config = with_network_of_file(Config.fromfile(tiny_config, [f"model.generator={foreign}", "load_from='other.pth'"]))
    assert config["load_from"] == "other.pth"
    named = {"generator": foreign}  # a path, from Python
    assert with_network_of_file(Config({"model": named}))["model"]["generator"]["type"] == "ESPCN"
    plain = Config.fromfile(tiny_config)
    assert with_network_of_file(plain) is plain


def test_a_run_goes_on_without_the_file(foreign: Path, tiny_config: Path, tmp_path: Path) -> None:
    changes = (f"model.generator={foreign}", "hooks.evaluate=None", "data.val=None", "hooks.checkpoint.best=None")
    train(tiny_config, work_dir=tmp_path / "whole", overrides=changes)
    train(tiny_config, work_dir=tmp_path / "two", overrides=(*changes, "max_iters=5"))
    foreign.unlink()
    assert Config.fromfile(tmp_path / "two/config.py")["model"]["generator"]["activation"] == "relu"
    train(tiny_config, work_dir=tmp_path / "two", overrides=changes, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "two")) == []
    with pytest.raises(ConfigError, match=r"model\.generator: '.*foreign\.pth': no such checkpoint file"):
        train(tiny_config, work_dir=tmp_path / "two", overrides=changes, overwrite=True)


def test_faults_stand_at_the_line_of_the_file(foreign: Path, tmp_path: Path, tiny_config: Path) -> None:
    path = tmp_path / "tuned.py"
    path.write_text(f"_base_ = 'tiny.py'\nscale = 2\nmodel = dict(\n    generator={str(foreign)!r})\n")
    with pytest.raises(ConfigError) as caught:
        check(with_network_of_file(Config.fromfile(path)))
    assert f"{path}:4: model.generator: upscales x3, but the config's scale is 2" in caught.value.faults
    path.write_text("_base_ = 'tiny.py'\nmodel = dict(\n    generator='nowhere.pth')\n")
    for command in (["check_config", str(path)], ["model_info", str(path)]):
        assert main(command) == 2
    with pytest.raises(ConfigError) as caught:
        with_network_of_file(Config.fromfile(path))
    assert caught.value.faults == [f"{path}:3: model.generator: 'nowhere.pth': no such checkpoint file"]
    path.write_text("_base_ = 'tiny.py'\nmodel = dict(generator='ESPCN')\n")
    with pytest.raises(ConfigError, match="Restorer takes a dict for 'generator', got 'ESPCN'"):
        check(with_network_of_file(Config.fromfile(path)))


def test_commands_take_such_a_config(
    foreign: Path, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = f"model.generator={foreign}"
    assert main(["check_config", str(tiny_config), change]) == 0
    assert main(["model_info", str(tiny_config), change]) == 0
    assert main(["test", str(tiny_config), str(foreign), change, "--json", str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["foreign"]["photos"]["images"]["cat0"]["psnr"] > 20


@pytest.mark.slow
@pytest.mark.skipif(not is_installed(), reason="needs the extra 'spandrel'")
def test_a_file_that_spandrel_opens_is_tuned(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "srtoolbox")
    path = tmp_path / "theirs.pth"
    torch.save({"params": made(next(small for small in SMALL if small.architecture == "MoSR")).state_dict()}, path)
    changes = (f"model.generator={path}", "scale=2", "max_iters=3", "data.val=None", "hooks.checkpoint.best=None")
    train(tiny_config, work_dir=tmp_path / "run", overrides=changes)
    path.unlink()
    tuned = read_network(tmp_path / "run/checkpoints/iter_000003.pth")
    assert tuned.config["architecture"] == "MoSR" and tuned.config["scale"] == 2
    result = train(tmp_path / "run/config.py", work_dir=tmp_path / "run", resume=True, overrides=["max_iters=4"])
    assert result.iteration == 4
