"""The settings of `runtime` that a config leaves to the toolbox by 'auto': one choice a run.

It is made where a run begins, from the device and the networks, and kept in the run's config beside
what was asked, as `runtime.resolved`: a resumed run goes on with it on any machine.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from srtoolbox import dist, system
from srtoolbox.config import Config
from srtoolbox.errors import RunError
from srtoolbox.interfaces import repeated_blocks

AUTO = "auto"
PLAIN: Mapping[str, Any] = {"amp": None, "channels_last": False, "compile": False, "graph": False}
"""The settings that may be 'auto', with what they are on a CPU and where a config lacks them."""
RESOLVED = "resolved"
FEWEST_BLOCKS = 8
"""Equal blocks in a row below which a network is too small for its compilation to pay."""


class DeviceFacts(NamedTuple):
    """The facts of a device that choices depend on: its type, and what it can do."""

    kind: str
    has_bf16: bool
    has_compiler: bool


class Choice(NamedTuple):
    """The value of a setting, and why."""

    value: Any
    reason: str


def facts_of_device(device: torch.device) -> DeviceFacts:
    """Return the facts of a device, on which all ranks agree."""
    has_bf16, compilers = True, ("c++", "g++", "clang++", "cl")
    has_compiler = bool(os.environ.get("CXX")) or any(map(shutil.which, compilers))
    if device.type == "cuda":
        with torch.cuda.device(device):
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        has_compiler = _has_triton()
    ranks = dist.all_gather_object((has_bf16, has_compiler))
    return DeviceFacts(device.type, *(all(column) for column in zip(*ranks, strict=True)))


def _has_triton() -> bool:
    """True if Triton is here with what it builds launchers by: a C compiler, Python's headers."""
    has_headers = Path(sysconfig.get_config_var("INCLUDEPY") or "", "Python.h").is_file()
    has_c = bool(os.environ.get("CC")) or any(map(shutil.which, ("gcc", "clang")))
    is_complete = system.IS_WINDOWS or (has_headers and has_c)  # there its package brings them
    return is_complete and importlib.util.find_spec("triton") is not None


def choose(asked: Mapping[str, Any], device: DeviceFacts, blocks: int) -> dict[str, Choice]:
    """Return the settings that are 'auto' in `asked`, chosen.

    Args:
        asked: the config's `runtime`.
        device: where the run is.
        blocks: the equal blocks of the network that has most.
    """
    keys = [key for key in PLAIN if asked.get(key) == AUTO]
    if device.kind != "cuda":
        return {key: Choice(PLAIN[key], f"device {device.kind}") for key in keys}
    amp = Choice("bf16", "the card computes in it") if device.has_bf16 else Choice(None, "the card has no bf16")
    precision = amp.value if asked.get("amp") == AUTO else asked.get("amp")
    graph = Choice(True, "a step is launched as one")
    is_graph = graph.value if asked.get("graph") == AUTO else asked.get("graph")
    layout = Choice(False, "it adds launches to steps in float32 that are no graph")
    if precision or is_graph:
        layout = Choice(True, "convolutions run in it")
    if not device.has_compiler:
        compilation = Choice(False, "Triton, or what it needs, is not installed")
    elif blocks < FEWEST_BLOCKS:
        compilation = Choice(False, "no network repeats a block often enough")
    else:
        compilation = Choice("blocks", f"a block is there {blocks} times, and compiled once")
    every = {"amp": amp, "channels_last": layout, "compile": compilation, "graph": graph}
    return {key: every[key] for key in keys}


def runtime_values(runtime: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return `runtime` with what 'auto' has become; where that is not known, what `before` has.

    A setting that is as in PLAIN is left out: it is no other than one that a config lacks.
    """
    choices = {**PLAIN, **(runtime_values(before) if before else {}), **(runtime.get(RESOLVED) or {})}
    values = {key: choices[key] if key in PLAIN and value == AUTO else value for key, value in runtime.items()}
    values.pop(RESOLVED, None)
    return {key: value for key, value in values.items() if key not in PLAIN or value != PLAIN[key]}


def resolve(
    config: Config, device: torch.device, networks: Iterable[nn.Module], before: Mapping[str, Any] | None = None
) -> tuple[Config, str]:
    """Return a config whose `runtime` holds what 'auto' becomes, and a sentence of it for the log.

    Args:
        config: stays as it is.
        device: of the run.
        networks: that learn.
        before: the config of the run that is resumed: what it is laid out for holds. One of a run
            begun before there were choices goes on in float32, without a compiler.

    Raises:
        RunError: the device cannot do what the resumed run is laid out for, and no value is given.
    """
    runtime = config.get("runtime") or {}
    asked = {key for key in PLAIN if runtime.get(key) == AUTO}
    if not asked and RESOLVED not in runtime:
        return config, ""
    device_facts = facts_of_device(device)
    if before is None:
        blocks = max((len(repeated_blocks(network)) for network in networks), default=0)
        choices = choose(runtime, device_facts, blocks)
    else:
        earlier = {**PLAIN, **runtime_values(before.get("runtime") or {})}
        choices = {key: Choice(earlier[key], "as this run began") for key in PLAIN if key in asked}
        _check_able({key: choice.value for key, choice in choices.items()}, device_facts)
    config = copy.deepcopy(config)
    values = {key: choice.value for key, choice in choices.items()}
    config["runtime"].pop(RESOLVED, None)
    if values:
        config["runtime"][RESOLVED] = values
    return config, _sentence(choices)


def _check_able(values: Mapping[str, Any], device: DeviceFacts) -> None:
    """Raise RunError where a device cannot do what a resumed run is laid out for."""
    lacks = {
        "amp": values.get("amp") == "bf16" and not device.has_bf16 and "this card has no bf16",
        "compile": values.get("compile") and not device.has_compiler and "no compiler is installed here",
    }
    for key, fault in lacks.items():
        if fault:
            raise RunError(
                f"this run began with runtime.{key}={values[key]!r}, which 'auto' chose there, and {fault}. Resume it "
                f"where it began, or say runtime.{key}={PLAIN[key]}: it then goes on otherwise from here on"
            )


def _sentence(choices: Mapping[str, Choice]) -> str:
    """Return `amp='bf16' (the card computes in it), compile=False (...)`.

    Equal reasons are said once.
    """
    reasons: dict[str, list[str]] = {}
    for key, choice in choices.items():
        reasons.setdefault(choice.reason, []).append(f"{key}={choice.value!r}")
    return ", ".join(f"{', '.join(values)} ({reason})" for reason, values in reasons.items())
