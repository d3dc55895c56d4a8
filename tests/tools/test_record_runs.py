"""tools/maintenance/record_runs.py: equal behaviour gives equal records, and every other number is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

Script = Callable[[str], ModuleType]
RECORD = {
    "machine": {"torch": "2"},
    "runs": {"a": {"exit": 0, "scores": [{"iter": "5", "terms": {"pixel": "0.25"}}]}},
    "texts": {"a": ["5 images"]},
}


@pytest.mark.slow
def test_a_command_runs_in_the_tree_and_its_words_are_kept(script: Script, tmp_path: Path) -> None:
    bench = script("workbench").Workbench(Path(__file__).parents[2], tmp_path)
    assert bench.run("words", "convert_lmdb", "nowhere", "-o", tmp_path / "a.lmdb") == 2
    assert bench.run("words", "--version") == 0
    first, *_, last = bench.texts["words"]
    assert first.startswith("error: nowhere: no such folder") and last == "exit code 0"
    with pytest.raises(SystemExit, match="is not the one Python imports"):
        script("workbench").Workbench(tmp_path, tmp_path)


@pytest.mark.slow
def test_a_command_is_recorded_alike_in_two_folders(script: Script, tmp_path: Path) -> None:
    recorder, records = script("record_runs"), [tmp_path / "a.json", tmp_path / "b.json"]
    for number, path in enumerate(records):
        assert recorder.main([str(path), "--only", "conversion", "--keep", str(tmp_path / f"keep{number}")]) == 0
    first, second = (json.loads(path.read_text()) for path in records)
    assert first == second
    assert first["runs"]["conversion"]["exits"] == [0, 0, 0]
    assert {"coffee", "__meta__"} <= first["runs"]["conversion"]["photos/train_lmdb/gt.lmdb"].keys()
    assert "done in <n> s" in first["texts"]["conversion"]
    assert recorder.main(["--compare", *map(str, records)]) == 0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda runs: runs["a"].update(exit=1), "a/exit: 0 -> 1"),
        (lambda runs: runs["a"]["scores"][0]["terms"].update(pixel="0.26"), "a/scores/0/terms/pixel: 0.25 -> 0.26"),
        (lambda runs: runs["a"].pop("exit"), "a/exit: 0 -> missing"),
        (lambda runs: runs.update(b={}), "b: missing -> {}"),
    ],
)
def test_another_number_fails_the_comparison(script: Script, change: Callable, line: str) -> None:
    other = copy.deepcopy(RECORD)
    change(other["runs"])
    lines, is_failing = script("record_runs").compare(RECORD, other)
    assert line in lines and is_failing


def test_other_words_are_printed_and_do_not_fail(script: Script) -> None:
    other = copy.deepcopy(RECORD)
    other["texts"]["a"], other["machine"]["torch"] = ["6 images"], "3"
    lines, is_failing = script("record_runs").compare(RECORD, other)
    assert not is_failing
    assert lines[:3] == [
        "other machine or version: torch 2 -> 3",
        "texts of a: -5 images",
        "texts of a: +6 images",
    ]


def test_an_unknown_run_is_refused(script: Script, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        script("record_runs").main([str(tmp_path / "a.json"), "--only", "espcm"])
    assert "no run is called espcm; there are conversion, espcn, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "11:05:51 iter 2/8  pixel 0.5  27.7 ms/iter (data 4 %)  time left 0:00:01",
            "iter 2/8  pixel 0.5  <n> ms/iter",
        ),
        ("photos/gt.lmdb: 7 images, 13.1 MB", "photos/gt.lmdb: 7 images, <n> MB"),
        ("│ espcn │ 25.3129 │  0.0205 │", "│ espcn │ 25.3129 │ <n> │"),
    ],
)
def test_times_and_memory_are_masked_and_numbers_stay(script: Script, line: str, expected: str) -> None:
    assert script("workbench").masked(line).startswith(expected)


def test_a_checkpoint_is_known_by_its_tensors(script: Script, tmp_path: Path) -> None:
    digests, weight = script("digests"), torch.arange(4.0)

    def facts(tensor: torch.Tensor, **more: object) -> dict:
        state = {
            "iter": 3,
            "networks": {"generator": {"w": tensor}},
            "scores": {"psnr": 1.5, "a/seconds": more.get("s")},
        }
        torch.save({**state, "config": more.get("config", "")}, tmp_path / "x.pth")
        return digests.checkpoint_facts(tmp_path / "x.pth")

    before = facts(weight, s=1.0)
    assert before["iter"] == 3 and before == facts(weight.clone(), s=2.0, config="elsewhere")
    for other in (weight.nextafter(torch.tensor(9.0)), weight.half(), weight.reshape(2, 2)):
        assert facts(other)["networks/generator"] != before["networks/generator"]


def test_an_image_is_known_by_its_pixels(script: Script, tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint16).reshape(4, 3, 4) * 1000
    for name, compression in (("a.png", 0), ("b.png", 9)):
        cv2.imwrite(str(tmp_path / name), pixels, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    cv2.imwrite(str(tmp_path / "c.png"), pixels + 1)
    first, second, third = (script("digests").image_facts(tmp_path / f"{name}.png") for name in "abc")
    assert first == second != third and first.startswith("uint16 4x3x4 ")
