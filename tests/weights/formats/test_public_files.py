"""Public files, opened by name alone, give the figures that were measured with their authors' code on Set5.

Luma networks by `y_direct`: their figures in `rgb` are for a chroma upscaled in 8 bits, see test_public_weights.py.
"""

from __future__ import annotations

import ast
import logging
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.engine.evaluate import build_metrics, evaluate, means
from srtoolbox.errors import CheckpointError
from srtoolbox.image import rgb_to_y, to_tensor
from srtoolbox.interfaces import facts_of
from srtoolbox.registry import DATASETS, NETWORKS
from srtoolbox.weights import contest
from srtoolbox.weights.contest import sample_for, score_on
from srtoolbox.weights.load import load_network, read_network
from srtoolbox.weights.state_dicts import state_for
from srtoolbox.weights.trial import CONVENTIONS, LAST, RGB_CONVENTIONS, try_on_photograph
from tests.models.networks.test_public_weights import built
from tests.weights.formats.public_files import COMPACT, FSRCNN, IMDN, SAFMNPP, SRGAN, VDSR

pytestmark = pytest.mark.data

SRCNN = "amanshenoy_image-super-resolution__isr_best.pth"


@pytest.mark.parametrize(
    ("file", "scale", "sentence", "figures"),
    [
        (FSRCNN, None, "FSRCNN, yjn870's names, x2, 56 features, luma", {"y_direct": 37.065}),
        (IMDN, None, "IMDN, x4, 6 blocks", {"rgb": 32.211}),
        (SRGAN, None, "SRGAN's generator, leftthomas' names, x4, 5 blocks", {"rgb": 30.657}),
        (SAFMNPP, None, "SAFMN++, x4, 2 blocks, 32 features, EMA weights", {"rgb": 30.423}),
        (COMPACT, None, "SRVGGNetCompact, x4, 16 blocks", {"rgb": 28.250}),
    ],
)
def test_figures(
    data_root: Path,
    weights_root: Path,
    caplog: pytest.LogCaptureFixture,
    file: str,
    scale: int | None,
    sentence: str,
    figures: dict[str, float],
) -> None:
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    network = load_network(weights_root / file, scale=scale)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"{file}: {sentence}") and "as assumed" not in told
    scale = network.scale
    folders = {"gt": f"{data_root}/Set5/HR/X{scale}", "lq": f"{data_root}/Set5/LR_bicubic/X{scale}"}
    dataset = DATASETS.build({"type": "PairedDataset", "scale": scale, **folders})
    kinds = {protocol: {"type": "PSNR", "crop_border": scale, "protocol": protocol} for protocol in figures}
    measured = means(evaluate(network, dataset, build_metrics(kinds)))
    for protocol, psnr in figures.items():
        assert measured[protocol] == pytest.approx(psnr, abs=0.005)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_vdsr_is_the_network_whose_figures_are_measured(
    weights_root: Path, photo: np.ndarray, caplog: pytest.LogCaptureFixture, scale: int
) -> None:
    """Those of test_public_weights.py: equal weights and settings, and an equal image."""
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    network = load_network(weights_root / VDSR, scale=scale)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"{VDSR}: VDSR, twtygqyy's names, x{scale}, 18 blocks, luma") and "as assumed" not in told
    measured = built(weights_root, VDSR, "VDSR", scale, input_range=(16 / 255, 235 / 255))
    assert facts_of(network) == facts_of(measured)
    lq = rgb_to_y(to_tensor(photo[:24, :31]))
    with torch.inference_mode():
        assert torch.equal(network(lq), measured(lq))


def test_srcnn_needs_to_be_told_its_scale(weights_root: Path) -> None:
    network = load_network(weights_root / SRCNN, scale=2)
    assert (network.scale, network.colour, network.conv1.padding_mode) == (2, "rgb", "zeros")
    with pytest.raises(CheckpointError, match="fit any scale"):
        load_network(weights_root / SRCNN)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("songhan_SqueezeNet-Deep-Compression__squeezenet1_0.converted.pth", "a SqueezeNet for classification"),
    ],
)
def test_what_has_no_network_here(weights_root: Path, file: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_network(weights_root / file)


def test_the_commands_take_such_a_file(
    data_root: Path, weights_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    image = data_root / "Set5/LR_bicubic/X4/img_003.png"
    assert main(["upscale", str(weights_root / IMDN), str(image), "-o", str(tmp_path)]) == 0
    bicubic = ["bicubic/bicubic_x4.py", f"data_root={data_root}", "--datasets", "set5"]
    assert main(["test", *bicubic, str(weights_root / IMDN)]) == 0
    assert "32.21" in capsys.readouterr().out


OWNERS = {
    "yjn870": FSRCNN,
    "twtygqyy": VDSR,
    "Zheng222": IMDN,
    "amanshenoy": SRCNN,
    "leftthomas": SRGAN,
    "sunny2109": SAFMNPP,
    "xinntao": COMPACT,
}
ROWS = re.findall(
    r"^\| (\w+) [^|]*\| (\d) \| ([^|]*)\| ([^|]*)\| (\d+) \|$",
    (Path(__file__).parents[3] / "docs/other_weights.md").read_text(encoding="utf-8"),
    re.M,
)


@pytest.mark.parametrize(("owner", "scale", "way", "gain", "match"), ROWS)
def test_the_table_of_trials_is_true(
    weights_root: Path, owner: str, scale: str, way: str, gain: str, match: str
) -> None:
    """Each row is the score of what a trial begins with."""
    file = read_network(weights_root / OWNERS[owner], scale=int(scale), trial=False, quiet=True)
    config, named = file.config, {**CONVENTIONS, **RGB_CONVENTIONS, **LAST["rgb"]}
    if way.strip() in named:
        config = {"type": "Adapter", "scale": int(scale), "network": config, **named[way.strip()]}
    elif way.strip():
        key, value = way.strip().split("=")
        config = {**config, key: ast.literal_eval(value)}
    network = NETWORKS.build(config)
    network.load_state_dict(state_for(config, file.tensors))
    score = score_on(network, sample_for(network))
    assert score.match == pytest.approx(float(match), abs=0.6)
    assert score.gain == (pytest.approx(float(gain), abs=0.06) if gain.strip() else -math.inf)


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "scale"), {row[0]: row[1] for row in reversed(ROWS) if row[1] != "1"}.items())
def test_a_part_of_the_photograph_leads_to_the_same_network(
    weights_root: Path, owner: str, scale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of networks that cost much: from each of a network's hidden arguments."""
    file = read_network(weights_root / OWNERS[owner], scale=int(scale), trial=False, quiet=True)
    hidden = getattr(NETWORKS.get(file.config["type"]), "hidden_arguments", {})
    for key, values in {"scale": [int(scale)], **hidden}.items():
        for value in values:
            config = {**file.config, key: value}
            with monkeypatch.context() as patch:
                on_all = try_on_photograph(config, file.tensors)
                patch.setattr(contest, "AFFORDABLE", 0)
                patch.setattr(contest, "AFFORDABLE_PART", 0)
                few = try_on_photograph(config, file.tensors)
                assert (few.config, few.score) == (on_all.config, on_all.score)


def test_the_table_of_trials_was_found() -> None:
    assert len(ROWS) == 19
