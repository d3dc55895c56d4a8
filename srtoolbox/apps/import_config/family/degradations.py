"""Real-ESRGAN's degradations: options of two orders become the steps of a DegradationPipeline."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.degrading import is_published, put_steps
from srtoolbox.apps.import_config.draft import Expression
from srtoolbox.apps.import_config.family.project import Import
from srtoolbox.apps.import_config.options import Options
from srtoolbox.config import ConfigDict
from srtoolbox.data.transforms.batch.blur import PUBLISHED_KINDS

STEPS = "model.preprocess.steps"
DRAWN = "sizes from 7 to 21 pixels are drawn, there as here"
MODES = ("area", "bilinear", "bicubic")
DEBUGGING = ("high_order_degradations_debug", "high_order_degradations_debug_limit")
SINGLE = ("thicklines_prob", "lq_usm", "dataroot_lq_prob")


def read_degradations(job: Import, dataset: Options) -> None:
    """Read how LQ is made of GT, if the training set holds GT alone; `dataset` is `datasets.train`."""
    top = job.options
    is_on = bool(top.take("high_order_degradation", True))
    top.same("high_order_degradation", "model.preprocess is there" if is_on else "LQ is given")
    for name in DEBUGGING:
        top.same(name, "tools/browse_data.py CONFIG shows what the network is given")
    for name in SINGLE:
        if top.take(name, 0):
            top.lost(name, "this degradation is left out", "model.preprocess")
        top.same(name, "it is off")
    top.same("lq_usm_radius_range", "belongs to lq_usm")
    is_degraded = job.draft.get("data.train.dataset.type") == "GTOnlyDataset"
    if not (is_on and is_degraded):
        _leave_sharpening(job)
        top.same("queue_size", "LQ is given")
        return
    is_as_published = "second_blur_prob" in top  # Real-ESRGAN's name, of a time when its defaults held
    left_out = Options(ConfigDict({} if is_as_published else job.project.degradations), top.record)
    holders = [top.section("degradations"), dataset, top, left_out]
    steps = {**_first(holders), **_second(job, holders)}
    put_steps(job.draft, steps)
    size = job.draft.get("data.train.dataset.gt_size") or 0
    preprocess: dict[str, Any] = {"type": "DegradationPipeline", "scale": Expression("scale")}
    if size:
        preprocess["gt_size"] = size
    preprocess["share"] = "batch"
    targets = _sharpening(job)
    if targets is not None:
        preprocess["sharpen"] = {"type": "USMSharpening"}
        if targets:
            job.draft.set("model.targets", targets)
    job.draft.set(
        "model.preprocess", {**preprocess, "steps": Expression("_base_.steps" if is_published(steps) else "steps")}
    )
    _read_pool(job)
    before = holders[1].number("crop_pad_size", int, job.project.gt_before)
    job.draft.set("data.train.dataset.gt_size", max(size, before // job.scale * job.scale))
    job.draft.comment("data.train.dataset.gt_size", f"LQ is made of so much of GT, then both are cut to {size}")
    holders[0].close(f"{job.project.name}'s degradations")


def _read_pool(job: Import) -> None:
    top, draft = job.options, job.draft
    gpus = top.peek("num_gpu")
    count = gpus if isinstance(gpus, int) and not isinstance(gpus, bool) and gpus > 1 else 1
    size = top.number("queue_size", int, job.project.pool)
    pool = size * count
    of_all = f", {size} of each of {count} processes" if count > 1 else ""
    if pool > (draft.get("data.train.batch_size") or 1) * count:
        draft.set("data.train.pool", pool)
        if "queue_size" in top:
            top.mapped("queue_size", "data.train.pool", f"{pool}{of_all}")
    elif "queue_size" in top:
        top.different("queue_size", "data.train", "a pool no larger than the batch mixes nothing")


def _sharpening(job: Import) -> dict[str, str] | None:
    """Return which losses compare with the sharpened GT; None where nothing is sharpened."""
    top = job.options
    losses = job.draft.get("model.losses") or {}
    if "gt_usm" in top:
        is_on = bool(top.take("gt_usm"))
        top.mapped("gt_usm", "model.targets", "'gt_usm'" if is_on else "'gt'")
        return dict.fromkeys(losses, "gt_usm") if is_on else None
    names = {"l1_gt_usm": "pixel", "percep_gt_usm": "perceptual", "gan_gt_usm": "gan"}
    if not any(name in top for name in names):
        return None
    targets = {}
    for name, loss in names.items():
        is_on = bool(top.take(name, False))
        if name in top:
            top.mapped(name, f"model.targets.{loss}", "'gt_usm'" if is_on else "'gt'")
        if is_on and (loss in losses or (loss == "gan" and job.draft.get("model.gan_loss"))):
            targets[loss] = "gt_usm"
    return targets


def _leave_sharpening(job: Import) -> None:
    for name in ("gt_usm", "l1_gt_usm", "percep_gt_usm", "gan_gt_usm"):
        if job.options.take(name, False):
            job.options.lost(name, "given pairs are compared as they are, and GT is not sharpened", "model.losses")
        job.options.same(name, "GT as it is")


def _find(holders: list[Options], *names: str) -> tuple[Options, str]:
    """Return the first mapping that has a key of these names, and the key."""
    found = [(holder, name) for holder in holders for name in names if name in holder]
    return found[0] if found else (holders[-1], names[0])


def _first(holders: list[Options]) -> dict[str, Any]:
    """Return the steps of the first order."""
    steps: dict[str, Any] = {}
    _add(steps, "blur", _applied(holders, _blur(holders, ""), "blur_prob", default=1.0))
    _add(steps, "resize", _resize(holders, ""))
    _add(steps, "noise", _noise(holders, ""))
    _add(steps, "jpeg", _applied(holders, _jpeg(holders, ""), "jpeg_prob", default=1.0))
    return steps


def _second(job: Import, holders: list[Options]) -> dict[str, Any]:
    """Return the steps of the second order, which ends at the size of LQ."""
    steps: dict[str, Any] = {}
    blur = _blur(holders, "2")
    _add(steps, "second_blur", _applied(holders, blur, "second_blur_prob", "blur_prob2", default=0.8, always=True))
    _add(steps, "second_resize", _resize(holders, "2"))
    _add(steps, "second_noise", _noise(holders, "2"))
    jpeg = _applied(holders, _jpeg(holders, "2"), "jpeg_prob2", default=1.0)
    holder, name = _find(holders, "final_sinc_prob")
    share = holder.number(name, float, 0.8)
    last: dict[str, Any] = {"resize": {"type": "Resize", **_modes(holders, "3"), "to": "lq"}}
    sizes = _sizes(holders, "final_kernel_range")
    if name in holder:
        holder.mapped(name, f"{STEPS}.last", f"SincFilter, p={share:g}" if share else "no sinc filter at the end")
    if share:
        last["sinc"] = {"type": "SincFilter", "kernel_size": sizes, "p": share}
    to_lq = {"type": "Sequence", "transforms": last}
    whole = {"type": "Shuffle", "transforms": {"to_lq": to_lq, "jpeg": jpeg}} if jpeg else to_lq
    _add(steps, "last", whole)
    return steps


def _add(steps: dict[str, Any], name: str, step: dict[str, Any] | None) -> None:
    if step is not None:
        steps[name] = step


def _applied(
    holders: list[Options], step: dict[str, Any] | None, *names: str, default: float, always: bool = False
) -> dict[str, Any] | None:
    """Return a step as often as an option says: None for never, the step itself for always."""
    holder, name = _find(holders, *names)
    share = holder.number(name, float, default)
    if name in holder:
        holder.mapped(name, STEPS, f"p={share:g}" if share else "never: the step is left out")
    if step is None or share == 0:
        return None
    if share == 1 and not always:
        return step
    return {"type": "RandomApply", "p": share, "transforms": {str(step["type"]).lower(): step}}


def _pair(holder: Options, name: str, default: tuple[float, float]) -> tuple[float, float]:
    value = holder.take(name, list(default))
    try:
        low, high = (float(number) for number in value)
    except (TypeError, ValueError):
        raise holder.fault(name, f"two numbers are wanted, lowest and highest, got {value!r}") from None
    return low, high


def _sizes(holders: list[Options], name: str) -> tuple[int, int]:
    holder, name = _find(holders, name)
    low, high = _pair(holder, name, (7, 21))
    if name in holder:
        holder.mapped(name, STEPS, f"kernel_size=({low:g}, {high:g})")
    return int(low), int(high)


def _blur(holders: list[Options], order: str) -> dict[str, Any]:
    holder, name = _find(holders, f"kernel_list{order}")
    kinds = holder.take(name, list(PUBLISHED_KINDS))
    shares_holder, shares_name = _find(holders, f"kernel_prob{order}")
    shares = shares_holder.take(shares_name, list(PUBLISHED_KINDS.values()))
    if not isinstance(kinds, list) or not isinstance(shares, list) or len(kinds) != len(shares):
        raise holder.fault(name, "there are as many kinds of kernels as probabilities of them")
    weights = {str(kind): float(share) for kind, share in zip(kinds, shares, strict=True)}
    unknown = [kind for kind in weights if kind not in PUBLISHED_KINDS]
    if unknown:
        holder.lost(name, f"no such kernels: {', '.join(unknown)}", STEPS)
    step: dict[str, Any] = {"type": "Blur", "kinds": {kind: weights[kind] for kind in weights if kind not in unknown}}
    for key, where in ((name, holder), (shares_name, shares_holder)):
        if key in where and not (unknown and key == name):
            where.mapped(key, f"{STEPS}.blur.kinds", f"{len(weights) - len(unknown)} kinds with their shares")
    step["kernel_size"] = _sizes(holders, f"kernel_range{order}")
    _find(holders, f"blur_kernel_size{order}")[0].same(f"blur_kernel_size{order}", DRAWN)
    holder, name = _find(holders, f"sinc_prob{order}")
    step["sinc"] = holder.number(name, float, 0.1)
    if name in holder:
        holder.mapped(name, f"{STEPS}.blur.sinc", f"{step['sinc']:g}")
    for theirs, ours, default in (
        ("blur_sigma", "sigma", (0.2, 1.5 if order else 3.0)),
        ("betag_range", "beta_generalized", (0.5, 4.0)),
        ("betap_range", "beta_plateau", (1.0, 2.0)),
    ):
        holder, name = _find(holders, theirs + order)
        step[ours] = _pair(holder, name, default)
        if name in holder:
            holder.mapped(name, f"{STEPS}.blur.{ours}", f"{step[ours]}")
    return step


def _resize(holders: list[Options], order: str) -> dict[str, Any] | None:
    """Return the resize of an order; None where the file lists no modes, or the first one keeps all sizes."""
    holder, name = _find(holders, f"resize_prob{order}")
    shares = tuple(float(share) for share in holder.take(name, [0.3, 0.4, 0.3] if order else [0.2, 0.7, 0.1]))
    range_holder, range_name = _find(holders, f"resize_range{order}")
    low, high = _pair(range_holder, range_name, (0.3, 1.2) if order else (0.15, 1.5))
    for where, key, told in (
        (holder, name, f"probabilities={shares}"),
        (range_holder, range_name, f"{low:g} to {high:g}"),
    ):
        if key in where:
            where.mapped(key, f"{STEPS}.resize", told)
    modes = _modes(holders, order)
    holder, name = _find(holders, f"resize_mode_list{order}")
    if (name in holder and not holder.peek(name)) or (not order and shares[-1] == 1):
        return None
    step = {"type": "Resize", "up": (1.0, max(1.0, high)), "down": (min(1.0, low), 1.0), "probabilities": shares}
    return {**step, **modes, **({"to": "lq"} if order else {})}


def _modes(holders: list[Options], order: str) -> dict[str, Any]:
    """Return the modes of a resize where they are not the published ones."""
    holder, name = _find(holders, f"resize_mode_list{order}")
    given = [str(mode) for mode in holder.take(name, [])]
    shares_holder, shares_name = _find(holders, f"resize_mode_prob{order}")
    shares = shares_holder.take(shares_name, [])
    kept = tuple(mode for mode in given if mode in MODES)
    left_out = [mode for mode in given if mode not in MODES]
    if left_out:
        holder.lost(name, f"images are resized by {', '.join(kept or MODES)}, not by {' or '.join(left_out)}", STEPS)
    elif given:
        holder.mapped(name, f"{STEPS}.resize.modes", f"{kept}")
    if len(set(shares)) > 1:
        shares_holder.lost(shares_name, "each mode is as likely as another", STEPS)
    shares_holder.same(shares_name, "each mode is as likely as another")
    return {"modes": kept} if kept and kept != MODES else {}


def _noise(holders: list[Options], order: str) -> dict[str, Any] | None:
    holder, name = _find(holders, f"gaussian_noise_prob{order}")
    share = holder.number(name, float, 0.5)
    sigma_at, sigma_name = _find(holders, f"noise_range{order}")
    sigma = _pair(sigma_at, sigma_name, (1.0, 25.0 if order else 30.0))
    scale_at, scale_name = _find(holders, f"poisson_scale_range{order}")
    scale = _pair(scale_at, scale_name, (0.05, 2.5 if order else 3.0))
    gray_at, gray_name = _find(holders, f"gray_noise_prob{order}")
    gray = gray_at.number(gray_name, float, 0.4)
    told = (
        (holder, name, f"Gaussian noise in {share:g} of the images, else Poisson's"),
        (sigma_at, sigma_name, f"sigma={sigma}"),
        (scale_at, scale_name, f"scale={scale}"),
        (gray_at, gray_name, f"gray={gray:g}"),
    )
    for where, key, text in told:
        if key in where:
            where.mapped(key, f"{STEPS}.noise", text)
    kinds = {
        "gaussian": (share, sigma, {"type": "GaussianNoise", "sigma": sigma, "gray": gray}),
        "poisson": (1 - share, scale, {"type": "PoissonNoise", "scale": scale, "gray": gray}),
    }
    used = {kind: (weight, step) for kind, (weight, strength, step) in kinds.items() if weight > 0 and strength[1] > 0}
    if len(used) == 2:
        weights = (share, round(1 - share, 6))
        return {"type": "OneOf", "weights": weights, "transforms": {kind: step for kind, (_, step) in used.items()}}
    for weight, step in used.values():  # the other one is of no strength
        return step if weight == 1 else {"type": "RandomApply", "p": weight, "transforms": [step]}
    return None


def _jpeg(holders: list[Options], order: str) -> dict[str, Any]:
    holder, name = _find(holders, f"jpeg_range{order}")
    low, high = _pair(holder, name, (30, 95))
    if name in holder:
        holder.mapped(name, f"{STEPS}.jpeg.quality", f"({low:g}, {high:g})")
    return {"type": "DiffJPEG", "quality": (low, high)}
