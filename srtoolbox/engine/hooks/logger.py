"""The record of a run: console lines, `train.log`, `scores.jsonl`, TensorBoard."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from srtoolbox import dist
from srtoolbox.compat.pytorch import foreach_add_
from srtoolbox.engine.hooks.base import Hook, Phase, fit_interval, positive_interval
from srtoolbox.engine.hooks.tensorboard import WandbRun, open_writer, wandb_fault, write_graph
from srtoolbox.engine.step import PackedTerms
from srtoolbox.errors import ConfigError, Fault
from srtoolbox.image import to_image
from srtoolbox.io.files import append_line, finite_json, write_text
from srtoolbox.logger import LOGGER
from srtoolbox.optim.wrapper import learning_rates
from srtoolbox.plots.panels import PANEL_TITLE, panel
from srtoolbox.registry import HOOKS

if TYPE_CHECKING:
    from pathlib import Path

    from torch.utils.tensorboard import SummaryWriter

    from srtoolbox.engine.evaluate import Evaluation
    from srtoolbox.engine.run import Run

MOST_PACKED = 1000
"""Steps whose terms wait on a device to be read together."""


@HOOKS.register
class LoggerHook(Hook):
    """Log loss terms (weighted means over interval and ranks), learning rates, speed and time left.

    `scores.jsonl` holds one JSON object a line: `{"kind": "train", "iter", "terms", "lr", ...}`
    (terms whose weight is not 1 also "unweighted"; steps left out so far, if any, "skipped") or
    `{"kind": "eval", "iter", "scores"}`. Losses are fetched from the device when a line is due.

    Args:
        interval: iterations between lines; None: a twentieth of the run, at most 100.
        tensorboard: True to write event files, too.
        graph: True to write the generator's graph there, once, as the run begins.
        wandb: arguments of `wandb.init`, such as dict(project='...'), to send all there, too.
    """

    phase = Phase.LOG

    def __init__(
        self,
        interval: int | None = None,
        tensorboard: bool = True,
        graph: bool = False,
        wandb: Mapping[str, Any] | None = None,
    ) -> None:
        self.interval = 0 if interval is None else positive_interval("LoggerHook", interval)
        self.tensorboard, self.graph = tensorboard, graph
        if (graph or wandb is not None) and not tensorboard:
            fault = "graph and wandb go by way of TensorBoard, and tensorboard=False is given"
            raise ConfigError(f"LoggerHook: {fault}", key="tensorboard")
        self.wandb = None if wandb is None else WandbRun(wandb)
        self.means = LossAverages()
        self.writer: SummaryWriter | None = None

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report wandb that is not installed, or arguments of it that are not the user's."""
        fault = wandb_fault(cfg.get("wandb"))
        return [Fault("wandb", f"wandb: {fault}")] if fault else []

    def set_up(self, run: Run) -> None:
        self.interval = self.interval or fit_interval(run.max_iters, most=100, times=20)

    def before_train(self, run: Run) -> None:
        self.path = run.work_dir / "scores.jsonl"
        self.started, self.started_at = time.perf_counter(), run.iter
        self.before = self.started, run.iter, run.data_seconds, run.paused_seconds
        if dist.is_main():
            run.work_dir.mkdir(parents=True, exist_ok=True)
            cut_records(self.path, run.first_logged_iter)
            if self.wandb is not None:
                self.wandb.begin(run.work_dir, run.config.to_dict())
            if self.tensorboard:
                # the lines of an earlier process from this iteration on are written again
                self.writer = open_writer(run.work_dir, purge_step=run.first_logged_iter)
                if self.graph and not run.is_resumed:
                    write_graph(self.writer, run.networks["generator"], run.device)

    def at_start(self, run: Run) -> None:
        self.started = time.perf_counter()  # an evaluation before it says nothing of the time left

    def after_iter(self, run: Run) -> None:
        self.means.add(run.terms)
        rates = getattr(run.batches, "rates", None)  # where batches are made ahead of a device
        if rates is not None and run.iter == self.started_at + self.interval // 2:
            rates.begin()  # compilation and first kernels are over
        if run.iter % self.interval == 0 or run.iter == run.max_iters:
            self._log_train(run)
            if rates is not None and run.iter - self.started_at <= self.interval and (line := rates.sentence()):
                LOGGER.info("%s", line)

    def after_eval(self, run: Run, evaluation: Evaluation) -> None:
        if not dist.is_main():
            return
        scores = evaluation.scores
        self._record({"kind": "eval", "iter": run.iter, "scores": scores})
        line = "  ".join(f"{k} {v:.4f}" for k, v in scores.items() if "seconds" not in k)
        LOGGER.info("iter %d  %s", run.iter, line)
        if self.writer is not None:
            for key, value in scores.items():
                self.writer.add_scalar(f"eval/{key}", value, run.iter)
            for key, image in evaluation.panels.items():
                drawing, title = panel(image.lq, to_image(image.sr), image.gt), f"{key} ({PANEL_TITLE})"
                self.writer.add_image(title, drawing, run.iter, dataformats="HWC")

    def after_train(self, run: Run, error: BaseException | None = None) -> None:
        if self.writer is not None:
            self.writer.close()
        if self.wandb is not None:
            self.wandb.end(failed=error is not None)

    def state_dict(self) -> dict[str, Any]:
        if self.writer is not None:
            self.writer.flush()  # a run resumed from this state writes only what follows
        more = {} if self.wandb is None else {"wandb": self.wandb.id}
        return {"terms": dist.all_gather_object(self.means.state_dict()), **more}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.wandb is not None:
            self.wandb.id = state.get("wandb", self.wandb.id)
        if len(state["terms"]) == dist.world_size():  # else the first line is of what follows only
            self.means.load_state_dict(state["terms"][dist.rank()])

    def _log_train(self, run: Run) -> None:
        terms = self.means.take()
        if not dist.is_main():
            return
        rates, speed = learning_rates(run.optims), self._speed(run)
        weights = run.model.loss_weights()
        weighted = [name for name in terms if weights.get(name, 1) not in (0, 1)]
        plain = {name: terms[name] / weights[name] for name in weighted}
        steps = {name: optim.skipped_steps for name, optim in run.optims.items()}
        skipped = {name: each.total for name, each in steps.items() if each.total}
        record = {"kind": "train", "iter": run.iter, "lr": rates, "terms": terms}
        extra = {"unweighted": plain, "skipped": skipped}
        self._record({**record, **{key: value for key, value in extra.items() if value}, **speed})
        LOGGER.info(train_line(run.iter, run.max_iters, terms, rates, speed))
        if self.writer is not None:
            if speed:
                self.writer.add_scalar("speed/seconds_per_iter", speed["time"], run.iter)
            for group, values in (("loss", terms), ("loss_unweighted", plain), ("lr", rates)):
                for name, value in values.items():
                    self.writer.add_scalar(f"{group}/{name}", value, run.iter)

    def _speed(self, run: Run) -> dict[str, float]:
        """Return seconds per iteration (without saving and evaluating), waiting for data, and left.

        Nothing at the iteration at which a run resumed, which this process has not timed.
        """
        now = time.perf_counter(), run.iter, run.data_seconds, run.paused_seconds
        changes = (after - before for after, before in zip(now, self.before, strict=True))
        seconds, iters, waiting, paused = changes
        if iters == 0:
            return {}
        self.before = now
        rate = (now[0] - self.started) / max(run.iter - self.started_at, 1)
        left = rate * (run.max_iters - run.iter)
        return {"time": (seconds - paused) / iters, "data_time": waiting / iters, "eta": left}

    def _record(self, record: dict[str, Any]) -> None:
        append_line(self.path, json.dumps(finite_json(record)))


def train_line(
    iteration: int, of: int, terms: dict[str, float], rates: dict[str, float], speed: dict[str, float]
) -> str:
    """Return a line for people: losses, learning rates, and if timed speed and time left."""
    losses = "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
    names = {name: f"{name} " if len(rates) > 1 else "" for name in rates}
    lr = ", ".join(f"{names[name]}{rate:.3g}" for name, rate in rates.items())
    line = f"iter {iteration}/{of}  {losses}  lr {lr}"
    if not speed:
        return line
    waiting = 100 * speed["data_time"] / max(speed["time"], 1e-9)
    timing = f"{speed['time'] * 1e3:.1f} ms/iter (data {waiting:.0f} %)"
    return f"{line}  {timing}  time left {clock(speed['eta'])}"


def clock(seconds: float) -> str:
    """Return hours, minutes and seconds as 1:02:03."""
    seconds = max(int(seconds), 0)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def cut_records(path: Path, iteration: int) -> None:
    """Drop the records from `iteration` on, which a resumed run writes again, and a torn line."""
    if not path.exists():
        return
    kept = []
    text = path.read_text(encoding="utf-8", errors="replace")  # a power loss may leave zeros
    for line in text.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            if json.loads(line)["iter"] < iteration:
                kept.append(line + "\n")
    write_text(path, "".join(kept))


class LossAverages:
    """Sums of named scalars, kept on their device; a term is averaged over iterations that have it.

    Sums, not a list of the values: small tensors kept alive between the big ones of an iteration
    fragment the allocator, which costs more than all the rest of logging.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._far: dict[str, Tensor] = {}  # (sum, count) of terms that are on a GPU
        self._packed: list[PackedTerms] = []  # of steps whose terms are one tensor each

    def add(self, terms: Mapping[str, Tensor | float]) -> None:
        """Take in one iteration's terms: scalars, detached. None that is not finite counts.

        Nothing here waits for a GPU.
        """
        if isinstance(terms, PackedTerms):
            self._packed.append(terms)
            if len(self._packed) >= MOST_PACKED:
                self._unpack()
            return
        far: dict[str, Tensor] = {}
        for name, term in terms.items():
            if isinstance(term, Tensor) and _is_far(term):
                far[name] = term
            else:
                self._add_near(name, float(term))
        if far:
            self._add_far(far)

    def _add_near(self, name: str, value: float) -> None:
        if math.isfinite(value):
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def _unpack(self) -> None:
        """Read all packed terms from the device at once, and add them up in their order."""
        steps, self._packed = self._packed, []
        values = torch.cat([terms.packed for terms in steps]).tolist() if steps else []
        for name, value in zip((name for terms in steps for name in terms), values, strict=True):
            self._add_near(name, value)

    def _add_far(self, terms: Mapping[str, Tensor]) -> None:
        values = torch.stack(list(terms.values()))
        values = values.to(torch.float32 if values.device.type == "mps" else torch.float64)
        pairs = torch.stack((values, torch.ones_like(values)), dim=1)
        pairs = torch.where(values.isfinite()[:, None], pairs, 0)
        for name in terms.keys() - self._far.keys():  # a resumed run goes on from numbers
            # filled there: a copy would wait
            self._far[name] = values.new_full((2,), self._sums.pop(name, 0.0))
            self._far[name][1:].fill_(self._counts.pop(name, 0))
        foreach_add_([self._far[name] for name in terms], list(pairs.unbind()))

    def take(self) -> dict[str, float]:
        """Return the means over all ranks, which must all ask, since the last call; start anew."""
        states = dist.all_gather_object(self.state_dict())
        self._sums, self._counts, self._far = {}, {}, {}
        return {
            name: sum(state[name][0] for state in states if name in state) / count
            for name in dict.fromkeys(name for state in states for name in state)
            if (count := sum(state[name][1] for state in states if name in state))
        }

    def state_dict(self) -> dict[str, tuple[float, int]]:
        """Return this rank's `{name: (sum, count)}`. Waits for the device."""
        self._unpack()
        near = {name: (total, self._counts[name]) for name, total in self._sums.items()}
        far = list(self._far.values())
        rows = torch.stack(far).tolist() if far else []
        return near | {name: (total, int(count)) for name, (total, count) in zip(self._far, rows, strict=True)}

    def load_state_dict(self, state: Mapping[str, tuple[float, int]]) -> None:
        """Go on from what `state_dict` gave."""
        self._far, self._packed = {}, []
        self._sums = {name: total for name, (total, _) in state.items()}
        self._counts = {name: count for name, (_, count) in state.items()}


def _is_far(term: Tensor) -> bool:
    """True if to read a value would be to wait for a device."""
    return not term.is_cpu
