"""The model: networks, losses, how they train."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.counterpart import Counterpart, translate
from srtoolbox.apps.import_config.draft import Draft, Expression
from srtoolbox.apps.import_config.gan import read_gan_loss, vgg_discriminator
from srtoolbox.apps.import_config.names import slip_of
from srtoolbox.apps.import_config.options import Options
from srtoolbox.apps.import_config.projects.mmagic import DISCRIMINATORS, LOSSES, MODELS, NETWORKS

SHARPENED = {"pixel": "pixel", "percep": "perceptual", "gan": "gan"}
LOSS_NAMES = {"pixel_loss": "pixel", "perceptual_loss": "perceptual"}


def scale_of(options: Options) -> int:
    """Return the upscaling factor: of the network, else of the file's `scale`."""
    network = options.section("model").section("generator")
    name = network.first("upscale_factor", "upscale")
    if name in network:
        return network.number(name, int, 1)
    scale = options.number("scale", int, 4)
    options.mapped("scale", "scale", f"{scale}")
    return scale


def read_model(options: Options, draft: Draft, *, is_training: bool) -> bool:
    """Read `model`; returns whether it has a discriminator.

    Raises:
        ConfigError: it is a model of another task, or its network has no counterpart.
    """
    model = options.section("model")
    kind = str(model.take("type", ""))
    if kind.lower() not in MODELS:
        known = "BaseEditModel, BasicRestorer, SRGAN, ESRGAN and RealESRGAN have"
        raise model.fault("type", f"the model {kind!r} has no counterpart here; {known}")
    has_discriminator = "discriminator" in model and "gan_loss" in model and is_training
    ours = "GANRestorer" if has_discriminator else "Restorer"
    model.mapped("type", "model.type", repr(ours))
    draft.set("model", {"type": ours})
    _read_generator(model, draft)
    if has_discriminator:
        _read_discriminator(model.section("discriminator"), draft)
    if is_training:
        _read_losses(model, draft)
        if has_discriminator:
            read_gan_loss(model.section("gan_loss"), draft, is_relativistic=MODELS[kind.lower()] == "relativistic")
            _read_steps(options, model, draft)
    else:
        for name in (*LOSS_NAMES, "gan_loss", "discriminator"):
            model.same(name, "the file trains nothing")
    _read_rest(model, draft)
    return has_discriminator


def _counterpart(options: Options, table: dict[str, Counterpart], what: str) -> Counterpart:
    kind = str(options.peek("type", ""))
    if kind.lower() not in table:
        raise options.fault("type", f"the {what} {kind!r} has no counterpart here.{slip_of(kind, table)}")
    return table[kind.lower()]


def _read_generator(model: Options, draft: Draft) -> None:
    options = model.section("generator")
    start = options.peek("init_cfg")
    if isinstance(start, dict) and start.get("checkpoint"):
        file = str(start["checkpoint"])
        local = "weights/" + file.rpartition("/")[2] if file.startswith("http") else file
        draft.set("load_from", local)
        if local == file:
            options.mapped("init_cfg", "load_from", repr(file))
        else:
            options.different("init_cfg", "load_from", f"nothing is downloaded: fetch {file} and put it there")
    result = translate(options, _counterpart(options, NETWORKS, "network"), "network", "model.generator", "the network")
    result.pop("scale", None)
    kind, rest = result.pop("type"), result
    draft.set("model.generator", {"type": kind, "scale": Expression("scale"), **rest})


def _read_discriminator(options: Options, draft: Draft) -> None:
    counterpart = _counterpart(options, DISCRIMINATORS, "discriminator")
    result = translate(options, counterpart, "network", "model.discriminator", "the discriminator")
    draft.set("model.discriminator", vgg_discriminator(result))


def _read_losses(model: Options, draft: Draft) -> None:
    losses: dict[str, Any] = {}
    draft.set("model.losses", losses)
    for theirs in model:
        if not theirs.endswith("_loss") or theirs not in model or theirs == "gan_loss":
            continue
        options = model.section(theirs)
        kind = str(options.peek("type", ""))
        if kind.lower() not in LOSSES:
            options.ignore()
            why = f"the loss {kind} has no counterpart here and is left out: the sum is without it"
            options.lost("type", f"{why}.{slip_of(kind, LOSSES)}", "model.losses")
            continue
        name = LOSS_NAMES.get(theirs, theirs.removesuffix("_loss"))
        loss = translate(options, LOSSES[kind.lower()], "loss", f"model.losses.{name}", "the loss")
        if loss.get("style_weight") and loss.get("weight", 1.0) != 1.0:
            loss["style_weight"] /= loss["weight"]
        losses[name] = loss
    if not losses and "gan_loss" not in model:
        raise model.fault("pixel_loss", "none of the losses has a counterpart here, and a training needs one")


def _read_steps(options: Options, model: Options, draft: Draft) -> None:
    own = model.peek("train_cfg")
    holder = model.section("train_cfg") if isinstance(own, dict) else options.section("train_cfg")
    for name, target, default in (("disc_steps", "disc_steps", 1), ("disc_init_steps", "disc_init_iters", 0)):
        value = holder.number(name, int, default)
        if value == default:
            holder.same(name, "the default")
        else:
            draft.set(f"model.{target}", value)
            holder.mapped(name, f"model.{target}", f"{value}")


def _read_rest(model: Options, draft: Draft) -> None:
    preprocessor = model.section("data_preprocessor")
    mean, std = preprocessor.take("mean", [0.0]), preprocessor.take("std", [255.0])
    if any(mean) or any(value != 255 for value in std):
        preprocessor.lost("mean", "images are in [0, 1]; a network that wants others stands in an Adapter")
    for name in preprocessor:
        preprocessor.same(name, "images are in [0, 1], as they are")
    inner = model.section("train_cfg")
    if "start_iter" in inner:
        inner.different("start_iter", "hooks", "the average begins with the run")
    for section in (inner, model.section("test_cfg")):
        for name in section:
            section.same(name, "data.val and data.test say it")
    if model.take("pretrained") is not None:
        model.lost("pretrained", "load_from is what starts from weights")
    if model.take("is_use_ema", False):
        draft.values.setdefault("hooks", {}).setdefault("ema", {"type": "EMAHook"})
        model.mapped("is_use_ema", "hooks.ema", "EMAHook")
    targets = {}
    for theirs, ours in SHARPENED.items():
        name = f"is_use_sharpened_gt_in_{theirs}"
        if model.take(name, False):
            targets[ours] = "gt_usm"
            model.mapped(name, f"model.targets.{ours}", "'gt_usm'")
        model.same(name, "the loss compares with GT as it is")
    if targets:
        draft.set("model.targets", targets)
    model.close("the model")
