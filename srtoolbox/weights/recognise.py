"""Files of other projects, recognised by their tensors: network, arguments, our names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from srtoolbox.devices import without_memory
from srtoolbox.errors import CheckpointError, ConfigError
from srtoolbox.registry import NETWORKS
from srtoolbox.text import counted
from srtoolbox.weights.by_spandrel import advice_to_install, family_of, open_by_spandrel, refuse
from srtoolbox.weights.formats import (
    REMARK,
    Arguments,
    Layout,
    Misfit,
    State,
    TooLarge,
    Unsure,
    families,
    fits,
    rename,
    without,
)
from srtoolbox.weights.state_dicts import differences, group_keys

WeightsChoice = Literal["ema", "raw"]
AVERAGED = (
    *("params_ema", "params-ema", "ema_state_dict", "state_dict_ema", "ema_model", "model_ema", "ema"),
    *("generator_ema", "netG_ema", "net_g_ema"),
)
WRAPPERS = (
    *("params", "state_dict", "model_state_dict", "model", "net", "network"),
    *("generator", "netG", "net_g", "weights"),
)
# a training's state_dict holds several networks, named by the first word of their keys
# (MMagic, BasicSR's descendants)
AVERAGED_ROLES: dict[str, tuple[str, ...]] = {
    "generator": ("generator_ema.", "netG_ema.", "net_g_ema.", "ema_model."),
    "discriminator": (),
}
ROLES = {
    "generator": ("generator.", "netG.", "net_g.", "online_model."),
    "discriminator": ("discriminator.", "netD.", "net_d."),
}
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
# what averaging and preprocessing leave beside the weights: counts and constants
COMPANIONS = ("n_averaged", "steps", "step_counter", "data_preprocessor.mean", "data_preprocessor.std")
STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")
LAYOUTS: tuple[Layout, ...] = tuple(row for family in families() for row in family.LAYOUTS)
DISCRIMINATORS: tuple[Layout, ...] = tuple(
    row for family in families() for row in getattr(family, "DISCRIMINATORS", ())
)
_CLASSIFIER = "{} for classification: give it to a perceptual loss"
# what files that are no network of LAYOUTS look like, by keys that all of them have: the special
# before the general
UNSUPPORTED = (
    ("lin0.model.1.weight", "LPIPS's linear layers: part of a metric"),
    ("conv0.weight conv1.weight_orig", "a discriminator (a U-Net with spectral norm), not a generator"),
    ("conv0_0.weight linear1.weight", "a discriminator (VGG style), not a generator"),
    ("features.0.weight classifier.* *running_var", "a discriminator, not a generator"),
    ("features.3.squeeze.weight", _CLASSIFIER.format("a SqueezeNet")),
    ("layer1.0.conv1.weight fc.weight", _CLASSIFIER.format("a ResNet")),
    ("features.0.weight classifier.{n}.weight", _CLASSIFIER.format("a VGG or AlexNet")),
    ("(model.)?diffusion_model.*", "a diffusion model"),
)
NO_NETWORK_HERE = (("1.sub.0.res.0.weight", "SRResNet of 2018 (its body ends with a convolution)"),)


class Contents(NamedTuple):
    """The weights of one network in a file."""

    tensors: dict[str, Tensor]  # without wrapper and prefixes
    averaged: bool  # the file says that they are averaged (EMA) weights


def find_weights(
    state: Mapping[str, Any], source: str, *, network: str = "generator", weights: WeightsChoice = "ema"
) -> Contents:
    """Find the weights of one network in a loaded checkpoint of another project.

    Args:
        state, source, weights: as in `recognise`.
        network: 'generator' or 'discriminator', where the file has several.

    Raises:
        CheckpointError: no dictionary of tensors in it; says what it is instead, where it can.
    """
    for wrapper in _in_order(AVERAGED, WRAPPERS, weights):
        # an empty one: nothing was averaged
        if _holds_tensors(state.get(wrapper)):
            inner = find_weights(state[wrapper], source, network=network, weights=weights)
            if wrapper not in AVERAGED:
                return inner
            return Contents(_with_statistics(inner.tensors, state, source, network), averaged=True)
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{source}: {_no_weights(state)}")
    for role in _in_order(AVERAGED_ROLES[network], ROLES[network], weights):
        names = [key for key in tensors if key.startswith(role)]
        if names:
            part = {key.removeprefix(role): tensors[key] for key in names}
            return Contents(_without_prefixes(part), role in AVERAGED_ROLES[network])
    return Contents(_without_prefixes(tensors), False)


def _holds_tensors(wrapped: object) -> bool:
    """True if there are tensors in it or in its wrappers.

    Each is looked into once, under however many names.
    """
    seen, left = set[int](), [wrapped]
    while left:
        value = left.pop()
        if not isinstance(value, Mapping) or id(value) in seen:
            continue
        seen.add(id(value))
        # those of averages may have their settings as numbers
        if any(isinstance(item, Tensor) and item.dim() > 0 for item in value.values()):
            return True
        left += [value.get(name) for name in (*AVERAGED, *WRAPPERS)]
    return False


def _with_statistics(averaged: State, state: Mapping[str, Any], source: str, network: str) -> State:
    """Return averages, with the trained network's running statistics if they have none."""
    rest = {key: value for key, value in state.items() if key not in AVERAGED}
    if not any(_holds_tensors(rest.get(wrapper)) for wrapper in WRAPPERS):
        return averaged
    trained = find_weights(rest, source, network=network, weights="raw").tensors
    if not averaged.keys() <= trained.keys():
        return averaged
    missing = {key: trained[key] for key in trained if key.endswith(STATISTICS) and key not in averaged}
    return {**averaged, **missing}


def _in_order(averaged: Sequence[str], raw: Sequence[str], weights: WeightsChoice) -> list[str]:
    return [*averaged, *raw] if weights == "ema" else [*raw, *averaged]


def _without_prefixes(tensors: State) -> State:
    own = {key: value for key, value in tensors.items() if key not in COMPANIONS}
    for prefix in PREFIXES:
        if own and all(key.startswith(prefix) for key in own):
            return _without_prefixes({key.removeprefix(prefix): value for key, value in own.items()})
    return own or tensors


def _no_weights(state: Mapping[str, Any]) -> str:
    keys = list(map(str, state))
    if {"state", "param_groups"} <= set(keys):
        return "is the state of an optimizer, not a network; its weights are saved beside it"
    if {"optimizers", "schedulers"} <= set(keys):
        weights = "models/net_g_<iteration>.pth"
        return f"is a training state of BasicSR (for resuming); the weights are in {weights}"
    return f"holds no weights (its keys: {', '.join(keys[:8]) or 'none'})"


class ForeignNetwork(NamedTuple):
    """A network of another project as one of ours."""

    config: dict[str, Any]  # `type` and arguments
    tensors: dict[str, Tensor]  # its state_dict in our names
    sentence: str = ""
    """'ESRGAN, old key layout, x4, 23 blocks, EMA weights'; '' where the user has said it."""
    warnings: tuple[str, ...] = ()  # they go on after the file's name
    is_tried: bool = True
    """False: it changes images by intent, and a trial on a photograph says nothing."""
    network: nn.Module | None = None
    """The network with its tensors, where it is built already.

    A change of one changes the other.
    """


def recognise(
    state: Mapping[str, Any], source: str, *, scale: int | None = None, weights: WeightsChoice = "ema"
) -> ForeignNetwork:
    """Recognise what another project's file holds, by its tensors alone.

    Args:
        state: the file as it was loaded, wrappers and all.
        source: its name, for messages, and for the 'x2' in it where the tensors fit any scale.
        scale: that where the tensors leave it open; it goes before the name.
        weights: 'ema' prefers averaged weights where there are some, 'raw' the trained ones.

    Raises:
        CheckpointError: no weights in it, or of no network here, or of another scale than wanted,
            or of one that nothing tells.
    """
    contents = find_weights(state, source, weights=weights)
    reasons: dict[str, None] = {}  # in their order, each once
    for layout in LAYOUTS:
        if not fits(layout.marks, contents.tensors):
            continue
        try:
            return _as_ours(layout, contents, source, scale)
        except TooLarge as excess:
            raise CheckpointError(f"{source}: looks like {layout}, but {excess}") from None
        except Misfit as misfit:
            reasons[f"looks like {layout}, but {misfit}"] = None
        except Unsure as unsure:
            raise CheckpointError(
                f"{source}: {layout}, whose weights fit {unsure}, and nothing says which it is "
                f"here; say it: upscale --scale N, load_network(..., scale=N), or an x2 in the "
                f"file's name"
            ) from None
    return _elsewhere(contents, source, scale, "; ".join(reasons))


def recognise_discriminator(state: Mapping[str, Any], source: str) -> ForeignNetwork:
    """Recognise the discriminator that another project's file holds.

    Args:
        state, source: as in `recognise`.

    Raises:
        CheckpointError: no weights in it, or of no discriminator here.
    """
    tensors = find_weights(state, source, network="discriminator").tensors
    for layout in DISCRIMINATORS:
        if not fits(layout.marks, tensors):
            continue
        try:
            arguments, renamed = _built(layout, tensors, None)
        except Misfit as misfit:
            raise CheckpointError(f"{source}: looks like {layout}, but {misfit}") from None
        return ForeignNetwork({"type": layout.network, **arguments}, renamed, str(layout), is_tried=False)
    known = ", ".join(dict.fromkeys(layout.network for layout in DISCRIMINATORS))
    raise CheckpointError(
        f"{source}: holds no discriminator that is recognised ({known}); where one of yours fits, name it in the "
        f"config, and the file in load_from: dict(discriminator=FILE)"
    )


def _elsewhere(contents: Contents, source: str, scale: int | None, fault: str) -> ForeignNetwork:
    """Return what spandrel makes of tensors that are no network's here; `fault` says why, or ''."""
    for marks, description in UNSUPPORTED:
        if fits(marks, contents.tensors):
            raise CheckpointError(f"{source}: {fault or f'looks like {description}'}")
    refuse(contents.tensors, source)
    try:
        opened = open_by_spandrel(contents.tensors, source)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {fault}") if fault else error from None
    if opened is None:
        advice = advice_to_install(contents.tensors)
        text = fault or _describe_unknown(contents.tensors)
        raise CheckpointError(f"{source}: {text}{f'; {advice}' if advice else ''}")
    if scale not in (None, opened.config["scale"]):
        raise CheckpointError(f"{source}: {opened.words[0]} that upscales x{opened.config['scale']}, not x{scale}")
    sentence = ", ".join([*opened.words, *(["EMA weights"] if contents.averaged else [])])
    return ForeignNetwork(opened.config, opened.tensors, sentence, is_tried=opened.is_tried, network=opened.network)


def our_names(state: State) -> State | None:
    """Return plain tensors in our names; None where these are not known, or hang on the scale."""
    for layout in LAYOUTS:
        if layout.at is None and fits(layout.marks, state):
            try:
                return without(_renamed(state, layout), layout.constants)
            except Misfit:
                continue
    return None


def scale_in(source: str) -> int | None:
    """Return the factor in a file's name, 4 of 'net_x4.pth'; None where there is none, or two."""
    pattern = r"(?<![a-z0-9])(?:x([1-8])|([1-8])x)(?![0-9])"
    matches = re.findall(pattern, PurePath(source).stem.replace("_", " "), re.IGNORECASE)
    factors = {int(before or after) for before, after in matches}
    return factors.pop() if len(factors) == 1 else None


@contextmanager
def _malformed_as_misfit() -> Iterator[None]:
    """Turn what a layout's rules raise of malformed tensors or odd names into a Misfit."""
    try:
        yield
    except (LookupError, ValueError, ArithmeticError) as error:
        raise Misfit(f"its tensors make no network ({type(error).__name__}: {error})") from error


def _renamed(state: State, layout: Layout) -> State:
    """Return tensors in our names, with the counts of BatchNorm that PyTorch before 0.4.1 lacks."""
    with _malformed_as_misfit():
        tensors = rename(state, layout.names)
    means = [key for key in tensors if key.endswith(".running_mean")]
    counts = {key.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for key in means}
    return tensors | {key: value for key, value in counts.items() if key not in tensors}


def _as_ours(layout: Layout, contents: Contents, source: str, scale: int | None) -> ForeignNetwork:
    named = scale_in(source)
    arguments, tensors = _built(layout, contents.tensors, named if scale is None else scale)
    remark = arguments.pop(REMARK, "")
    if scale not in (None, arguments["scale"]):
        raise CheckpointError(f"{source}: {layout} that upscales x{arguments['scale']}, not x{scale}")
    sentence = _sentence(layout, arguments, contents.averaged)
    if remark:
        sentence += f", {remark}"
    if None not in (scale, named) and scale != named:
        sentence += f", though its name says x{named}"
    return ForeignNetwork({"type": layout.network, **arguments}, tensors, sentence)


def _built(layout: Layout, state: State, hint: int | None) -> tuple[Arguments, State]:
    """Return a layout's arguments and tensors in our names.

    Raises Misfit where they make no network of it.
    """
    tensors = _renamed(state, layout)
    with _malformed_as_misfit():
        arguments = {**layout.arguments(tensors, hint), **layout.hidden}
    tensors = without(tensors, layout.constants)
    config = {key: value for key, value in arguments.items() if key != REMARK}
    try:
        with without_memory():
            own = NETWORKS.build({"type": layout.network, **config}).state_dict()
    except ConfigError as error:
        raise Misfit(str(error)) from error
    if fault := differences(own, tensors):
        raise Misfit(fault)
    return arguments, tensors


def _sentence(layout: Layout, arguments: Arguments, is_averaged: bool) -> str:
    parts = [str(layout), f"x{arguments['scale']}"]
    if "kernels" in arguments:
        parts.append("-".join(map(str, arguments["kernels"])))
    if "num_groups" in arguments:
        parts.append(counted(arguments["num_groups"], "group"))
    if "num_blocks" in arguments:
        parts.append(counted(arguments["num_blocks"], "block"))
    if arguments.get("num_features", 64) != 64:
        parts.append(f"{arguments['num_features']} features")
    if arguments["colour"] == "y":
        parts.append("luma")
    if arguments.get("plus"):
        parts.append("ESRGAN+")
    if is_averaged:
        parts.append("EMA weights")
    return ", ".join(parts)


def _describe_unknown(tensors: State) -> str:
    family = family_of(tensors)
    known = (*NO_NETWORK_HERE, *([(family.marks, family.architecture)] if family else []))
    for marks, name in known:
        if fits(marks, tensors):
            form = " of a form that" if name in NETWORKS else ", which"
            return f"looks like {name}{form} has no network here"
    groups = group_keys(tensors)
    listing = ", ".join(groups[:4])
    listing += f" and {len(groups) - 4} groups more" if len(groups) > 4 else ""
    return (
        f"holds {counted(len(tensors), 'tensor')} of no network known here ({listing}). If "
        f"one of yours fits, name its config (load_network(..., config=...), upscale --config, test "
        f"CONFIG)"
    )
