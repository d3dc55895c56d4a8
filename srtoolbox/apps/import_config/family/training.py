"""Optimizers, schedules and the length of the run."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.draft import Draft, Expression
from srtoolbox.apps.import_config.family.project import Import
from srtoolbox.apps.import_config.optimizers import read_optimizer
from srtoolbox.apps.import_config.options import Options
from srtoolbox.apps.import_config.schedules import TARGET, entry_of, read_schedule, warmed_up

STEEP = 5.0  # of `ema_power`: from here on their decay is the whole one after a few steps


def read_length(job: Import, train: Options) -> None:
    """Read how long the run is, and its seed."""
    logger = job.options.section("logger")
    holder = logger if "total_iter" in logger else train  # the first in neosr
    name = holder.first("total_iter", "niter")
    iterations = holder.number(name, int, 0)
    if iterations < 1:
        raise holder.fault(name, "the file does not say how many iterations the run has (total_iter)")
    job.draft.set("max_iters", iterations)
    holder.mapped(name, "max_iters", f"{iterations:,}")
    train.same("restart_scheduler", "a resumed run goes on with its own schedule")
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
    if train.take("ema_switch_iter", 0):
        train.lost("ema_switch_iter", "the network that trains is never replaced by its average")
    train.same("ema_switch_iter", "the network that trains is never replaced by its average")
    if train.take("ema_update_after_step", 0):
        train.different("ema_update_after_step", "hooks.ema", "the average begins with the run")
    train.same("ema_update_after_step", "the average begins with the run")
    if train.number("ema_power", float, STEEP) < STEEP:
        train.different("ema_power", "hooks.ema", "the decay is the same from the beginning; lower it for short runs")
    train.same("ema_power", "the decay is the same from the beginning")


def average_for_losses(draft: Draft) -> None:
    """Let there be an average where a loss compares with it, though theirs does without."""
    needing = [name for name, loss in draft.get("model.losses").items() if loss["type"] == "LDLLoss"]
    if needing and draft.get("hooks.ema") is None:
        draft.set("hooks.ema", {"type": "EMAHook", "decay": 0.999})
        draft.comment("hooks.ema", f"model.losses.{needing[0]} compares with the average of the weights")


def read_optimizers(job: Import, train: Options, has_discriminator: bool) -> None:
    """Read `optim_g`, `optim_d`, the scheduler, warm-up and clipping."""
    schedule = _schedule(job, train)
    clip = _clip(job, train)
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
    if name not in train:
        raise train.fault(name, "the optimizer is missing")
    owner = f"{job.project.name}'s optimizer"
    return read_optimizer(train.section(name), job.project.optimizers, f"optim.{network}.optimizer", owner)


def _clip(job: Import, train: Options) -> dict[str, float]:
    name, largest = train.first("grad_clip", "use_grad_clip"), "grad_clip_max_norm"
    if train.take(name, job.project.clips):
        norm = train.number(largest, float, 1.0)
        train.mapped(name, "optim.generator.clip", f"{norm:g}, the largest norm of the gradients")
        if largest in train:
            train.mapped(largest, "optim.generator.clip", f"{norm:g}")
        return {"clip": norm}
    train.same(name, "no clipping")
    train.same(largest, "no clipping")
    return {}


def _schedule(job: Import, train: Options) -> dict[str, Any]:
    """Return `scheduler` and, with a warm-up, `milestones`, of each network's entry in `optim`."""
    options = train.section("scheduler")
    warm_up = train.number("warmup_iter", int, -1)
    if warm_up <= 1:
        train.same("warmup_iter", "no warm-up")
        warm_up = 1
    schedule = read_schedule(job.draft, options, "type", warm_up - 1, is_late=True)
    options.close(f"{job.project.name}'s scheduler")
    if warm_up > 1:
        steps = warm_up - 1
        first = {"type": "LinearLR", "start_factor": Expression(f"1 / {warm_up}"), "total_iters": steps}
        train.mapped("warmup_iter", TARGET, f"LinearLR, {warm_up:,} iterations to the full rate")
        schedule = warmed_up(schedule, first, steps)
    return entry_of(schedule)
