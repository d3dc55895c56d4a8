"""tools/maintenance/measure_code.py: what it counts, on a package small enough to count by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]
ROOT = Path(__file__).parents[2]
FILES = {
    "__init__.py": '"""A package."""\n',
    "low.py": '"""What it is: a picture of pictures."""\n',
    "cli/__init__.py": "",
    "cli/train.py": '''from srtoolbox import low
from srtoolbox.loop import Loop  # image


class Loop:
    """How it runs."""

    def train(self, x: Any) -> None:  # noqa: ANN401 - an example
        """Run.

        Twice.
        """
        for _ in range(2):

            self.step()
''',
    "loop.py": "from srtoolbox import low\nx = 1" + " " * 100 + "# wide\n\n\ndef long():\n" + "    x = 1\n" * 60,
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "srtoolbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_measures_are_those_counted_by_hand(script: Script, package: Path, capsys: pytest.CaptureFixture) -> None:
    loop = ["cli/train.py:Loop.train", "cli/train.py:Loop.gone"]
    assert script("measure_code").main(["--tree", str(package), "--static", "--json", "--loop", *loop]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "files": 5,
        "lines": 1 + 1 + 0 + 15 + 65,
        "modules imported by exactly one other": 1,  # loop; low is imported by two
        "cli/ lines": 15,
        "the loop: lines": 3,
        "the loop: functions": "1 (1 not found)",
        "docstrings that open with a relative word": "2 (50.0 %)",
        "lines over 100 columns": "1 (1.2 %)",
        "noqa: ANN401": 1,
        "functions over 60 lines": 1,
        "'picture' / 'image' as words": "2 / 1",
    }


def test_lines_of_equal_width_do_not_depend_on_how_code_is_wrapped(script: Script, tmp_path: Path) -> None:
    names = [f"argument_number_{number}" for number in range(6)]  # 118 columns in one line
    for folder, between in (("wide", ", "), ("narrow", ",\n    ")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text(f"call({between.join(names)})\n")
    counts = {name: script("measure_code").lines_of_equal_width(tmp_path / name) for name in ("wide", "narrow")}
    assert counts == {"wide": 8, "narrow": 8}


def test_a_walk_counts_each_function_once(script: Script) -> None:
    calls = [
        ("a", "f"),
        ("b", "g"),
        ("b", "h"),
        ("a", "f"),
        ("a", "k"),
        ("c", "x"),
        ("b", "g"),
        ("b", "z"),
        ("a", "f"),
        ("b", "z"),
    ]
    walk = script("image_walk").walk_of(calls, {"a": 2, "b": 1, "c": 3}.__getitem__)
    assert walk.stays == ["a", "b", "a", "c", "b"]
    assert (walk.climbs, walk.returns) == (2, 2)


@pytest.mark.slow
def test_the_walk_of_an_image_goes_from_reading_to_writing(script: Script) -> None:
    walks = script("measure_code").measure_walks(ROOT)
    for walk in walks.values():
        assert any(file.startswith("image/") for file in walk.stays)
        assert "files.py" in walk.stays or any(file.startswith("io/") for file in walk.stays)
        assert any(file.startswith("models/networks/") for file in walk.stays)
