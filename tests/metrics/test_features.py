"""Feature distance: against numpy over torchvision's features, and with real weights on blurred photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srtoolbox.errors import ConfigError
from srtoolbox.features import FeatureNetwork
from srtoolbox.image import to_tensor
from srtoolbox.image.pixels import gaussian_blur
from srtoolbox.registry import METRICS
from tests.features.test_features import SQUEEZENET

LAYERS = ["relu1", "fire4"]
CFG = {"type": "FeatureDistance", "backbone": "squeezenet1_0", "layers": LAYERS, "weights": "random"}


def images(photo) -> list[torch.Tensor]:
    return [to_tensor(gaussian_blur(photo, 1.0))[..., 50:170, 60:200], to_tensor(photo)[..., 50:170, 60:200]]


@pytest.mark.parametrize("border", [0, 4])
def test_against_numpy(photo, border):
    metric = METRICS.build({**CFG, "crop_border": border})
    pred, target = images(photo)
    network = FeatureNetwork("squeezenet1_0", LAYERS, weights="random")
    expected = []
    for name in LAYERS:
        inner = slice(border, -border or None)
        unit = []
        for image in (pred, target):
            values = network(image[..., inner, inner])[name][0].double().numpy()
            unit.append(values / np.sqrt((values**2).sum(0)))
        expected.append(((unit[0] - unit[1]) ** 2).sum(0).mean())
    score = metric(pred, target)
    assert score.shape == (1,) and score.dtype == torch.float64
    assert score.item() == pytest.approx(np.mean(expected), rel=1e-4)
    assert metric(target, target).item() == 0


def test_batches_and_rounding(photo):
    metric = METRICS.build(CFG)
    pred, target = images(photo)
    batch = metric(torch.cat([target, pred]), torch.cat([target, target]))
    assert batch[0] == 0 and batch[1].item() == pytest.approx(metric(pred, target).item(), rel=1e-4)
    assert torch.equal(metric(pred + 0.3 / 255, target), metric(pred, target))
    with torch.inference_mode():
        assert METRICS.build(CFG)(pred, target).item() == metric(pred, target).item()


def test_real_features_see_more_the_more_it_is_blurred(weights_root, photo):
    path = weights_root / SQUEEZENET
    if not path.is_file():
        pytest.skip(f"needs {SQUEEZENET} in SRTOOLBOX_WEIGHTS")
    metric = METRICS.build({**CFG, "layers": ["fire3", "fire6", "fire9"], "weights": str(path)})
    target = to_tensor(photo)
    scores = [metric(to_tensor(gaussian_blur(photo, sigma)), target).item() for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert 0 < scores[0] < scores[1] < scores[2] < scores[3] < 2
    # a shift of brightness that PSNR takes for as bad as the strongest blur is nearly nothing here
    brighter = np.clip(photo.astype(int) + 12, 0, 255).astype(np.uint8)
    assert metric(to_tensor(brighter), target).item() < scores[1]


def test_checking_and_building_read_no_weights(tmp_path):
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights at all")
    assert METRICS.get("FeatureDistance").check({**CFG, "weights": str(broken)}, {}) == []
    METRICS.build({**CFG, "weights": str(broken)})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"layers": ["fire44"]}, "Did you mean 'fire4'"),
        ({"layers": "fire4"}, "at least one layer"),
        ({"backbone": "squeezenet"}, "Did you mean 'squeezenet1_"),
        ({"weights": "absent.pth"}, "no such file"),
        ({"crop_border": -1}, "crop_border=-1"),
    ],
)
def test_faults(change, told):
    (fault,) = METRICS.get("FeatureDistance").check({**CFG, **change}, {})
    assert told in fault
    with pytest.raises(ConfigError, match=told):
        METRICS.build({**CFG, **change})
