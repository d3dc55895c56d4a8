"""Schedule-free optimizers: what is evaluated and passed on is a copy, and the training goes its own way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srtoolbox import load_network
from srtoolbox.check import check
from srtoolbox.check.components import complete_hooks
from srtoolbox.config import Config
from srtoolbox.errors import ConfigError
from tests.engine.ranks import run_on_ranks
from tests.engine.runs import build, differing, final_state, load, records, run
from tests.optim.test_optional_classes import ALL

pytest.importorskip("pytorch_optimizer")

QUIET = ("hooks.logger.interval=100", "hooks.checkpoint.best=None")
NO_AVERAGE = "hooks.ema=None"


def optimizer(kind: str, **more: object) -> str:
    return f"optim.generator={{'optimizer': { ({'type': kind, **ALL[kind], **more})!r}, '_delete_': True}}"


def assert_resumes(config: Path, folder: Path, *changes: str) -> None:
    """Two runs of 9 iterations end with the same bits, of which one was stopped in between."""
    changes = (*changes, "max_iters=9", "hooks.evaluate=None", "hooks.checkpoint.best=None")
    run(config, folder / "whole", *changes)
    run(config, folder / "stopped", *changes, "hooks.kill={'type': 'KillHook', 'at': 4}")
    run(config, folder / "stopped", *changes, resume=True)
    assert differing(final_state(folder / "whole", 9), final_state(folder / "stopped", 9)) == []
    assert records(folder / "whole") == records(folder / "stopped")


@pytest.mark.parametrize(
    "kind", [kind if kind.startswith("Sch") else pytest.param(kind, marks=pytest.mark.slow) for kind in ALL]
)
def test_a_run_that_was_stopped_ends_with_the_same_bits(kind: str, tiny_config: Path, tmp_path: Path) -> None:
    assert_resumes(tiny_config, tmp_path, optimizer(kind), NO_AVERAGE)


@pytest.mark.parametrize("kind", ["ScheduleFreeAdamW", "ScheduleFreeSGD"])
def test_evaluations_leave_no_trace_in_the_training(kind: str, tiny_config: Path, tmp_path: Path) -> None:
    for interval in (5, 7):
        changes = (f"data.val.interval={interval}", "max_iters=14", *QUIET, NO_AVERAGE)
        run(tiny_config, tmp_path / f"{interval}", optimizer(kind), *changes)
    states = [final_state(tmp_path / f"{interval}", 14) for interval in (5, 7)]
    assert differing(*states) == []


def test_what_is_evaluated_and_passed_on_are_the_averaged_weights(tiny_config: Path, tmp_path: Path) -> None:
    runner = run(tiny_config, tmp_path, optimizer("ScheduleFreeAdamW"), NO_AVERAGE, "max_iters=5")
    networks = load(tmp_path, "iter_000005")["networks"]
    best = load(tmp_path, "best_photos_psnr")["networks"]
    (scores,) = [line["scores"]["photos/psnr"] for line in records(tmp_path) if line["kind"] == "eval"]
    again = runner.hooks["evaluate"].evaluate(runner).scores["photos/psnr"]
    runner.optims["generator"].optimizer.eval()  # its own way, which changes the weights that train
    expected = runner.networks["generator"].state_dict()
    published = load_network(tmp_path / "checkpoints" / "iter_000005.pth").state_dict()
    for name, weight in expected.items():
        for found in (networks["generator_ema"], best["generator_ema"], published):
            assert torch.equal(found[name], weight)
        assert not torch.equal(networks["generator"][name], weight)
    runner.networks.pop("generator_ema")
    assert scores == again == runner.hooks["evaluate"].evaluate(runner).scores["photos/psnr"]


def test_a_loss_compares_with_the_optimizers_average(tiny_config: Path, tmp_path: Path) -> None:
    ldl = "model.losses.ldl={'type': 'LDLLoss'}"
    changes = (optimizer("ScheduleFreeAdamW"), NO_AVERAGE, ldl, *QUIET)
    runner = run(tiny_config, tmp_path, *changes, "hooks.evaluate=None", "max_iters=2")
    assert runner.model.averages["generator"] is runner.networks["generator_ema"]
    with pytest.raises(ConfigError, match="LDLLoss compares with the averaged network's output"):
        check(Config.fromfile(tiny_config, [changes[0], ldl, "hooks=None"]))


def test_an_average_of_ones_own_is_taken_over_the_averaged_weights(tiny_config: Path, tmp_path: Path) -> None:
    changes = (optimizer("ScheduleFreeSGD"), "hooks.ema.decay=0.5", "hooks.evaluate=None", "hooks.checkpoint.best=None")
    runner = build(tiny_config, tmp_path, *changes)
    assert [name for name in runner.hooks if name.endswith("_average")] == []
    generator, hook = runner.networks["generator"], runner.hooks["ema"]
    parameters = list(generator.parameters())
    for _ in range(3):
        generator(torch.rand(1, 1, 8, 8)).sum().backward()
        runner.optims["generator"].optimizer.step()
    kept = [value.detach().clone() for value in hook.average.parameters()]
    hook.after_iter(runner)
    for before, now, used in zip(
        kept, hook.average.parameters(), runner.optims["generator"].averaged(parameters), strict=True
    ):
        torch.testing.assert_close(now, before.lerp(used, 0.5))


def test_each_network_gets_a_copy_unless_it_has_one() -> None:
    free = {"optimizer": {"type": "ScheduleFreeSGD"}}
    optim = {"generator": free, "discriminator": free, "other": {"optimizer": {"type": "Adam"}}}
    hooks = complete_hooks({"optim": optim, "hooks": {"mine": {"type": "EMAHook"}}})
    assert hooks["discriminator_average"] == {"type": "EMAHook", "decay": 0.0, "network": "discriminator"}
    assert [name for name in hooks if "average" in name] == ["discriminator_average"]


@pytest.mark.slow
def test_two_ranks_go_alike(tiny_config: Path, tmp_path: Path) -> None:
    """Ranks that average their gradients end with one state, and resume as one process does."""

    def work() -> None:
        for kind in ALL:
            assert_resumes(tiny_config, tmp_path / kind, optimizer(kind), NO_AVERAGE)

    run_on_ranks(tmp_path / "ranks", work, seconds=250)
