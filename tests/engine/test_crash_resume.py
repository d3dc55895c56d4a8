"""Exact resume everywhere: at every iteration, of every kind of run, ten times in a row; and proof that this bites."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from srtoolbox.weights.checkpoint import save_checkpoint
from tests.engine.ranks import run_ranks
from tests.engine.runs import differing, final_state, flatten, load, records, run
from tests.faults.stress_configs import ITERATIONS, VARIANTS

EACH = ("hooks.checkpoint.interval=1", "hooks.checkpoint.keep_last=None", "data.val.interval=1")
ALONE = "data.train.workers=0"


@pytest.fixture
def variant(tmp_path: Path, photo_folder: Path) -> Callable[[str], Path]:
    """Writes the config of one of the runs that tools/stress.py kills."""

    def write(name: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(VARIANTS[name].format(folder=str(photo_folder)))
        return path

    return write


def back_to(whole: Path, iteration: int, work_dir: Path) -> None:
    """The work dir as a kill right after the save of an iteration leaves it, but for the log, which is all there."""
    checkpoints = work_dir / "checkpoints"
    checkpoints.mkdir(parents=True)
    shutil.copy(whole / "scores.jsonl", work_dir)
    for suffix in (".pth", ".json"):
        shutil.copy(whole / f"checkpoints/iter_{iteration:06d}{suffix}", checkpoints)
    for key, best in load(work_dir, f"iter_{iteration:06d}")["hooks"]["checkpoint"]["best"].items():
        state = load(whole, f"iter_{best['iter']:06d}")
        kept = {name: state[name] for name in ("iter", "config", "networks")}
        save_checkpoint(checkpoints / f"best_{key.replace('/', '_')}.pth", kept)


def assert_same(whole: Path, resumed: Path, note: object = "") -> None:
    assert differing(final_state(whole, ITERATIONS), final_state(resumed, ITERATIONS)) == [], note
    assert records(whole) == records(resumed), note


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), [("plain", EACH[:2]), *((name, EACH) for name in VARIANTS)])
def test_at_every_iteration(
    name: str, settings: tuple[str, ...], variant: Callable[[str], Path], tmp_path: Path
) -> None:
    config, whole = variant(name), tmp_path / "whole"
    run(config, whole, *settings, ALONE)
    for iteration in range(1, ITERATIONS + 1):
        resumed = tmp_path / f"from_{iteration}"
        back_to(whole, iteration, resumed)
        run(config, resumed, *settings, ALONE, resume=True)
        assert_same(whole, resumed, f"resumed at {iteration}")
        for best in (whole / "checkpoints").glob("best_*.pth"):
            mine = resumed / "checkpoints" / best.name
            networks = [flatten(torch.load(path, weights_only=True)["networks"]) for path in (best, mine)]
            assert networks[0] == networks[1]
        shutil.rmtree(resumed)


@pytest.mark.slow
def test_ten_times_in_a_row(variant: Callable[[str], Path], tmp_path: Path) -> None:
    config = variant("gan")
    run(config, tmp_path / "whole", ALONE)
    stops = (2, 4, 6, 8, 11, 14, 16, 18, 20, 23)  # not in an evaluation: that would be broken off
    for number, stop in enumerate(stops):
        kill = ("hooks.kill.type=KillHook", f"hooks.kill.at={stop}")
        assert run(config, tmp_path / "parts", *kill, ALONE, resume=number > 0).iter == stop
    run(config, tmp_path / "parts", ALONE, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


KINDS = {
    "l1": ("plain", ("optim.generator.scheduler=None", "optim.generator.milestones=None", "hooks.ema=None")),
    "warm_up": ("plain", ()),
    "accumulate": ("plain", ("accumulate=2",)),
    "bf16": ("plain", ("runtime.amp=bf16",)),
    "fp16": ("accumulate_fp16", ("accumulate=1",)),
    "gan": ("gan", ()),
    "gan_accumulate_fp16": ("gan", ("accumulate=2", "runtime.amp=fp16")),
}
MATRIX = list(itertools.product(KINDS, (0, 2), (1, 2)))


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize(("kind", "workers", "world"), MATRIX)
def test_the_matrix(kind: str, workers: int, world: int, variant: Callable[[str], Path], tmp_path: Path) -> None:
    name, changes = KINDS[kind]
    config, settings = variant(name), (*changes, f"data.train.workers={workers}")

    def train(work_dir: str, *more: str, resume: bool = False) -> None:
        if world == 1:
            run(config, tmp_path / work_dir, *settings, *more, resume=resume)
        else:
            again = ("--resume",) if resume else ()
            options = ["--work-dir", str(tmp_path / work_dir), *again, *settings, *more]
            run_ranks(tmp_path, "train", str(config), *options)

    train("whole", *EACH)
    for iteration in (3, 13) if world == 1 else (7,):
        back_to(tmp_path / "whole", iteration, tmp_path / f"from_{iteration}")
        train(f"from_{iteration}", *EACH, resume=True)
        assert_same(tmp_path / "whole", tmp_path / f"from_{iteration}")


def other_random_state(state: dict[str, Any], which: str) -> None:
    """What a fresh start with another seed would have."""
    saved = state["rng"][0]
    if which == "torch":
        saved["torch"] = torch.Generator().manual_seed(99).get_state()
    elif which == "numpy":
        saved["numpy"][2] = (saved["numpy"][2] + 1) % 624
    else:
        version, internal, gauss = saved["python"]
        saved["python"] = (version, (*internal[:-1], (internal[-1] + 1) % 624), gauss)


def fresh_moments(state: dict[str, Any], network: str) -> None:
    for moments in state["optims"][network]["optimizer"]["state"].values():
        for value in moments.values():
            value.zero_()


# what a checkpoint would look like if that item were not saved, or not loaded
MUTANTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "random state of torch": lambda s: other_random_state(s, "torch"),
    "random state of numpy": lambda s: other_random_state(s, "numpy"),
    "random state of Python": lambda s: other_random_state(s, "python"),
    "data position": lambda s: s.update(draws=0),
    "iteration": lambda s: s.update(iter=s["iter"] - 1),  # and so are the file's name and its sidecar
    "averaged weights": lambda s: s["networks"].update(generator_ema=s["networks"]["generator"]),
    "moments of the generator": lambda s: fresh_moments(s, "generator"),
    "moments of the discriminator": lambda s: fresh_moments(s, "discriminator"),
    "schedule of the generator": lambda s: s["optims"]["generator"]["scheduler"].update(last_epoch=0),
    "schedule of the discriminator": lambda s: s["optims"]["discriminator"]["scheduler"].update(last_epoch=0),
    "gradient scale": lambda s: s["optims"]["generator"]["scaler"].update(scale=1.0, _growth_tracker=0),
    "best scores": lambda s: s["hooks"]["checkpoint"].update(best={}),
    "loss terms of the log": lambda s: s["hooks"]["logger"].update(terms=[{}]),
    "loss terms of the iteration": lambda s: s.update(terms=[dict.fromkeys(s["terms"][0], 0.0)]),
    "weights of the discriminator": lambda s: [
        value.mul_(1.001) for value in s["networks"]["discriminator"].values() if value.is_floating_point()
    ],
}


@pytest.fixture(scope="module")
def mutable(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> tuple[Path, Path]:
    """(config, work dir) of a GAN run under fp16 with all its checkpoints, evaluated and logged rarely."""
    folder = tmp_path_factory.mktemp("mutable")
    config = folder / "gan.py"
    config.write_text(VARIANTS["gan"].format(folder=str(photo_folder)))
    run(config, folder / "whole", *SPARSE)
    return config, folder / "whole"


SPARSE = (*EACH[:2], ALONE, "runtime.amp=fp16", "hooks.logger.interval=7", "data.val.interval=2")
SPARSE += ("optim.generator.optimizer.lr=0.03",)


QUICK = {"random state of torch", "data position", "moments of the generator", "weights of the discriminator"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in MUTANTS]
)
def test_a_checkpoint_without_one_item_is_noticed(name: str, mutable: tuple[Path, Path], tmp_path: Path) -> None:
    config, whole = mutable
    back_to(whole, 13, tmp_path)
    path = tmp_path / "checkpoints/iter_000013.pth"
    state = torch.load(path, weights_only=True)
    before = flatten(state)
    MUTANTS[name](state)
    assert flatten(state) != before, "the mutant changes nothing"
    path.unlink()
    save_checkpoint(path.with_name(f"iter_{state['iter']:06d}.pth"), state)
    run(config, tmp_path, *SPARSE, resume=True)  # none is so damaged that it would be refused
    with pytest.raises(AssertionError):
        assert_same(whole, tmp_path)


def test_the_whole_checkpoint_resumes_exactly(mutable: tuple[Path, Path], tmp_path: Path) -> None:
    """The control of the test above."""
    config, whole = mutable
    back_to(whole, 13, tmp_path)
    run(config, tmp_path, *SPARSE, resume=True)
    assert_same(whole, tmp_path)
