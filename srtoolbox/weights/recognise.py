"""Files of weights recognised by their tensors: network, arguments, and tensors in our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

from torch import Tensor

from srtoolbox.devices import without_memory
from srtoolbox.errors import CheckpointError, ConfigError
from srtoolbox.registry import NETWORKS
from srtoolbox.text import counted
from srtoolbox.weights.formats import (
    Arguments,
    Layout,
    Misfit,
    State,
    Unsure,
    fits,
    malformed_as_misfit,
    plain,
    residual,
    rrdb,
    with_counters,
)
from srtoolbox.weights.state_dicts import differences, group_keys

WeightsChoice = Literal["ema", "raw"]

AVERAGED = ("params_ema", "params-ema", "ema_state_dict")
WRAPPERS = ("params", "state_dict", "model_state_dict", "model", "net", "generator", "netG", "net_g", "weights")
# a training's state_dict holds several networks, named by the first word of their keys
# (MMagic, BasicSR's descendants)
AVERAGED_ROLES: dict[str, tuple[str, ...]] = {
    "generator": ("generator_ema.", "netG_ema.", "net_g_ema."),
    "discriminator": (),
}
ROLES = {
    "generator": ("generator.", "netG.", "net_g."),
    "discriminator": ("discriminator.", "netD.", "net_d."),
}
PREFIXES = ("module.", "_orig_mod.", "model.", "network.")
# what averaging and preprocessing leave beside the weights: counts and constants
COMPANIONS = ("n_averaged", "steps", "step_counter", "data_preprocessor.mean", "data_preprocessor.std")


class Contents(NamedTuple):
    """The weights of one network in a file."""

    tensors: dict[str, Tensor]
    """Without wrapper and prefixes."""
    averaged: bool
    """The file says that they are averaged (EMA) weights."""


def find_weights(
    state: Mapping[str, Any], source: str, *, network: str = "generator", weights: WeightsChoice = "ema"
) -> Contents:
    """Find the weights of one network in a loaded checkpoint of another project.

    Args:
        state: what was loaded.
        source: the file, for messages.
        network: 'generator' or 'discriminator', where the file has several.
        weights: 'ema' prefers averaged weights where there are some, 'raw' the trained ones.

    Raises:
        CheckpointError: no dictionary of tensors in it; says what it is instead where that can be
            told.
    """
    for wrapper in _order(AVERAGED, WRAPPERS, weights):
        # an empty one: nothing was averaged
        if isinstance(state.get(wrapper), Mapping) and state[wrapper]:
            inner = find_weights(state[wrapper], source, network=network, weights=weights)
            return inner._replace(averaged=inner.averaged or wrapper in AVERAGED)
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{source}: {_no_weights(state)}")
    return _without_prefixes(_of_one_role(tensors, network, weights))


def _order(averaged: tuple[str, ...], raw: tuple[str, ...], weights: WeightsChoice) -> tuple[str, ...]:
    return averaged + raw if weights == "ema" else raw + averaged


def _of_one_role(tensors: dict[str, Tensor], network: str, weights: WeightsChoice) -> Contents:
    """Return the tensors of one role where there are roles, without it."""
    for role in _order(AVERAGED_ROLES[network], ROLES[network], weights):
        part = {key: value for key, value in tensors.items() if key.startswith(role)}
        if part:
            part = {key.removeprefix(role): value for key, value in part.items()}
            return Contents(part, role in AVERAGED_ROLES[network])
    return Contents(tensors, False)


def _without_prefixes(contents: Contents) -> Contents:
    tensors = {key: value for key, value in contents.tensors.items() if key not in COMPANIONS}
    for prefix in PREFIXES:
        if tensors and all(key.startswith(prefix) for key in tensors):
            shorter = {key.removeprefix(prefix): value for key, value in tensors.items()}
            return _without_prefixes(contents._replace(tensors=shorter))
    return contents._replace(tensors=tensors or contents.tensors)


def _no_weights(state: Mapping[str, Any]) -> str:
    keys = set(map(str, state))
    if {"state", "param_groups"} <= keys:
        return "is the state of an optimizer, not a network; its weights are saved beside it"
    if {"optimizers", "schedulers"} <= keys:
        weights = "models/net_g_<iteration>.pth"
        return f"is a training state of BasicSR (for resuming); the weights are in {weights}"
    return f"holds no weights (its keys: {', '.join(list(map(str, state))[:8]) or 'none'})"


LAYOUTS = (*rrdb.LAYOUTS, *residual.LAYOUTS, *plain.LAYOUTS)
_CLASSIFIER = "{} for classification: give it to a perceptual loss"
_NO_NETWORK = "{}, which has no network here"
# descriptions of files that are no generator here, by keys that all of them have: the more special
# before the more general
UNSUPPORTED = (
    ("LPIPS's linear layers: part of a metric", "lin0.model.1.weight"),
    (
        "a discriminator (a U-Net with spectral norm), not a generator",
        "conv0.weight conv1.weight_orig",
    ),
    ("a discriminator (VGG style), not a generator", "conv0_0.weight linear1.weight"),
    ("a discriminator, not a generator", "features.0.weight classifier.* *running_var"),
    (_CLASSIFIER.format("a SqueezeNet"), "features.3.squeeze.weight"),
    (_CLASSIFIER.format("a ResNet"), "layer1.0.conv1.weight fc.weight"),
    (_CLASSIFIER.format("a VGG or AlexNet"), "features.0.weight classifier.{n}.weight"),
    ("a diffusion model", "(model.)?diffusion_model.*"),
    (_NO_NETWORK.format("HAT"), "layers.0.residual_group.overlap_attn.*"),
    (_NO_NETWORK.format("Swin2SR"), "layers.0.residual_group.blocks.0.attn.logit_scale"),
    (_NO_NETWORK.format("SwinIR"), "layers.0.residual_group.blocks.0.attn.qkv.weight"),
    (_NO_NETWORK.format("DAT"), "layers.0.blocks.0.attn.* before_RG.*"),
    (_NO_NETWORK.format("Restormer"), "encoder_level1.0.attn.qkv.weight"),
    (_NO_NETWORK.format("NAFNet"), "intro.weight encoders.0.0.conv1.weight"),
    (_NO_NETWORK.format("RCAN"), "body.0.body.0.body.3.conv_du.0.weight"),
    (_NO_NETWORK.format("RCAN"), "body.0.residual_group.0.rcab.*"),
    (_NO_NETWORK.format("EDSR"), "head.0.weight body.0.body.0.weight tail.*"),
    (_NO_NETWORK.format("EDSR"), "conv_first.weight body.0.conv1.weight conv_after_body.weight"),
    (_NO_NETWORK.format("RDN"), "SFENet1.weight"),
    (_NO_NETWORK.format("CARN"), "b1.b1.* entry.weight"),
    (_NO_NETWORK.format("SAFMN"), "to_feat.weight feats.0.* to_img.0.weight"),
    (_NO_NETWORK.format("RLFN"), "block_1.c1_r.weight"),
    (
        _NO_NETWORK.format("SRResNet of 2018 (its body ends with a convolution)"),
        "1.sub.0.res.0.weight",
    ),
)
_SCALE_IN_NAME = re.compile(r"(?<![a-z0-9])(?:x([1-8])|([1-8])x)(?![0-9])", re.IGNORECASE)


class Recognised(NamedTuple):
    """A network of another project as one of ours."""

    config: dict[str, Any]
    """`type` and arguments."""
    tensors: dict[str, Tensor]
    """Its state_dict in our names."""
    sentence: str
    """'ESRGAN, old key layout, x4, 23 blocks, EMA weights'."""


def recognise(
    state: Mapping[str, Any],
    source: str,
    *,
    scale: int | None = None,
    weights: WeightsChoice = "ema",
) -> Recognised:
    """Recognise what another project's file holds, by its tensors alone.

    Args:
        state: the file as it was loaded, wrappers and all.
        source: its name: for messages, and where the tensors fit any scale (SRCNN, VDSR, FSRCNN)
            for the 'x2' in it.
        scale: the scale, where the tensors leave it open; it goes before the name.
        weights: 'ema' prefers averaged weights where there are some, 'raw' the trained ones.

    Raises:
        CheckpointError: no weights in it, or of no network here: says what it looks like; or of a
            scale that nothing tells, or of another one than wanted.
    """
    contents = find_weights(state, source, weights=weights)
    hint = scale if scale is not None else scale_in(source)
    reasons = []
    for layout in LAYOUTS:
        if not fits(layout.marks, contents.tensors):
            continue
        try:
            return _as_ours(layout, contents, source, scale, hint)
        except Misfit as misfit:
            reasons.append(f"looks like {layout}, but {misfit}")
        except Unsure as unsure:
            raise CheckpointError(
                f"{source}: {layout}, whose weights fit {unsure}, and nothing says which it is "
                f"here; say it: upscale --scale N, load_network(..., scale=N), or an x2 in the "
                f"file's name"
            ) from None
    reason = "; ".join(reasons) or _describe_unknown(contents)
    raise CheckpointError(f"{source}: {reason}")


def our_names(state: State) -> State | None:
    """Return plain tensors in our names; None where their layout is not known."""
    for layout in LAYOUTS:
        if fits(layout.marks, state):
            try:
                with malformed_as_misfit():
                    return with_counters(layout.to_ours(state))
            except Misfit:
                continue
    return None


def scale_in(source: str) -> int | None:
    """Return the factor in a file's name, 4 of 'net_x4.pth'; None where there is none, or two."""
    matches = _SCALE_IN_NAME.findall(PurePath(source).stem.replace("_", " "))
    factors = {int(before or after) for before, after in matches}
    return factors.pop() if len(factors) == 1 else None


def _as_ours(layout: Layout, contents: Contents, source: str, scale: int | None, hint: int | None) -> Recognised:
    with malformed_as_misfit():
        tensors = with_counters(layout.to_ours(contents.tensors))
        arguments = {**layout.arguments(tensors, hint), **dict(layout.hidden)}
    config = {"type": layout.network, **arguments}
    fault = _fault(config, tensors)
    if fault:
        raise Misfit(fault)
    if scale not in (None, arguments["scale"]):
        own = arguments["scale"]
        raise CheckpointError(f"{source}: {layout} that upscales x{own}, not x{scale}")
    named = scale_in(source)
    is_doubtful = None not in (scale, named) and scale != named
    doubt = f", though its name says x{named}" if is_doubtful else ""
    return Recognised(config, tensors, _sentence(layout, arguments, contents) + doubt)


def _fault(config: Mapping[str, Any], tensors: State) -> str:
    """Return '' where the network has just these tensors; no memory is taken for its weights."""
    try:
        with without_memory():
            network = NETWORKS.build(config)
    except ConfigError as error:
        return str(error)
    return differences(network.state_dict(), tensors)


def _sentence(layout: Layout, arguments: Arguments, contents: Contents) -> str:
    parts = [str(layout), f"x{arguments['scale']}"]
    if "kernels" in arguments:
        parts.append("-".join(map(str, arguments["kernels"])))
    if "num_blocks" in arguments:
        parts.append(f"{arguments['num_blocks']} block{'s' if arguments['num_blocks'] > 1 else ''}")
    if arguments.get("num_features", 64) != 64:
        parts.append(f"{arguments['num_features']} features")
    if arguments["colour"] == "y":
        parts.append("luma")
    if contents.averaged:
        parts.append("EMA weights")
    return ", ".join(parts)


def _describe_unknown(contents: Contents) -> str:
    for description, marks in UNSUPPORTED:
        if fits(marks, contents.tensors):
            return f"looks like {description}"
    groups = group_keys(contents.tensors)
    listing = ", ".join(groups[:4])
    listing += f" and {len(groups) - 4} groups more" if len(groups) > 4 else ""
    return (
        f"holds {counted(len(contents.tensors), 'tensor')} of no network known here ({listing}). If "
        f"one of yours fits, name its config (load_network(..., config=...), upscale --config, test "
        f"CONFIG)"
    )
