"""Metrics of pyiqa that need no truth, over a stand-in with its interface; the library's own numbers are its affair."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from srtoolbox.devices import tell_once
from srtoolbox.errors import SrtoolboxError
from srtoolbox.metrics.learned import BlindMetric
from srtoolbox.registry import METRICS

NAMES = {"BRISQUE": "brisque", "MUSIQ": "musiq", "MANIQA": "maniqa", "CLIPIQA": "clipiqa", "TOPIQ": "topiq_nr"}
PAGE = Path(__file__).parents[2] / "docs/metrics.md"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The calls of a stand-in for pyiqa that scores by the mean, as (N, 1); empty folders of weights."""
    calls: list[object] = []

    def create_metric(name, device):
        def measure(pred):
            calls.append(pred)
            return pred.mean((1, 2, 3))[:, None]

        calls.append(name)
        return measure

    spec = ModuleSpec("pyiqa", None)
    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric, __spec__=spec))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    tell_once.cache_clear()
    return calls


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_at_once_as_saved(asked, name):
    pred = torch.rand(3, 3, 20, 20)
    metric = METRICS.build({"type": name, "crop_border": 2, "download": True})
    scores = metric(pred)
    metric(pred, torch.zeros(1))
    assert asked[0] == NAMES[name] and len(asked) == 3, "it is made once, and looks at no target"
    torch.testing.assert_close(asked[1], (pred[..., 2:-2, 2:-2] * 255).round() / 255)
    assert scores.dtype == torch.float64
    torch.testing.assert_close(scores, asked[1].mean((1, 2, 3)).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_missing_are_named_and_not_fetched(asked, name, tmp_path):
    metric, entry = METRICS.build({"type": name}), METRICS.get(name)
    with pytest.raises(SrtoolboxError, match=rf"{name}: weights are missing here. Put .*or .*download=True") as error:
        metric(torch.rand(1, 3, 8, 8))
    text = str(error.value)
    assert Path(entry.file).name in text and str(tmp_path / "torch" / Path(entry.file).parent) in text
    assert asked == []
    (fault,) = entry.check({"type": name}, {})
    assert (fault.key, fault.message) == ("type", text)
    assert entry.check({"type": name, "download": True}, {}) == []
    file = tmp_path / "torch" / entry.file
    file.parent.mkdir(parents=True)
    file.touch()
    if entry.backbone:
        folder = tmp_path / "hub" / f"models--{entry.backbone.replace('/', '--')}"
        assert str(folder.parent) in text and folder.name in entry.check({"type": name}, {})[0].message
        folder.mkdir(parents=True)
    assert entry.check({"type": name}, {}) == []
    assert metric(torch.rand(1, 3, 8, 8)).shape == (1,)


def test_a_missing_library_is_a_fault_of_the_config(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    (fault,) = METRICS.get("MUSIQ").check({"type": "MUSIQ"}, {})
    assert "pip install 'srtoolbox[metrics]', then pip install --no-deps pyiqa" in fault.message


def test_the_licence_is_told_once_and_two_opencvs_are_warned_of(asked, monkeypatch, caplog):
    installed = {"opencv-python"}
    monkeypatch.setattr(importlib.metadata, "distributions", lambda name: iter([name] if name in installed else []))
    caplog.set_level(logging.INFO)
    for _ in range(2):
        METRICS.build({"type": "MUSIQ", "download": True})(torch.rand(1, 3, 8, 8))
    assert caplog.text.count("noncommercial purposes only") == 1 and "opencv" not in caplog.text
    installed.add("opencv-python-headless")
    METRICS.build({"type": "BRISQUE", "download": True})(torch.rand(1, 3, 8, 8))
    assert "Keep one: pip uninstall -y opencv-python opencv-python-headless" in caplog.text


def test_one_score_for_several_images_is_refused(asked, monkeypatch):
    monkeypatch.setattr(sys.modules["pyiqa"], "create_metric", lambda *_, **__: torch.mean)
    with pytest.raises(SrtoolboxError, match=r"MUSIQ: pyiqa gave \(\) for 2 images"):
        METRICS.build({"type": "MUSIQ", "download": True})(torch.rand(2, 3, 8, 8))


def test_what_a_network_refuses_is_told_with_its_size_and_no_shortage_of_memory_is(asked, monkeypatch):
    errors = iter([ValueError("kernel too large\nframes"), torch.OutOfMemoryError("CUDA out of memory")])
    library = sys.modules["pyiqa"]

    def create_metric(*_, **__):
        def refuse(pred):
            raise next(errors)

        return refuse

    monkeypatch.setattr(library, "create_metric", create_metric)
    metric = METRICS.build({"type": "MUSIQ", "crop_border": 1, "download": True})
    sentence = r"MUSIQ: pyiqa cannot score an image of 9x6 px \(borders cut\) \(ValueError: kernel too large\): leave"
    with pytest.raises(SrtoolboxError, match=sentence):
        metric(torch.rand(1, 3, 8, 11))
    with pytest.raises(torch.OutOfMemoryError):
        metric(torch.rand(1, 3, 8, 11))


def test_the_page_tells_their_directions_and_ranges():
    row = re.compile(r"^\| `(\w+)` \|.*\| (lower|higher) \| about (\d+) to (\d+) \| pyiqa \|", re.M)
    rows = row.findall(PAGE.read_text("utf-8"))
    told = {name: (better == "higher", (float(low), float(high))) for name, better, low, high in rows}
    classes = {name: METRICS.get(name) for name in NAMES}
    assert all(issubclass(entry, BlindMetric) for entry in classes.values())
    assert told == {name: (entry.higher_is_better, entry.score_range) for name, entry in classes.items()}
