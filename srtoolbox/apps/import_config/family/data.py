"""Datasets: what is trained on and what is evaluated on."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.draft import Expression
from srtoolbox.apps.import_config.family.degradations import read_degradations
from srtoolbox.apps.import_config.family.project import Import
from srtoolbox.apps.import_config.names import set_name, slip_of
from srtoolbox.apps.import_config.options import Options
from srtoolbox.config.values import Value

ENDLESS = "samples are drawn without end, by (seed, draw number)"
LOADER = "how batches are loaded, not what is in them (docs/data.md)"
IGNORED = {
    "name": "what a set is called: of use in evaluation alone",
    "phase": "the section says it",
    "scale": "the file's scale",
    "use_shuffle": ENDLESS,
    "dataset_enlarge_ratio": ENDLESS,
    "prefetch_mode": LOADER,
    "num_prefetch_queue": LOADER,
    "prefetch_factor": LOADER,
    "pin_memory": LOADER,
    "persistent_workers": LOADER,
    "crop_pad_size": "small='reflect' fills small images up to the crop",
    "task": "the folders say it: pairs, or GT alone",
    "data_type": "files are told by what they hold",
}


def read_training_set(job: Import) -> None:
    """Read `datasets.train`."""
    datasets = job.options.section("datasets")
    if "train" not in datasets:
        raise datasets.fault("train", "the file has settings for training, but no training set")
    train, draft = datasets.section("train"), job.draft
    kind = kind_of(job, train)
    target = "data.train.dataset"
    dataset = _stores(job, train, kind, target)
    size = _crop(job, train, target)
    if size:
        dataset["gt_size"] = size
    if kind == "degraded":
        dataset["small"] = "reflect"
    transforms = _flips(job, train, target)
    if transforms:
        dataset["transforms"] = transforms
    draft.set(target, dataset)
    _read_loader(job, train)
    _read_normalisation(train)
    _read_mixing(train, "augmentation", "aug_prob")
    read_degradations(job, train)
    for name, why in IGNORED.items():
        train.same(name, why)
    train.close(f"{job.project.name}'s dataset")


def kind_of(job: Import, options: Options) -> str:
    """Return 'paired', 'single' or 'degraded' for a dataset's type."""
    kind = str(options.peek("type", ""))
    known = job.project.datasets
    if kind.lower() in job.project.other_tasks:
        raise options.fault("type", f"{kind} is for {job.project.other_tasks[kind.lower()]}, which is not done here")
    if kind.lower() not in known:
        raise options.fault("type", f"the dataset {kind!r} has no counterpart here.{slip_of(kind, known)}")
    return known[kind.lower()]


def _stores(job: Import, options: Options, kind: str, target: str) -> dict[str, Any]:
    """Return our dataset with its class and stores."""
    classes = {"paired": "PairedDataset", "single": "FolderDataset", "degraded": "GTOnlyDataset"}
    dataset: dict[str, Any] = {"type": classes[kind]}
    options.take("type")
    options.mapped("type", f"{target}.type", repr(classes[kind]))
    for theirs, ours, needed in (
        ("dataroot_gt", "gt", kind != "single"),
        ("dataroot_lq", "lq", kind != "degraded"),
    ):
        value = _paths(options.take(theirs))
        if not needed:
            options.same(theirs, "not read by this dataset, there as here")
        elif value is None:
            raise options.fault(theirs, "the folder is missing")
        else:
            dataset[ours] = value
            options.mapped(theirs, f"{target}.{ours}", repr(value))
    if kind != "single":
        dataset["scale"] = Expression("scale")
    _read_names(options, dataset, kind, target)
    backend = options.section("io_backend")
    backend_type = str(backend.take("type", "disk")).lower()
    if backend_type in ("disk", "lmdb"):
        backend.same("type", "a store is told by what it is: a folder, or an LMDB of BasicSR's or ours")
    else:
        backend.different("type", target, f"images are read from the path itself, not by {backend_type}")
    for name in backend:
        backend.same(name, "belongs to the backend")
    return dataset


def _paths(value: Value) -> Value:
    """Return a path, or a list of several; one in a list is the path."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return value[0] if len(value) == 1 else list(value)
    return None


def _read_names(options: Options, dataset: dict[str, Any], kind: str, target: str) -> None:
    """Read which files belong to a set, and how an LQ file is named after its GT."""
    for name in ("meta_info_file", "meta_info"):
        listed = options.take(name)
        if listed is not None and kind == "paired" and dataset["gt"] == dataset["lq"]:
            both = f"GT and LQ lie below one folder, and {listed} says which is which: name the folder of each"
            options.lost(name, both, f"{target}.lq")
        elif listed is not None:
            options.different(name, f"{target}.gt", f"all images in the folder are taken, not the list in {listed}")
    template = options.take("filename_tmpl", "{}")
    if template != "{}" and kind == "paired":
        dataset["lq_name"] = str(template)
        options.mapped("filename_tmpl", f"{target}.lq_name", repr(template))
    options.same("filename_tmpl", "GT and LQ have the same names")
    if options.take("color") == "y":
        options.mapped("color", "model.generator.colour", "'y'")
    options.same("color", "the network says the colours")


def _crop(job: Import, options: Options, target: str) -> int:
    """Return the side of the GT crop: of the file's top where the dataset has none."""
    holder = options if any(name in options for name in ("gt_size", "lq_size", "patch_size")) else job.options
    gt_size = 0
    for name, factor in (("gt_size", 1), ("lq_size", job.scale), ("patch_size", job.scale)):
        if name in holder:
            gt_size = holder.number(name, int, 0) * factor
            note = f"{gt_size}" + (f", {job.scale} times theirs, which is of LQ" if factor > 1 else "")
            holder.mapped(name, f"{target}.gt_size", note)
    if holder is options and job.options.peek("gt_size") is not None:
        job.options.take("gt_size")
        job.options.same("gt_size", "the dataset says it, too")
    return gt_size


def _flips(job: Import, options: Options, target: str) -> list[dict[str, Any]]:
    transforms: list[dict[str, Any]] = []
    flip = options.first("use_hflip", "use_flip")
    if options.take(flip, job.project.flips):
        transforms.append({"type": "RandomHorizontalFlip"})
        options.mapped(flip, f"{target}.transforms", "RandomHorizontalFlip")
    options.same(flip, "no flips")
    if options.take("use_rot", job.project.flips):
        transforms += [{"type": "RandomVerticalFlip"}, {"type": "RandomTranspose"}]
        options.mapped("use_rot", f"{target}.transforms", "RandomVerticalFlip, RandomTranspose")
    options.same("use_rot", "no turns")
    return transforms


def _read_loader(job: Import, options: Options) -> None:
    draft = job.draft
    batch = options.first("batch_size_per_gpu", "batch_size")
    if batch in options:
        draft.set("data.train.batch_size", options.number(batch, int, 1))
        options.mapped(batch, "data.train.batch_size", f"{draft.get('data.train.batch_size')}, of each process")
    workers = options.first("num_worker_per_gpu", "num_worker", "n_workers")
    count = options.take(workers)
    if isinstance(count, int):
        draft.set("data.train.workers", count)
        options.mapped(workers, "data.train.workers", f"{count}")
    elif count is not None:
        options.different(
            workers,
            "data.train.workers",
            f"{count!r} is not a number here; 0 is the default, the log says how many keep up",
        )
    gathered = options.first("accum_iter", "accumulate")
    steps = options.number(gathered, int, 1)
    if steps > 1:
        draft.set("accumulate", steps)
        options.mapped(gathered, "accumulate", f"{steps}")
    options.same(gathered, "a step of one batch")


def _read_normalisation(options: Options) -> None:
    for name, neutral in (("mean", 0), ("std", 1)):
        value = options.take(name)
        if value is not None and any(number != neutral for number in (value if isinstance(value, list) else [value])):
            options.lost(name, "images are RGB in [0, 1]; a network that wants others stands in an Adapter")
        options.same(name, "images are in [0, 1], as they are")


def _read_mixing(options: Options, name: str, shares: str) -> None:
    """Read the mixtures of several images (mixup, cutmix ...) that have no counterpart."""
    kinds = [kind for kind in options.take(name, []) if str(kind) != "none"]
    if kinds:
        options.lost(name, f"images are never mixed: {', '.join(map(str, kinds))} are left out")
    options.same(name, "images are not mixed")
    options.same(shares, "images are not mixed")


def evaluation_sets(job: Import, prefix: str, part: str) -> dict[str, Any]:
    """Read `datasets.val`, `val_2` ... or `test_1` ... into our map of datasets."""
    datasets = job.options.section("datasets")
    found: dict[str, Any] = {}
    for key in datasets:
        if not key.startswith(prefix) or key not in datasets:
            continue
        options = datasets.section(key)
        name = set_name(str(options.take("name", key)), set(found))
        target = f"{part}.{name}"
        options.same("name", f"the set is {name!r}")
        kind = kind_of(job, options)
        found[name] = _stores(job, options, kind, target)
        if kind == "degraded":
            options.different("type", target, "LQ is GT reduced by MATLAB's bicubic")
        _read_normalisation(options)
        for other in (*IGNORED, "gt_size", "lq_size", "patch_size", "use_hflip", "use_flip", "use_rot"):
            options.same(other, "evaluation takes whole images as they are")
        for other in ("batch_size_per_gpu", "batch_size", "num_worker_per_gpu", "num_worker", "accum_iter"):
            options.same(other, "evaluation takes one image at a time")
        options.close(f"{job.project.name}'s dataset")
    return found
