"""The step as one graph: captured once for each kind of step, then replayed.

A capture keeps the kernels of a step with the addresses they work on. Whatever Python decided is
constant from then on, so that this file is mostly about when a graph must not be believed.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from srtoolbox import dist
from srtoolbox.data.datasets.base import Batch
from srtoolbox.engine.hooks.base import Hook, Phase
from srtoolbox.engine.step import EagerStep, PackedTerms, Step, whole_step
from srtoolbox.engine.step.capture import Capture, Outcome, difference, distance
from srtoolbox.engine.step.cuda import Graphs, graphs_for
from srtoolbox.engine.step.frozen import OWN, Before, State, parts_of, reads_of_iteration, unsure_parts
from srtoolbox.interfaces import IMAGE_KEYS
from srtoolbox.logger import LOGGER
from srtoolbox.text import first_line

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run

SHORT, TIMES = 2, 4
"""A graph replayed so few times before something under it changed, so many in a row, is no use."""
MOST_KINDS = 16  # graphs of a run: each keeps its own inputs


def build_step(run: Run) -> Step:
    """Return what takes the steps of a run, by `runtime.graph` and its device."""
    graphs = graphs_for(run.device) if run.runtime.get("graph") else None
    if graphs is not None:
        return GraphStep(run, graphs)
    if run.runtime.get("graph"):
        LOGGER.info("runtime.graph: there are no graphs on %s, each operator is started by itself", run.device)
    return EagerStep(run)


class _NoCapture(Exception):  # noqa: N818 - a verdict of all ranks, not an error
    """The reason, on which all ranks have agreed, why this step is not captured."""


class GraphStep:
    """Steps that replay a graph; where none can be right, steps operator by operator.

    Hooks before which no other changes the weights are part of it (`Hook.capturable`).
    """

    def __init__(self, run: Run, graphs: Graphs) -> None:
        self.run, self.graphs = run, graphs
        self.captures: dict[object, Capture] = {}
        self.hooks = _hooks_within(run)
        self.unsure: list[str] = []
        self.has_given_up = False
        self._short_lived = self._firsts = 0
        self._work: list[Callable[[], object]] = []
        self._is_capturing = False

    def take(self) -> dict[str, Tensor]:
        """Take one step, see `Step`."""
        run = self.run
        if self.has_given_up:
            return whole_step(run, run.next_batch)
        if not self.captures:
            self.unsure = unsure_parts(run)
        batches = [self._degraded(run.next_batch()) for _ in range(run.accumulation)]
        images = [self._images(batch) for batch in batches]
        shapes = [(key, value.shape, value.dtype) for batch in images for key, value in batch.items()]
        kind = (run.model.step_kind(run.iter), *shapes)
        capture = self.captures.get(kind)
        if capture is not None and (changed := capture.change()):
            self._forget(capture, changed)
            capture = None
        if capture is None and len(self.captures) >= MOST_KINDS:
            self._give_up(f"there are more than {MOST_KINDS} kinds of steps and sizes of batches")
        if self.has_given_up:
            return self._by_operators(batches)
        run.in_step = frozenset(self.hooks)
        if capture is None:
            return self._begin(kind, batches)
        capture.fill(images)
        return self._replay(capture, batches)

    # --- the ways to take a step

    def _begin(self, kind: object, batches: list[Batch]) -> dict[str, Tensor]:
        """Take a step of a kind that has no graph: warm up, capture, put all back, replay.

        A step in which an optimizer makes its moments is taken as it is: the next one is captured.
        """
        inputs = [{key: value.clone() for key, value in self._images(batch).items()} for batch in batches]
        whole = [{**batch, **own} for batch, own in zip(batches, inputs, strict=True)]
        before: Before | None = None
        try:
            with self._on_device():
                state = State(self.run)
                before = Before(self.run, state, self.unsure)
                self._agree(self._impossible())
                outcome = self._warm_up(whole, before)
                if self._is_first(before):
                    self._firsts += 1
                    return self._finish(outcome)
                capture = Capture(inputs, *self._capture(whole))
            before.put_back()
            self._agree(None)
        except Exception as error:
            fault = str(error) if isinstance(error, _NoCapture) else self._agreed(self._cause(error))
            if before is not None:
                before.put_back()
            self._give_up(str(fault))
            return self._by_operators(batches)
        capture.rely_on(self.run, self.hooks, state)
        self.captures[kind] = capture
        return self._replay(capture, batches)

    def _replay(self, capture: Capture, batches: Sequence[Batch]) -> dict[str, Tensor]:
        for optim in self.run.optims.values():
            optim.fill_rates()
        capture.replays += 1
        if self.unsure and capture.replays & (capture.replays - 1) == 0:  # 1, 2, 4, 8 ...
            return self._verify(capture, batches)
        capture.replay()
        return self._finish(capture.outcome)

    def _verify(self, capture: Capture, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Take a step by operators and by the graph, from one state.

        Go on with the graph's if equal.
        """
        state = State(self.run)
        before = Before(self.run, state, self.unsure)
        with self._on_device(), self.graphs.aside():
            outcome = self._step([{**batch, **own} for batch, own in zip(batches, capture.inputs, strict=True)])
        fault, expected, terms = _host_fault(before), state.values(), outcome.terms.clone()
        before.put_back()
        capture.replay()
        by_graph = capture.outcome
        if fault is None and outcome.names != by_graph.names:
            fault = f"the terms are {', '.join(outcome.names)} and were {', '.join(by_graph.names)}"
        fault = fault or difference(by_graph, terms) or distance(state.tensors(), expected, before.values)
        if fault := self._agreed(fault):
            before.put_back()
            self._give_up(fault)
            return self._by_operators(batches)
        return self._finish(by_graph)

    def _by_operators(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        with self._prepared():
            return whole_step(self.run, iter([dict(batch) for batch in batches]).__next__)

    def _finish(self, outcome: Outcome) -> dict[str, Tensor]:
        """Count a step; return its terms, which the next one leaves as they are."""
        for name, optim in self.run.optims.items():
            optim.count_step(outcome.flags.get(name))
        return PackedTerms(outcome.names, outcome.terms.clone())

    # --- what is captured

    def _step(self, batches: Sequence[Batch]) -> Outcome:
        """Take a step as a graph would: the restorer's, and what hooks do within it."""
        run = self.run
        terms = whole_step(run, iter([dict(batch) for batch in batches]).__next__, ask=False)
        for hook in self.hooks.values():
            hook.after_iter(run)
        if numbers := [name for name, term in terms.items() if not isinstance(term, Tensor)]:
            raise RuntimeError(f"the term {numbers[0]!r} is a number of the host")
        flags = {name: optim.nonfinite_flag for name, optim in run.optims.items()}
        values = torch.stack([term.detach().float().reshape(()) for term in terms.values()])
        return Outcome(list(terms), values, {name: flag for name, flag in flags.items() if flag is not None})

    def _warm_up(self, batches: Sequence[Batch], before: Before) -> Outcome:
        """Take the first steps aside, one if that makes moments; return the outcome of the first.

        Raises _NoCapture where a graph cannot hold what they do.
        """
        with self.graphs.aside():
            with reads_of_iteration(self.run.model) as reads:
                outcome = self._step(batches)
            if self._is_first(before):
                self._agree(None)
                return outcome
            fault = _host_fault(before)
            if fault is None and reads and not _says_kinds(self.run.model):
                fault = f"{reads[0]} asks for the iteration, and no step_kind(iteration) says when steps are alike"
            self._agree(fault)
            for number in range(1, self.graphs.warm_ups):
                last = number == self.graphs.warm_ups - 1
                with self.graphs.strict() if last else contextlib.nullcontext():
                    self._step(batches)
        return outcome

    def _capture(self, batches: Sequence[Batch]) -> tuple[list[Callable[[], object]], Outcome]:
        with self.graphs.aside():
            self._work, self._is_capturing = [], True
            self.graphs.begin()
            try:
                outcome = self._step(batches)
            except BaseException:
                self.graphs.break_off()
                raise
            finally:
                self._is_capturing = False
            self._work.append(self.graphs.end())
        return self._work, outcome

    def _is_first(self, before: Before) -> bool:
        """True if the step since `before` was the first of an optimizer, which no graph repeats."""
        return before.has_grown or not all(optim.has_begun for optim in self.run.optims.values())

    def _degraded(self, batch: Batch) -> Batch:
        """Return a batch with its degradations, which choose on the host: no graph holds them."""
        return batch if getattr(self.run.model, "transform", None) is None else self.run.model.prepare(batch)

    def _images(self, batch: Batch) -> Batch:
        """Return a graph's inputs: a plugin may ask for more than the images and targets."""
        model = self.run.model
        is_own = type(model).__module__.partition(".")[0] in OWN
        keys = (*IMAGE_KEYS, *model.targets.values()) if is_own and not self.unsure else batch
        return {key: batch[key].to(self.run.device) for key in keys if isinstance(batch.get(key), Tensor)}

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[None]:
        """Let the restorer take batches that are `_degraded`."""
        model = self.run.model
        if getattr(model, "transform", None) is None:
            yield
            return
        own = vars(model).get("prepare")
        model.prepare = lambda batch: batch
        try:
            yield
        finally:
            del model.prepare
            if own is not None:
                model.prepare = own

    @contextlib.contextmanager
    def _on_device(self) -> Iterator[None]:
        """Take steps as they are captured: without a question to the device, rates in tensors."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._prepared())
            for optim in self.run.optims.values():
                stack.enter_context(optim.on_device())
                if self.run.world > 1:  # the gradients are averaged between two graphs
                    stack.callback(setattr, optim, "average", None)
                    optim.average = self._average
            yield

    def _average(self, gradients: list[Tensor]) -> None:
        """Average gradients over the ranks: one graph ends before, another begins after."""
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients]).div_(self.run.world)

        def exchange() -> None:
            dist.sum_over_ranks(flat)

        if self._is_capturing:
            self._work += [self.graphs.end(), exchange]
            self.graphs.begin()
        else:
            self._agree(None)  # one that has failed meanwhile does not come to the exchange
            exchange()
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    # --- when not to believe a graph

    def _impossible(self) -> str | None:
        if self._firsts > MOST_KINDS:
            return "steps make new tensors each time"
        counting = next((name for name, optim in self.run.optims.items() if optim.counts_on_host), None)
        # not even the first step may have a rate in a tensor: it would become a count
        if counting is not None:
            return f"{type(self.run.optims[counting].optimizer).__name__} counts its steps on the host"
        parts = parts_of(self.run).items() if self.run.world > 1 else ()
        name = next((name for name, part in parts if getattr(part, "relativistic", False)), None)
        return name and f"{name} asks all ranks for their means in the middle of a step"

    def _agree(self, fault: str | None) -> None:
        """Raise _NoCapture on all ranks if one has a fault.

        All must call it, in whatever part of a capture.
        """
        if agreed := self._agreed(fault):
            raise _NoCapture(agreed)

    def _agreed(self, fault: str | None) -> str | None:
        """Return the fault of this rank, or of another one."""
        return next(filter(None, dist.all_gather_object(fault)), None) if self.run.world > 1 else fault

    def _cause(self, error: BaseException) -> str:
        """Say what broke a capture off: the code, outside PyTorch, and the reason."""
        apart = ("torch", "srtoolbox.engine", "srtoolbox.compat", type(self.graphs).__module__)
        frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        names = [f"{frame.f_globals.get('__name__')}." for frame, _ in frames]
        own = [
            place
            for place, name in zip(frames, names, strict=True)
            if not name.startswith(tuple(f"{a}." for a in apart))
        ]
        frame, line = (own or frames)[-1]
        code = frame.f_code
        place = f"{code.co_qualname.partition('.<locals>')[0]} ({Path(code.co_filename).name}, line {line})"
        kind = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
        return f"{place}: {kind}{first_line(error)}"

    def _forget(self, capture: Capture, changed: str) -> None:
        """Drop all graphs, since something under them is another now; give up if it always is."""
        self._short_lived = self._short_lived + 1 if capture.replays <= SHORT else 0
        self._drop()
        if self._short_lived >= TIMES:
            self._give_up(f"{changed} changes from step to step")

    def _drop(self) -> None:
        self.captures.clear()
        self._work = []
        self.graphs.renew()

    def _give_up(self, reason: str) -> None:
        self.has_given_up, self.run.in_step = True, frozenset()
        self._drop()
        self.run.average_gradients()
        LOGGER.warning("the steps of this run are not captured in a graph, and take longer: %s", reason)


def _hooks_within(run: Run) -> dict[str, Hook]:
    """Return the hooks that a graph holds: those before which no other acts on the weights."""
    within: dict[str, Hook] = {}
    for name, hook in run.hooks.items():
        if hook.phase == Phase.UPDATE and vars(type(hook)).get("leaves_weights", False):
            continue
        if hook.phase != Phase.UPDATE or not vars(type(hook)).get("capturable", False):
            break
        within[name] = hook
    return within


def _says_kinds(model: nn.Module) -> bool:
    """True if a class of a plugin says which steps are alike."""
    # `Restorer` at last
    owner = next(kind for kind in type(model).__mro__ if "step_kind" in vars(kind))
    return owner.__module__.partition(".")[0] not in OWN


def _host_fault(before: Before) -> str | None:
    changed = before.host.change()
    return changed and f"a step draws or counts on the host, where a graph does nothing ({changed} changed)"
