"""Profiles of short trainings: times part by part, a trace to look at, advice."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from srtoolbox import dist
from srtoolbox.check import check
from srtoolbox.check.components import DEFAULT_HOOKS, complete_hooks
from srtoolbox.config import Config
from srtoolbox.data.loading import ahead, loader
from srtoolbox.data.stores.folder import DecodingStore
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.devices import DeviceWaits
from srtoolbox.engine import run as run_module
from srtoolbox.engine.device import process_restored
from srtoolbox.engine.hooks.base import Phase
from srtoolbox.engine.hooks.logger import LoggerHook
from srtoolbox.engine.loop import iterations
from srtoolbox.engine.run import Run
from srtoolbox.engine.step.graph import GraphStep
from srtoolbox.errors import RunError
from srtoolbox.io.files import atomic_write
from srtoolbox.logger import logging_restored
from srtoolbox.optim.wrapper import OptimWrapper
from srtoolbox.plugins import load_config
from srtoolbox.registry import HOOKS
from srtoolbox.weights.of_config import with_network_of_file

WARM_UP, TRACED = 5, 5  # iterations before the timed ones, and those of the trace
PROBES = 5  # batches made apart, where the run's own are made elsewhere
READ, CROP, COLLATE, COPY, WAIT = "read", "crop", "collate", "copy", "waiting"
GRAPH, FORWARD, BACKWARD, OPTIMIZER, HOOK, REST = "graph", "forward", "backward", "optimizer", "hook ", "the rest"
WORDS = {
    READ: "images read from the store, and decoded where they are files",
    CROP: "crops chosen and transformed, low-resolution ones made",
    COLLATE: "crops put into a batch",
    COPY: "batches sent to the device",
    WAIT: "for a batch, by the loop",
    GRAPH: "a graph of the step fed and started",
    FORWARD: "pixels to float, networks and losses",
    BACKWARD: "gradients, looked over and clipped",
    OPTIMIZER: "weights changed",
    REST: "the loop itself",
}
_MAKING = (READ, CROP, COLLATE)


@dataclass(frozen=True)
class Profile:
    """The times of a short training, in ms per iteration.

    Attributes:
        device: where it ran, with its amp.
        total: an iteration.
        parts: by part of it, each without what is counted elsewhere; a device works on meanwhile.
        beside: the parts of making a batch, where that is done beside the loop, per batch.
        busy: of that the device worked; None on the CPU.
        waits: calls at which Python waited for the device, per iteration, by (call, FILE:LINE).
        settings: `runtime` as it was resolved, with `workers`.
    """

    device: str
    total: float
    parts: Mapping[str, float]
    beside: Mapping[str, float] = field(default_factory=dict)
    busy: float | None = None
    waits: Mapping[tuple[str, str], float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return a table, and the advice below it."""
        lines = [f"{self.total:.2f} ms per iteration on {self.device}", ""]
        for name, value in self.parts.items():
            lines.append(
                f"  {name:<16}{value:9.3f} ms {100 * value / self.total:5.1f} %  {WORDS.get(name, '')}".rstrip()
            )
        if self.busy is not None:
            idle = max(0.0, 1 - self.busy / self.total)
            lines.append(f"  the device works {self.busy:.3f} ms of that, and is idle for {100 * idle:.0f} %")
        if self.beside:
            made = ", ".join(f"{name} {value:.3f}" for name, value in self.beside.items())
            lines.append(f"  a batch is made beside the loop, in {sum(self.beside.values()):.3f} ms: {made}")
        return [*lines, "", *(f"- {advice}" for advice in advise(self))]


def advise(profile: Profile) -> list[str]:
    """Return what would make a training faster, most important first: sentences."""
    parts, total, settings = profile.parts, profile.total, profile.settings
    making = {name: parts.get(name, 0.0) + profile.beside.get(name, 0.0) for name in _MAKING}
    in_loop = sum(parts.get(name, 0.0) for name in _MAKING) + parts.get(WAIT, 0.0)
    advice = []
    if in_loop > 0.2 * total:
        advice.append(_advice_on_loading(making, in_loop, profile))
    for (call, place), times in profile.waits.items():
        advice.append(f"{place}: {call} makes Python wait for the device {times:.3g} times an iteration: leave it out.")
    if profile.busy is not None and profile.busy < 0.8 * total and in_loop <= 0.2 * total:
        share = f"The device is idle for {100 * (1 - profile.busy / total):.0f} %"
        graph = "it waits for Python: let runtime.graph be 'auto', which makes one graph of the step"
        advice.append(f"{share}: {graph}. The log's first lines say what is in its way, where something is.")
    for name, value in parts.items():
        if name.startswith(HOOK) and value > 0.05 * total:
            hook = name.removeprefix(HOOK)
            advice.append(f"hooks.{hook} takes {100 * value / total:.0f} %: let it act less often, or take it out.")
    network = sum(parts.get(name, 0.0) for name in (FORWARD, BACKWARD))
    if (network > 0.5 * total or (profile.busy or 0) > 0.5 * total) and not settings.get("amp"):
        text = "The network is most of it: runtime.amp='bf16' with runtime.channels_last=True"
        advice.append(f"{text} halves that where the hardware has bfloat16, at a small loss of precision.")
    return advice or ["Nothing stands out: no part of an iteration is out of proportion."]


def _advice_on_loading(making: Mapping[str, float], in_loop: float, profile: Profile) -> str:
    """Say how batches come fast enough."""
    share = f"Batches are the wall, {100 * in_loop / profile.total:.0f} % of the time"
    batch, step = sum(making.values()), max(profile.total - in_loop, 1e-3)
    worst = max(making, key=lambda name: making[name])
    if worst == READ and making[READ] > 1:
        return f"{share}: most of it is reading files. Convert the images with convert_lmdb, then nothing is decoded."
    workers = math.ceil(batch / step)
    cpus = os.cpu_count() or 1
    limit = f" (there are {cpus} CPUs)" if workers > cpus else ""
    has = profile.settings.get("workers", 0)
    return (
        f"{share}: one is made in {batch:.2f} ms, mostly {worst}, and a step without it takes {step:.2f} ms. "
        f"data.train.workers={max(1, workers)}{limit} would keep up; now it is {has}."
    )


class Spans:
    """Seconds by part of an iteration, each without the parts inside it, and by thread."""

    def __init__(self) -> None:
        self._here, self._open = threading.get_ident(), threading.local()
        self.seconds: Counter[str] = Counter()  # of the thread that made this
        self.beside: Counter[str] = Counter()  # of the others
        self.is_traced = False

    def begin(self, name: str) -> None:
        """Begin a part of what is under way in this thread."""
        stack = self._open.__dict__.setdefault("stack", [])
        mark = torch.profiler.record_function(name).__enter__() if self.is_traced else None
        stack.append((name, mark, time.perf_counter(), [0.0]))

    def end(self) -> None:
        """End the part that began last."""
        stack = self._open.stack
        name, mark, start, (inner,) = stack.pop()
        seconds = time.perf_counter() - start
        if mark is not None:
            mark.__exit__(None, None, None)
        if stack:
            stack[-1][3][0] += seconds
        (self.seconds if threading.get_ident() == self._here else self.beside)[name] += seconds - inner

    def clear(self) -> None:
        """Forget what was measured."""
        self.seconds.clear()
        self.beside.clear()

    @contextlib.contextmanager
    def on(self, owner: object, attribute: str, name: str) -> Iterator[None]:
        """Let the calls of a function, an attribute of a class or a module, be a part."""
        function, has_own = getattr(owner, attribute), attribute in vars(owner)

        @functools.wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            self.begin(name)
            try:
                return function(*args, **kwargs)
            finally:
                self.end()

        setattr(owner, attribute, call)
        try:
            yield
        finally:
            setattr(owner, attribute, function) if has_own else delattr(owner, attribute)


@contextlib.contextmanager
def _measuring(run: Run, spans: Spans) -> Iterator[None]:
    """Measure the parts of a run's iterations inside."""
    places = [
        *((kind, "read_at", READ) for kind in (DecodingStore, LmdbStore)),
        (type(run.dataset), "sample", CROP),
        (loader, "collate", COLLATE),
        (run_module, "to_device", COPY),
        (ahead.CudaLink, "send", COPY),
        (type(run.batches), "__next__", WAIT),
        (GraphStep, "take", GRAPH),
        (type(run.model), "train_step", FORWARD),
        (OptimWrapper, "update", BACKWARD),
    ]
    names: dict[type, list[str]] = {}
    for name, hook in run.hooks.items():
        names.setdefault(type(hook), []).append(name)
    places += [(kind, "after_iter", HOOK + ", ".join(of)) for kind, of in names.items()]
    with contextlib.ExitStack() as stack:
        for place in places:
            stack.enter_context(spans.on(*place))
        for optim in run.optims.values():
            # the schedule has replaced the optimizer's `step`
            begin = optim.optimizer.register_step_pre_hook(lambda *_: spans.begin(OPTIMIZER))
            end = optim.optimizer.register_step_post_hook(lambda *_: spans.end())
            stack.callback(begin.remove)
            stack.callback(end.remove)
        yield


def profile_run(
    config: Config | Mapping[str, Any] | str | os.PathLike,
    trace: str | os.PathLike | None = None,
    *,
    iters: int = 20,
    device: str | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str | os.PathLike] = (),
) -> Profile:
    """Train for some iterations and say where their time goes. Nothing is saved or evaluated.

    Args:
        config, device, overrides, plugins: see `srtoolbox.train`.
        trace: file for a trace of five more iterations, which Perfetto (ui.perfetto.dev) shows; the
            only thing that is written.
        iters: iterations that are timed, after a few that warm up.

    Raises:
        ConfigError: the config has faults.
        RunError: several processes were launched.
    """
    if dist.launched():
        raise RunError("a profile is of one process: start it without a launcher")
    entries = {"runtime.device": device and str(device)}
    with logging_restored(), process_restored(), tempfile.TemporaryDirectory() as folder:
        settings = with_network_of_file(load_config(config, overrides, entries, plugins=plugins))
        check(settings)
        settings["hooks"] = _quiet_hooks(settings)
        settings["max_iters"] = max(settings["max_iters"], 10 * (WARM_UP + iters + TRACED))
        run = Run(settings, Path(folder) / "run")
        try:
            return _profile(run, iters, Path(folder) / "trace.json", trace)
        finally:
            for hook in run.hooks.values():
                hook.after_train(run)
            run.close()


def _quiet_hooks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config's hooks without those that save, evaluate or tell other programs."""
    hooks: dict[str, Any] = dict.fromkeys(DEFAULT_HOOKS)
    for name, cfg in complete_hooks(config).items():
        kind: Any = HOOKS.get(cfg["type"])
        hooks[name] = None if kind.phase in (Phase.SAVE, Phase.EVALUATE) else dict(cfg)
        if issubclass(kind, LoggerHook):
            hooks[name] |= {"tensorboard": False, "graph": False, "wandb": None}
    return hooks


def _profile(run: Run, iters: int, temporary: Path, trace: str | os.PathLike | None) -> Profile:
    spans, steps = Spans(), iterations(run)
    is_device = run.device.type == "cuda"

    def train(count: int) -> float:
        """Train some iterations; return the seconds."""
        start = time.perf_counter()
        for _ in range(count):
            next(steps)
        if is_device:
            torch.cuda.synchronize(run.device)
        return time.perf_counter() - start

    with _measuring(run, spans):
        train(WARM_UP)
        spans.clear()
        seconds = train(iters)
        parts, beside = Counter(spans.seconds), Counter(spans.beside)
        made = iters
        if not any(name in parts or name in beside for name in _MAKING):  # by worker processes
            spans.clear()
            _make_batches(run, PROBES)
            beside, made = Counter({name: spans.seconds[name] for name in _MAKING}), PROBES
        busy = _trace(train, spans, is_device, temporary, trace)
        waits: Counter[tuple[str, str]] = Counter()
        if is_device:
            with DeviceWaits() as watch:
                train(TRACED)
            waits = watch.calls
    rest = seconds - sum(parts.values())
    order = [READ, CROP, COLLATE, WAIT, COPY, GRAPH, FORWARD, BACKWARD, OPTIMIZER]
    ordered = {name: parts[name] for name in (*order, *sorted(parts.keys() - set(order))) if name in parts}
    amp = run.runtime.get("amp")
    return Profile(
        device=f"{run.device}, {amp or 'fp32'}",
        total=seconds / iters * 1e3,
        parts={name: value / iters * 1e3 for name, value in (ordered | {REST: rest}).items()},
        beside={name: value / made * 1e3 for name, value in beside.items() if name in _MAKING},
        busy=busy,
        waits={place: times / TRACED for place, times in waits.items()},
        settings={**run.runtime, "workers": run.config["data"]["train"].get("workers", 0)},
    )


def _make_batches(run: Run, count: int) -> None:
    """Make batches in this process, as a worker does."""
    batches = loader.TrainLoader(run.dataset, run.sampler(0, 0, 1), 0, lambda: False, run.begin(1))
    for _ in range(count):
        next(batches)


def _trace(
    train: Callable[[int], float], spans: Spans, is_device: bool, temporary: Path, trace: str | os.PathLike | None
) -> float | None:
    """Trace some iterations; return how many ms of each the device worked, None on the CPU."""
    if not is_device and trace is None:
        return None
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_device else [])]
    spans.is_traced = True
    with torch.profiler.profile(activities=activities) as profiler:
        train(TRACED)
    spans.is_traced = False
    if trace is not None:
        profiler.export_chrome_trace(str(temporary))
        with open(temporary, "rb") as source:
            atomic_write(trace, lambda file: shutil.copyfileobj(source, file))
    if not is_device:
        return None
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1e3 / TRACED
