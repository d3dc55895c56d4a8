"""The way through an option file of the family."""

from __future__ import annotations

from srtoolbox.apps.import_config.draft import Draft
from srtoolbox.apps.import_config.family.data import read_training_set
from srtoolbox.apps.import_config.family.evaluation import read_evaluation, read_test
from srtoolbox.apps.import_config.family.general import BASE, read_general, read_logger, read_paths, scale_of
from srtoolbox.apps.import_config.family.model import (
    check_colours,
    fit_structure,
    is_adversarial,
    read_model,
    read_network,
)
from srtoolbox.apps.import_config.family.project import Import, Project
from srtoolbox.apps.import_config.family.training import average_for_losses, read_average, read_length, read_optimizers
from srtoolbox.apps.import_config.options import Options

LOST = {
    "sam": "steps are not sharpness-aware",
    "eco": "GT is never mixed with the network's own output",
    "wavelet_guided": "losses are never taken of wavelets",
    "match_lq": "colours are compared with GT, not with LQ",
    "match_lq_colors": "colours are compared with GT, not with LQ",
    "use_moa": "images are never mixed",
    "mixup": "images are never mixed",
    "use_unshuffle": "images are given as they are",
    "adaptive_d": "the discriminator learns in each iteration",
}
BELONGING = {
    "sam": ("sam_init",),
    "eco": ("eco_init", "eco_iters", "eco_schedule", "eco_amount"),
    "wavelet_guided": ("wavelet_init",),
    "use_moa": ("moa_augs", "moa_probs", "moa_debug", "moa_debug_limit"),
    "mixup": ("mixopts", "mixprob", "mixalpha", "aux_mixprob", "aux_mixalpha", "mix_p"),
    "use_unshuffle": ("unshuffle_scale",),
    "adaptive_d": ("adaptive_d_ema_decay", "adaptive_d_threshold"),
}


def read(project: Project, options: Options) -> Draft:
    """Return the config that an option file of a project becomes; its record says how.

    Raises:
        ConfigError: something without which there is no config is missing or has no counterpart.
    """
    draft = Draft()
    is_training = "train" in options
    scale = scale_of(options)
    if is_training:
        draft.set("_base_", [BASE])
    draft.set("scale", scale)
    job = Import(project, options, draft, scale, is_training)
    if is_training:
        _read_training(job)
    else:
        _read_test(job)
    _close(job)
    return draft


def _read_training(job: Import) -> None:
    train = job.options.section("train")
    for name in ("seed", "work_dir", "max_iters", "load_from"):  # in this order at the top of the file
        job.draft.set(name, None)
    read_general(job)
    read_length(job, train)
    runtime = job.draft.values.pop("runtime")
    has_discriminator = read_model(job, train)
    read_paths(job)
    read_optimizers(job, train, has_discriminator)
    read_training_set(job)
    fit_structure(job)
    read_evaluation(job)
    read_logger(job)
    read_average(job, train)
    average_for_losses(job.draft)
    for name, why in LOST.items():
        if train.take(name, False):
            train.lost(name, why)
        train.same(name, why)
        for other in BELONGING.get(name, ()):
            train.same(other, f"belongs to {name}")
    train.close(f"{job.project.name}'s train")
    job.draft.set("runtime", runtime)
    hooks = job.draft.values.pop("hooks", None)
    if hooks:
        job.draft.set("hooks", hooks)
    for name in ("seed", "work_dir", "max_iters", "load_from"):
        if job.draft.values[name] is None:
            del job.draft.values[name]


def _read_test(job: Import) -> None:
    read_general(job)
    is_adversarial(job)
    job.draft.set("model", {"type": "Restorer"})
    read_network(job)
    if "network_d" in job.options:
        job.options.same("network_d", "an evaluation needs no discriminator")
    read_paths(job)
    read_test(job)
    read_logger(job)


def _close(job: Import) -> None:
    """Compare the colours of data and network, and note what nobody has read."""
    check_colours(job)
    job.options.section("datasets").close(f"{job.project.name}'s datasets")
    job.options.close(job.project.name)
