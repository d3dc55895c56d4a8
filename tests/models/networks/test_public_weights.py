"""Networks with weights that others trained, on Set5: the figures measured with the authors' own code.

Keys are renamed here by hand, independently of `srtoolbox.weights.formats`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from srtoolbox.engine.evaluate import build_metrics, evaluate, means
from srtoolbox.image import rgb_to_ycbcr, to_image, to_tensor, ycbcr_to_rgb
from srtoolbox.io.tensor_files import load_tensors
from srtoolbox.registry import DATASETS, METRICS, NETWORKS
from srtoolbox.resize import imresize
from tests.weights.formats.public_files import COMPACT, FSRCNN, IMDN, SRGAN, VDSR

pytestmark = pytest.mark.data


def built(weights_root, file, name, scale, rename=lambda key: key, **arguments):
    network = NETWORKS.build({"type": name, "scale": scale, **arguments})
    state = load_tensors(weights_root / file)
    state = {rename(key): value for key, value in state.get("params", state).items()}
    # some files are older than this counter, which only a momentum of None would use
    counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    network.load_state_dict({**counters, **state})
    return network.eval()


def set5(data_root, scale):
    folders = {"gt": f"{data_root}/Set5/HR/X{scale}", "lq": f"{data_root}/Set5/LR_bicubic/X{scale}"}
    return DATASETS.build({"type": "PairedDataset", "scale": scale, **folders})


def scores(network, data_root, protocol) -> dict[str, float]:
    kinds = {name: {"type": name, "crop_border": network.scale, "protocol": protocol} for name in ("PSNR", "SSIM")}
    return means(evaluate(network, set5(data_root, network.scale), build_metrics(kinds)))


def leftthomas(key: str) -> str:
    block, rest = key.split(".", 1)
    number = int(block.removeprefix("block"))
    if number == 1:
        return rest.replace("0.", "conv_first.").replace("1.", "act_first.")
    if number == 7:
        return rest.replace("0.", "conv_body.").replace("1.", "act_body.")
    if number == 8:
        return rest.replace("2.", "conv_last.") if rest[0] == "2" else f"upsample.{rest.replace('prelu', 'act')}"
    return f"body.{number - 2}.{rest.replace('prelu', 'act')}"


@pytest.mark.parametrize(
    ("file", "config", "protocol", "psnr", "ssim"),
    [
        (FSRCNN, ("FSRCNN", 2), "y_direct", 37.065, 0.9556),
        pytest.param(VDSR, ("VDSR", 2), "y_direct", 37.538, None, marks=pytest.mark.slow),
        (VDSR, ("VDSR", 3), "y_direct", 33.726, None),
        pytest.param(VDSR, ("VDSR", 4), "y_direct", 31.423, None, marks=pytest.mark.slow),
        (COMPACT, ("SRVGGNetCompact", 4), "rgb", 28.250, None),
    ],
)
def test_keys_as_published(data_root, weights_root, file, config, protocol, psnr, ssim):
    more = {"input_range": (16 / 255, 235 / 255)} if file == VDSR else {}
    measured = scores(built(weights_root, file, *config, **more), data_root, protocol)
    assert measured["PSNR"] == pytest.approx(psnr, abs=0.002)
    assert ssim is None or measured["SSIM"] == pytest.approx(ssim, abs=0.0001)


def test_imdn(data_root, weights_root):
    """Also what the paper prints: 32.21 dB, 0.8948."""
    network = built(weights_root, IMDN, "IMDN", 4, lambda key: key.removeprefix("module."))
    measured = scores(network, data_root, "rgb")
    assert (measured["PSNR"], measured["SSIM"]) == (pytest.approx(32.211, abs=0.002), pytest.approx(0.8948, abs=0.0001))


def test_srgan_generator(data_root, weights_root):
    options = {"num_blocks": 5, "bias": True, "body_end": "prelu", "output": "tanh"}
    network = built(weights_root, SRGAN, "SRResNet", 4, leftthomas, **options)
    measured = scores(network, data_root, "rgb")
    assert (measured["PSNR"], measured["SSIM"]) == (pytest.approx(30.657, abs=0.002), pytest.approx(0.8642, abs=0.0001))


@pytest.mark.parametrize(
    ("file", "name", "scale", "psnr"),
    [
        (FSRCNN, "FSRCNN", 2, 37.121),
        pytest.param(VDSR, "VDSR", 2, 37.591, marks=pytest.mark.slow),
        pytest.param(VDSR, "VDSR", 4, 31.441, marks=pytest.mark.slow),
    ],
)
def test_luma_networks_in_rgb(data_root, weights_root, file, name, scale, psnr):
    """Measured with the chroma of an image upscaled in 8 bits; in float, as ours is, luma gains up to 0.017 dB."""
    network = built(weights_root, file, name, scale)
    remember(network)
    metric = METRICS.build({"type": "PSNR", "crop_border": scale})
    values = []
    for sample in map(set5(data_root, scale).__getitem__, range(5)):
        values.append(metric(_in_rgb(network, sample["lq"], sample["gt"].shape[:2]), to_tensor(sample["gt"])).item())
    eight_bit = float(np.mean(values))
    assert eight_bit == pytest.approx(psnr, abs=0.002)
    assert 0 < scores(network, data_root, "rgb")["PSNR"] - eight_bit < 0.02


def remember(network: torch.nn.Module) -> None:
    """Let a network give what it has given for an equal image without computing it again."""
    forward, results = network.forward, {}

    def remembered(lq: Tensor) -> Tensor:
        key = lq.numpy().tobytes()
        if key not in results:
            results[key] = forward(lq)
        return results[key].clone()

    network.forward = remembered


def _in_rgb(network: torch.nn.Module, lq: np.ndarray, size: tuple[int, int]) -> Tensor:
    with torch.inference_mode():
        luma = network(rgb_to_ycbcr(to_tensor(lq))[:, :1])
    upscaled = imresize(np.ascontiguousarray(lq), size=size)
    assert upscaled.dtype == np.uint8
    return to_tensor(to_image(ycbcr_to_rgb(torch.cat([luma, rgb_to_ycbcr(to_tensor(upscaled))[:, 1:]], 1)), bits=8))
