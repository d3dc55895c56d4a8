"""What the page for upscaling takes: names, kinds, sizes, settings. The page itself: `test_ui_browser`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from srtoolbox.apps.networks import Checkpoint
from srtoolbox.apps.ui.jobs import Job, Settings
from srtoolbox.apps.ui.making import Settle, Show, ended_between_layers, make_images
from srtoolbox.apps.ui.queue import Queue
from srtoolbox.apps.ui.store import Store
from srtoolbox.apps.ui.uploads import Limits, Upload, shown_name, stored_name
from srtoolbox.apps.ui.weights import Networks
from srtoolbox.cli import main
from srtoolbox.errors import OptionError, SrtoolboxError
from srtoolbox.image import encode_image
from srtoolbox.io.tensor_files import save_tensors
from srtoolbox.registry import NETWORKS
from tests.apps.clips import make_clip

IMAGE = encode_image(np.zeros((4, 5, 3), np.uint8))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a b.png", "a b.png"),
        ("../../etc/x.png", "x.png"),
        ("C:\\temp\\x.png", "x.png"),
        ('<b>"x".png', "_b__x_.png"),
        ("a\n\0\u202egnp.png", "a___gnp.png"),
        ("...", "unnamed"),
        ("", "unnamed"),
        (".png", "png"),
        ("a" * 500 + ".png", "a" * 120 + ".png"),
        ("ün.jpeg", "ün.jpeg"),
    ],
)
def test_names_are_shown_without_what_harms(given: str, shown: str) -> None:
    assert shown_name(given) == shown


def add(store: Store, name: str, content: bytes = IMAGE) -> Upload:
    with store.begin(name, len(content)) as incoming:
        incoming.write(content)
        return incoming.finish()


def test_files_lie_under_names_of_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path, Limits())
    upload = add(store, "../../a.PNG")
    assert (upload.name, upload.kind, upload.width, upload.height) == ("a.PNG", "image", 5, 4)
    assert upload.path == tmp_path / upload.key / "image.png" and upload.path.read_bytes() == IMAGE
    assert store.get(upload.key) is upload
    store.remove(upload.key)
    assert not [*tmp_path.iterdir()] and store.all("image") == []
    with pytest.raises(KeyError):
        store.get(upload.key)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("fsrcnn_x3 (2).pth", "fsrcnn_x3 (2).pth"),
        ("größe;x2$HOME.pth", "gr__e_x2_HOME.pth"),
        ("con.pth", "_con.pth"),
    ],
)
def test_weights_keep_what_is_usual_in_their_name(name: str, stored: str) -> None:
    assert stored_name(name, "weights") == stored


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("x.png", IMAGE, r"^x\.png: 5 x 4 pixels, more than the 19 that this page takes; make it smaller"),
        ("x.png", b"no", r"^x\.png: "),
        ("x.mp4", b"#EXTM3U\n", r"^x\.mp4: no video that can be read \(Invalid"),
        ("x.mp4", b"ffconcat version 1.0\nfile a.mp4\n", r"^x\.mp4: no video that can be read"),
        ("x.mp4", b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02", r"^x\.mp4: is an animated image, no video"),
        ("x.onnx", b"", r"^x\.onnx: is no image, video or file of weights by its name"),
    ],
)
def test_what_is_refused_leaves_nothing(name: str, content: bytes, fault: str, tmp_path: Path) -> None:
    store = Store(tmp_path, Limits(pixels=19))
    with pytest.raises(SrtoolboxError, match=fault) as caught:
        add(store, name, content)
    assert str(tmp_path) not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_the_number_of_files_is_limited_those_on_their_way_too(tmp_path: Path) -> None:
    store = Store(tmp_path, Limits(files=1))
    with store.begin("a.png", 1), pytest.raises(SrtoolboxError, match=r"^b\.png: 1 files are here already"):
        store.begin("b.png", 1)
    add(store, "a.png")  # the first has not come
    with pytest.raises(SrtoolboxError, match=r"^b\.png: 1 files are here already"):
        store.begin("b.png", 1)


def test_bytes_are_limited_of_all_that_is_kept_and_comes(tmp_path: Path) -> None:
    store = Store(tmp_path, Limits(bytes=100))
    with pytest.raises(SrtoolboxError, match=r"^a\.png: more than the 100 bytes that this page takes of a file"):
        store.begin("a.png", 101)
    upload = add(store, "a.png")
    upload.path.with_name("result1.png").write_bytes(b"x" * (750 - len(IMAGE)))
    assert not store.is_full()
    with store.begin("b.png", 50), pytest.raises(SrtoolboxError, match=r"^c\.png: this page holds as many bytes"):
        store.begin("c.png", 1)
    upload.path.with_name("result2.png").write_bytes(b"x" * 50)
    assert store.is_full()
    store.remove(upload.key)
    assert not store.is_full()


def test_bytes_are_counted_while_a_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, scandir = Store(tmp_path, Limits()), os.scandir
    gone, left = add(store, "a.png"), add(store, "b.png")

    def scan(folder: Path | str) -> Any:
        if Path(folder) == gone.path.parent:
            gone.path.unlink()
            gone.path.parent.rmdir()
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scan)
    assert not store.is_full()
    assert left.path.exists() and not gone.path.exists()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"weights": "0", "outscale": 17},
        {"weights": "0", "outscale": "2"},
        {"weights": "0", "outscale": float("nan")},
        {"weights": "0", "alpha": 1.5},
        {"weights": "0", "tile": True},
        {"weights": "0", "tile": [1]},
        {"weights": "0", "dtype": "fp8"},
        {"weights": "0", "dtype": []},
        {"weights": "0", "ext": "exe"},
        {"weights": "0", "ext": "jpg", "quality": 0},
        {"weights": "0", "wrap": "z"},
        {"weights": "0", "scale": 2.5},
        {"weights": "0", "transparency": None},
    ],
)
def test_settings_that_are_not_possible(values: dict) -> None:
    with pytest.raises(OptionError):
        Settings.read(values)


def test_settings_as_a_command_line_has_them() -> None:
    settings = Settings.read({"weights": "0", "tile": 0, "outscale": 2, "keep_colour": True})
    others = {"dtype": "fp32", "ensemble": False, "wrap": None}
    assert settings.for_upscaler() == {"tile": None, "keep_colour": True, "outscale": 2, **others}
    assert Settings.read({"weights": "0", "quality": 80}).quality is None  # PNG has none
    assert Settings.read({"weights": "0", "ext": "webp", "quality": 80}).quality == 80


def test_networks_of_a_folder_are_described(espcn: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/net.pth").write_bytes(Path(espcn).read_bytes())
    (tmp_path / "text.pth").write_text("no weights")
    networks = Networks(tmp_path, Store(tmp_path / "store", Limits()))
    assert [each["name"] for each in networks.listed()] == ["a/net.pth", "text.pth"]
    assert networks.describe("0").text == "ESPCN x3, 705 parameters, y, sees 7 px of input"
    described = networks.describe("1")
    assert described.scale is None and described.text.startswith("text.pth: ")
    for key in ("2", "-1", "../x", "9" * 50):
        with pytest.raises(KeyError):
            networks.describe(key)


def test_a_config_tells_what_weights_leave_open(tmp_path: Path) -> None:
    network = {"type": "SRCNN", "scale": 3}
    save_tensors(tmp_path / "net.pth", NETWORKS.build(network).state_dict())
    config = tmp_path / "net.json"
    config.write_text(json.dumps({"model": {"generator": network}}))
    networks = Networks(tmp_path, Store(tmp_path / "store", Limits()), [config])
    assert networks.configs() == [{"key": "0", "name": str(config)}]
    described = networks.describe("0")
    assert described.scale is None and "say it: `Scale of weights`, or an x2 in" in described.text
    assert networks.describe("0", scale=2).text.startswith("SRCNN x2, ")
    assert networks.describe("0", config="0").text.startswith("SRCNN x3, ")
    settings = Settings.read({"weights": "0", "config": "0", "scale": 3, "trial": False})
    assert networks.checkpoint(settings) == Checkpoint(tmp_path / "net.pth", str(config), 3, False, alpha=0.0)
    with pytest.raises(KeyError):
        networks.describe("0", config="1")
    with pytest.raises(SrtoolboxError, match="no such config file"):
        Networks(tmp_path, Store(tmp_path / "store", Limits()), [tmp_path / "missing.py"])


@pytest.mark.slow
def test_weights_of_no_known_network_are_advised_a_config(tmp_path: Path) -> None:
    save_tensors(tmp_path / "strange.pth", {"part.w": torch.zeros(2, 2)})
    networks = Networks(tmp_path, Store(tmp_path / "store", Limits()))
    assert "name its config (`srtoolbox ui --config`)" in networks.describe("0").text


def test_no_job_is_taken_where_the_page_is_full(espcn: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", Limits(bytes=len(IMAGE)))
    upload = add(store, "a.png")
    (tmp_path / "net.pth").write_bytes(Path(espcn).read_bytes())
    queue = Queue(store, Networks(tmp_path, store), "cpu")
    upload.path.with_name("result0.png").write_bytes(b"x" * 7 * len(IMAGE))
    with pytest.raises(SrtoolboxError, match=r"^a\.png: this page holds as many bytes as it takes"):
        queue.add(upload, Settings("0"))
    queue.close()


def test_a_job_that_is_cancelled_last_of_all_stays_so(
    espcn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store", Limits())
    uploads = [add(store, "a.png"), add(store, "b.png")]
    (tmp_path / "net.pth").write_bytes(Path(espcn).read_bytes())
    queue, all_made = Queue(store, Networks(tmp_path, store), "cpu"), threading.Event()

    def make(jobs: Sequence[Job], network: object, device: object, show: Show, settle: Settle) -> None:
        for job in jobs:
            show(job, 1.0)
            made = job.upload.path.with_name("image_sr.png")
            made.write_bytes(IMAGE)
            if job.upload is uploads[0]:
                queue.end(job.key)
            settle(job, made)
        if job.upload is uploads[1]:
            all_made.set()

    monkeypatch.setattr("srtoolbox.apps.ui.queue.make_images", make)
    jobs = [queue.add(upload, Settings("0", trial=False)) for upload in uploads]
    assert all_made.wait(60)
    queue.close()
    assert [job.state for job in jobs] == ["cancelled", "done"] and jobs[0].result is None


def test_notes_are_there_as_soon_as_a_job_is_done(espcn: str, photo: np.ndarray, tmp_path: Path) -> None:
    store = Store(tmp_path, Limits())
    uploads = [add(store, name, encode_image(photo[:40, :40])) for name in ("a.png", "b.png")]
    jobs = [Job(str(number), upload, Settings("0", ext="jpg"), "") for number, upload in enumerate(uploads)]
    noted: dict[str, str] = {}

    def show(job: Job, share: float) -> None:
        job.state = "running"

    def settle(job: Job, made: Path) -> None:
        assert made.exists()
        noted[job.upload.name], job.state = job.message, "done"

    make_images(jobs, Checkpoint(espcn), "cpu", show, settle)
    assert noted["b.png"] == jobs[1].message != ""
    assert jobs[0].message == jobs[1].message.replace("b.png", "a.png")


def test_a_network_ends_between_two_layers_in_its_own_thread_alone() -> None:
    passed = []

    def layer(name: str) -> nn.Module:
        module = nn.Identity()
        module.register_forward_hook(lambda *_: passed.append(name))
        return module

    def look() -> None:
        if "first" in passed:
            raise KeyboardInterrupt

    network = nn.Sequential(layer("first"), layer("second"))
    with ended_between_layers(look):
        with pytest.raises(KeyboardInterrupt):
            network(torch.zeros(1))
        assert passed == ["first"]
        other = threading.Thread(target=network, args=(torch.zeros(1),))
        other.start()
        other.join()
        assert passed == ["first", "first", "second"]
    network(torch.zeros(1))
    assert passed[3:] == ["first", "second"]


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "srtoolbox.apps.ui.server", raising=False)
    assert main(["ui"]) == 2
    assert "the page needs the package uvicorn: pip install 'srtoolbox[ui]'" in capsys.readouterr().err


def test_what_a_killed_server_has_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvicorn", reason="needs the extra 'ui'")
    from srtoolbox.apps.ui import server

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("srtoolbox-ui-killed", "srtoolbox-ui-other", "elsewhere"):
        (tmp_path / name / "files").mkdir(parents=True)
    (tmp_path / "srtoolbox-ui-killed/lock").touch()
    (tmp_path / "elsewhere/lock").touch()
    (tmp_path / "srtoolbox-ui-link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    seen = []

    def ready(address: str, stop: Callable[[], None]) -> None:
        with server.own_folder():  # of another server
            seen.extend(path.name for path in tmp_path.iterdir())
        stop()

    server.serve(ready=ready, device="cpu")
    ours = [name for name in seen if name not in ("srtoolbox-ui-other", "srtoolbox-ui-link", "elsewhere")]
    assert len(seen) == 5 and len(ours) == 2 and "srtoolbox-ui-killed" not in seen
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "srtoolbox-ui-link", "srtoolbox-ui-other"]


def test_a_video_of_another_container_is_refused_whatever_its_name(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", number=2, audio=None).read_bytes()
    with pytest.raises(SrtoolboxError, match=r"^x\.mp4: no video that can be read"):
        add(Store(tmp_path / "store", Limits()), "x.mp4", clip)
