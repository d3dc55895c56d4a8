"""The degradations of a pipeline that makes LQ of GT, as RealESRGAN's does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from srtoolbox.apps.import_config.options import Options
from srtoolbox.apps.import_config.record import Fate
from srtoolbox.data.transforms.batch.blur import PUBLISHED_KINDS

TARGET = "model.preprocess.steps"
MODES = ("area", "bilinear", "bicubic")


def step_of(options: Options) -> dict[str, Any] | None:
    """Return our step for one of theirs, and note what became of it; None where there is none."""
    kind = str(options.peek("type", "")).lower()
    if kind not in BUILDERS:
        options.take("type")
        options.lost("type", f"the degradation {options.peek('type')} has no counterpart here and is left out", TARGET)
        return None
    step = BUILDERS[kind](options, options.section("params"))
    if not any(entry.key == options.key("type") for entry in options.record.of(Fate.LOST)):
        options.mapped("type", TARGET, str(step["type"]))
    return step


def sharpening(options: Options) -> dict[str, Any]:
    """Return our step that sharpens GT."""
    step: dict[str, Any] = {"type": "USMSharpening"}
    for theirs, ours, default, shift in (
        ("weight", "weight", 0.5, 0),
        ("threshold", "threshold", 10, 0),
        ("kernel_size", "radius", 51, 1),
    ):
        value = options.take(theirs, default)
        if value != default:
            step[ours] = value - shift
    options.mapped("type", "model.preprocess.sharpen", "USMSharpening")
    return step


def _applied(step: dict[str, Any], share: float) -> dict[str, Any]:
    return step if share == 1 else {"type": "RandomApply", "p": share, "transforms": [step]}


def _pair(values: Sequence[float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _blur(options: Options, params: Options) -> dict[str, Any]:
    share = params.number("prob", float, 1.0)
    sizes = [int(size) for size in params.take("kernel_size", [7, 21])]
    kinds = [str(kind) for kind in params.take("kernel_list", list(PUBLISHED_KINDS))]
    shares = [float(weight) for weight in params.take("kernel_prob", list(PUBLISHED_KINDS.values()))]
    weights = dict(zip(kinds, shares, strict=False))
    sinc = weights.pop("sinc", 0.0)
    cutoff = params.take("omega")
    if not weights:
        step: dict[str, Any] = {"type": "SincFilter", "kernel_size": (min(sizes), max(sizes)), "p": share}
        if cutoff is not None:
            step["cutoff"] = tuple(round(float(value) / math.pi, 4) for value in cutoff)
        return step
    step = {
        "type": "Blur",
        "kinds": weights,
        "kernel_size": (min(sizes), max(sizes)),
        "sinc": round(sinc / sum(shares), 6),
    }
    along, across = params.take("sigma_x", [0.2, 3]), params.take("sigma_y", None)
    if across is not None and list(across) != list(along):
        options.lost("type", "both sides of a kernel are drawn from sigma_x", TARGET)
    step["sigma"] = _pair(along)
    step["beta_generalized"] = _pair(params.take("beta_gaussian", [0.5, 4]))
    step["beta_plateau"] = _pair(params.take("beta_plateau", [1, 2]))
    return _applied(step, share)


def _resize(options: Options, params: Options) -> dict[str, Any]:
    modes = [str(mode) for mode in params.take("resize_opt", list(MODES))]
    kept = tuple(mode for mode in MODES if mode in modes)
    if not kept or len(kept) < len(modes):
        options.lost("type", f"images are resized by {', '.join(kept or MODES)} alone", TARGET)
    step: dict[str, Any] = {"type": "Resize"}
    if kept and kept != MODES:
        step["modes"] = kept
    if params.take("target_size") is not None:
        return {**step, "to": "lq"}
    low, high = _pair(params.take("resize_scale", [0.15, 1.5]))
    step.update(up=(1.0, max(1.0, high)), down=(min(1.0, low), 1.0))
    step["probabilities"] = tuple(float(share) for share in params.take("resize_mode_prob", [0.2, 0.7, 0.1]))
    return step


def _noise(options: Options, params: Options) -> dict[str, Any]:
    kinds = [str(kind) for kind in params.take("noise_type", ["gaussian", "poisson"])]
    shares = [float(share) for share in params.take("noise_prob", [1 / len(kinds)] * len(kinds))]
    made = {
        "gaussian": {
            "type": "GaussianNoise",
            "sigma": _pair(params.take("gaussian_sigma", [1, 30])),
            "gray": params.number("gaussian_gray_noise_prob", float, 0.0),
        },
        "poisson": {
            "type": "PoissonNoise",
            "scale": _pair(params.take("poisson_scale", [0.05, 3])),
            "gray": params.number("poisson_gray_noise_prob", float, 0.0),
        },
    }
    if len(kinds) == 1:
        return _applied(made[kinds[0]], params.number("prob", float, 1.0))
    return {"type": "OneOf", "weights": tuple(shares), "transforms": {kind: made[kind] for kind in kinds}}


def _jpeg(options: Options, params: Options) -> dict[str, Any]:
    quality = tuple(int(value) for value in params.take("quality", [30, 95]))
    return _applied({"type": "JPEGCompression", "quality": quality}, params.number("prob", float, 1.0))


def _shuffle(options: Options, params: Options) -> dict[str, Any]:
    if options.take("shuffle_idx") is not None:
        options.lost("type", "all of its parts are put in a random order, not some", TARGET)
    listed = options.take("degradations", [])
    inner = options.listed("degradations")
    parts: list[dict[str, Any]] = []
    for entry in listed:
        several = list(entry) if isinstance(entry, list | tuple) else [entry]
        steps = [step for _ in several if (step := step_of(inner.pop(0))) is not None]
        if steps:
            parts.append(steps[0] if len(steps) == 1 else {"type": "Sequence", "transforms": steps})
    return {"type": "Shuffle", "transforms": parts}


BUILDERS: dict[str, Callable[[Options, Options], dict[str, Any]]] = {
    "randomblur": _blur,
    "randomresize": _resize,
    "randomnoise": _noise,
    "randomjpegcompression": _jpeg,
    "degradationswithshuffle": _shuffle,
}
NAMES = {
    "randomblur": "blur",
    "randomresize": "resize",
    "randomnoise": "noise",
    "randomjpegcompression": "jpeg",
    "degradationswithshuffle": "last",
}
