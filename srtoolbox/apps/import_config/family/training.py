"""Optimizers, schedules and the length of the run."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.counterpart import translate
from srtoolbox.apps.import_config.draft import Expression
from srtoolbox.apps.import_config.family.project import Import
from srtoolbox.apps.import_config.options import Options
from srtoolbox.config.values import Value
from srtoolbox.text import did_you_mean

SAME_NUMBERS = "counted in iterations from the first one, as there"


def read_length(job: Import, train: Options) -> None:
    """Read how long the run is and what is averaged."""
    logger = job.options.section("logger")
    holder = logger if "total_iter" in logger else train  # the first in neosr
    name = holder.first("total_iter", "niter")
    iterations = holder.number(name, int, 0)
    if iterations < 1:
        raise holder.fault(name, "the file does not say how many iterations the run has (total_iter)")
    job.draft.set("max_iters", iterations)
    holder.mapped(name, "max_iters", f"{iterations:,}")
    if "manual_seed" in train:
        job.draft.set("seed", train.number("manual_seed", int, 0))
        train.mapped("manual_seed", "seed", f"{job.draft.get('seed')}")


def read_average(job: Import, train: Options) -> None:
    """Read the average of the weights."""
    name = train.first("ema_decay", "ema")
    decay = train.number(name, float, job.project.ema)
    if decay > 0:
        job.draft.set("hooks.ema", {"type": "EMAHook", "decay": decay})
        train.mapped(name, "hooks.ema.decay", f"{decay}")
    else:
        train.same(name, "no average, and no EMAHook")
    if train.take("switch_iter_per_epoch") is not None or train.take("ema_switch_iter") is not None:
        train.lost("ema_switch_iter", "the network that trains is never replaced by its average")


def read_optimizers(job: Import, train: Options, has_discriminator: bool) -> None:
    """Read `optim_g`, `optim_d`, the scheduler, warm-up and clipping."""
    schedule = _schedule(job, train)
    clip = _clip(train)
    entries = {"generator": _optimizer(job, train, "optim_g", "generator")}
    if has_discriminator:
        name = "optim_d" if "optim_d" in train else "optim_g"
        entries["discriminator"] = _optimizer(job, train, name, "discriminator")
    elif "optim_d" in train:
        train.take("optim_d")
        train.same("optim_d", "there is no discriminator")
    draft = job.draft
    if len(entries) == 1:
        draft.set("optim", {"generator": {"optimizer": entries["generator"], **schedule, **clip}})
        return
    if entries["generator"] == entries["discriminator"]:
        shared = str(entries["generator"]["type"]).lower()
        draft.set(shared, {"optimizer": entries["generator"], **schedule, **clip})
        draft.set("optim", dict.fromkeys(entries, Expression(shared)))
        return
    if "scheduler" in schedule:
        draft.set("schedule", schedule["scheduler"])
        schedule = {**schedule, "scheduler": Expression("schedule")}
    draft.set("optim", {network: {"optimizer": entry, **schedule, **clip} for network, entry in entries.items()})


def _optimizer(job: Import, train: Options, name: str, network: str) -> dict[str, Any]:
    target = f"optim.{network}.optimizer"
    options = train.section(name)
    kind = options.peek("type")
    table = job.project.optimizers
    if kind is None:
        raise train.fault(name, "the optimizer's type is missing")
    if str(kind).lower() not in table:
        hint = did_you_mean(kind, table, else_list=True)
        raise options.fault("type", f"the optimizer {kind!r} has no counterpart here.{hint}")
    for number in ("lr", "weight_decay", "eps", "momentum"):
        if isinstance(options.peek(number), str):
            options.number(number, float, 0.0)
    result = translate(options, table[str(kind).lower()], "optimizer", target, f"{job.project.name}'s optimizer")
    for key, value in result.items():
        if key in ("lr", "weight_decay", "eps", "momentum", "adamw_lr") and isinstance(value, str):
            result[key] = float(value)
        if isinstance(value, list):
            result[key] = tuple(value)
    return result


def _clip(train: Options) -> dict[str, float]:
    for name in ("grad_clip", "use_grad_clip"):
        if train.take(name, False):
            train.mapped(name, "optim.generator.clip", "1.0, the largest norm of the gradients")
            return {"clip": 1.0}
        train.same(name, "no clipping")
    return {}


def _schedule(job: Import, train: Options) -> dict[str, Any]:
    """Return `scheduler` and, with a warm-up, `milestones`, of each network's entry in `optim`."""
    options = train.section("scheduler")
    warm_up = train.number("warmup_iter", int, -1)
    if warm_up <= 1:
        train.same("warmup_iter", "no warm-up")
        warm_up = 0
    kind = options.take("type")
    if kind is None:
        schedule: Any = None
    elif str(kind).lower() in _KINDS:
        schedule = _KINDS[str(kind).lower()](job, options, max(0, warm_up - 1))
        options.close(f"{job.project.name}'s scheduler")
    else:
        hint = did_you_mean(kind, _KINDS, else_list=True)
        options.lost("type", f"the rate stays as it is, for {kind} has no counterpart.{hint}", "optim.generator")
        schedule = None
    parts, milestones = schedule if isinstance(schedule, tuple) else (schedule, [])
    if not warm_up:
        return {} if parts is None else {"scheduler": parts, **({"milestones": milestones} if milestones else {})}
    steps = warm_up - 1
    first = {"type": "LinearLR", "start_factor": Expression(f"1 / {warm_up}"), "total_iters": steps}
    train.mapped("warmup_iter", "optim.generator.scheduler", f"LinearLR, {warm_up:,} iterations to the full rate")
    if parts is None:
        return {"scheduler": first}
    rest = parts if isinstance(parts, list) else [parts]
    return {"scheduler": [first, *rest], "milestones": [steps, *(steps + end for end in milestones)]}


def _multi_step(job: Import, options: Options, done: int) -> Value:
    """`done`: iterations that a warm-up takes, after which the schedule's own count begins."""
    milestones = [int(float(step)) for step in _listed(options, "milestones")]
    gamma = options.number("gamma", float, 0.1)
    options.mapped("type", "optim.generator.scheduler.type", "'MultiStepLR'")
    options.mapped("milestones", "optim.generator.scheduler.milestones", f"{milestones}, {SAME_NUMBERS}")
    if "gamma" in options:
        options.mapped("gamma", "optim.generator.scheduler.gamma", f"{gamma}")
    for name in ("restarts", "restart_weights"):
        given = options.take(name)
        if given not in (None, [0], [1]):
            options.lost(name, "the rate falls at the milestones, and is not set back", "optim.generator.scheduler")
        options.same(name, "no restart")
    return {"type": "MultiStepLR", "milestones": [max(0, step - done) for step in milestones], "gamma": gamma}


def _cosine_restarts(job: Import, options: Options, done: int) -> Value:
    periods = [int(float(period)) for period in _listed(options, "periods")]
    weights = [float(weight) for weight in options.take("restart_weights", [1.0] * len(periods))]
    least = options.number("eta_min", float, 0.0)
    target = "optim.generator.scheduler"
    if any(weight != 1 for weight in weights):
        options.lost("restart_weights", "each cycle begins at the full rate", target)
    options.same("restart_weights", "each cycle begins at the full rate")
    if "eta_min" in options:
        options.mapped("eta_min", f"{target}.eta_min", f"{least:g}")
    ending = {"eta_min": least} if least else {}
    if done:
        periods = [max(1, periods[0] - done), *periods[1:]]
        options.different("periods", target, "after the warm-up the first cycle is shorter by as much")
    elif len(periods) > 1:
        options.different(
            "periods", target, "a cycle begins one iteration earlier than there, at the end of its period"
        )
    else:
        options.mapped("periods", f"{target}.T_max", f"{periods[0]:,}")
    if len(periods) == 1:
        options.mapped("type", f"{target}.type", "'CosineAnnealingLR'")
        is_whole = periods[0] == job.draft.get("max_iters")
        return {"type": "CosineAnnealingLR", "T_max": Expression("max_iters") if is_whole else periods[0], **ending}
    if len(set(periods)) == 1:
        options.mapped("type", f"{target}.type", "'CosineAnnealingWarmRestarts'")
        return {"type": "CosineAnnealingWarmRestarts", "T_0": periods[0], **ending}
    options.mapped("type", f"{target}.type", f"'CosineAnnealingLR', {len(periods)} of them")
    ends = [sum(periods[: count + 1]) for count in range(len(periods) - 1)]
    return [{"type": "CosineAnnealingLR", "T_max": period, **ending} for period in periods], ends


def _as_torch(name: str, *arguments: str) -> Value:
    """Return the reader of a schedule that is torch's there, too."""

    def read(job: Import, options: Options, done: int) -> Value:
        options.mapped("type", "optim.generator.scheduler.type", repr(name))
        result: dict[str, Any] = {"type": name}
        for argument in arguments:
            if argument in options:
                whole = argument in ("T_max", "T_0", "T_mult", "step_size", "total_iters", "total_steps")
                number = options.number(argument, float, 0.0)
                result[argument] = int(number) if whole else number
                options.mapped(argument, f"optim.generator.scheduler.{argument}", f"{result[argument]:g}")
        return result

    return read


def _listed(options: Options, name: str) -> list[Any]:
    value = options.take(name)
    if not isinstance(value, list) or not value:
        raise options.fault(name, f"a list of iterations is wanted, got {value!r}")
    return value


_COSINE = _as_torch("CosineAnnealingLR", "T_max", "eta_min")
_KINDS: dict[str, Any] = {
    "multisteplr": _multi_step,
    "multisteprestartlr": _multi_step,
    "cosineannealingrestartlr": _cosine_restarts,
    "truecosineannealinglr": _COSINE,
    "cosineannealinglr": _COSINE,
    "cosineannealing": _COSINE,
    "cosineannealingwarmrestarts": _as_torch("CosineAnnealingWarmRestarts", "T_0", "T_mult", "eta_min"),
    "steplr": _as_torch("StepLR", "step_size", "gamma"),
    "exponentiallr": _as_torch("ExponentialLR", "gamma"),
    "linearlr": _as_torch("LinearLR", "start_factor", "end_factor", "total_iters"),
    "polynomiallr": _as_torch("PolynomialLR", "total_iters", "power"),
    "onecyclelr": _as_torch("OneCycleLR", "max_lr", "total_steps", "pct_start", "div_factor", "final_div_factor"),
}
