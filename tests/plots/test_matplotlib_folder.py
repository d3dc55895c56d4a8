"""Where the home cannot be written, matplotlib gets a temporary folder, and has nothing to say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from srtoolbox import plots as visual

SCRIPT = """
import os, srtoolbox.plots.charts
import matplotlib
print(matplotlib.get_configdir())
assert os.path.isdir(matplotlib.get_cachedir())
"""


def test_matplotlib_says_nothing_where_the_home_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # for root no folder is read-only; in a file nobody makes one
    (tmp_path / "temporary").mkdir()
    unset = ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    known = {key: value for key, value in os.environ.items() if key not in unset}
    home = str(tmp_path / "file/home")
    environment = {**known, "HOME": home, "USERPROFILE": home, "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert Path(done.stdout.strip()).parent == (tmp_path / "temporary").resolve()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_home_that_can_be_written_stays_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert visual._has_home() and not (tmp_path / "home").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not visual._has_home()
    monkeypatch.setenv("MPLCONFIGDIR", "anywhere")
    assert visual._has_home()
