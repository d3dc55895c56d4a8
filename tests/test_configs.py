"""Every shipped config: checks, builds its network and optimizer, and says what it is."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from srtoolbox.check import check, mode_of
from srtoolbox.config import Config
from srtoolbox.devices import without_memory
from srtoolbox.optim.wrapper import build_optim
from srtoolbox.registry import METRICS, MODELS, NETWORKS

ROOT = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(path for path in ROOT.rglob("*.py") if "_base_" not in path.parts)
LAID_OUT_SETS = ("set5", "set14", "bsd100", "urban100")
BACKBONES = ("vgg19", "resnet18", "resnet34", "squeezenet")  # helper names that say where weights are
WITH_BENCHMARKS = [path for path in CONFIGS if path.parent.name not in ("quickstart", "denoising")]
LARGE = ("atd", "bsrgan", "dat", "drct", "hat", "omnisr", "rcan", "realesrgan", "srformer", "swinir")
"""Folders of networks that take a second to build: the default run builds their small recipes alone."""


def is_quick(path: Path) -> bool:
    return path.parent.name not in LARGE or "_small_" in path.name


def marked(paths: list[Path]) -> list[Any]:
    """The paths as parameters, those marked as slow that the default run leaves out."""
    return [pytest.param(path, marks=() if is_quick(path) else pytest.mark.slow) for path in paths]


def is_first_quick_one(path: Path) -> bool:
    quick = [each for each in WITH_BENCHMARKS if each.parent == path.parent and is_quick(each)]
    return path == min(quick, default=None)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", marked(CONFIGS), ids=name)
def test_checks_and_builds(path):
    config = Config.fromfile(path)
    # a test downloads nothing: the feature networks are random
    config = Config.fromfile(path, [f"{backbone}=random" for backbone in BACKBONES if backbone in config])
    check(config, mode_of(config))
    losses = {name: cfg for name, cfg in config["model"].get("losses", {}).items() if cfg["type"] != "PerceptualLoss"}
    with without_memory():  # where the weights of a feature network cannot lie
        model = MODELS.build({**config.to_dict()["model"], "losses": losses})
    assert f"_x{model.generator.scale}" in path.stem
    for network, cfg in (config.get("optim") or {}).items():
        build_optim(network, model.networks()[network], cfg)
    for metric in config["data"]["val"]["metrics"].values():
        crop_border = 0 if metric["type"] == "LossMetric" or config["scale"] == 1 else config["scale"]
        assert METRICS.build(metric).crop_border == crop_border
    assert "LossMetric" not in {metric["type"] for metric in config["data"].get("test", {}).get("metrics", {}).values()}


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_is_short_and_says_what_it_is(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", WITH_BENCHMARKS, ids=name)
def test_tests_on_the_four_benchmarks_at_its_scale(path):
    config = Config.fromfile(path, ["data_root=somewhere"])
    sets = config["data"]["test"]["datasets"]
    assert tuple(sets)[: len(LAID_OUT_SETS)] == LAID_OUT_SETS  # a set of its own may follow
    folder = {"set5": "Set5", "set14": "Set14", "bsd100": "BSD100", "urban100": "Urban100"}
    for key in LAID_OUT_SETS:
        cfg = sets[key]
        assert cfg["gt"] == f"somewhere/{folder[key]}/HR/X{config['scale']}"
        assert cfg["lq"] == f"somewhere/{folder[key]}/LR_bicubic/X{config['scale']}"


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if is_first_quick_one(path) else pytest.mark.slow) for path in WITH_BENCHMARKS],
    ids=name,
)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_scale_can_be_overridden_everywhere_at_once(path, scale):
    config = Config.fromfile(path, [f"scale={scale}"])
    if config["data"].get("train") and config["data"]["train"]["dataset"].get("gt_size", scale) % scale:
        pytest.skip(f"its gt_size is no multiple of {scale}, which check reports")
    check(config, mode_of(config))
    assert config["model"]["generator"]["scale"] == scale
    assert all(cfg["scale"] == scale for cfg in config["data"]["test"]["datasets"].values())


@pytest.mark.parametrize("path", [path for path in CONFIGS if "epochs" in Config.fromfile(path)], ids=name)
def test_epochs_become_iterations_by_arithmetic(path):
    config = Config.fromfile(path)
    assert config["max_iters"] == config["epochs"] * config["pictures"] // config["data"]["train"]["batch_size"]
    half = Config.fromfile(path, [f"epochs={config['epochs'] // 2}"])
    assert half["max_iters"] == config["max_iters"] // 2
    small = Config.fromfile(path, ["batch_size=8"])
    assert (small["max_iters"], small["data"]["train"]["batch_size"]) == (2 * config["max_iters"], 8)


def test_no_network_trains_on_a_benchmark():
    """BSDS500's val images are BSD100."""
    for path in CONFIGS:
        train = Config.fromfile(path)["data"].get("train")
        if train is None:
            continue
        stores = train["dataset"]["gt"]
        for store in [stores] if isinstance(stores, str) else stores:
            assert not any(part in store for part in ("BSDS500/val", "Set5", "Set14", "BSD100", "Urban100"))


def test_every_family_has_a_small_recipe():
    """Tests train each one (`tests/models/test_small_recipes.py`)."""
    families = {path.name for path in ROOT.iterdir()} & {network.lower() for network in NETWORKS}
    without = {"bicubic", "espcn", "srcnn"}  # small themselves, or nothing to train
    assert families - {path.parent.name for path in ROOT.glob("*/*_small_*.py")} == without
