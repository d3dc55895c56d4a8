"""`srtoolbox.upscale_folder`: what the command does, as a function that returns what happened."""

from __future__ import annotations

import inspect
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import srtoolbox
from srtoolbox.apps.folder import files
from srtoolbox.apps.folder.plan import Job
from srtoolbox.apps.networks import UpscalerSettings
from srtoolbox.errors import ImageError, OptionError
from srtoolbox.image import Picture, read_image, read_picture, write_image, write_picture

QUIET = Console(file=io.StringIO())


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    for name in ("a", "deep/b"):
        write_image(tmp_path / f"in/{name}.png", photo[:9, :11])
    return tmp_path / "in"


def test_a_path_a_network_and_an_upscaler_give_the_same(espcn: str, folder: Path, tmp_path: Path) -> None:
    network = srtoolbox.load_network(espcn)
    upscaler = srtoolbox.Upscaler(network, outscale=2)
    expected = upscaler(read_image(folder / "a.png"))
    for number, (source, settings) in enumerate(((espcn, {"outscale": 2}), (network, {"outscale": 2}), (upscaler, {}))):
        out = tmp_path / str(number)
        result = srtoolbox.upscale_folder(source, folder, out, suffix="", device="cpu", console=QUIET, **settings)
        assert [job.target for job in result.done] == [out / "a.png", out / "deep/b.png"] and not result.failed
        assert np.array_equal(read_image(out / "a.png"), expected)


def test_failures_are_returned_and_the_rest_goes_on(bicubic: str, folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_bytes(b"no image")
    lines = Console(file=io.StringIO(), width=80)
    result = srtoolbox.upscale_folder(bicubic, folder, tmp_path / "out", console=lines)
    assert [Path(source).name for source in result.failed] == ["bad.png"] and len(result.done) == 2
    assert "2 upscaled, 1 failed" in lines.file.getvalue()
    assert "done: 2" in repr(result) and "bad.png" in repr(result) and "a.png" not in repr(result)  # as a cell shows it
    again = srtoolbox.upscale_folder(bicubic, [folder / "a.png"], tmp_path / "out", skip_existing=True, console=QUIET)
    assert not again.done and [job.target for job in again.existing] == [tmp_path / "out/a_sr.png"]
    left = srtoolbox.upscale_folder(bicubic, folder / "a.png", console=QUIET)
    assert left.done[0].target == folder / "a_sr.png"
    assert srtoolbox.upscale_folder(bicubic, folder, console=QUIET).left_out == [str(folder / "a_sr.png")]


def test_images_that_are_begun_ahead_are_the_same(
    espcn: str, folder: Path, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bad.png").write_bytes(b"no image")
    write_picture(folder / "clear.png", Picture(photo[:12, :12], photo[20:32, :12, :1]))
    network = srtoolbox.load_network(espcn)
    srtoolbox.upscale_folder(network, folder, tmp_path / "0", suffix="", console=QUIET)
    order: list[str] = []
    monkeypatch.setattr(srtoolbox.Upscaler, "ahead", 1)  # as on a GPU
    bands, form = files.picture_bands, files.form_of
    monkeypatch.setattr(files, "picture_bands", lambda *a, **k: order.append("begin") or bands(*a, **k))
    monkeypatch.setattr(files, "form_of", lambda image: order.append("take") or form(image))
    result = srtoolbox.upscale_folder(network, folder, tmp_path / "1", suffix="", console=QUIET)
    assert order == ["begin", "take", "begin", "begin", "take", "take"]  # a, bad, clear, deep/b
    assert len(result.done) == 3 and [Path(source).name for source in result.failed] == ["bad.png"]
    for job in result.done:
        assert job.target is not None
        one, other = (read_picture(tmp_path / number / job.target.relative_to(tmp_path / "1")) for number in "01")
        assert np.array_equal(one.pixels, other.pixels) and (one.alpha is None) == (other.alpha is None)
        assert one.alpha is None or np.array_equal(one.alpha, other.alpha)


def test_alpha_by_bicubic(espcn: str, photo: np.ndarray, tmp_path: Path) -> None:
    image = Picture(photo[:12, :12], photo[20:32, :12, :1])
    write_picture(tmp_path / "x.png", image)
    srtoolbox.upscale_folder(espcn, tmp_path / "x.png", transparency="bicubic", suffix="_b", console=QUIET)
    by_bicubic = srtoolbox.Upscaler(srtoolbox.load_network(espcn))
    alpha = srtoolbox.Upscaler(srtoolbox.registry.NETWORKS.build({"type": "Bicubic", "scale": 3}))
    expected = srtoolbox.upscale_picture(by_bicubic, image, alpha=alpha)
    assert np.array_equal(read_picture(tmp_path / "x_b.png").alpha, expected.alpha)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quality": 0, "ext": "jpg"}, "quality is 1 ... 100, got 0"),
        ({"quality": 90}, "quality is for jpg and webp, results are png"),
        ({"suffix": "a/b"}, "suffix is a part of a name"),
        ({"ext": "gif"}, "ext is one of png, jpg"),
        ({"ext": "png", "out": "one.png"}, "ext png: the name one.png says the format"),
        ({"ext": "same", "out": "-"}, "ext same: standard output has no name"),
        ({"workers": 0}, "workers is 1 ... 64, got 0"),
        ({"transparency": "none"}, "transparency is network or bicubic, got 'none'"),
    ],
)
def test_impossible_arguments_are_refused_by_name(
    bicubic: str, folder: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(OptionError, match=f"^{message}"):
        srtoolbox.upscale_folder(bicubic, folder, **arguments)


def test_ctrl_c_at_standard_input_stops_what_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    fetching, was_stopped = threading.Event(), []

    def fetch(url: str, stop: threading.Event) -> bytes:
        fetching.set()
        was_stopped.append(stop.wait(5))
        raise ImageError(f"{url}: stopped")

    def interrupt() -> bytes:
        fetching.wait(5)
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "fetch", fetch)
    monkeypatch.setattr(files, "_from_stdin", interrupt)
    jobs = [Job("https://example.org/a.png", "url", Path("a.png")), Job("-", "stream", Path("b.png"))]
    with pytest.raises(KeyboardInterrupt):
        list(files.read_ahead(jobs, workers=2))
    assert was_stopped == [True]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("moment", ["_Writing", "BackgroundWriter.start"])
def test_ctrl_c_as_an_image_begins_to_be_written_leaves_no_thread(
    moment: str, bicubic: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{files.__name__}.{moment}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        srtoolbox.upscale_folder(bicubic, folder, tmp_path / "out", console=QUIET)
    assert set(threading.enumerate()) == before and not list((tmp_path / "out").rglob("*.*"))


def test_no_inputs_are_refused(bicubic: str) -> None:
    with pytest.raises(ImageError, match=r"^no images to upscale are named$"):
        srtoolbox.upscale_folder(bicubic, [])


def test_an_upscaler_has_its_settings(bicubic: str, folder: Path) -> None:
    upscaler = srtoolbox.Upscaler(srtoolbox.load_network(bicubic))
    with pytest.raises(OptionError, match=r"^tile goes with a network"):
        srtoolbox.upscale_folder(upscaler, folder, tile=64)
    with pytest.raises(OptionError, match=r"^transparency bicubic goes with a network"):
        srtoolbox.upscale_folder(upscaler, folder, transparency="bicubic")


def test_the_settings_are_those_of_an_upscaler() -> None:
    arguments = set(inspect.signature(srtoolbox.Upscaler).parameters)
    assert set(UpscalerSettings.__annotations__) == arguments - {"network", "device"}


def test_an_unknown_argument_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'sufix'\. Did you mean 'suffix'\?"):
        srtoolbox.upscale_folder("x.pth", tmp_path, sufix="_x4")
    with pytest.raises(TypeError, match=r"'outscael'\. Did you mean 'outscale'\?"):
        srtoolbox.upscale_folder("x.pth", tmp_path, outscael=2)


def test_progress_tells_shares_and_may_end_the_work(bicubic: str, folder: Path, tmp_path: Path) -> None:
    told: list[tuple[float, int]] = []
    srtoolbox.upscale_folder(
        bicubic, folder, tmp_path / "a", console=QUIET, progress=lambda *told_now: told.append(told_now)
    )
    assert told == [(0, 2), (1.0, 2), (1, 2), (2.0, 2)]

    def end(done: float, of: int) -> None:
        if done >= 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        srtoolbox.upscale_folder(bicubic, folder, tmp_path / "b", console=QUIET, progress=end)
    assert not [path for path in (tmp_path / "b").rglob("*") if path.is_file() and path.suffix != ".png"]
    assert not (tmp_path / "b/deep/b_sr.png").exists()


def test_the_threads_live_for_all_images_and_a_folder_is_asked_once(
    bicubic: str, tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        write_image(tmp_path / f"in/{number}.png", photo[:5, :5])
    started, start = [], threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread) or start(thread))
    asked, check = [], files.check_folder
    monkeypatch.setattr(files, "check_folder", lambda target: asked.append(target) or check(target))
    result = srtoolbox.upscale_folder(bicubic, tmp_path / "in", tmp_path / "out", console=QUIET)
    assert len(asked) == 1
    kept = [thread for thread in started if not isinstance(thread, threading.Timer)]  # which prints lines
    assert len(result.done) == 12 and len(kept) <= 2 + 3  # that read, and that write
