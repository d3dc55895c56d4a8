"""`compare`: what differs, what is best, and that damage is told."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

import srtoolbox
from srtoolbox.apps.comparison.page import _order, _orders
from srtoolbox.apps.comparison.runs import ComparedRun, differences
from srtoolbox.apps.comparison.table import cells_of, print_table, short_keys
from srtoolbox.cli import main
from srtoolbox.errors import DataError, OptionError
from srtoolbox.plots.run_log import training_seconds
from tests.apps.browsing import OpenPage, browser
from tests.conftest import TINY

__all__ = ["browser"]  # a fixture


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    """The work dir of a run of four iterations."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "tiny.py").write_text(TINY.format(folder=str(photo_folder)))
    assert main(["train", str(folder / "tiny.py"), "--work-dir", str(folder / "real"), "max_iters=4"]) == 0
    return folder / "real"


@pytest.fixture
def folder(real: Path, tmp_path: Path) -> Path:
    """Runs a to e, made of the real one: two whole, one unfinished, one diverged, one damaged."""
    scores = {"a": (20.0, 24.0), "b": (25.0, 23.0), "c": (21.0,), "d": (22.0, 10.0), "e": (30.0,)}
    for name, values in scores.items():
        shutil.copytree(real, tmp_path / name)
        records = [{"kind": "train", "iter": 2, "terms": {"pixel": 1.0}, "lr": {"generator": 0.1}, "time": 2.0}]
        records += [
            {"kind": "eval", "iter": 2 * number, "scores": {"photos/psnr": value, "photos/mae": -value}}
            for number, value in enumerate(values, 1)
        ]
        text = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / name / "scores.jsonl").write_text(text)
        config = (tmp_path / name / "config.py").read_text()
        rate = dict(zip("abcde", (0.1, 0.2, 0.1, 0.5, 0.1), strict=True))[name]
        (tmp_path / name / "config.py").write_text(config.replace("lr=0.01", f"lr={rate}"))
        notes = {"finished": None if name == "c" else 4, "ending": "diverged" if name == "d" else "finished"}
        (tmp_path / name / "run.json").write_text(json.dumps(notes))
    (tmp_path / "e/scores.jsonl").write_text("no record\n\n\n")
    return tmp_path


def compared(folder: Path, **options: object) -> tuple[list[ComparedRun], str]:
    console = Console(file=io.StringIO(), width=200)
    return srtoolbox.compare_runs([folder], console=console, **options), console.file.getvalue()


def test_the_best_comes_first_and_what_went_wrong_is_said(folder: Path) -> None:
    runs, text = compared(folder, by="photos/psnr")
    assert [run.name for run in runs] == ["b", "a", "d", "c", str(folder / "e")]
    assert [run.state for run in runs] == ["finished", "finished", "diverged", "unfinished: 2 of 4", "damaged"]
    rows = [re.split(r"\s*│\s*", line.strip("│ \n")) for line in text.splitlines() if line.startswith("│")]
    assert rows[0] == ["b", "0.2", "25.0000* at 2", "23.0000", "4", "0:00:04", "finished"]
    assert rows[2][1:4] == ["0.5", "22.0000  at 2", "10.0000"] and rows[4][2:4] == ["-", "-"]
    assert f"{folder / 'e'}: {folder / 'e/scores.jsonl'}:1: not a record of a run" in text


def test_a_score_that_is_to_be_low_sorts_the_other_way(folder: Path) -> None:
    runs, _ = compared(folder, by="photos/mae")
    assert [run.name for run in runs][:4] == ["b", "a", "d", "c"] and runs[0].best("photos/mae", False) == (-25.0, 2)
    with pytest.raises(
        OptionError, match=r"by: none of the runs has a score 'photos/psn'\. Did you mean 'photos/psnr'"
    ):
        compared(folder, by="photos/psn")


def test_only_what_differs_is_listed(folder: Path) -> None:
    runs, _ = compared(folder)
    assert differences(runs) == {"optim.generator.optimizer.lr": [0.2, 0.1, 0.5, 0.1, 0.1]}


def test_a_part_that_is_another_component_is_one_difference() -> None:
    configs = [
        {"scale": 3, "model": {"generator": {"type": "ESPCN", "channels": [1]}}, "seed": 0, "work_dir": "b"},
        {"scale": 3, "model": {"generator": {"type": "ESPCN", "channels": [2]}}, "seed": 0, "work_dir": "c"},
        {"scale": 3, "model": {"generator": None}, "seed": 0, "work_dir": "a"},
    ]
    runs = [ComparedRun(str(number), Path(str(number)), config) for number, config in enumerate(configs)]
    assert list(differences(runs)) == ["model.generator"]


def test_keys_are_as_short_as_they_differ() -> None:
    assert short_keys({"a.b.lr": [], "a.c.size": []}) == {"a.b.lr": "lr", "a.c.size": "size"}
    assert short_keys({"a.b.lr": [], "a.c.lr": []}) == {"a.b.lr": "b.lr", "a.c.lr": "c.lr"}


def test_keys_that_hold_dots_keep_their_values() -> None:
    configs = [{"scale": 2, "hooks": {"a.b": {"type": "X", "v": number}}} for number in (1, 2)]
    runs = [ComparedRun(str(number), Path(str(number)), config) for number, config in enumerate(configs)]
    assert differences(runs) == {"hooks.a.b.v": [1, 2]}


def test_long_values_are_shown_where_they_differ() -> None:
    paths = [f"/data/of/many/people/in/a/folder/with/a/long/name/{name}/X4" for name in ("DIV2K", "DF2K")]
    assert cells_of([*paths, None]) == [".../long/name/DIV2K/X4", ".../long/name/DF2K/X4", "-"]
    assert cells_of(["Adam", 1.5, [1, 2]]) == ["Adam", "1.5", "[1, 2]"]
    assert cells_of(["a" * 50]) == ["a" * 37 + "..."]


@pytest.mark.parametrize(
    "text", ["data = 3\n", "data = dict(val=3)\n", "data = dict(val=dict(metrics=dict(psnr=3)))\n"]
)
def test_a_config_that_is_none_ends_nothing(folder: Path, text: str) -> None:
    (folder / "a/config.py").write_text(text)
    (folder / "d/scores.jsonl").write_text('{"iter": 1e999, "scores": {"photos/psnr": 1}}\n\n')
    runs, printed = compared(folder)
    assert len(runs) == 5 and "d/scores.jsonl:1: not a record of a run" in printed
    assert (text != "data = 3\n") or "a/config.py: data is a dict, got 3" in printed


def test_runs_are_found_in_folders_of_folders(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    above = tmp_path_factory.mktemp("above")
    for name in ("sweeps/lr/a", "b", ".hidden/c"):
        shutil.copytree(folder / "a", above / name)
    assert [run.work_dir for run in compared(above)[0]] == [above / "b", above / "sweeps/lr/a"]
    with pytest.raises(DataError, match="no such folder"):
        srtoolbox.compare_runs([above / "c"])
    with pytest.raises(DataError, match=r"scores\.jsonl: is a file: give the work dirs of runs"):
        srtoolbox.compare_runs([above / "b/scores.jsonl"])


def test_a_score_without_a_direction_sorts_nothing_and_says_so(folder: Path) -> None:
    for name in "ab":
        log = folder / name / "scores.jsonl"
        log.write_text(log.read_text().replace("photos/mae", "photos/mine"))
    runs, text = compared(folder, by="photos/mine")
    assert [run.work_dir.name for run in runs] == list("abcde")
    assert "photos/mine: which direction is better nobody knows" in text
    assert _order(runs, "photos/mine").startswith("The runs stand as they were given")
    assert _order(runs, "photos/psnr") == "Sorted by <bdi>photos/psnr</bdi>, the best first"


def test_a_narrow_terminal_has_the_differences_below() -> None:
    configs = [{"scale": 2, "data": {"name[of]": f"{'x' * 30}{number}"}, "seed": number} for number in (1, 2)]
    runs = [ComparedRun(f"run[old]{number}", Path("a"), config) for number, config in enumerate(configs)]
    for width, shown in ((75, "run[old]1: name[of]=xxxxx"), (200, "│ run[old]1 │ xxxxx")):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        print_table(runs, differences(runs), None, console)
        text = console.file.getvalue()
        assert shown in text and "name[of]" in text and "│ damaged │" in text


def test_csv_has_all_scores(folder: Path) -> None:
    compared(folder, csv=folder / "runs.csv")
    rows = list(csv.DictReader(io.StringIO((folder / "runs.csv").read_text(encoding="utf-8"))))
    assert rows[0]["run"] == "b" and float(rows[0]["photos/psnr best"]) == 25 and rows[0]["photos/psnr best at"] == "2"
    assert rows[0]["photos/mae last"] == "-23.0" and rows[0]["optim.generator.optimizer.lr"] == "0.2"
    assert rows[-1]["state"] == "damaged" and "not a record" in rows[-1]["fault"]


def test_the_page_has_everything_in_it(folder: Path, real: Path) -> None:
    (folder / "a/config.py").write_text("broken\n")
    _, printed = compared(folder, page=folder / "runs.html", by="photos/psnr")
    assert f"open {folder / 'runs.html'}" in printed
    text = (folder / "runs.html").read_text(encoding="utf-8")
    assert text.count('scope="row"') == 5 and "data:image/svg+xml;base64," in text
    assert not re.search(r'(src|href)="(?!data:)', text) and "What cannot be read" in text
    assert 'data-value="25.0"' in text and "unfinished: 2 of 4" in text


def test_columns_sort_by_numbers_else_by_names_and_what_is_not_set_stands_last() -> None:
    assert str(_orders([10, None, 2.5])) == "[10.0, nan, 2.5]"
    assert str(_orders(["SGD", None, "Adam"])) == "[1.0, nan, 0.0]"


@pytest.mark.slow
def test_the_page_in_a_browser(browser, folder: Path) -> None:
    compared(folder, page=folder / "runs.html", by="photos/psnr")
    opened = OpenPage(browser, folder / "runs.html")

    def order() -> list[str]:
        return [Path(cell.inner_text()).name for cell in opened.page.locator("tbody th").all()]

    assert order() == ["b", "a", "d", "c", "e"]
    rate = opened.page.locator("thead button", has_text="lr")
    rate.click()
    assert order() == ["a", "c", "e", "b", "d"]
    rate.click()
    assert order() == ["d", "b", "a", "c", "e"]
    assert opened.page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    opened.context.close()
    assert opened.complaints == []
    assert all(url.startswith(("data:", (folder / "runs.html").as_uri())) for url in opened.requests)


def test_a_run_that_has_just_begun_and_one_without_scores(folder: Path) -> None:
    (folder / "a/scores.jsonl").unlink()
    record = {"kind": "train", "iter": 4, "terms": {"pixel": 1.0}, "lr": {}, "time": 1.0}
    (folder / "b/scores.jsonl").write_text(json.dumps(record) + "\n")
    states = {run.work_dir.name: run.state for run in compared(folder)[0]}
    assert states["a"] == "unfinished: nothing logged yet" and states["b"] == "finished, no scores"


def test_a_run_that_halted_and_one_that_went_back_and_on(folder: Path) -> None:
    (folder / "c/faults").mkdir()
    (folder / "c/faults/step.pth").touch()
    halted = "halted at 2: its steps failed (see faults)"
    states = []
    for notes in ({}, {"ending": "halted"}, {"ending": None}):  # the first is of a run before they noted it
        (folder / "c/run.json").write_text(json.dumps({"finished": None, **notes}))
        states.append(compared(folder / "c")[0][0].state)
    assert states == [halted, halted, "unfinished: 2 of 4"]


def test_a_real_run_notes_how_it_ended(real: Path) -> None:
    (run,), _ = compared(real)
    assert run.state in ("finished", "learned too little") and run.iteration == run.max_iters == 4
    assert run.seconds == pytest.approx(training_seconds(real)) and run.seconds > 0
    assert json.loads((real / "run.json").read_text())["ending"] == run.state


def test_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(DataError, match="is no run, and holds none"):
        srtoolbox.compare_runs([tmp_path])
    assert main(["compare", str(tmp_path)]) == 2
    assert "is no run" in capsys.readouterr().err


def test_the_command(folder: Path, capsys: pytest.CaptureFixture) -> None:
    file = folder / "runs.csv"
    assert main(["compare", str(folder / "a"), str(folder / "b"), "--by", "photos/psnr", "--csv", str(file)]) == 0
    assert "25.0000*" in capsys.readouterr().out and file.exists()
