"""The command as it is typed: what it writes, where, and what it says when it cannot."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from srtoolbox.cli import main
from srtoolbox.image import read_image


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "espcn"
    folder.mkdir()
    records = [{"kind": "train", "iter": i, "lr": {"generator": 0.001}, "terms": {"pixel": 1 / i}} for i in range(1, 9)]
    records.append({"kind": "eval", "iter": 8, "scores": {"set5/psnr": 32.5}})
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "scores.jsonl").write_text(lines + '{"kind": "tra')  # killed while writing
    return folder


def test_default_output_lies_beside_the_log(work_dir: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["plot_log", str(work_dir)]) == 0
    assert capsys.readouterr().out == f"{work_dir / 'curves.png'}: set5/psnr, pixel, lr\n"
    assert read_image(work_dir / "curves.png").shape[2] == 3
    (work_dir / "curves.png").unlink()
    assert main(["plot_log", str(work_dir / "scores.jsonl")]) == 0
    assert (work_dir / "curves.png").is_file()


def test_the_suffix_says_the_format(work_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for suffix, start in ((".pdf", b"%PDF"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")):
        assert main(["plot_log", str(work_dir), "-o", str(tmp_path / f"x{suffix}")]) == 0
        assert (tmp_path / f"x{suffix}").read_bytes().startswith(start)
    for name in ("x.txt", "x"):
        assert main(["plot_log", str(work_dir), "-o", str(tmp_path / name)]) == 2
        assert ".png, .pdf, .svg" in capsys.readouterr().err
        assert not (tmp_path / name).exists()


def test_all_options(work_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(json.dumps({"bicubic": {"set5/psnr": 30.4}}))
    out = tmp_path / "new" / "ab.png"
    arguments = [str(work_dir), str(work_dir), "-o", str(out), "--log", "--keys", "pixel", "set5/psnr"]
    assert main(["plot_log", *arguments, "--bicubic", str(tmp_path / "scores.json")]) == 0
    assert out.is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{absent}"], "absent: no such log"),
        (["{run}", "--keys", "pixl"], "Did you mean 'pixel'"),
        (["{run}", "--bicubic", "{absent}"], "absent: no such file"),
    ],
)
def test_errors_name_the_file(work_dir: Path, arguments: list, words: str, capsys: pytest.CaptureFixture) -> None:
    places = {"run": work_dir, "absent": work_dir.parent / "absent"}
    assert main(["plot_log", *(argument.format(**places) for argument in arguments)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert words in printed
    assert not (work_dir / "curves.png").exists()


def test_help_shows_an_example_and_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys\nfrom srtoolbox.cli import main\n"
        "try:\n    main(['plot_log', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "python tools/plot_log.py work_dirs/" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_denoisers_baseline_is_called_the_input(work_dir: Path, tmp_path: Path) -> None:
    """In the JSON of `test.py --baseline` at scale 1 it is `Input`."""
    for name, label in (("Input", "input"), ("Bicubic", "bicubic")):
        (tmp_path / "scores.json").write_text(json.dumps({name: {"set5": {"psnr": 30.0}}}))
        out = tmp_path / "x.svg"
        assert main(["plot_log", str(work_dir), "--bicubic", str(tmp_path / "scores.json"), "-o", str(out)]) == 0
        assert f"<!-- {label} -->" in out.read_text(encoding="utf-8")
