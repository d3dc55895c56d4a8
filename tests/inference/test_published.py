"""Other people's figures and weights on Set5 and Set14: the bicubic baseline, and SRCNN with public weights.

Other networks with public weights: tests/models/networks/test_public_weights.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from srtoolbox.image import expand_gray, read_image, to_tensor
from srtoolbox.inference.restore import restore
from srtoolbox.io.tensor_files import load_tensors
from srtoolbox.models.networks.bicubic import Bicubic
from srtoolbox.models.networks.srcnn import SRCNN
from srtoolbox.registry import METRICS

pytestmark = pytest.mark.data


def pairs(root: Path, name: str, scale: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(lq, gt) of a benchmark set, gray images as three equal channels."""
    folders = root / name / "LR_bicubic" / f"X{scale}", root / name / "HR" / f"X{scale}"
    files = [sorted(folder.glob("*.png")) for folder in folders]
    assert len(files[0]) == len(files[1]) == {"Set5": 5, "Set14": 14}[name]
    return [tuple(to_tensor(expand_gray(read_image(path))) for path in pair) for pair in zip(*files, strict=True)]


def mean_scores(network: nn.Module, root: Path, name: str, scale: int) -> list[float]:
    """PSNR and SSIM by protocol `rgb`, luma, crop = scale."""
    metrics = [METRICS.build({"type": kind, "crop_border": scale}) for kind in ("PSNR", "SSIM")]
    with torch.inference_mode():
        scores = [
            [metric(restore(network, lq).rgb, gt).item() for metric in metrics] for lq, gt in pairs(root, name, scale)
        ]
    return np.mean(scores, axis=0).tolist()


@pytest.mark.parametrize(
    ("name", "scale", "psnr", "ssim"),
    [
        ("Set5", 2, 33.679, 0.9304),
        ("Set5", 3, 30.406, 0.8690),
        ("Set5", 4, 28.432, 0.8113),
        ("Set14", 2, 30.329, 0.8700),
        ("Set14", 3, 27.635, 0.7760),
        ("Set14", 4, 26.093, 0.7049),
    ],
)
def test_bicubic_baseline(data_root, name, scale, psnr, ssim):
    measured = mean_scores(Bicubic(scale), data_root, name, scale)
    assert measured == [pytest.approx(psnr, abs=0.003), pytest.approx(ssim, abs=0.0005)]


def test_srcnn_with_public_weights(data_root, weights_root):
    """SRCNN 9-5-5, 128-64, RGB by amanshenoy, trained for x2 on what PIL's bicubic upscales, with zero padding."""
    state = load_tensors(weights_root / "amanshenoy_image-super-resolution__isr_best.pth")
    network = SRCNN(2, (9, 5, 5), channels=(128, 64), colour="rgb", padding="zeros")
    network.load_state_dict({key.replace("layer_", "conv"): value for key, value in state.items()})
    metric = METRICS.build({"type": "PSNR", "crop_border": 2})
    scores = []
    for gt_path in sorted((data_root / "Set5" / "HR" / "X2").glob("*.png")):
        with Image.open(gt_path) as image:
            width, height = image.size
            small = image.resize((width // 2, height // 2), Image.Resampling.BICUBIC)
            bicubic = to_tensor(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)))
            gt = to_tensor(np.asarray(image))
        with torch.inference_mode():
            scores.append([metric(image, gt).item() for image in (network(bicubic, size=(height, width)), bicubic)])
    ours, pil = np.mean(scores, axis=0)
    assert ours > pil + 1.0, f"network {ours:.3f} dB, PIL's bicubic {pil:.3f} dB"
