"""Every small recipe, 200 iterations on T91: the loss falls, a resume is exact, two ranks equal one."""

from __future__ import annotations

import copy
import inspect
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srtoolbox.check import check
from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.engine.loop import Runner
from srtoolbox.image import write_image
from srtoolbox.registry import NETWORKS
from tests.engine.ranks import run_ranks
from tests.engine.runs import build, differing, final_state, load, records, run
from tests.test_configs import BACKBONES, ROOT, name

RECIPES = sorted(ROOT.glob("*/*_small_*.py"))
FALLS_TO = {"denoising": 0.8, "srresnet": 0.96, "srgan": 0.985, "realesrgan": 0.97}
"""By the folder: the loss after the run over that before, at most, if not 0.7: these give their input at first."""
NOTHING_MOVES = {"DAT": ".pos."}
"""Parameters by a part of their name: with one hidden feature, which LayerNorm makes 0, DAT's position biases rest."""
pytestmark = [pytest.mark.slow, pytest.mark.data, pytest.mark.timeout(600)]


def shortened(recipe: Path, images: Path) -> list[str]:
    """Overrides that leave a recipe's network, losses, optimizer and schedule, but of 200 iterations on small crops."""
    config = Config.fromfile(recipe)
    scale, discriminator = config["scale"], config["model"].get("discriminator", {})
    photo = {"_delete_": True, "set5": {"type": "GTOnlyDataset", "gt": str(images / "photo"), "scale": scale}}
    overrides = {
        "max_iters": 200,
        "load_from": None,
        "runtime": {"device": "cpu", "threads": 1},
        "data.train.dataset.gt": str(images / "T91.lmdb"),
        "data.train.dataset.gt_size": discriminator.get("input_size", 32),
        "data.train.batch_size": 2 if discriminator else 4,
        "data.val.datasets": photo,
        "data.val.interval": 100,
        "hooks.checkpoint.interval": 100,
        "hooks.logger": {"interval": 10, "tensorboard": False},
        **{backbone: "random" for backbone in BACKBONES if backbone in config},
    }
    if "preprocess" in config["model"]:  # which cuts its crops from larger ones, and has a test set of its own
        overrides |= {"model.preprocess.gt_size": 32, "data.train.dataset.gt_size": 48}
        overrides |= {"hooks.checkpoint.best": "set5/psnr", "data.val.metrics.niqe": None}
    if discriminator:  # which learns beside the generator, and hardly holds it from the losses that can fall
        overrides |= {"model.disc_init_iters": 0, "model.gan_loss.weight": 1e-3, "optim.generator.optimizer.lr": 1e-3}
    return [f"{key}={value!r}" for key, value in overrides.items()]


@dataclass
class Whole:
    """A recipe's 200 iterations, and an equal run that has not begun."""

    recipe: Path
    overrides: list[str]
    work_dir: Path
    run: Runner
    fresh: Runner

    @property
    def network(self) -> str:
        return self.run.config["model"]["generator"]["type"]


@pytest.fixture(scope="session")
def images(data_root: Path, photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T91 as a store, and a piece of a photograph to evaluate on."""
    folder = tmp_path_factory.mktemp("images")
    assert main(["convert_lmdb", str(data_root / "T91"), "-o", str(folder / "T91.lmdb")]) == 0
    write_image(folder / "photo/cat.png", photo[64:160, 96:192])
    return folder


@pytest.fixture(scope="module", params=RECIPES, ids=name)
def whole(request: pytest.FixtureRequest, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    recipe, work_dir = request.param, tmp_path_factory.mktemp("whole")
    overrides = shortened(recipe, images)
    check(Config.fromfile(recipe, overrides))
    fresh = build(recipe, work_dir / "fresh", *overrides)
    return Whole(recipe, overrides, work_dir, run(recipe, work_dir, *overrides), fresh)


def test_the_loss_falls_and_every_parameter_learns(whole: Whole) -> None:
    """Before and after on the same crops, so that the difference of two crops counts for nothing."""
    before, after = whole.fresh.model.eval(), whole.run.model.eval()
    losses = {before: 0.0, after: 0.0}
    with torch.no_grad():
        for _ in range(20):
            batch = before.prepare(whole.fresh.next_batch())
            for model in losses:
                losses[model] += sum(map(float, model.image_losses(model.generator(batch["lq"]), batch).values()))
    assert losses[after] < FALLS_TO.get(whole.recipe.parent.name, 0.7) * losses[before]
    started = dict(before.named_parameters())
    rests = NOTHING_MOVES.get(whole.network, "/")
    still = [key for key, value in after.named_parameters() if torch.equal(value, started[key]) and rests not in key]
    assert still == []


def test_a_resume_is_exact(whole: Whole, tmp_path: Path) -> None:
    shutil.copytree(whole.work_dir, tmp_path / "parts")
    for path in (tmp_path / "parts/checkpoints").glob("iter_000200*"):
        path.unlink()
    resumed = run(whole.recipe, tmp_path / "parts", *whole.overrides, resume=True)
    assert (resumed.start_iter, resumed.iter) == (100, 200)
    assert differing(final_state(whole.work_dir, 200), final_state(tmp_path / "parts", 200)) == []
    assert records(tmp_path / "parts") == records(whole.work_dir)


def test_two_ranks_equal_one(whole: Whole, tmp_path: Path) -> None:
    overrides = [*whole.overrides, "max_iters=10", "data.val.interval=10"]
    # what each rank has of its own: blocks that are left out by chance, and the statistics of its half of a batch
    if "drop_path_rate" in inspect.signature(NETWORKS.get(whole.network)).parameters:
        overrides.append("model.generator.drop_path_rate=0.0")
    modules = whole.run.networks["generator"].named_modules()
    if normalised := [key for key, module in modules if isinstance(module, nn.BatchNorm2d)]:
        overrides.append(f"optim.generator.frozen={normalised}")
    # Adam's first steps divide by next to nothing
    overrides += [f"optim.{part}.optimizer.eps=1e-2" for part in whole.run.optims]
    one = build(whole.recipe, tmp_path / "one", *overrides)
    start = {key: value.clone() for key, value in one.networks["generator"].state_dict().items()}
    one.train()
    half = f"data.train.batch_size={one.config['data']['train']['batch_size'] // 2}"
    run_ranks(tmp_path, "train", str(whole.recipe), "--work-dir", str(tmp_path / "two"), *overrides, half)
    expected, found = (load(tmp_path / part, "iter_000010")["networks"]["generator"] for part in ("one", "two"))
    moved = max((expected[key] - start[key]).abs().max() for key in start if start[key].is_floating_point())
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-4 * float(moved))


def test_gradients_are_those_of_finite_differences(whole: Whole) -> None:
    """Of the trained network, in float64, along the gradient of each of its parts."""
    network, random = copy.deepcopy(whole.run.model.generator).double().eval(), torch.Generator().manual_seed(0)
    lq = torch.rand(1, 3, 16, 16, generator=random, dtype=torch.float64)
    weight = torch.randn(network(lq).shape, generator=random, dtype=torch.float64) / 100
    parts: dict[str, list[nn.Parameter]] = {}
    for key, parameter in network.named_parameters():
        parts.setdefault(".".join(key.split(".")[:-2]), []).append(parameter)
    (network(lq) * weight).sum().backward()
    for part, parameters in parts.items():
        norm = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in parameters))
        if norm > 1e-9:
            difference = value_beside(network, lq, weight, parameters, 1e-6 / norm)
            assert difference == pytest.approx(2e-6 * norm, rel=1e-3), part


def value_beside(network: nn.Module, lq: Tensor, weight: Tensor, parameters: list[nn.Parameter], step: float) -> float:
    """The weighted sum of a network's output one step up the gradient less that one step down."""
    values = []
    with torch.no_grad():
        for steps in (1, -2):
            for parameter in parameters:
                parameter += steps * step * parameter.grad
            values.append(float((network(lq) * weight).sum()))
        for parameter in parameters:
            parameter += step * parameter.grad
    return values[0] - values[1]
