"""A project of the family, as data: what its names stand for here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from srtoolbox.apps.import_config.counterpart import Counterpart
from srtoolbox.apps.import_config.draft import Draft
from srtoolbox.apps.import_config.options import Options

Table = Mapping[str, Counterpart]


@dataclass(frozen=True)
class Project:
    """A project whose option files look like BasicSR's; all its names are in small letters.

    Args:
        name: as users know it.
        networks, discriminators, losses, metrics, optimizers: {their class: counterpart}.
        datasets: {their class: 'paired', 'single' (LQ alone) or 'degraded' (LQ made from GT)}.
        models: {their class: 'plain', 'gan', 'relativistic' or 'any'}; for 'any', for one that is
            not there, and where a file names none, there is a GAN if it has a `network_d` and a GAN loss.
        other_tasks: {their network, model or dataset: what it is for} that is not for single images.
        ema: the decay of the average where a file says nothing of it; 0 is none.
        flips: what `use_hflip` and `use_rot` are where a file says nothing of them.
        clips: whether gradients are clipped where a file says nothing of it.
        gan_weight: of the GAN loss, where a file says nothing of it.
        without_fp16: networks that are computed in bf16 where a file asks for fp16.
        pool: how many pairs are mixed where a file says nothing of it.
        degradations: {their option: its value where a file says nothing of it}, if not as published.
        gt_before: pixels of GT that are degraded before the crop is cut.
    """

    name: str
    networks: Table
    discriminators: Table
    losses: Table
    metrics: Table
    optimizers: Table
    datasets: Mapping[str, str]
    models: Mapping[str, str]
    other_tasks: Mapping[str, str] = field(default_factory=dict)
    ema: float = 0.0
    flips: bool = False
    clips: bool = False
    gan_weight: float = 1.0
    without_fp16: frozenset[str] = frozenset()
    pool: int = 180
    degradations: Mapping[str, Any] = field(default_factory=dict)
    gt_before: int = 400


@dataclass
class Import:
    """One file on its way: what is read, what is made of it.

    Args:
        project: whose file it is.
        options: the whole file.
        draft: the config in the making.
        scale: the upscaling factor.
        is_training: False for a file that only evaluates.
    """

    project: Project
    options: Options
    draft: Draft
    scale: int
    is_training: bool
