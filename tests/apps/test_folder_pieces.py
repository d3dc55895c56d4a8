"""A folder upscaled in pieces: together they are one run, whatever comes between."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import srtoolbox
from srtoolbox.apps.folder import files
from srtoolbox.apps.folder.pieces import options_of
from srtoolbox.apps.networks import Checkpoint
from srtoolbox.cli import main
from srtoolbox.errors import OptionError, PieceError
from srtoolbox.image import write_image
from srtoolbox.registry import NETWORKS
from tests import folders, processes

QUIET = Console(file=io.StringIO())
NAMES = ("a.png", "a.bmp", "b.png", "deep/a.png", "deep/c.png", "deep/d.png", "e.png")


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    for number, name in enumerate(NAMES):
        write_image(tmp_path / "in" / name, photo[number : number + 9, :11])
    return tmp_path / "in"


def results(out: Path) -> dict[str, bytes]:
    """Each result; not the record, nor what a killed process leaves of the file that it was writing."""
    files = [path for path in out.rglob("*_sr.*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_three_pieces_are_one_run(espcn: str, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    whole = srtoolbox.upscale_folder(espcn, folder, tmp_path / "whole", console=QUIET)
    printed = io.StringIO()
    lines = Console(file=printed, width=200)
    parts = [
        srtoolbox.upscale_folder(espcn, folder, tmp_path / "out", shard=(number, 3), console=lines)
        for number in (3, 1, 2)
    ]
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    assert [len(part.done) for part in parts] == [2, 2, 3]
    assert "piece 3 of 3: 2 of 8 images" in printed.getvalue()
    checked = srtoolbox.upscale_folder(espcn, folder, tmp_path / "out", check_shards=3, console=lines)
    assert [job.source for job in checked.done] == [job.source for job in whole.done]
    assert checked.failed == whole.failed and len(whole.failed) == 1
    assert "3 pieces: 7 upscaled, 1 failed" in printed.getvalue()


def test_a_piece_goes_on_and_the_check_says_what_is_missing(
    espcn: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = ["upscale", espcn, str(folder), "-o", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr(files, "check_form", stopping_at(3))
        with pytest.raises(SystemExit, match="stopped"):
            main([*command, "--shard", "1/2", "--workers", "1"])
    done = results(tmp_path / "out")
    lines = (tmp_path / "out/.pieces/piece-1.jsonl").read_text().splitlines()
    assert 0 < len(lines) <= len(done) < 4  # the last result may have had no time for its line
    assert main([*command, "--check-shards", "2"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"piece 1 of 2 has stopped: {len(lines)} of 4 images done; run --shard 1/2" in printed
    assert "piece 2 of 2 has not begun: 0 of 3 images done; run --shard 2/2" in printed
    assert f"2 pieces: {len(lines)} upscaled, 0 failed, {7 - len(lines)} missing" in printed
    stamps = {name: os.stat(tmp_path / "out" / name).st_mtime_ns for name in done}
    assert main([*command, "--shard", "1/2"]) == 0
    assert f"{len(lines)} skipped" in capsys.readouterr().out
    changed = [name for name in done if os.stat(tmp_path / "out" / name).st_mtime_ns != stamps[name]]
    assert len(changed) == len(done) - len(lines)
    assert main([*command, "--shard", "2/2"]) == 0
    assert main([*command, "--check-shards", "2"]) == 0
    assert main([*command[:-1], str(tmp_path / "whole")]) == 0
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    (tmp_path / "out/b_sr.png").unlink()
    assert main([*command, "--check-shards", "2"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "b_sr.png has gone or changed since: run --shard 1/2 again 2 pieces" in printed
    assert main([*command, "--shard", "1/2"]) == 0
    assert main([*command, "--check-shards", "2"]) == 0
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def stopping_at(number: int) -> object:
    """A stand-in for `check_form`, called before each image is upscaled, that ends the call at one."""
    calls = []

    def stop(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == number:
            raise SystemExit("stopped")

    return stop


def test_a_folder_is_what_is_in_it_whatever_it_is_called(
    espcn: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ways = ["in", "./in/", str(folder), "in/../in", *folders.other_names(folder)]
    for number, way in enumerate(ways, 1):
        srtoolbox.upscale_folder(espcn, way, "out", shard=(number, len(ways)), console=QUIET)
    checked = srtoolbox.upscale_folder(espcn, "in", tmp_path / "out", check_shards=len(ways), console=QUIET)
    whole = srtoolbox.upscale_folder(espcn, "in", "whole", console=QUIET)
    assert not checked.failed and [job.source for job in checked.done] == [job.source for job in whole.done]
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_the_weights_beside_an_onnx_file_belong_to_it(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    from tests.weights.onnx_maker import external

    def network() -> object:
        return options_of(tmp_path / "m.onnx", "network", {})["network"]

    external(tmp_path / "m.onnx", "m.data")
    assert network() is None  # reading it says what is missing
    (tmp_path / "m.data").write_bytes(bytes(16))
    before = network()
    assert before is not None and before == network()
    (tmp_path / "m.data").write_bytes(bytes(15) + b"1")
    assert network() not in (before, None)


def test_what_differs_between_pieces_is_told(
    espcn: str, bicubic: str, folder: Path, photo: np.ndarray, tmp_path: Path
) -> None:
    def upscale(number: int, count: int, network: Any = espcn, **options: Any) -> None:
        out = tmp_path / "out"
        srtoolbox.upscale_folder(network, folder, out, shard=(number, count), console=QUIET, **options)

    upscale(1, 3)
    with pytest.raises(PieceError, match="of 3 pieces, not of 4: give --shard I/3"):
        upscale(2, 4)
    chosen = tmp_path / "chosen.py"
    chosen.write_text("model = dict(generator=dict(type='ESPCN', scale=3, activation='relu'))")
    other = "with network [0-9a-f]{16}, this call has [0-9a-f]{16}"
    differences: tuple[tuple[dict[str, Any], str], ...] = (
        ({"suffix": "_x"}, "with suffix _sr, this call has _x"),
        ({"ext": "webp"}, "with ext png, this call has webp"),
        ({"ensemble": True}, "with ensemble False, this call has True"),
        ({"network": bicubic}, other),
        ({"network": Checkpoint(espcn, config=str(chosen))}, other),
        ({"network": Checkpoint(espcn, trial=False)}, other),
    )
    for options, words in differences:
        with pytest.raises(PieceError, match=words):
            upscale(2, 3, **options)
    upscale(2, 3, batch=2, workers=1)  # which change no result
    write_image(folder / "new.png", photo[:5, :5])
    write_image(folder / "e.png", photo[:5, :6])
    (folder / "b.png").unlink()
    with pytest.raises(
        PieceError, match=r"have changed since its pieces were begun: new\.png came; b\.png went; e\.png changed: all"
    ):
        upscale(3, 3)
    with pytest.raises(PieceError, match=r"new\.png came"):
        srtoolbox.upscale_folder(espcn, folder, tmp_path / "out", check_shards=3, console=QUIET)


def test_pieces_of_a_network_and_an_upscaler(espcn: str, folder: Path, tmp_path: Path) -> None:
    network = srtoolbox.load_network(espcn)
    for number in (1, 2):
        upscaler = srtoolbox.Upscaler(srtoolbox.load_network(espcn))
        srtoolbox.upscale_folder(network, folder, tmp_path / "a", shard=f"{number}/2", console=QUIET)
        srtoolbox.upscale_folder(upscaler, folder, tmp_path / "b", shard=f"{number}/2", console=QUIET)
    assert results(tmp_path / "a") == results(tmp_path / "b") != {}
    with pytest.raises(PieceError, match="with outscale none, this call has 2"):
        other = srtoolbox.Upscaler(network, outscale=2)
        srtoolbox.upscale_folder(other, folder, tmp_path / "b", shard="1/2", console=QUIET)
    with pytest.raises(PieceError, match="with ensemble False, this call has True"):
        other = srtoolbox.Upscaler(network, ensemble=True)
        srtoolbox.upscale_folder(other, folder, tmp_path / "b", shard="1/2", console=QUIET)
    with pytest.raises(PieceError, match=r"with transparency network, this call has \{'network': "):
        alpha = srtoolbox.Upscaler(network)
        srtoolbox.upscale_folder(network, folder, tmp_path / "a", shard="1/2", transparency=alpha, console=QUIET)
    with pytest.raises(PieceError, match="with network "):
        other = srtoolbox.Upscaler(NETWORKS.build({"type": "Bicubic", "scale": 3}))
        srtoolbox.upscale_folder(other, folder, tmp_path / "b", shard="1/2", console=QUIET)


def test_colours_are_an_option_of_pieces_where_they_are_kept(espcn: str) -> None:
    assert "keep_colour" not in options_of(espcn, "network", {})  # as earlier releases recorded
    assert options_of(espcn, "network", {"keep_colour": True})["keep_colour"] is True


def test_what_has_no_pieces_is_refused(espcn: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"shard": (1, 2)}, "^shard needs a folder for the results"),
        ({"shard": (1, 2), "out": tmp_path / "a.png"}, "^shard needs a folder for the results"),
        ({"check_shards": 2, "out": "-"}, "^check-shards needs a folder for the results"),
        ({"shard": (1, 2), "check_shards": 2, "out": tmp_path / "o"}, "leave one of the two out"),
        ({"shard": (1, 2), "inputs": "-", "out": tmp_path / "o"}, "standard input has no pieces"),
    )
    for options, words in refused:
        with pytest.raises(OptionError, match=words):
            srtoolbox.upscale_folder(espcn, **{"inputs": folder, **options}, console=QUIET)
    with pytest.raises(PieceError, match="no pieces have been begun: run them first"):
        srtoolbox.upscale_folder(espcn, folder, tmp_path / "o", check_shards=2, console=QUIET)
    for text, words in (("0/2", "there is no piece 0"), ("3-8", "shard is I/N, such as 3/8"), ("1/0", "N, behind the")):
        with pytest.raises(SystemExit) as end:
            main(["upscale", espcn, str(folder), "-o", str(tmp_path / "o"), "--shard", text])
        assert end.value.code == 2 and words in capsys.readouterr().err


def test_processes_at_once_and_one_that_is_killed(espcn: str, folder: Path, tmp_path: Path) -> None:
    command = ["upscale", espcn, str(folder), "-o", str(tmp_path / "out")]
    journal = tmp_path / "out/.pieces/piece-1.jsonl"
    processes.run_pieces_after_a_kill(*command, has_begun=lambda: journal.exists() and journal.stat().st_size > 0)
    check = processes.start(*command, "--check-shards", "3")
    assert "3 pieces: 7 upscaled, 0 failed" in check.communicate()[0] and check.returncode == 0
    srtoolbox.upscale_folder(espcn, folder, tmp_path / "whole", console=QUIET)
    assert results(tmp_path / "out") == results(tmp_path / "whole")
