"""LPIPS, DISTS and the contextual loss against formulas in NumPy and another library, and their files of weights."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.engine.step import graph
from srtoolbox.errors import CheckpointError, ConfigError
from srtoolbox.features import FeatureNetwork, L2Pool2d
from srtoolbox.features.backbones import filled_backbone
from srtoolbox.features.channel_weights import DISTS, LPIPS, Judge, load_channel_weights
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.losses import contextual
from srtoolbox.registry import LOSSES
from tests.engine.recorded import RecordedGraphs
from tests.engine.runs import differing, final_state, run

RANDOM = {"weights": "random", "channel_weights": "random"}
SMALL_LPIPS = {"type": "LPIPSLoss", "net": "squeeze", **RANDOM}
SMALL_CONTEXTUAL = {
    "type": "ContextualLoss", "backbone": "squeezenet1_1", "layers": {"relu1": 1.0, "fire3": 0.5}, "weights": "random",
}  # fmt: skip
QUICK = [SMALL_LPIPS, SMALL_CONTEXTUAL]
ALL = [*QUICK, pytest.param({"type": "DISTSLoss", **RANDOM}, marks=pytest.mark.slow)]


def pair(size: tuple[int, int] = (40, 36)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, *size, generator=generator)
    return (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1), target


def named(value: object) -> str:
    return str(value["type"]) if isinstance(value, dict) else ""


def features_of(backbone: str, layers: list[str], *images: Tensor) -> list[list[np.ndarray]]:
    network = FeatureNetwork(backbone, layers, weights="random")
    return [[value.double().numpy() for value in network(image).values()] for image in images]


def lpips(net: str, pred: Tensor, target: Tensor) -> float:
    judge, total, first = LPIPS[net], 0.0, 0
    values = load_channel_weights(judge, "random").double().numpy()
    for mine, true in zip(*features_of(judge.backbone, list(judge.layers), pred, target), strict=True):
        mine, true = (each / (np.sqrt((each**2).sum(1, keepdims=True)) + 1e-10) for each in (mine, true))
        weights = values[first : first + mine.shape[1]]
        total += (weights[None, :, None, None] * (mine - true) ** 2).sum(1).mean((1, 2)).mean()
        first += mine.shape[1]
    assert first == len(values)
    return total


@pytest.mark.parametrize("net", ["alex", "squeeze", pytest.param("vgg", marks=pytest.mark.slow)])
def test_lpips_against_its_formula(net: str) -> None:
    pred, target = pair()
    expected = lpips(net, pred, target)
    loss = LOSSES.build({"type": "LPIPSLoss", "net": net, **RANDOM, "weight": 0.5})
    assert loss(pred, target).item() == pytest.approx(0.5 * expected, rel=1e-5)


def contextual_loss(pred: np.ndarray, target: np.ndarray, width: float) -> float:
    """Of one layer's features, place by place."""
    total = 0.0
    for mine, true in zip(pred, target, strict=True):
        centre = true.mean((1, 2))
        x, y = (each.reshape(len(centre), -1).T - centre for each in (mine, true))
        x, y = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, y))
        weights = []
        for feature in x:
            distances = (1 - y @ feature) / 2
            likeness = np.exp((1 - distances / (distances.min() + 1e-5)) / width)
            weights.append(likeness / likeness.sum())
        total -= np.log(np.max(weights, axis=0).mean())
    return total / len(pred)


@pytest.mark.parametrize("width", [0.5, 0.1])
def test_the_contextual_loss_against_its_formula(width: float) -> None:
    pred, target = pair((24, 20))
    layers = SMALL_CONTEXTUAL["layers"]
    mine, true = features_of("squeezenet1_1", list(layers), pred, target)
    parts = [contextual_loss(*each, width) for each in zip(mine, true, strict=True)]
    expected = 2 * (parts[0] + 0.5 * parts[1])
    loss = LOSSES.build({**SMALL_CONTEXTUAL, "band_width": width, "weight": 2.0})
    assert loss(pred, target).item() == pytest.approx(expected, rel=1e-4)
    # the network in float64 has other features than the formula's by float32's rounding alone
    assert loss.double()(pred.double(), target.double()).item() == pytest.approx(expected, rel=1e-4)


def test_the_contextual_loss_minds_no_shift() -> None:
    _, target = pair((33, 33))
    other = torch.rand(target.shape, generator=torch.Generator().manual_seed(5))
    loss = LOSSES.build(SMALL_CONTEXTUAL)
    assert loss(target.roll(8, 3), target) < 0.5 * loss(other, target)


def test_blocks_of_the_contextual_loss_change_no_gradient_and_hold_little(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient() -> tuple[Tensor, int]:
        pred, target = pair()
        loss, largest = LOSSES.build({**SMALL_CONTEXTUAL, "layers": {"relu1": 1.0}}), [0]

        def pack(tensor: Tensor) -> Tensor:
            largest[0] = max(largest[0], tensor.numel())
            return tensor

        features = {name: value.detach() for name, value in loss.features(pred).items()}
        true = loss.features(target)
        features["relu1"].requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            value = loss.distance(features, true)
        value.backward()
        return torch.cat([value[None], features["relu1"].grad.flatten()]), largest[0]

    whole, held = gradient()
    places = 19 * 17
    assert held == 2 * places**2
    monkeypatch.setattr(contextual, "BLOCK", 2 * places * 50)
    blocks, held = gradient()
    torch.testing.assert_close(blocks, whole, rtol=1e-4, atol=1e-7)
    assert held <= 64 * 2 * places  # the features alone


def test_what_blocks_of_the_contextual_loss_hold_grows_with_the_batch_and_no_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = 12**2
    monkeypatch.setattr(contextual, "BLOCK", 10 * places)
    loss = LOSSES.build(SMALL_CONTEXTUAL)

    def held(images: int) -> int:
        kept: dict[int, Tensor] = {}

        def pack(tensor: Tensor) -> Tensor:
            return kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)

        pred, target = torch.rand(2, images, 8, 12, 12)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss.similarity(pred.requires_grad_(), target).sum()
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())

    assert held(4) == 4 * held(1)


class Recipe:
    """What another library loads from the net: our random weights."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, weights: object) -> None:
        torchvision_models()  # mended, where it does not fit this torch
        self.piq = pytest.importorskip("piq", reason="needs piq")
        backbone = types.SimpleNamespace(features=filled_backbone("vgg16", "random").features)
        monkeypatch.setattr("piq.perceptual.vgg16", lambda **_: backbone)
        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: weights)


def assert_equal_with_gradients(loss: nn.Module, other: Callable[[Tensor, Tensor], Tensor]) -> None:
    """In float64: the library's variances are differences of squares, of which float32 leaves four digits."""
    pred, target = (image.double() for image in pair((48, 40)))
    values, gradients = [], []
    for function in (loss.double(), other):
        image = pred.clone().requires_grad_()
        value = function(image, target)
        value.backward()
        values.append(value.item())
        gradients.append(image.grad)
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-6 * gradients[1].abs().max().item())


@pytest.mark.slow
def test_lpips_against_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    values = load_channel_weights(LPIPS["vgg"], "random").split(list(LPIPS["vgg"].layers.values()))
    library = Recipe(monkeypatch, [value.view(1, -1, 1, 1) for value in values]).piq
    assert_equal_with_gradients(LOSSES.build({"type": "LPIPSLoss", **RANDOM}), library.LPIPS())


def test_dists_against_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    values = load_channel_weights(DISTS, "random")
    alpha, beta = (values / values.sum()).view(2, 1, -1, 1, 1)
    library = Recipe(monkeypatch, {"alpha": alpha, "beta": beta}).piq
    assert_equal_with_gradients(LOSSES.build({"type": "DISTSLoss", **RANDOM}), library.DISTS())


def test_l2_pooling_is_the_root_of_blurred_squares() -> None:
    image = torch.rand(1, 2, 5, 6)
    padded = np.pad(image.double().numpy() ** 2, ((0, 0), (0, 0), (1, 1), (1, 1)))
    window = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    pooled = L2Pool2d()(image)
    assert pooled.shape == (1, 2, 3, 3)
    for row, column in np.ndindex(3, 3):
        part = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        assert pooled[..., row, column].numpy() == pytest.approx(np.sqrt((part * window).sum((2, 3))), rel=1e-5)


@pytest.mark.parametrize(
    "config", [*QUICK, pytest.param({"type": "DISTSLoss", **RANDOM}, marks=pytest.mark.slow)], ids=named
)
def test_of_equal_and_of_flat_images_the_gradients_are_finite(config: dict) -> None:
    _, target = pair()
    loss = LOSSES.build(config)
    assert not list(loss.parameters()) and not loss.state_dict()
    for image, truth in ((target, target), (torch.zeros_like(target), target), (torch.zeros_like(target),) * 2):
        image = image.clone().requires_grad_()
        value = loss(image, truth)
        value.backward()
        assert value.isfinite() and image.grad is not None and image.grad.isfinite().all()
        if image is not truth and torch.equal(image, target):
            assert value.item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("config", QUICK, ids=named)
def test_float32_inside_autocast_and_the_same_after_a_copy(config: dict) -> None:
    pred, target = pair()
    with torch.inference_mode():  # built during evaluation it must serve for training
        loss = LOSSES.build(config)
    plain = loss(pred.clone().requires_grad_(), target)
    with torch.autocast("cpu", torch.bfloat16):
        value = copy.deepcopy(loss)(pred, target)
    assert value.dtype == torch.float32 and value.item() == pytest.approx(plain.item(), rel=1e-6)


def save(path: Path, judge: Judge, shape: tuple[int, ...] = (1, -1, 1, 1), **options: object) -> dict[str, Tensor]:
    state = {key: torch.rand(count).view(shape) for key, count in judge.tensors.items()}
    torch.save(state, path, **options)
    return state


@pytest.mark.parametrize("judge", [LPIPS["squeeze"], DISTS], ids=["LPIPS", "DISTS"])
def test_the_authors_files_are_read(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for options in ({}, {"_use_new_zipfile_serialization": False}):  # theirs are of 2018 and 2020
        state = save(path, judge, **options)
        assert torch.equal(load_channel_weights(judge, str(path)), torch.cat([v.flatten() for v in state.values()]))


def test_what_is_no_file_of_the_authors_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    save(path, LPIPS["alex"])
    with pytest.raises(
        CheckpointError, match=r"is not the file of .*squeeze.pth, .* lin1.model.1.weight of 128 values"
    ):
        load_channel_weights(LPIPS["squeeze"], str(path))
    torch.save({key: torch.full((count,), torch.nan) for key, count in DISTS.tensors.items()}, path)
    with pytest.raises(CheckpointError, match="not finite"):
        load_channel_weights(DISTS, str(path))

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    words = r"lpips_v0.1_vgg.pth: the authors' .*no route to host.*copy it to .*lpips_v0.1_vgg.pth, .*channel_weights='"
    with pytest.raises(CheckpointError, match=words):
        load_channel_weights(LPIPS["vgg"], "published")
    state = save(tmp_path / "checkpoints/dists_weights.pt", DISTS)
    assert torch.equal(load_channel_weights(DISTS, "published"), torch.cat([v.flatten() for v in state.values()]))


@pytest.mark.parametrize(
    ("config", "key", "words"),
    [
        ({**SMALL_LPIPS, "net": "vgg19"}, "net", "allowed: alex, vgg, squeeze"),
        ({**SMALL_LPIPS, "channel_weights": "absent.pth"}, "channel_weights", "no such file .*the authors' file"),
        ({**SMALL_LPIPS, "weights": "absent.pth"}, "weights", "no such file"),
        ({"type": "DISTSLoss", **RANDOM, "channel_weights": 3}, "channel_weights", "the path of a file"),
        ({"type": "DISTSLoss", **RANDOM, "weights": "absent.pth"}, "weights", "no such file"),
        ({**SMALL_CONTEXTUAL, "band_width": float("nan")}, "band_width", "it is above 0"),
        ({**SMALL_CONTEXTUAL, "layers": ["fire3"]}, "layers", "layers is a dict"),
        ({**SMALL_CONTEXTUAL, "layers": {"fire33": 1.0}}, "layers.fire33", "Did you mean 'fire3'"),
    ],
)
def test_faults_are_told_at_check_and_at_building(config: dict, key: str, words: str) -> None:
    (fault,) = LOSSES.get(config["type"]).check(config, {})
    assert fault.key == key
    with pytest.raises(ConfigError, match=words):
        LOSSES.build(config)


FEATURES = f"model.losses.more={SMALL_LPIPS!r}"


def test_a_network_of_luma_is_refused_at_the_check(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"LPIPSLoss takes 'rgb' images, but model.generator makes 'y'"):
        check(Config.fromfile(tiny_config, [FEATURES]))


QUIET = (
    "data.train.dataset.gt_size=48",
    "model.generator.colour=rgb",
    "hooks.evaluate=None",
    "hooks.checkpoint.best=None",
)


def test_a_run_learns_by_it_and_keeps_nothing_of_it(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "with", *QUIET, FEATURES, "max_iters=2")
    run(tiny_config, tmp_path / "without", *QUIET, "max_iters=2")
    states = [final_state(tmp_path / name, 2) for name in ("with", "without")]
    logged = {key for key in states[0] if "/more" in key}
    assert states[0].keys() - logged == states[1].keys() and all("/terms/" in key for key in logged)
    assert any("/networks/" in key for key in differing(*states))


@pytest.mark.slow
def test_a_graph_holds_it_in_blocks_too(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = RecordedGraphs()
    monkeypatch.setattr(graph, "graphs_for", lambda device: graphs)
    monkeypatch.setattr(contextual, "BLOCK", 23**2 * 200)  # three for relu1 of each image
    losses = {"lpips": SMALL_LPIPS, "contextual": SMALL_CONTEXTUAL}
    for name in ("False", "True"):
        run(tiny_config, tmp_path / name, *QUIET, f"model.losses={losses!r}", f"runtime.graph={name}", "max_iters=4")
    assert graphs.captures == 1 and graphs.replays == 3
    assert differing(*(final_state(tmp_path / name, 4) for name in ("False", "True"))) == []
