"""The adapters of pyiqa, over a stand-in that has its interface; the library's own numbers are its own affair."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.registry import METRICS

NAMES = {"LPIPS": "lpips", "DISTS": "dists"}


@pytest.fixture
def library(monkeypatch):
    """A stand-in for pyiqa that notes what it is asked for and given, and scores by the mean difference."""
    asked = []

    def create_metric(name, device):
        def measure(pred, target=None):
            asked.append((name, pred, target))
            return (pred - target).mean((1, 2, 3)) if target is not None else pred.mean().reshape(1, 1)

        asked.append((name, str(device)))
        return measure

    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric))
    return asked


@pytest.mark.parametrize("name", NAMES)
def test_images_as_saved_one_by_one(library, name):
    pred, target = torch.rand(2, 3, 20, 20), torch.rand(2, 3, 20, 20)
    metric = METRICS.build({"type": name, "crop_border": 2})
    scores = metric(pred, target)
    metric(pred, target)
    assert library[0] == (NAMES[name], "cpu")
    assert len(library) == 5, "it is made once"
    saved, truth = ((image[..., 2:-2, 2:-2] * 255).round() / 255 for image in (pred, target))
    for index, (_, first, second) in enumerate(library[1:3]):
        torch.testing.assert_close(first[0], saved[index])
        assert second is not None
    expected = saved.mean((1, 2, 3)) - truth.mean((1, 2, 3))
    torch.testing.assert_close(scores, expected.double(), rtol=1e-3, atol=1e-6)
    assert metric.higher_is_better is False


def test_the_network_of_lpips(library):
    METRICS.build({"type": "LPIPS", "net": "vgg"})(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))
    assert library[0][0] == "lpips-vgg"
    with pytest.raises(ConfigError, match="allowed: alex, vgg"):
        METRICS.build({"type": "LPIPS", "net": "resnet"})


def test_a_missing_library_and_missing_weights_are_told(monkeypatch):
    images = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(SrtoolboxError, match=r"pip install 'srtoolbox\[metrics\]'"):
        METRICS.build({"type": "LPIPS"})(*images)

    def refuse(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=refuse))
    with pytest.raises(SrtoolboxError, match=r"cannot make 'dists' \(OSError: Name or service.*copy its files to"):
        METRICS.build({"type": "DISTS"})(*images)
