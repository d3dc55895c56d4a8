"""`upscale.py` on files and folders, with a bicubic network whose results are known."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from srtoolbox import colour_shift
from srtoolbox.apps.folder import files
from srtoolbox.apps.folder.plan import Job
from srtoolbox.cli import main
from srtoolbox.image import Picture, read_image, read_picture, to_image, to_tensor, write_image, write_picture
from srtoolbox.io.tensor_files import load_tensors, save_tensors
from srtoolbox.resize import imresize

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "tools/upscale.py")]


def doubled(image: np.ndarray) -> np.ndarray:
    """x2 by bicubic interpolation, rounded once (imresize of whole numbers rounds after each axis)."""
    return to_image(imresize(to_tensor(image), scale=2), bits=8 * image.dtype.itemsize)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_folders_and_files(bicubic: str, photo: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "in/deep/gray.png", photo[:20, :31, :1])
    write_image(tmp_path / "in/colour.png", photo[:7, :5])
    assert main(["upscale", bicubic, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert np.array_equal(read_image(tmp_path / "out/colour_sr.png"), doubled(photo[:7, :5]))
    assert np.array_equal(read_image(tmp_path / "out/deep/gray_sr.png"), doubled(photo[:20, :31, :1]))
    assert main(["upscale", bicubic, str(tmp_path / "in/colour.png")]) == 0
    assert (tmp_path / "in/colour_sr.png").exists()


def test_a_damaged_image_is_named_and_the_rest_goes_on(
    bicubic: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_image(tmp_path / "good.png", photo[:9, :9])
    data = (tmp_path / "good.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(data[: len(data) // 2])
    assert main(["upscale", bicubic, str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().out
    assert "bad.png" in printed and "1 upscaled, 1 failed" in printed
    assert leftovers(tmp_path / "out") == ["good_sr.png"]


def test_a_texture_that_tiles(espcn: str, photo: np.ndarray, tmp_path: Path) -> None:
    for name, image in (("plain", photo[:20, :32]), ("rolled", np.roll(photo[:20, :32], 16, 1))):
        write_picture(tmp_path / f"{name}.png", Picture(image, image[..., :1]))
    for more in ([], ["--transparency", "bicubic", "--outscale", "2.5", "--tile", "8", "--ensemble"]):
        assert main(["upscale", espcn, str(tmp_path), "-o", str(tmp_path / "out"), "--wrap", "x", *more]) == 0
        plain, rolled = (read_picture(tmp_path / f"out/{name}_sr.png") for name in ("plain", "rolled"))
        half = plain.pixels.shape[1] // 2
        assert np.abs(np.roll(plain.pixels, half, 1).astype(int) - rolled.pixels).max() <= 1
        assert np.abs(np.roll(plain.alpha, half, 1).astype(int) - rolled.alpha).max() <= 1


def test_a_shift_of_colours_is_told_and_taken_out(
    espcn: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_image(tmp_path / "a.png", photo[:48, :48] // 2 + 60)
    state = load_tensors(espcn)
    for name, value in state["networks"]["generator"].items():
        if name.endswith("bias"):
            value += 0.02
    save_tensors(tmp_path / "tinted.pth", state)
    command = ["upscale", str(tmp_path / "tinted.pth"), str(tmp_path / "a.png"), "-o", str(tmp_path / "out.png")]
    assert main(command) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "note: " in told and "out.png: its colours differ visibly from the input's (red " in told
    assert "of 255 in the mean, dE (CIEDE2000)" in told and "): --keep-colour takes it out" in told
    assert main([*command, "--keep-colour"]) == 0
    assert "colours differ" not in capsys.readouterr().out
    assert not colour_shift(read_image(tmp_path / "a.png"), read_image(tmp_path / "out.png")).is_visible


def test_messages_are_not_wrapped(bicubic: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    name = "a_long_name_with_many_words_" * 4 + ".png"
    (tmp_path / name).write_bytes(b"no image")
    assert main(["upscale", bicubic, str(tmp_path / name)]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
    assert name in line and len(line) > 150


@pytest.mark.parametrize("how", ["network", "bicubic"])
@pytest.mark.parametrize("background", [0, 255])
def test_hidden_colours_do_not_bleed(bicubic: str, tmp_path: Path, how: str, background: int) -> None:
    """A red disc on transparent green, laid over black and white: nowhere is any green to be seen."""
    rows, columns = np.mgrid[:40, :44]
    inside = np.hypot(rows - 20, columns - 22) < 13
    pixels = np.where(inside[..., None], (255, 0, 0), (0, 255, 0)).astype(np.uint8)
    write_picture(tmp_path / "disc.png", Picture(pixels, inside[..., None] * np.uint8(255)))
    assert main(["upscale", bicubic, str(tmp_path / "disc.png"), "--transparency", how]) == 0
    result = np.array(Image.open(tmp_path / "disc_sr.png")).astype(float)
    assert result.shape == (80, 88, 4) and set(np.unique(result[..., 3])) > {0, 255}
    share = result[..., 3:] / 255
    shown = result[..., :3] * share + background * (1 - share)
    expected = np.array((255.0, 0, 0)) * share + background * (1 - share)
    assert np.abs(shown - expected).max() < 1


def test_opaque_stays_opaque_and_sixteen_bits_stay(bicubic: str, photo: np.ndarray, tmp_path: Path) -> None:
    deep = photo[:20, :24].astype(np.uint16) * 257
    write_picture(tmp_path / "opaque.png", Picture(deep, np.full((20, 24, 1), 65535, np.uint16)))
    edge = np.full((20, 24, 1), 65535, np.uint16)
    edge[:, 12:] = 0
    write_picture(tmp_path / "edge.tif", Picture(deep, edge))
    assert main(["upscale", bicubic, str(tmp_path), "--ext", "same", "--suffix=-2x"]) == 0
    opaque, half = read_picture(tmp_path / "opaque-2x.png"), read_picture(tmp_path / "edge-2x.tif")
    assert np.array_equal(opaque.pixels, doubled(deep)) and (opaque.alpha == 65535).all()
    assert (half.alpha[:, :22] == 65535).all() and (half.alpha[:, 26:] == 0).all()
    assert half.alpha.dtype == half.pixels.dtype == np.uint16


def test_what_a_format_cannot_hold_is_told(
    bicubic: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    deep = photo[:8, :8].astype(np.uint16) * 257
    write_picture(tmp_path / "x.png", Picture(deep, np.full((8, 8, 1), 300, np.uint16)))
    assert main(["upscale", bicubic, str(tmp_path), "--ext", "jpg", "--quality", "80"]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")]
    assert len(notes) == 2 and "16 bits became 8" in notes[0] and "transparency became white" in notes[1]
    assert main(["upscale", bicubic, str(tmp_path / "x.png"), "-o", str(tmp_path / "x.tif")]) == 0
    assert "note" not in capsys.readouterr().out


def test_results_that_are_there_are_skipped(
    bicubic: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"in/{name}.png", photo[:9, :9])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a_sr.png").write_bytes(b"kept")
    command = ["upscale", bicubic, str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert main([*command, "--skip-existing"]) == 0
    assert "1 upscaled, 0 failed, 1 skipped" in capsys.readouterr().out
    assert (tmp_path / "out/a_sr.png").read_bytes() == b"kept" and (tmp_path / "out/b_sr.png").exists()
    assert main(command) == 0
    assert read_image(tmp_path / "out/a_sr.png").shape == (18, 18, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--quality", "0"], "--quality is 1"),
        (["--quality", "50"], "--quality is for jpg and webp, results are png: choose one of the two formats"),
        (["--quality", "50", "-o", "x.tif"], "--quality is for jpg and webp, results are tif"),
        (["--suffix", "a/b"], "--suffix is a part of a name"),
        (["-o", "x.png", "--ext", "png"], "leave one of the two out"),
        (["-o", "-", "--ext", "same"], "standard output has no name"),
        (["--tile", "-5"], "--tile"),
        (["--tile", "wide"], "auto, or a number of pixels"),
        (["--workers", "0"], "is 1 ... 64"),
        (["--blend", "b.pth"], "go together"),
        (["--blend", "b.pth", "--alpha", "1.5"], "--alpha is in [0, 1], got 1.5"),
        (["--blend", "b.pth", "--alpha", "nan"], "--alpha is in [0, 1]"),
        (["--ext", "gif"], "invalid choice"),
    ],
)
def test_options_that_make_no_sense(options: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["upscale", "a.pth", "x.jpg", *options])
    assert caught.value.code == 2 and words in capsys.readouterr().err


def test_outscale_and_a_result_in_bands(bicubic: str, photo: np.ndarray, tmp_path: Path) -> None:
    alpha = np.ascontiguousarray(photo[..., :1])
    write_picture(tmp_path / "x.png", Picture(photo, alpha))
    sizes = {}
    for name, tile in (("whole", "0"), ("bands", "64")):
        out = tmp_path / name / "x.png"
        options = ["-o", str(out), "--outscale", "1.5", "--tile", tile]
        assert main(["upscale", bicubic, str(tmp_path / "x.png"), *options]) == 0
        sizes[name] = cv2.imread(str(out), cv2.IMREAD_UNCHANGED).astype(int)
    assert sizes["whole"].shape == (450, 677, 4)
    assert np.abs(sizes["whole"] - sizes["bands"]).max() <= 1


def test_a_writer_that_fails_is_told_and_the_rest_goes_on(
    bicubic: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("in/long", "in/x"):
        write_image(tmp_path / f"{name}.png", photo[:9, :9])
    suffix = "s" * 252  # longer than a name may be, but for the temporary file
    assert main(["upscale", bicubic, str(tmp_path / "in"), "-o", str(tmp_path / "out"), f"--suffix={suffix}"]) == 1
    assert main(["upscale", bicubic, str(tmp_path / "in/x.png"), "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "0 upscaled, 2 failed" in printed and "cannot be written" in printed
    assert leftovers(tmp_path / "out") == ["x_sr.png"]


def test_the_network_does_not_run_where_nothing_can_be_written(
    bicubic: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srtoolbox.inference.upscaler import Upscaler

    for name in ("in/a/x.png", "in/b/x.png", "in/c/x.png"):
        write_image(tmp_path / name, photo[:9, :9])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_bytes(b"in the way")  # no folder can be made here
    (tmp_path / "out/c").mkdir()
    access, run, runs = os.access, Upscaler.bands, []
    monkeypatch.setattr("os.access", lambda path, mode: "out/c" not in str(path) and access(path, mode))
    monkeypatch.setattr(Upscaler, "bands", lambda self, image: runs.append(1) or run(self, image))
    assert main(["upscale", bicubic, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().out
    assert "1 upscaled, 2 failed" in printed and "is no folder" in printed and "no permission for" in printed
    assert leftovers(tmp_path / "out") == ["a", "b/x_sr.png"] and len(runs) == 1


def test_names_that_cannot_be_printed(
    bicubic: str, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.fsdecode("ü".encode() + b"\xff.png")
    write_image(tmp_path / name, photo[:9, :9])
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, "ascii"))
    assert main(["upscale", bicubic, str(tmp_path / name), "-o", str(tmp_path / "out")]) == 0
    assert b"\\xfc\\udcff.png" in printed.getvalue()
    assert (tmp_path / "out" / name.replace(".png", "_sr.png")).exists()


def test_a_config_without_a_network_is_one_error(
    bicubic: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_image(tmp_path / "x.png", photo[:9, :9])
    for text in ("x = 1", "model = 3", "model = dict(type='Restorer')"):
        (tmp_path / "c.py").write_text(text)
        for command in (
            ["upscale", bicubic, str(tmp_path / "x.png")],
            ["visualize", "filters", bicubic, "-o", "f.png"],
        ):
            assert main([*command, "--config", str(tmp_path / "c.py")]) == 2
            assert "c.py: has no model.generator" in capsys.readouterr().err


@pytest.mark.parametrize(("images", "ahead_of_it"), [(100, 2), (2, 1), (0, 0)])
def test_reading_ahead_is_bounded_in_number_and_bytes(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, ahead_of_it: int
) -> None:
    jobs = [Job(str(tmp_path / f"{number}.png"), "file", None) for number in range(8)]
    for job in jobs:
        write_image(job.source, photo[:9, :9])
    sized, size = [], files._decoded_bytes
    monkeypatch.setattr(files, "_decoded_bytes", lambda job: sized.append(job) or size(job))
    monkeypatch.setattr(files, "AHEAD_BYTES", images * 9 * 9 * 4)
    for number, (job, reading) in enumerate(files.read_ahead(jobs, workers=2)):
        assert job is jobs[number] and reading.result().pixels.shape == (9, 9, 3)
        assert len(sized) == min(number + 2 + ahead_of_it, len(jobs))  # itself, and one that waits to be read


def test_writing_behind_is_bounded(
    bicubic: str, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        write_image(tmp_path / f"in/{number}.png", photo[:9, :9])
    writing, most, write = [], [], files.write

    def slow(job: Job, *rest: object) -> list[str]:
        writing.append(job)
        most.append(len(writing))
        time.sleep(0.1)
        lost = write(job, *rest)
        writing.remove(job)
        return lost

    monkeypatch.setattr("srtoolbox.apps.folder.files.write", slow)
    assert main(["upscale", bicubic, str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--workers", "1"]) == 0
    assert max(most) == 2  # one, and that of the image the network is at


# ---- as a process


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_a_stream_from_standard_input_to_standard_output(bicubic: str, photo: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", photo[:30, :40])
    data = (tmp_path / "x.png").read_bytes()
    done = subprocess.run(
        [*COMMAND, bicubic, "-", "-o", "-", "--ext", "tiff"], input=data, capture_output=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "y.tif").write_bytes(done.stdout)
    assert np.array_equal(read_image(tmp_path / "y.tif"), doubled(photo[:30, :40]))
    assert b"standard input -> standard output (40 x 30 -> 80 x 60)" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_error(
    bicubic: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "x.png", photo[:9, :9])
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BufferedWriter(full)))
        assert main(["upscale", bicubic, str(tmp_path / "x.png"), "-o", "-"]) == 1
        monkeypatch.undo()
    assert "error: " in (told := capsys.readouterr().err) and "standard output" in told and "1 failed" in told


def test_a_bad_stream_is_one_error(bicubic: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n" + bytes(40), b"no image at all, but some text"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert main(["upscale", bicubic, "-", "-o", str(tmp_path / "x.png")]) == 1
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
        assert line.startswith("error: standard input: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_stopped_run_leaves_nothing_half_written(
    bicubic: str, photo: np.ndarray, tmp_path: Path, number: int, code: int
) -> None:
    large = np.tile(photo, (5, 5, 1))
    for index in range(4):
        write_image(tmp_path / f"in/{index}.jpg", large)
    process = subprocess.Popen(
        [*COMMAND, bicubic, str(tmp_path / "in"), "-o", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert not list((tmp_path / "out").glob(".*"))
    for path in (tmp_path / "out").iterdir():
        assert read_image(path).shape == (3000, 4510, 3)
    assert len(list((tmp_path / "out").iterdir())) < 4
