"""Adversarial losses and the discriminator of SRGAN's kind, which all projects share."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.draft import Draft, Expression
from srtoolbox.apps.import_config.options import Options

TARGET = "model.gan_loss"
RELATIVISTIC = "the paper's sum, of which theirs is half: half the weight; the discriminator's loss is twice theirs"
LSGAN = "the paper's 1/2 is in it, so the weight is twice theirs"
KINDS = {
    "vanilla": "vanilla",
    "bce": "vanilla",
    "lsgan": "lsgan",
    "mse": "lsgan",
    "hinge": "hinge",
    "wgan_softplus": "wgan_softplus",
}


def vgg_discriminator(result: dict[str, Any]) -> dict[str, Any]:
    """Return the config of BasicSR's VGG discriminator, whose `width` is no argument of ours."""
    width = result.pop("width", None)
    if width is None:
        return result
    stages = 5 if result["input_size"] == 128 else 6
    widths = [min(2**stage, 8) * width for stage in range(stages)]
    result["channels"] = [width for width in widths for _ in range(2)]
    return {**result, "strides": Expression(f"[1, 2] * {stages}"), "kernels": [3, 4], "fc": [100]}


def read_gan_loss(options: Options, draft: Draft, default: float = 1.0, *, is_relativistic: bool) -> None:
    """Read a GAN loss into `model.gan_loss`.

    Args:
        options: theirs.
        draft: with the model.
        default: its weight where the file does not say one.
        is_relativistic: logits are compared with the mean of the other kind, as ESRGAN does.
    """
    options.take("type")
    kind = str(options.take("gan_type", "vanilla")).lower()
    weight = options.number("loss_weight", float, default)
    loss: dict[str, Any] = {"type": "GANLoss"}
    if is_relativistic and kind == "vanilla":
        loss, weight = {"type": "RelativisticGANLoss"}, weight / 2
        options.different("loss_weight", f"{TARGET}.weight", f"{weight:g}: {RELATIVISTIC}")
        options.mapped("gan_type", f"{TARGET}.type", "'RelativisticGANLoss'")
    elif is_relativistic:
        options.lost("gan_type", f"relativistic {kind!r} has no counterpart; GANLoss stands in its place", TARGET)
    if kind not in KINDS:
        options.lost("gan_type", f"{kind!r} has no counterpart; 'vanilla' stands in its place", TARGET)
    elif not is_relativistic:
        options.mapped("gan_type", f"{TARGET}.kind", repr(KINDS[kind]))
    if loss["type"] == "GANLoss" and KINDS.get(kind, "vanilla") != "vanilla":
        loss["kind"] = KINDS[kind]
    if KINDS.get(kind) == "lsgan":
        weight *= 2
        options.different("loss_weight", f"{TARGET}.weight", f"{weight:g}: {LSGAN}")
    elif loss["type"] == "GANLoss" and "loss_weight" in options:
        options.mapped("loss_weight", f"{TARGET}.weight", f"{weight:g}")
    options.mapped("type", f"{TARGET}.type", repr(loss["type"]))
    _read_labels(options, loss)
    draft.set(TARGET, {**loss, "weight": weight})
    options.close("the GAN loss")


def _read_labels(options: Options, loss: dict[str, Any]) -> None:
    real = options.number("real_label_val", float, 1.0)
    if real != 1.0:
        loss["label_smoothing"] = round(1 - real, 6)
        options.different("real_label_val", f"{TARGET}.label_smoothing", "of the discriminator's labels alone")
    options.same("real_label_val", "real images are 1")
    if options.number("fake_label_val", float, 0.0) != 0.0:
        options.lost("fake_label_val", "the label of generated images is 0", TARGET)
    options.same("fake_label_val", "generated images are 0")
