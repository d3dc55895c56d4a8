"""docs/python.md is true: its blocks run as they stand, in order, as the cells of one notebook."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from srtoolbox.image import read_image

TEXT = (Path(__file__).parents[1] / "docs/python.md").read_text(encoding="utf-8")


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    for number, block in enumerate(blocks):
        exec(compile(block, f"cell {number}", "exec"), vars(notebook))
    printed = capsys.readouterr().out
    assert "holds a run that reached iteration 60. Continue it with --resume" in printed
    assert "nothing left to do" in printed and printed.rstrip().endswith("stopped")
    assert Path("curves.png").stat().st_size > 10_000
    assert read_image("chelsea_sr.png").shape == (720, 720, 3)
    assert notebook.result.iteration == 80 and notebook.result.scores["photos/psnr"] > 10
