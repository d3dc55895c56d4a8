"""Steps whose loss or gradients are not finite: left out, counted, dumped, replayed; nothing ruined is ever saved."""

from __future__ import annotations

import json
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from srtoolbox import dist
from srtoolbox.cli import main
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.job import job
from srtoolbox.engine.job.workdir import find_state, read_notes
from srtoolbox.engine.loop import Runner, train
from srtoolbox.engine.run import Run
from srtoolbox.errors import RunError
from srtoolbox.registry import HOOKS
from tests.engine.ranks import start
from tests.engine.runs import differing, final_state, flatten, listing, load, records, run


@HOOKS.register
class PoisonHook(Hook):
    """Puts a NaN into something in some iterations (0 is the first), on one rank or all."""

    phase = Phase.UPDATE

    def __init__(self, what: str, at: list[int], rank: int | None = None) -> None:
        self.what, self.at, self.rank = what, at, rank

    def set_up(self, runner: Runner) -> None:
        import os

        if self.rank is not None and int(os.environ.get("RANK", "0")) != self.rank:
            return
        model, generator = runner.model, runner.networks["generator"]

        def due() -> bool:
            return model.iteration in self.at

        prepare, losses = model.prepare, model.image_losses
        if self.what in ("lq", "gt"):
            model.prepare = lambda batch: _poisoned(prepare(batch), self.what) if due() else prepare(batch)
        if self.what == "drawn":  # the images themselves are bad, whenever they come
            model.prepare = lambda batch: (
                _poisoned(prepare(batch), "lq") if int(batch["draw"][0]) in self.at else prepare(batch)
            )
        if self.what == "loss":
            model.image_losses = lambda sr, batch: (
                {name: term * math.nan for name, term in losses(sr, batch).items()} if due() else losses(sr, batch)
            )
        if self.what == "gradient":
            parameter = next(generator.parameters())
            parameter.register_hook(lambda gradient: gradient * math.inf if due() else None)

    def after_iter(self, runner: Runner) -> None:
        if runner.iter in self.at and self.what == "weight":
            with torch.no_grad():
                next(runner.networks["generator"].parameters()).view(-1)[0] = math.nan
        if runner.iter in self.at and self.what == "ema":
            next(runner.networks["generator_ema"].parameters()).view(-1)[0] = math.nan
        if runner.iter in self.at and self.what == "lr":
            for group in runner.optims["generator"].optimizer.param_groups:
                group["lr"] = math.nan


def _poisoned(batch: dict[str, Any], key: str) -> dict[str, Any]:
    batch[key] = batch[key].clone()
    batch[key][0, 0, 0, 0] = math.nan
    return batch


def poison(what: str, at: list[int], rank: int | None = None) -> str:
    return f"hooks.poison={{'type': 'PoisonHook', 'what': '{what}', 'at': {at}, 'rank': {rank}}}"


@pytest.mark.parametrize("loss", ["MSELoss", "L1Loss"])  # the gradient of |x| at NaN is 0
@pytest.mark.parametrize("what", ["lq", "gt", "loss", "gradient"])
def test_a_bad_step_is_left_out_and_counted(what: str, loss: str, tiny_config: Path, tmp_path: Path) -> None:
    change = f"model.losses.pixel.type={loss}"
    bad = run(tiny_config, tmp_path, poison(what, [6, 7]), change)
    assert bad.optims["generator"].skipped_steps.total == 2
    for weights in load(tmp_path, "iter_000020")["networks"].values():
        assert all(bool(value.isfinite().all()) for value in weights.values())
    steps = {float(moments["step"]) for moments in bad.optims["generator"].optimizer.state.values()}
    assert steps == {18.0}
    lines = [line for line in records(tmp_path) if line["kind"] == "train"]
    assert [line.get("skipped") for line in lines if line["iter"] in (6, 9)] == [None, {"generator": 2}]
    assert all(math.isfinite(value) for line in lines for value in line["terms"].values())


@pytest.mark.parametrize("what", ["lq", "loss", "gradient", "weight", "lr"])
def test_too_many_in_a_row_halt_with_a_dump_that_replays(
    what: str, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    places = [5] if what in ("weight", "lr") else list(range(5, 20))
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), poison(what, places)]
    never = ["hooks.checkpoint.interval=4", "data.val.interval=100", "runtime.max_skipped=4"]
    assert main([*arguments, *never]) == 2
    assert "4 steps of generator were left out" in capsys.readouterr().err
    assert {"finished": None, "ending": "halted"}.items() <= read_notes(tmp_path / "run").items()
    dump = tmp_path / "run/faults/iter_000009" if what != "lr" else tmp_path / "run/faults/iter_000010"
    report = json.loads((dump / "report.json").read_text())
    assert report["skipped_in_a_row"] == 4 and len(report["ranks"][0]["keys"]) == 4
    assert len(list(dump.glob("rank0_*_lq.png"))) == len(list(dump.glob("rank0_*_gt.png"))) == 4
    assert listing(tmp_path / "run", "iter_*.pth") == ["iter_000004.pth"]
    assert main(["replay", str(dump)]) == 1
    assert "the fault is there" in capsys.readouterr().out
    healed = main(["replay", str(dump), "hooks.poison=None"])
    assert healed == (1 if what in ("weight", "lr") else 0)  # ruined weights stay so


def test_ema_ruined_is_not_saved(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no longer finite"):
        run(tiny_config, tmp_path, poison("ema", [7]), "data.val.interval=100")
    assert listing(tmp_path, "iter_*.pth") == ["iter_000005.pth"]


def test_a_resumed_run_counts_on(tiny_config: Path, tmp_path: Path) -> None:
    bad = poison("gradient", [8, 9, 13])
    run(tiny_config, tmp_path / "whole", bad)
    run(tiny_config, tmp_path / "parts", bad, "hooks.kill.type=KillHook", "hooks.kill.at=10")
    run(tiny_config, tmp_path / "parts", bad, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


DRAWN = poison("drawn", [24, 28, 32, 36])  # what iterations 7 to 10 draw
GO_BACK = ("runtime.max_skipped=3", "runtime.rollbacks=1")


def test_a_rollback_goes_on_with_other_samples(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path), DRAWN, *GO_BACK]) == 0
    told = capsys.readouterr().err
    assert "3 steps of generator were left out" in told and "going back to iteration 5" in told
    state = load(tmp_path, "iter_000020")
    assert state["draws"] == 4 * (20 + 4)  # iterations 6 to 9 were done twice, with other samples, 10 is bad again
    assert state["optims"]["generator"]["skips"] == [1, 0]
    assert [line["iter"] for line in records(tmp_path) if line["kind"] == "train"] == [3, 6, 9, 12, 15, 18, 20]
    assert (tmp_path / "faults/iter_000009/report.json").exists()
    assert listing(tmp_path, "iter_*.pth") == [f"iter_{i:06d}.pth" for i in (5, 10, 15, 20)]


def test_no_earlier_run_or_loaded_checkpoint_fills_memory(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class State(dict):
        """A dict that can be watched."""

    def watch(*args: Any, **options: Any) -> tuple[State | None, Path | None]:
        state, path = find_state(*args, **options)
        if state is not None:
            state = State(state)
            watched.append(weakref.ref(state))
        return state, path

    def look() -> list[bool]:
        return [reference() is not None for reference in watched]

    class WatchedRun(Run):
        def __init__(self, *args: Any, **options: Any) -> None:
            alive.append(look())
            super().__init__(*args, **options)
            watched.append(weakref.ref(self))

    def watch_training(run: Run) -> None:
        alive.append(look())
        train(run)

    watched: list[weakref.ref] = []
    alive: list[list[bool]] = []
    monkeypatch.setattr(job, "find_state", watch)
    monkeypatch.setattr(job, "Run", WatchedRun)
    monkeypatch.setattr(job, "train_run", watch_training)
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path), DRAWN, *GO_BACK]) == 0
    assert alive == [[], [True], [False, True], [False, False, True]]  # a run, a state, a run


def test_a_run_that_went_back_resumes_exactly(tiny_config: Path, tmp_path: Path) -> None:
    arguments = ["train", str(tiny_config), DRAWN, *GO_BACK]
    assert main([*arguments, "--work-dir", str(tmp_path / "whole")]) == 0
    stop = ["hooks.kill.type=KillHook", "hooks.kill.at=12"]
    assert main([*arguments, "--work-dir", str(tmp_path / "parts"), *stop]) == 143
    assert main([*arguments, "--work-dir", str(tmp_path / "parts"), "--resume"]) == 0
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


@pytest.mark.parametrize(("first", "dumps"), [(0, ["iter_000003"]), (6, ["iter_000008", "iter_000009"])])
def test_a_rollback_that_does_not_help_ends(first: int, dumps: list[str], tiny_config: Path, tmp_path: Path) -> None:
    """Without a checkpoint there is nothing to go back to; else once, as asked for."""
    ever = poison("drawn", list(range(4 * first, 400, 4)))
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path), ever, *GO_BACK]) == 2
    assert sorted(path.name for path in (tmp_path / "faults").iterdir()) == dumps
    assert listing(tmp_path, "iter_*.pth") == ["iter_000005.pth"] * bool(first)


@pytest.mark.timeout(120)
def test_two_ranks_go_back_together(tiny_config: Path, tmp_path: Path) -> None:
    bad = "hooks.poison={'type': 'PoisonHook', 'what': 'drawn', 'at': [52, 60, 68, 76], 'rank': None}"  # rank 1's
    ranks = start(2, tmp_path, ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), bad, *GO_BACK])
    try:
        assert ranks.wait(60) == {0: 0, 1: 0}, ranks.errors(0)
    finally:
        ranks.end()
    assert load(tmp_path / "run", "iter_000020")["draws"] == 8 * (20 + 4)
    assert "going back to iteration 5" in ranks.errors(0)


BATCH_NORM = "model.generator={'type': 'SRResNet', 'scale': 3, 'num_features': 4, 'num_blocks': 1, '_delete_': True}"


def test_batch_norm_statistics_survive(tiny_config: Path, tmp_path: Path) -> None:
    runner = run(tiny_config, tmp_path, BATCH_NORM, poison("lq", [6]), "hooks.ema=None")
    assert all(bool(buffer.isfinite().all()) for buffer in runner.networks["generator"].buffers())


@pytest.mark.timeout(120)
def test_a_nan_on_one_rank_is_left_out_by_all(tiny_config: Path, tmp_path: Path) -> None:
    bad = [poison("gt", [6, 7], rank=1), "hooks.weights.type=WeightsHook"]
    ranks = start(2, tmp_path, ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), *bad])
    try:
        assert ranks.wait(60) == {0: 0, 1: 0}, ranks.errors(0)
    finally:
        ranks.end()
    state: dict[str, Tensor] = load(tmp_path / "run", "iter_000020")
    assert state["optims"]["generator"]["skips"] == [2, 0]
    assert all(bool(value.isfinite().all()) for value in state["networks"]["generator"].values())
    of_ranks = [torch.load(tmp_path / f"run/weights{rank}.pth", weights_only=True) for rank in range(2)]
    assert differing(*map(flatten, of_ranks)) == []


@HOOKS.register
class WeightsHook(Hook):
    """Saves each rank's own weights, averages and moments at the end."""

    phase = Phase.LOG

    def after_train(self, runner: Runner, error: BaseException | None = None) -> None:
        networks = {name: network.state_dict() for name, network in runner.networks.items()}
        moments = runner.optims["generator"].optimizer.state_dict()["state"]
        torch.save([networks, moments], runner.work_dir / f"weights{dist.rank()}.pth")


@pytest.mark.timeout(120)
def test_a_nan_that_stays_on_one_rank_halts_all(tiny_config: Path, tmp_path: Path) -> None:
    bad = poison("gt", list(range(6, 20)), rank=1)
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), bad, "runtime.max_skipped=3"]
    ranks = start(2, tmp_path, arguments)
    try:
        assert ranks.wait(60) == {0: 1, 1: 1}
    finally:
        ranks.end()
    report = json.loads((tmp_path / "run/faults/iter_000009/report.json").read_text())
    assert [part["finite"] for part in report["ranks"]] == [False, False]  # its gradients are everyone's
    assert [math.isfinite(float(part["terms"][0]["pixel"])) for part in report["ranks"]] == [True, False]


@HOOKS.register
class ScaleHook(Hook):
    """Lifts the scale of fp16 gradients after iteration `at`, so that the next step overflows."""

    phase = Phase.UPDATE

    def __init__(self, at: int) -> None:
        self.at = at

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.at:
            runner.optims["generator"].scaler._scale.fill_(2.0**60)


EXPLODING = "optim.generator.optimizer.lr=1e20"
DIVERGED = [poison("weight", [19]), poison("gradient", list(range(17, 99))), EXPLODING]
SCALE = "hooks.scale={'type': 'ScaleHook', 'at': 19}"


@pytest.mark.parametrize("bad", [("runtime.amp=fp16", SCALE), (poison("gradient", [17, 18, 19]),)], ids=["fp16", "NaN"])
def test_the_end_of_a_run_is_kept_where_its_last_steps_are_left_out(
    bad: tuple[str, ...], tiny_config: Path, tmp_path: Path
) -> None:
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path), *bad]) == 0
    assert listing(tmp_path, "iter_*.pth") == [f"iter_{i:06d}.pth" for i in (5, 10, 15, 20)]
    assert records(tmp_path)[-1] == records(tmp_path)[-1] | {"kind": "train", "iter": 20}
    assert [line["iter"] for line in records(tmp_path) if line["kind"] == "eval"] == [5, 10, 15, 20]
    assert not (tmp_path / "faults").exists()


@pytest.mark.parametrize("bad", [*((one,) for one in DIVERGED), (EXPLODING, "runtime.amp=fp16")])
def test_what_is_beyond_repair_is_not_kept_at_the_end_either(
    bad: tuple[str, ...], tiny_config: Path, tmp_path: Path
) -> None:
    """Weights may be finite and still too large for any step to succeed."""
    first = run(tiny_config, tmp_path, "max_iters=15").iter
    with pytest.raises(RunError, match=r"steps? of generator (was|were) left out"):
        run(tiny_config, tmp_path, *bad, "max_iters=20", resume=True)
    assert first == 15 and listing(tmp_path, "iter_*.pth") == [f"iter_{i:06d}.pth" for i in (5, 10, 15)]
    assert (tmp_path / "faults/iter_000020/report.json").exists()


def test_trying_the_last_step_changes_nothing(tiny_config: Path, tmp_path: Path) -> None:
    """A run that ends with a step left out, and is extended later, goes on like one that was longer at first."""
    same = [poison("gradient", [11]), BATCH_NORM, "hooks.ema=None"]
    run(tiny_config, tmp_path / "whole", *same)
    run(tiny_config, tmp_path / "parts", *same, "max_iters=12")
    run(tiny_config, tmp_path / "parts", *same, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


@pytest.mark.timeout(120)
def test_two_ranks_end_together_after_a_step_left_out(tiny_config: Path, tmp_path: Path) -> None:
    bad = poison("gt", [19], rank=1)
    ranks = start(2, tmp_path, ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), bad])
    try:
        assert ranks.wait(60) == {0: 0, 1: 0}, ranks.errors(0)
    finally:
        ranks.end()
    assert load(tmp_path / "run", "iter_000020")["optims"]["generator"]["skips"] == [1, 1]


def test_a_save_waits_for_a_step_that_succeeds(tiny_config: Path, tmp_path: Path) -> None:
    """So does the best network: what is evaluated meanwhile is logged, but not kept."""
    runner = run(tiny_config, tmp_path, poison("gradient", [9, 10]), "max_iters=14")
    assert listing(tmp_path, "iter_*.pth") == [f"iter_{i:06d}.pth" for i in (5, 12, 14)]
    assert [line["iter"] for line in records(tmp_path) if line["kind"] == "eval"] == [5, 10, 14]
    assert runner.hooks["checkpoint"].best["photos/psnr"]["iter"] == 14
    assert load(tmp_path, "iter_000012")["hooks"]["checkpoint"]["best"]["photos/psnr"]["iter"] == 5


@pytest.mark.parametrize("ruined", [False, True])
def test_a_signal_while_steps_are_left_out_saves_what_is_finite(
    ruined: bool, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bad = [poison("weight", [7]) if ruined else poison("gradient", [7, 8]), "data.val.interval=100"]
    stop = ["hooks.kill.type=KillHook", "hooks.kill.at=9"]
    code = main(["train", str(tiny_config), "--work-dir", str(tmp_path), *bad, *stop])
    assert code == (2 if ruined else 143)
    assert ("no longer finite" in capsys.readouterr().err) == ruined
    assert listing(tmp_path, "iter_*.pth") == ["iter_000005.pth", *["iter_000009.pth"] * (not ruined)]
    if not ruined:
        run(tiny_config, tmp_path, bad[0], bad[1], resume=True)
        run(tiny_config, tmp_path / "whole", *bad)
        assert differing(final_state(tmp_path / "whole"), final_state(tmp_path)) == []
