"""Length, optimizers, schedules and hooks."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.draft import Draft, Expression
from srtoolbox.apps.import_config.optimizers import read_optimizer
from srtoolbox.apps.import_config.options import Options
from srtoolbox.apps.import_config.projects.mmagic import OWN_OPTIMIZERS
from srtoolbox.apps.import_config.schedules import Schedule, entry_of, read_schedule, warmed_up

HOOKS = ("timer", "param_scheduler", "sampler_seed", "visualization")


def read_length(options: Options, draft: Draft) -> None:
    """Read how many iterations the run has, and how often it is evaluated."""
    loop = options.section("train_cfg")
    holder, name = (options, "total_iters") if "total_iters" in options else (loop, "max_iters")
    iterations = holder.number(name, int, 0)
    if iterations < 1:
        raise options.fault("train_cfg", "the file does not say how many iterations the run has")
    draft.set("max_iters", iterations)
    holder.mapped(name, "max_iters", f"{iterations:,}")
    if "val_interval" in loop:
        draft.set("val_interval", loop.number("val_interval", int, 0))
        loop.mapped("val_interval", "data.val.interval", f"{draft.get('val_interval'):,}")
    for name in ("type", "by_epoch", "start_iter", "val_begin"):
        loop.same(name, "a run is counted in iterations")


def read_optimizers(options: Options, draft: Draft, has_discriminator: bool) -> None:
    """Read `optim_wrapper` or `optimizers`, and the schedule."""
    networks = ["generator", "discriminator"] if has_discriminator else ["generator"]
    name = options.first("optim_wrapper", "optimizers", "optimizer")
    wrapper = options.section(name)
    entries: dict[str, dict[str, Any]] = {}
    for network in networks:
        holder = wrapper.section(network) if network in wrapper else wrapper
        entries[network] = _entry(holder, network, draft)
    wrapper.same("constructor", "each network has its optimizer")
    for network in ("discriminator", "generator"):
        if network not in networks:
            wrapper.same(network, "there is no such network")
    wrapper.close(f"the file's {name}")
    schedule = entry_of(_schedule(options, draft, entries["generator"]["optimizer"].get("lr")))
    if len(entries) == 1:
        draft.set("optim", {"generator": {**entries["generator"], **schedule}})
    elif entries["generator"] == entries["discriminator"]:
        shared = str(entries["generator"]["optimizer"]["type"]).lower()
        draft.set(shared, {**entries["generator"], **schedule})
        draft.set("optim", dict.fromkeys(entries, Expression(shared)))
    else:
        draft.set("optim", {network: {**entry, **schedule} for network, entry in entries.items()})


def _entry(holder: Options, network: str, draft: Draft) -> dict[str, Any]:
    """Return our entry of one network in `optim`, without the schedule."""
    target = f"optim.{network}"
    own = holder.section("optimizer") if "optimizer" in holder else holder
    groups = _groups(holder, own)
    entry: dict[str, Any] = {"optimizer": read_optimizer(own, OWN_OPTIMIZERS, f"{target}.optimizer", "the optimizer")}
    if groups:
        rate = entry["optimizer"].get("lr", 1e-3)
        entry["param_groups"] = {part: {"lr": rate * factor} for part, factor in groups.items()}
    if own is holder:
        return entry
    kind = str(holder.take("type", "OptimWrapper"))
    if kind == "AmpOptimWrapper":
        draft.set("runtime.amp", "bf16" if holder.take("dtype") == "bfloat16" else "fp16")
        holder.mapped("type", "runtime.amp", repr(draft.get("runtime.amp")))
    holder.same("type", "the toolbox's own")
    clip = holder.section("clip_grad")
    if "max_norm" in clip:
        entry["clip"] = clip.number("max_norm", float, 1.0)
        clip.mapped("max_norm", f"{target}.clip", f"{entry['clip']:g}")
    clip.same("norm_type", "the Euclidean norm")
    steps = holder.number("accumulative_counts", int, 1)
    if steps > 1:
        draft.set("accumulate", steps)
        counted = f"an iteration here is a step, of {steps} batches; there it is a batch: divide max_iters and the rest"
        holder.different("accumulative_counts", "accumulate", counted)
    for name in ("constructor", "dtype", "loss_scale", "accumulative_counts"):
        holder.same(name, "the toolbox's own")
    return entry


def _groups(*holders: Options) -> dict[str, float]:
    """Return {part of the network: factor of its rate}."""
    groups: dict[str, float] = {}
    for holder in holders:
        config = holder.section("paramwise_cfg")
        keys = config.section("custom_keys")
        for part in keys:
            own = keys.section(part)
            if "lr_mult" in own:
                groups[str(part)] = own.number("lr_mult", float, 1.0)
                own.mapped("lr_mult", "optim.generator.param_groups", f"{groups[str(part)]:g} of the rate")
            own.close("the part")
        config.close("paramwise_cfg")
    return groups


def _schedule(options: Options, draft: Draft, rate: float | None) -> Schedule:
    if "lr_config" in options:
        config = options.section("lr_config")
        config.same("by_epoch", "iterations are counted")
        schedule = read_schedule(draft, config, "policy", 0, is_late=False)
        config.close("lr_config")
        return schedule
    parts = options.listed("param_scheduler") if isinstance(options.peek("param_scheduler"), list | dict) else []
    options.take("param_scheduler")
    schedule, warm_up, first = Schedule([], []), 0, None
    for part in parts:
        part.same("by_epoch", "iterations are counted")
        begin, end = part.number("begin", int, 0), part.number("end", int, 0)
        if str(part.peek("type")) == "LinearLR" and begin == 0 and len(parts) > 1 and end:
            start = part.number("start_factor", float, 1 / 3)
            part.take("type")
            part.mapped("type", "optim.generator.scheduler", f"LinearLR, {end:,} iterations to the full rate")
            first, warm_up = {"type": "LinearLR", "start_factor": start, "total_iters": end}, end
        else:
            done = warm_up if begin == 0 else 0
            schedule = read_schedule(draft, part, "type", done, is_late=False)
            if begin not in (0, warm_up):
                part.different("begin", "optim.generator.scheduler", "the schedule begins with the run")
        for name in ("begin", "end", "start_factor", "end_factor", "convert_to_iter_based", "last_step", "verbose"):
            part.same(name, "the parts follow one another")
        part.close("param_scheduler")
    return schedule if first is None else warmed_up(schedule, first, warm_up)


def read_hooks(options: Options, draft: Draft) -> None:
    """Read the hooks of the run: checkpoints, log, average."""
    hooks = options.section("default_hooks")
    checkpoint = hooks.section("checkpoint") if "checkpoint" in hooks else options.section("checkpoint_config")
    _read_checkpoint(checkpoint, draft)
    logger = hooks.section("logger") if "logger" in hooks else options.section("log_config")
    if "interval" in logger:
        draft.set("hooks.logger.interval", logger.number("interval", int, 100))
        logger.mapped("interval", "hooks.logger.interval", f"{draft.get('hooks.logger.interval')}")
    for name in ("type", "hooks", "by_epoch", "log_metric_by_epoch", "out_dir", "ignore_last"):
        logger.same(name, "the log is a file, the console and TensorBoard's")
    for name in HOOKS:
        hooks.same(name, "the toolbox's own")
    for hook in options.listed("custom_hooks"):
        _read_custom(hook, draft)
    for section, owner in ((checkpoint, "the checkpoint hook"), (logger, "the log"), (hooks, "default_hooks")):
        section.close(owner)


def _read_checkpoint(options: Options, draft: Draft) -> None:
    if "interval" in options:
        draft.set("hooks.checkpoint.interval", options.number("interval", int, 0))
        options.mapped("interval", "hooks.checkpoint.interval", f"{draft.get('hooks.checkpoint.interval'):,}")
    kept = options.take("max_keep_ckpts")
    if isinstance(kept, int):
        draft.set("hooks.checkpoint.keep_last", kept if kept > 0 else None)
        options.mapped("max_keep_ckpts", "hooks.checkpoint.keep_last", f"{kept}")
    best = options.take("save_best")
    if best is not None:
        _read_best(options, draft, best if isinstance(best, str) else "")
    for name in ("type", "by_epoch", "save_optimizer", "out_dir", "rule", "save_last", "greater_keys", "less_keys"):
        options.same(name, "a checkpoint holds the whole state, in the work dir")


def _read_best(options: Options, draft: Draft, best: str) -> None:
    """Read by which score the best network is kept: 'PSNR', or 'Set5/PSNR'."""
    sets, metrics = draft.get("data.val.datasets") or {}, draft.get("data.val.metrics") or {}
    name, metric = next(iter(sets), ""), best.rpartition("/")[2].lower()
    if name and metric in metrics and sets[name]["type"] != "FolderDataset":
        draft.set("hooks.checkpoint.best", [f"{name}/{metric}"])
        options.mapped("save_best", "hooks.checkpoint.best", f"['{name}/{metric}']")
    else:
        options.different("save_best", "hooks.checkpoint", "no best network is kept, for that score is not there")


def _read_custom(hook: Options, draft: Draft) -> None:
    kind = str(hook.take("type", ""))
    if kind in ("ExponentialMovingAverageHook", "EMAHook"):
        holder = hook.section("interp_cfg") if "interp_cfg" in hook else hook
        momentum = holder.number("momentum", float, 0.001)
        decay = momentum if momentum > 0.5 else round(1 - momentum, 12)
        draft.set("hooks.ema", {"type": "EMAHook", "decay": decay})
        hook.mapped("type", "hooks.ema.decay", f"{decay}")
        every = hook.number("interval", int, 1)
        if every != 1:
            hook.different("interval", "hooks.ema", "the average takes every iteration")
        hook.ignore()
    elif kind in ("BasicVisualizationHook", "MMEditVisualizationHook", "VisualizationHook"):
        hook.same("type", "the log keeps a few images of each evaluation")
        hook.ignore()
    elif kind == "IterTimerHook":
        hook.same("type", "the log has the time")
    else:
        hook.ignore()
        hook.lost("type", f"the hook {kind} has no counterpart here and is left out", "hooks")
