"""Networks out of checkpoints: ours with their config, other projects' recognised by tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.io.tensor_files import load_tensors
from srtoolbox.logger import LOGGER
from srtoolbox.plugins import advice_for_missing
from srtoolbox.registry import NETWORKS, parameters_of
from srtoolbox.text import did_you_mean
from srtoolbox.weights.onnx_file import is_onnx
from srtoolbox.weights.onnx_load import load_onnx
from srtoolbox.weights.plausibility import examine
from srtoolbox.weights.recognise import ForeignNetwork, WeightsChoice, find_weights, our_names, recognise
from srtoolbox.weights.state_dicts import differences, rename_like, state_for
from srtoolbox.weights.trial import innermost

NETWORK_KEY = "network"  # in the header of a `.safetensors` that `convert` writes


class NetworkFile(NamedTuple):
    """One network as a file holds it."""

    config: dict[str, Any]  # the network's own: `type` and its arguments
    tensors: dict[str, Tensor]  # its state_dict
    run_config: dict[str, Any]  # of its run; another project's has `model.generator` alone
    source: str  # the file's path
    network: nn.Module | None = None
    """The network with its tensors, where it is built already.

    A change of one changes the other.
    """


def read_network(
    path: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    weights: WeightsChoice = "ema",
    scale: int | None = None,
    trial: bool = True,
    quiet: bool = False,
) -> NetworkFile:
    """Read the generator in a checkpoint of this toolbox or of another project, not built yet.

    Arguments as in `load_network`. The log says what it is, unless `quiet`.

    Raises:
        CheckpointError: unreadable, or nothing says which network it is, or it says another scale
            than wanted, or it fails the trial.
    """
    state, source = load_tensors(path), str(path)
    run_config = run_config_in(state, source)
    if run_config is not None:
        generator = run_config["model"]["generator"]
        _check_registered(generator, run_config.get("custom_imports"), source)
        _check_scale(generator, scale, source)
        return NetworkFile(generator, weights_in(state, source, weights=weights), run_config, source)
    declared = declared_network(path)
    if declared is not None:
        fitting = state_for(declared, weights_in(state, source, weights=weights))
        if fitting is not None:
            _check_scale(declared, scale, source)
            return NetworkFile(declared, fitting, {"model": {"generator": declared}}, source)
    try:
        foreign = _foreign(state, source, config, weights, scale, trial)
    except CheckpointError:
        if declared is not None:
            _check_registered(declared, None, source)
        raise
    if not quiet:
        name = Path(source).name
        if foreign.sentence:
            LOGGER.info("%s: %s", name, foreign.sentence)
        for warning in foreign.warnings:
            LOGGER.warning("%s %s", name, warning)
    run_config = {"model": {"generator": foreign.config}}
    return NetworkFile(foreign.config, foreign.tensors, run_config, source, foreign.network)


def declared_network(path: str | Path) -> dict[str, Any] | None:
    """Return `type` and arguments of the network that a header of `.safetensors` names, or None.

    What no tensor tells is kept there; it may be a network of a plugin. `load_tensors` has read the
    file, and so checked for completeness.
    """
    try:
        config = json.loads(texts_in(path)[NETWORK_KEY])
        return config if isinstance(config["type"], str) else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None  # of another program, which may use that name


def texts_in(path: str | Path) -> dict[str, str]:
    """Return the texts in the header of a `.safetensors`, by name; none of another file."""
    if Path(path).suffix.lower() != ".safetensors":
        return {}
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    texts = header.get("__metadata__")
    return texts if isinstance(texts, dict) else {}


def _check_scale(config: Mapping[str, Any], scale: int | None, source: str) -> None:
    """Raise a CheckpointError where a file's network says another scale than the one given."""
    own = config.get("scale", scale)
    if scale is not None and own != scale:
        raise CheckpointError(f"{source}: {config['type']} that upscales x{own}, as it says, not x{scale}")


def _check_registered(config: Mapping[str, Any], custom_imports: object, source: str) -> None:
    """Raise a CheckpointError where a file names a network of a plugin that is not loaded."""
    name = innermost(config).get("type")
    if not isinstance(name, str) or name not in NETWORKS:
        hint = did_you_mean(str(name), NETWORKS)
        raise CheckpointError(
            f"{source}: no network {name!r} is known here, a plugin has to register it.{hint} "
            f"{advice_for_missing(custom_imports)}"
        )


def _foreign(
    state: Mapping[str, Any],
    source: str,
    config: Mapping[str, Any] | None,
    weights: WeightsChoice,
    scale: int | None,
    trial: bool,
) -> ForeignNetwork:
    """Return another project's network: that of the config where it fits, else as recognised."""
    fault = ""
    remarks: tuple[str, ...] = ()
    if config is not None:
        own = NETWORKS.build(config).state_dict()
        tensors = rename_like(own, weights_in(state, source, weights=weights))
        fault = differences(own, tensors)
        if not fault:
            assumed = ForeignNetwork(dict(config), tensors)
            return examine(source, assumed, weights) if trial else assumed
        remarks = (f"is not the {config['type']} given; its own network is used",)
    try:
        scale = scale or (config or {}).get("scale")
        assumed = recognise(state, source, scale=scale, weights=weights)
    except CheckpointError as error:
        if config is None:
            raise
        raise CheckpointError(f"{error}\nIt does not fit the {config['type']} given either: {fault}") from None
    assumed = assumed._replace(warnings=remarks)
    return examine(source, assumed, weights) if trial and assumed.is_tried else assumed


def build_network(file: NetworkFile, device: str | torch.device = "cpu") -> nn.Module:
    """Build the network of a file, in eval mode and without gradients.

    Raises:
        CheckpointError: weights and network do not fit, or the file names a network that cannot be.
    """
    try:
        network = NETWORKS.build(file.config)
    except Exception as error:  # a constructor can fail in any way at arguments out of a file
        fault = error if isinstance(error, SrtoolboxError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{file.source}: its network cannot be built: {fault}") from error
    fault = differences(network.state_dict(), file.tensors)
    if fault:
        raise CheckpointError(f"{file.source}: does not fit {file.config['type']}: {fault}")
    network.load_state_dict(file.tensors)
    return network.requires_grad_(False).eval().to(device)


def load_network(
    path: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    weights: WeightsChoice = "ema",
    scale: int | None = None,
    trial: bool = True,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """Return a trained network, ready to upscale, from a checkpoint alone.

    Args:
        path: a checkpoint of this toolbox, another project's weights (docs/other_weights.md), or an
            ONNX file (docs/export.md).
        config: the network's config, e.g. `dict(type='ESPCN', scale=3)`, for files that neither
            hold their own nor are recognised.
        weights: 'ema' prefers averaged weights where there are some, 'raw' takes the trained ones.
        scale: for weights of other projects that fit any scale (SRCNN, FSRCNN, VDSR).
        trial: weights of other projects are tried on a photograph, which finds out what tensors do
            not tell, and refused where the result has nothing in common with it. False: taken as
            they look, or as `config` says.
        device: where to put it; an ONNX file runs there, and takes and gives tensors of any device.

    Returns:
        The network in eval mode, without gradients.

    Raises:
        CheckpointError: unreadable, or weights and network do not fit, or another project's fail
            the trial.
    """
    if is_onnx(path):
        return load_onnx(path, scale=scale, trial=trial, device=str(device))
    file = read_network(path, config=config, weights=weights, scale=scale, trial=trial)
    if file.network is None:
        return build_network(file, device)
    return file.network.requires_grad_(False).eval().to(device)


def weights_in(
    state: Mapping[str, Any], source: str, network: str = "generator", *, weights: WeightsChoice
) -> dict[str, Tensor]:
    """Return the weights of one network in a loaded checkpoint, in our names where they are known.

    Args:
        state, source, weights: as in `recognise`.
        network: 'generator', 'discriminator' or another one's name in a checkpoint of ours.

    Raises:
        CheckpointError: no such network in it.
    """
    networks = state.get("networks")
    if isinstance(networks, Mapping):
        for name in (f"{network}_ema", network) if weights == "ema" else (network,):
            if name in networks:
                return networks[name]
        raise CheckpointError(f"{source}: holds no {network!r}, only {', '.join(map(str, networks))}")
    role = network.removesuffix("_ema")
    tensors = find_weights(state, source, network=role, weights=weights).tensors
    renamed = our_names(tensors)
    if role == "generator":
        return tensors if renamed is None else renamed
    if renamed is not None:
        raise CheckpointError(f"{source}: holds a generator, no {role}")
    return tensors


def run_config_in(state: Mapping[str, Any], source: str) -> dict[str, Any] | None:
    """Return the config in one of our checkpoints, with `model.generator`; None in others' files.

    Raises:
        CheckpointError: a config that is damaged.
    """
    if not isinstance(state.get("networks"), Mapping):
        return None
    try:
        config = json.loads(state["config"])
        config["model"]["generator"] = dict(config["model"]["generator"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{source}: its config is damaged ({type(error).__name__})") from error
    return config


def arguments_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a config's network, defaults filled in, but not its `type`."""
    parameters = parameters_of(NETWORKS.get(config["type"]))
    defaults = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    arguments = {key: value for key, value in {**defaults, **config}.items() if key != "type"}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()}
