"""`srtoolbox.test`: what the command does, as a function that returns the scores."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import srtoolbox
from srtoolbox.cli import main
from srtoolbox.errors import ConfigError, OptionError, SrtoolboxError
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    """A folder with `tiny.py` and the checkpoint that it trains."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.py").write_text(TINY.format(folder=str(photo_folder)))
    assert main(["train", str(folder / "tiny.py"), "--work-dir", str(folder / "run")]) == 0
    shutil.copy(folder / "run/checkpoints/iter_000020.pth", folder)
    return folder


def test_scores_are_those_of_the_command(folder: Path, tmp_path: Path) -> None:
    config, checkpoint = folder / "tiny.py", folder / "iter_000020.pth"
    console = Console(file=io.StringIO(), width=80)
    handlers = list(logging.getLogger("srtoolbox").handlers)
    results = srtoolbox.test(config, checkpoint, baseline=True, report=tmp_path / "page", console=console)
    assert logging.getLogger("srtoolbox").handlers == handlers
    assert main(["test", str(config), str(checkpoint), "--baseline", "--json", str(tmp_path / "s.json")]) == 0
    command = json.loads((tmp_path / "s.json").read_text())
    assert list(results.images) == list(results.means) == ["Bicubic", "iter_000020"]
    for name, sets in command.items():
        assert results.means[name]["photos"]["psnr"] == sets["photos"]["psnr"]
        own = {image: scores["psnr"] for image, scores in results.images[name]["photos"].items()}
        assert own == {image: scores["psnr"] for image, scores in sets["photos"]["images"].items()}
        assert np.isclose(results.means[name]["photos"]["psnr"], np.mean(list(own.values())))
    assert "iter_000020" in repr(results) and not any(image in repr(results) for image in own)  # as a cell shows it
    assert results.page == tmp_path / "page/index.html" and results.page.exists()
    assert "photos (6 images)" in console.file.getvalue() and f"open {results.page}" in console.file.getvalue()


def test_a_config_may_be_a_dict_which_stays_as_it_is(folder: Path) -> None:
    config = srtoolbox.Config.fromfile(folder / "tiny.py")
    plain = config.to_dict()
    kinds = [srtoolbox.test(each, folder / "iter_000020.pth", console=QUIET) for each in (config, plain)]
    assert kinds[0].means["iter_000020"]["photos"]["psnr"] == kinds[1].means["iter_000020"]["photos"]["psnr"]
    assert plain == srtoolbox.Config.fromfile(folder / "tiny.py").to_dict() == config.to_dict()
    with pytest.raises(OptionError, match="overrides are for a config that is a file"):
        srtoolbox.test(plain, overrides=["seed=1"])


def test_what_does_not_go_together_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="^best N goes with --out DIR"):  # noqa: RUF043
        srtoolbox.test(folder / "tiny.py", best=3)
    with pytest.raises(OptionError, match=r"^datasets: the config has no set 'fotos'\. Did you mean 'photos'"):
        srtoolbox.test(folder / "tiny.py", folder / "iter_000020.pth", datasets=["fotos"])
    with pytest.raises(ConfigError, match=r"no set 'fotos'.* Did you mean 'photos'"):
        srtoolbox.test(folder / "tiny.py", folder / "iter_000020.pth", datasets="photos,fotos")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SrtoolboxError, match="is no report"):
        srtoolbox.test(folder / "tiny.py", folder / "iter_000020.pth", report=tmp_path)


def test_pytest_does_not_take_it_for_a_test() -> None:
    assert srtoolbox.test.__test__ is False


def test_the_python_of_its_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    text = (ROOT / "docs/test.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(re.findall(r"```python\n(import srtoolbox.*?)```", text, re.S)[0], names)
    assert names["worst"][1]["psnr"] <= names["results"].means["iter_000020"]["photos"]["psnr"]
