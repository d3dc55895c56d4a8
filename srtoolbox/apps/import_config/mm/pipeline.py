"""Pipelines: what happens to a sample on its way, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from srtoolbox.apps.import_config.mm.degradations import NAMES, sharpening, step_of
from srtoolbox.apps.import_config.options import Options

DATASET = "the dataset reads images as RGB in [0, 1]"
PACKED = "batches are made by the dataset"
SAME = {
    "setvalues": "the config's scale",
    "rescaletozeroone": DATASET,
    "packinputs": PACKED,
    "packeditinputs": PACKED,
    "collect": PACKED,
    "imagetotensor": PACKED,
    "totensor": PACKED,
    "framestotensor": PACKED,
    "copyvalues": PACKED,
    "clip": "LQ is within [0, 1]",
    "quantize": "LQ is rounded to 8 bits",
    "getmaskedimage": PACKED,
    "modcrop": "GT is cut to a multiple of the scale",
}
LQ = ("lq", "img")


@dataclass
class Pipeline:
    """A pipeline as ours: what is loaded, cropped and done to the images.

    Attributes:
        reads: which images are loaded: 'gt', 'lq'.
        gt_size: side of the crop, 0 for whole images.
        transforms: flips and turns, as ours.
        degradations: what is done to LQ alone, as ours.
        is_gray: images are read as gray ones.
        early_size: side of a first crop, of which LQ is made; 0 where there is none.
        steps: what makes LQ of GT, as steps of ours by name; of pipelines that read GT alone.
        sharpen: the step that sharpens GT first.
    """

    reads: set[str] = field(default_factory=set)
    gt_size: int = 0
    transforms: list[dict[str, Any]] = field(default_factory=list)
    degradations: list[dict[str, Any]] = field(default_factory=list)
    is_gray: bool = False
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    sharpen: dict[str, Any] | None = None
    early_size: int = 0


def read_pipeline(options: Options, target: str) -> Pipeline:
    """Read the `pipeline` of a dataset, which becomes what stands at `target` here."""
    pipeline = Pipeline()
    listed = options.listed("pipeline")
    loaded = {str(step.peek("key")) for step in listed if str(step.peek("type")).lower() == "loadimagefromfile"}
    makes_lq = not loaded & {*LQ}
    for step in listed:
        kind = str(step.take("type", "")).lower()
        if makes_lq and kind in NAMES:
            _add_step(pipeline, step, NAMES[kind])
        elif kind in SAME:
            step.same("type", SAME[kind])
        elif kind in STEPS:
            STEPS[kind](pipeline, step, target)
        else:
            step.lost("type", f"the step {step.peek('type')} has no counterpart here and is left out", target)
        step.ignore()
    return pipeline


def _load(pipeline: Pipeline, step: Options, target: str) -> None:
    key = str(step.take("key", "gt"))
    pipeline.reads.add("lq" if key in LQ else key)
    is_gray = str(step.take("color_type", step.take("flag", "color"))) == "grayscale"
    if is_gray and not pipeline.is_gray:
        pipeline.is_gray = True
        step.different("type", target, "the network of luma is given the luma of a colour image, not its gray form")
    else:
        step.same("type", DATASET)


def _normalize(pipeline: Pipeline, step: Options, target: str) -> None:
    mean, std = step.take("mean", [0]), step.take("std", [1])
    if any(mean) or any(value != 1 for value in std):
        step.lost("type", "images are in [0, 1]; a network that wants others stands in an Adapter", target)
    else:
        step.same("type", DATASET)


def _crop(pipeline: Pipeline, step: Options, target: str) -> None:
    pipeline.gt_size = step.number("gt_patch_size", int, 0)
    step.mapped("type", f"{target}.gt_size", f"{pipeline.gt_size}")


def _early_crop(pipeline: Pipeline, step: Options, target: str) -> None:
    size = step.take("crop_size")
    pipeline.early_size = int(size[0] if isinstance(size, list | tuple) else size or 0)
    step.mapped("type", f"{target}.gt_size", f"{pipeline.early_size}, cut again when LQ has been made")


def _flip(pipeline: Pipeline, step: Options, target: str) -> None:
    name = "RandomVerticalFlip" if step.take("direction", "horizontal") == "vertical" else "RandomHorizontalFlip"
    _add(pipeline, step, name, step.number("flip_ratio", float, 0.5), target)


def _transpose(pipeline: Pipeline, step: Options, target: str) -> None:
    _add(pipeline, step, "RandomTranspose", step.number("transpose_ratio", float, 0.5), target)


def _add(pipeline: Pipeline, step: Options, name: str, p: float, target: str) -> None:
    pipeline.transforms.append({"type": name} if p == 0.5 else {"type": name, "p": p})
    step.mapped("type", f"{target}.transforms", name + ("" if p == 0.5 else f", p={p:g}"))


def _noise(pipeline: Pipeline, step: Options, target: str) -> None:
    params = step.section("params")
    kinds = [str(kind) for kind in params.take("noise_type", ["gaussian"])]
    if kinds != ["gaussian"]:
        step.lost("type", f"of {', '.join(kinds)} the Gaussian noise alone is added", target)
    sigma = [float(value) for value in params.take("gaussian_sigma", [0, 0])]
    pipeline.degradations.append({"type": "GaussianNoise", "sigma": sigma})
    step.mapped("type", f"{target}.degradations", f"GaussianNoise, sigma={sigma}")


def _jpeg(pipeline: Pipeline, step: Options, target: str) -> None:
    quality = [int(value) for value in step.section("params").take("quality", [95, 95])]
    pipeline.degradations.append({"type": "JPEGCompression", "quality": quality})
    step.mapped("type", f"{target}.degradations", f"JPEGCompression, quality={quality}")


def _resize(pipeline: Pipeline, step: Options, target: str) -> None:
    step.same("type", "LQ is GT reduced by MATLAB's bicubic")


def _sharpen(pipeline: Pipeline, step: Options, target: str) -> None:
    if pipeline.sharpen is None:
        pipeline.sharpen = sharpening(step)
    step.same("type", "GT is sharpened once")


def _degrade(pipeline: Pipeline, step: Options, target: str) -> None:
    step.lost("type", "given pairs are not degraded so: this is left out", target)


def _add_step(pipeline: Pipeline, step: Options, name: str) -> None:
    made = step_of(step)
    if made is not None:
        free = name if name not in pipeline.steps else f"second_{name}"
        pipeline.steps[free if free not in pipeline.steps else f"{name}_{len(pipeline.steps)}"] = made


STEPS: dict[str, Callable[[Pipeline, Options, str], None]] = {
    "loadimagefromfile": _load,
    "normalize": _normalize,
    "pairedrandomcrop": _crop,
    "crop": _early_crop,
    "flip": _flip,
    "randomtransposehw": _transpose,
    "randomnoise": _noise,
    "randomjpegcompression": _jpeg,
    "matlablikeresize": _resize,
    "unsharpmasking": _sharpen,
    "randomblur": _degrade,
    "randomresize": _degrade,
    "degradationswithshuffle": _degrade,
}
