"""docs/upscale.md is true: its commands and its Python run as they stand, on images of these names."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.cli import main
from srtoolbox.cli.upscale import EXAMPLE, build_parser
from srtoolbox.compat import options_of
from srtoolbox.image import Picture, read_image, write_image, write_picture

TEXT = (Path(__file__).parents[2] / "docs/upscale.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray, bicubic: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("photo.jpg", "folder/a/b.jpg", "folder/c.jpg", "more/d.png", "cat.png", "brick.png"):
        write_image(tmp_path / name, photo[:20, :24])
    write_picture(tmp_path / "logo.png", Picture(photo[:20, :24], photo[:20, :24, :1]))
    checkpoint = tmp_path / "work_dirs/quickstart/checkpoints/best_photos_psnr.pth"
    checkpoint.parent.mkdir(parents=True)
    shutil.copy(bicubic, checkpoint)
    shutil.copy(bicubic, tmp_path / "CKPT")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, re.S)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]


def test_its_commands(folder: Path) -> None:
    run = 0
    for words in commands():
        assert "tools/upscale.py" in words
        if words[0] == "seq":
            for number in range(1, int(words[1]) + 1):
                assert main([word.replace("{}", str(number)) for word in ["upscale", *words[9:]]]) == 0
            continue
        if "cat" in words or any(word.startswith("https") for word in words):
            continue  # streams and addresses: test_upscale.py, test_upscale_https.py
        words = [
            str(path) for word in words[2:] for path in (sorted(Path().glob(word)) if word == "more/*.png" else [word])
        ]
        assert main(["upscale", *words]) == 0, words
        run += 1
    assert run == 9
    results = {path.relative_to(folder).as_posix() for path in folder.rglob("*_sr.*")}
    assert {"photo_sr.png", "out/a/b_sr.png", "out/c_sr.png", "out/d_sr.png", "out/a/b_sr.jpg"} <= results
    assert read_image("large.webp").shape == (40, 48, 3)


def test_its_python(folder: Path) -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.S):
        exec(block, names)
    assert read_image("cat_sr.png").shape == (40, 48, 3)
    assert names["texture"].shape == (40, 48, 3)
    assert len(names["result"].done) == 2 and Path("upscaled/a/b_sr.png").exists()
    assert names["large"].shape == (50, 60, 3) and Path("logo_sr.png").exists()


def test_its_script_for_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", TEXT, re.S)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "8")
    words = shlex.split(os.path.expandvars(script.splitlines()[-1]))
    assert main(["upscale", *words[2:]]) == 0
    assert list(folder.rglob("*_sr.png")) == [folder / "out/c_sr.png"]


def test_its_options_exist() -> None:
    known = options_of(build_parser())
    for text in (re.sub(r"#SBATCH .*", "", TEXT), EXAMPLE):
        for option in re.findall(r"(--[a-z][a-z-]+)", text):
            assert option in known, option
    elsewhere = {"--config", "--plugin", "--help", "--out"}  # in the help, and in the docs of what they are for
    told = set(re.findall(r"(--[a-z][a-z-]+)", TEXT))
    assert {name for name in known if name.startswith("--")} - elsewhere <= told
