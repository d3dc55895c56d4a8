"""Schedules: how the rate of other projects is written here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from srtoolbox.apps.import_config.draft import Draft, Expression
from srtoolbox.apps.import_config.options import Options
from srtoolbox.config.values import Value
from srtoolbox.text import did_you_mean

SAME_NUMBERS = "counted in iterations from the first one, as there"
TARGET = "optim.generator.scheduler"
Reader = Callable[[Draft, Options, str, int, bool], Value]
"""(draft, options, the key of the class, iterations of a warm-up, is_late) -> part or Schedule."""


class Schedule(NamedTuple):
    """A schedule of ours: its parts, and the iterations at which the next part begins."""

    parts: list[dict[str, Any]]
    milestones: list[int]


def read_schedule(draft: Draft, options: Options, name: str, warm_up: int, *, is_late: bool) -> Schedule:
    """Read a schedule.

    Args:
        draft: with the run's `max_iters`.
        options: theirs.
        name: the key of its class, 'type' or 'policy'.
        warm_up: iterations that a warm-up takes, which theirs counts and ours does not.
        is_late: True where a cycle with restarts lasts one iteration longer than its period.
    """
    kind = options.take(name)
    if kind is None:
        return Schedule([], [])
    if str(kind).lower() not in KINDS:
        hint = did_you_mean(kind, KINDS, else_list=True)
        options.ignore()
        options.lost(name, f"the rate stays as it is, for {kind} has no counterpart.{hint}", "optim.generator")
        return Schedule([], [])
    schedule = KINDS[str(kind).lower()](draft, options, name, warm_up, is_late)
    return schedule if isinstance(schedule, Schedule) else Schedule([schedule], [])


def warmed_up(schedule: Schedule, first: dict[str, Any], steps: int) -> Schedule:
    """Return a schedule behind a warm-up of so many iterations."""
    if not schedule.parts:
        return Schedule([first], [])
    return Schedule([first, *schedule.parts], [steps, *(steps + end for end in schedule.milestones)])


def entry_of(schedule: Schedule) -> dict[str, Any]:
    """Return `scheduler` and `milestones` as they stand in `optim`; nothing for a constant rate."""
    if not schedule.parts:
        return {}
    if not schedule.milestones:
        return {"scheduler": schedule.parts[0]}
    return {"scheduler": schedule.parts, "milestones": schedule.milestones}


def _multi_step(draft: Draft, options: Options, name: str, done: int, is_late: bool) -> Value:
    key = options.first("milestones", "step")
    given = options.peek(key)
    milestones = _listed(options, key) if isinstance(given, list) else [int(options.number(key, float, 0.0))]
    gamma = options.number("gamma", float, 0.1)
    options.mapped(name, f"{TARGET}.type", "'MultiStepLR'")
    options.mapped(key, f"{TARGET}.milestones", f"{milestones}, {SAME_NUMBERS}")
    if "gamma" in options:
        options.mapped("gamma", f"{TARGET}.gamma", f"{gamma}")
    for extra in ("restarts", "restart_weights"):
        if options.take(extra) not in (None, [0], [1]):
            options.lost(extra, "the rate falls at the milestones, and is not set back", TARGET)
        options.same(extra, "no restart")
    return {"type": "MultiStepLR", "milestones": [max(0, step - done) for step in milestones], "gamma": gamma}


def _cosine_restarts(draft: Draft, options: Options, name: str, done: int, is_late: bool) -> Value:
    periods = _listed(options, "periods")
    weights = [float(weight) for weight in options.take("restart_weights", [1.0] * len(periods))]
    if any(weight != 1 for weight in weights):
        options.lost("restart_weights", "each cycle begins at the full rate", TARGET)
    options.same("restart_weights", "each cycle begins at the full rate")
    ending = _least(options)
    if done:
        options.different("periods", TARGET, "after the warm-up the first cycle is shorter by as much")
    elif len(periods) > 1 and is_late:
        late = "a cycle begins one iteration earlier than there, at the end of its period"
        options.different("periods", TARGET, late)
    else:
        options.mapped("periods", TARGET, f"{periods}")
    periods = [max(1, periods[0] - done), *periods[1:]]
    if len(periods) == 1:
        options.mapped(name, f"{TARGET}.type", "'CosineAnnealingLR'")
        return {"type": "CosineAnnealingLR", "T_max": _share(draft, periods[0], 1), **ending}
    if len(set(periods)) == 1:
        options.mapped(name, f"{TARGET}.type", "'CosineAnnealingWarmRestarts'")
        return {"type": "CosineAnnealingWarmRestarts", "T_0": _share(draft, periods[0], len(periods)), **ending}
    options.mapped(name, f"{TARGET}.type", f"'CosineAnnealingLR', {len(periods)} of them")
    ends = [sum(periods[: count + 1]) for count in range(len(periods) - 1)]
    return Schedule([{"type": "CosineAnnealingLR", "T_max": period, **ending} for period in periods], ends)


def _cosine(draft: Draft, options: Options, name: str, done: int, is_late: bool) -> Value:
    options.mapped(name, f"{TARGET}.type", "'CosineAnnealingLR'")
    key = options.first("T_max", "period")
    length = options.number(key, int, draft.get("max_iters"))
    if key in options:
        options.mapped(key, f"{TARGET}.T_max", f"{length:,}")
    return {"type": "CosineAnnealingLR", "T_max": _share(draft, max(1, length - done), 1), **_least(options)}


def _least(options: Options) -> dict[str, float]:
    key = options.first("eta_min", "min_lr")
    least = options.number(key, float, 0.0)
    if key in options:
        options.mapped(key, f"{TARGET}.eta_min", f"{least:g}")
    return {"eta_min": least} if least else {}


def _share(draft: Draft, length: int, count: int) -> int | Expression:
    """Return a length, as a share of the run's where it is one."""
    if length * count != draft.get("max_iters"):
        return length
    return Expression("max_iters" if count == 1 else f"max_iters // {count}")


WHOLE = ("T_0", "T_mult", "step_size", "total_iters", "total_steps")


def _as_torch(type_: str, *arguments: str) -> Reader:
    """Return the reader of a schedule that is torch's there, too."""

    def read(draft: Draft, options: Options, name: str, done: int, is_late: bool) -> Value:
        options.mapped(name, f"{TARGET}.type", repr(type_))
        result: dict[str, Any] = {"type": type_}
        for argument in arguments:
            if argument in options:
                number = options.number(argument, float, 0.0)
                result[argument] = int(number) if argument in WHOLE else number
                options.mapped(argument, f"{TARGET}.{argument}", f"{result[argument]:g}")
        return result

    return read


def _constant(draft: Draft, options: Options, name: str, done: int, is_late: bool) -> Value:
    options.same(name, "the rate stays as it is")
    return Schedule([], [])


def _listed(options: Options, name: str) -> list[int]:
    value = options.take(name)
    try:
        if isinstance(value, list | tuple) and value:
            return [int(float(iteration)) for iteration in value]
    except (TypeError, ValueError, OverflowError):
        pass
    raise options.fault(name, f"a list of iterations is wanted, got {value!r}")


KINDS: dict[str, Reader] = {
    "multisteplr": _multi_step,
    "multisteprestartlr": _multi_step,
    "step": _multi_step,
    "cosineannealingrestartlr": _cosine_restarts,
    "cosinerestartlr": _cosine_restarts,
    "cosinerestart": _cosine_restarts,
    "truecosineannealinglr": _cosine,
    "cosineannealinglr": _cosine,
    "cosineannealing": _cosine,
    "cosineannealingwarmrestarts": _as_torch("CosineAnnealingWarmRestarts", "T_0", "T_mult", "eta_min"),
    "steplr": _as_torch("StepLR", "step_size", "gamma"),
    "exponentiallr": _as_torch("ExponentialLR", "gamma"),
    "linearlr": _as_torch("LinearLR", "start_factor", "end_factor", "total_iters"),
    "polynomiallr": _as_torch("PolynomialLR", "total_iters", "power"),
    "onecyclelr": _as_torch("OneCycleLR", "max_lr", "total_steps", "pct_start", "div_factor", "final_div_factor"),
    "fixed": _constant,
}
