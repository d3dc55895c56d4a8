"""What the page for upscaling takes: names, kinds, sizes, settings. The page itself: `test_ui_browser`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.apps.ui.jobs import Settings
from srtoolbox.apps.ui.store import Limits, Store, shown_name
from srtoolbox.apps.ui.weights import Networks
from srtoolbox.cli import main
from srtoolbox.errors import OptionError, SrtoolboxError
from srtoolbox.image import encode_image

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


def test_files_lie_under_names_of_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", Limits())
    upload = store.add("../../a.PNG", io.BytesIO(IMAGE))
    assert (upload.name, upload.kind, upload.width, upload.height) == ("a.PNG", "image", 5, 4)
    assert upload.path == tmp_path / "store" / upload.key / "image.png" and upload.path.read_bytes() == IMAGE
    assert store.get(upload.key) is upload and store.bytes() == len(IMAGE)
    store.remove(upload.key)
    assert not [*(tmp_path / "store").iterdir()] and store.all("image") == []
    with pytest.raises(KeyError):
        store.get(upload.key)


def test_of_the_name_of_weights_the_scale_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, Limits())
    names = ["fsrcnn_X3.pth", "net.pth", "a_x64.pt", "../x2/net.pth"]
    kept = [store.add(name, io.BytesIO(b"")).path.name for name in names]
    assert kept == ["weights_x3.pth", "weights.pth", "weights.pt", "weights.pth"]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("x.png", IMAGE, r"^x\.png: 5 x 4 pixels, more than the 19 that this page takes; make it smaller"),
        ("x.png", b"no", r"^x\.png: "),
        ("x.mp4", b"#EXTM3U\n", r"^x\.mp4: is no video"),
        ("x.onnx", b"", r"^x\.onnx: is no image, video or file of weights by its name"),
    ],
)
def test_what_is_refused_leaves_nothing(name: str, content: bytes, fault: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", Limits(pixels=19))
    with pytest.raises(SrtoolboxError, match=fault) as caught:
        store.add(name, io.BytesIO(content))
    assert str(tmp_path) not in str(caught.value)
    assert not [*tmp_path.rglob("*.*")]


def test_the_number_of_files_is_limited(tmp_path: Path) -> None:
    store = Store(tmp_path, Limits(files=1))
    store.add("a.png", io.BytesIO(IMAGE))
    with pytest.raises(SrtoolboxError, match=r"^b\.png: 1 files are here already"):
        store.add("b.png", io.BytesIO(IMAGE))


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
    ],
)
def test_settings_that_are_not_possible(values: dict) -> None:
    with pytest.raises(OptionError):
        Settings.read(values)


def test_settings_as_a_command_line_has_them() -> None:
    settings = Settings.read({"weights": "0", "tile": 0, "outscale": 2, "keep_colour": True})
    assert settings.for_upscaler() == {"tile": None, "dtype": "fp32", "keep_colour": True, "outscale": 2}


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


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "srtoolbox.apps.ui.server", raising=False)
    assert main(["ui"]) == 2
    assert "the page needs the package uvicorn: pip install 'srtoolbox[ui]'" in capsys.readouterr().err
