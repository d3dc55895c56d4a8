"""Drawings from Python, as a notebook makes them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from srtoolbox.apps.visualize import animate_features, animate_training, compare_networks, draw_filters
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image, write_image
from srtoolbox.inference.upscaler import upscale
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.checkpoint import save_checkpoint
from srtoolbox.weights.interpolate import Interpolator
from srtoolbox.weights.load import load_network

DOCS = Path(__file__).parents[2] / "docs"
NETWORK = {"type": "ESPCN", "scale": 2, "kernels": [3, 3], "channels": [4], "colour": "rgb"}


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three checkpoints and a photograph, in the current folder."""
    for seed, name in enumerate(("best", "psnr", "gan")):
        torch.manual_seed(seed)
        tensors = NETWORKS.build(NETWORK).state_dict()
        config = json.dumps({"model": {"generator": NETWORK}})
        state = {"iter": seed, "config": config, "networks": {"generator": tensors}}
        save_checkpoint(tmp_path / f"{name}.pth", state)
    write_image(tmp_path / "photo.png", photo[:41, :60])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code_of(page: str, heading: str, language: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8").partition(heading)[2]
    return re.search(rf"```{language}\n(.*?)```", text, re.S)[1]


def test_the_code_of_the_page_on_drawings_runs(folder: Path) -> None:
    exec(code_of("visualize.md", "## From Python", "py"), {})
    assert read_image(folder / "features.png").shape[2] == 3
    assert read_image(folder / "comparison.png").shape[1] > 4 * 240  # input, bicubic, network, truth
    assert (folder / "scan.gif").stat().st_size > 1000


def test_the_code_of_the_page_on_interpolation_runs(folder: Path) -> None:
    exec(code_of("interp.md", "From Python:", "python"), {})
    weights = [load_network(f"{name}.pth").conv1.weight for name in ("psnr", "gan", "between")]
    torch.testing.assert_close(weights[2], 0.2 * weights[0] + 0.8 * weights[1])
    network = Interpolator(["psnr.pth", "gan.pth"]).network_at((1, 0))
    assert torch.equal(network.conv1.weight, weights[0])


def test_a_drawing_says_what_it_shows(folder: Path) -> None:
    sheet = draw_filters(load_network("best.pth"), width=30)
    assert sheet.caption == "4 of 4 filters of conv1, 3 x 3 over 3 channels"
    (frame,) = sheet.frames
    assert frame.dtype == np.uint8 and frame.shape[2] == 3


def test_networks_of_several_scales_are_not_compared(folder: Path) -> None:
    networks = {scale: NETWORKS.build({**NETWORK, "scale": scale}) for scale in (2, 3)}
    with pytest.raises(SrtoolboxError, match="several scales: 2 x2, 3 x3"):
        compare_networks(["photo.png"], networks)


NOISE = [{"type": "GaussianNoise", "sigma": [25, 25]}]


def test_a_denoiser_is_compared_on_degraded_images(folder: Path, photo: np.ndarray) -> None:
    """On what an evaluation gives it; the input is not shown a second time as bicubic's."""
    network = NETWORKS.build({"type": "SRVGGNetCompact", "scale": 1, "num_features": 4, "num_blocks": 1})
    (sheet,) = compare_networks(["photo.png"], {"net": network}, are_truth=True, degradations=NOISE, width=60).frames
    noisy = GTOnlyDataset(".", 1, degradations=NOISE).whole(0)["lq"]
    shown = [noisy, upscale(network, noisy), photo[:41, :60]]
    places = [
        np.argwhere((sliding_window_view(sheet, image.shape)[..., 0, :, :, :] == image).all((2, 3, 4)))
        for image in shown
    ]
    assert [len(found) for found in places] == [1, 1, 1]
    assert places[0][0][1] < places[1][0][1] < places[2][0][1]
    assert sheet.shape[1] < 4 * 60
    with pytest.raises(SrtoolboxError, match="degradations are for true images"):
        compare_networks(["photo.png"], {"net": network}, degradations=NOISE)


def test_a_denoisers_training_has_no_column_of_bicubic(folder: Path, photo: np.ndarray) -> None:
    kept = folder / "snapshots/patches/cat"
    widths = []
    for number in (20, 10):  # of the input: at scale 1 and at 2
        kept.mkdir(parents=True, exist_ok=True)
        write_image(kept / "input.png", photo[:number, :number])
        for name in ("truth", "bicubic", "iter_000000"):
            write_image(kept / f"{name}.png", photo[:20, :20])
        widths.append(animate_training(folder, width=200).frames[0].shape[1])
    assert 3 * 200 < widths[0] < 4 * 200 < widths[1]


def test_maps_over_a_training_need_the_name_of_a_layer(folder: Path) -> None:
    with pytest.raises(SrtoolboxError, match="a layer says which maps"):
        animate_features(folder, read_image("photo.png"))
