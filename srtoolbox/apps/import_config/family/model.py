"""Networks and losses: the model."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.counterpart import Counterpart, translate
from srtoolbox.apps.import_config.draft import Expression
from srtoolbox.apps.import_config.family.project import Import, Table
from srtoolbox.apps.import_config.gan import read_gan_loss, vgg_discriminator
from srtoolbox.apps.import_config.names import slip_of
from srtoolbox.apps.import_config.options import Options

STRUCTURE_WINDOW, WHOLE_STRUCTURE = 11, 176  # side of its window; of the smallest crops for all five scales


def counterpart_of(job: Import, options: Options, table: Table, what: str) -> Counterpart:
    """Return the counterpart of the class that options name.

    Raises:
        ConfigError: none is named, or it has none here.
    """
    kind = options.peek("type")
    if kind is None:
        raise options.fault("type", f"the {what}'s type is missing")
    name = str(kind).lower()
    if name in table:
        return table[name]
    if name in job.project.other_tasks:
        raise options.fault("type", f"{kind} is for {job.project.other_tasks[name]}, which is not done here")
    raise options.fault("type", f"the {what} {kind!r} has no counterpart here.{slip_of(kind, table)}")


def read_network(job: Import) -> None:
    """Read `network_g`."""
    options = job.options.section("network_g")
    counterpart = counterpart_of(job, options, job.project.networks, "network")
    result = translate(options, counterpart, "network", "model.generator", f"{job.project.name}'s")
    scale = result.pop("scale", job.scale)
    name = next((key for key, ours in counterpart.names.items() if ours == "scale" and key in options), None)
    if scale != job.scale and name is not None:
        options.different(
            name, "model.generator", f"the network's {name} is {scale}, the file's scale {job.scale} is taken"
        )
    kind, rest = result.pop("type"), result
    job.draft.set("model.generator", {"type": kind, "scale": Expression("scale"), **rest})


def is_adversarial(job: Import) -> str:
    """Return 'plain', 'gan' or 'relativistic': what kind of model the file trains.

    Raises:
        ConfigError: its model is for another task.
    """
    options = job.options
    name = str(options.take("model_type", "")).lower()
    if name in job.project.other_tasks:
        raise options.fault("model_type", f"is for {job.project.other_tasks[name]}, which is not done here")
    kind = job.project.models.get(name)
    is_own = bool(name) and kind is None and bool(job.project.models)
    train = options.peek("train")
    is_gan = "network_d" in options and isinstance(train, dict) and _has_gan_loss(train)
    if kind in (None, "any"):
        kind = "gan" if is_gan else "plain"
    ours = "GANRestorer" if kind != "plain" and job.is_training else "Restorer"
    if is_own:
        theirs, hint = options.peek("model_type"), slip_of(name, job.project.models)
        like = "SRGANModel" if ours == "GANRestorer" else "SRModel"
        options.lost("model_type", f"{theirs} is not known: what it does beyond {like} is left out.{hint}", "model")
    elif name:
        options.mapped("model_type", "model.type", repr(ours))
    return kind


def _has_gan_loss(train: dict[str, Any]) -> bool:
    listed = train.get("losses")
    losses = [loss for loss in listed if isinstance(loss, dict)] if isinstance(listed, list) else []
    losses += [train["gan_opt"]] if isinstance(train.get("gan_opt"), dict) else []
    gan = [loss for loss in losses if "gan" in str(loss.get("type")).lower() or "gan_type" in loss]
    return any(loss.get("loss_weight", 1) not in (0, 0.0) for loss in gan)


def read_model(job: Import, train: Options) -> bool:
    """Read the kind of model, its losses and discriminator; returns whether it has one."""
    kind = is_adversarial(job)
    draft = job.draft
    draft.set("model", {"type": "Restorer" if kind == "plain" else "GANRestorer"})
    read_network(job)
    gan_loss = read_losses(job, train)
    has_discriminator = kind != "plain" and gan_loss is not None
    if not has_discriminator:
        draft.set("model.type", "Restorer")
        _leave_discriminator(job, train, gan_loss, kind)
        return False
    assert gan_loss is not None
    _read_discriminator(job)
    draft.set("model.losses", draft.values["model"].pop("losses"))  # behind both networks
    read_gan_loss(gan_loss, draft, job.project.gan_weight, is_relativistic=kind == "relativistic")
    for name, old, target in (
        ("net_d_iters", "net_d_steps", "disc_steps"),
        ("net_d_init_iters", "net_d_init_steps", "disc_init_iters"),
    ):
        name = train.first(name, old)
        default = int(target == "disc_steps")
        value = train.number(name, int, default)
        if value != default:
            draft.set(f"model.{target}", value)
        if name in train:
            train.mapped(name, f"model.{target}", f"{value}" + (" (the default)" if value == default else ""))
    return True


def _leave_discriminator(job: Import, train: Options, gan_loss: Options | None, kind: str) -> None:
    why = "there is no adversarial loss" if gan_loss is None else "a model of this type has no discriminator"
    if "network_d" in job.options:
        job.options.take("network_d")
        job.options.same("network_d", why)
    if gan_loss is not None:
        for name in gan_loss:
            gan_loss.same(name, why)
    for name in ("net_d_iters", "net_d_init_iters", "net_d_steps", "net_d_init_steps"):
        train.same(name, why)


def read_losses(job: Import, train: Options) -> Options | None:
    """Read all losses into `model.losses`; returns the adversarial one, which is read apart."""
    gan_loss = None
    losses: dict[str, Any] = {}
    job.draft.set("model.losses", losses)
    for name, options in _losses(train):
        if not options.peek("type") or not isinstance(options.peek("type"), str):
            raise options.fault("type", "the loss's type is missing")
        weight = options.first("loss_weight", "perceptual_weight")
        if weight in options and options.number(weight, float, 1.0) == 0:
            options.same(weight, "a weight of 0 takes the loss out")
            for key in options:
                options.same(key, "the loss is taken out")
            continue
        if "gan" in options.peek("type").lower():
            gan_loss = options
            continue
        if (loss := _loss(job, name, options)) is not None:
            losses[name] = loss
    if not losses and gan_loss is None:
        raise train.fault("pixel_opt", "no loss is left, for each has a weight of 0 or no counterpart here")
    return gan_loss


def _losses(train: Options) -> list[tuple[str, Options]]:
    """Return our name and the options of each loss: `pixel_opt` is `pixel`."""
    found: list[tuple[str, Options]] = []
    listed = train.take("losses") if isinstance(train.peek("losses"), list) else []
    if "losses" in train and not listed:
        section = train.section("losses")
        found += [(_loss_name(name), section.section(name)) for name in section if name in section]
    for number, values in enumerate(listed):
        if not isinstance(values, dict):
            raise train.fault("losses", f"each loss is a mapping with a type, got {values!r}")
        options = Options(values, train.record, f"{train.key('losses')}[{number}]")  # type: ignore[arg-type]
        found.append((_unique(_loss_name(str(values.get("type", "loss"))), found), options))
    for name in train:
        if name.endswith("_opt") and name in train and name not in ("optim_g", "optim_d"):
            found.append((_unique(_loss_name(name), found), train.section(name)))
    return found


def _loss_name(name: str) -> str:
    short = name.lower().removesuffix("_opt").removesuffix("loss").rstrip("_")
    return {"pix": "pixel", "l1": "pixel", "mse": "pixel", "artifacts": "ldl", "mssim": "ms_ssim", "ff": "fft"}.get(
        short, short or "loss"
    )


def _unique(name: str, found: list[tuple[str, Options]]) -> str:
    taken = {other for other, _options in found}
    return name if name not in taken else next(f"{name}{n}" for n in range(2, 100) if f"{name}{n}" not in taken)


def _loss(job: Import, name: str, options: Options) -> dict[str, Any] | None:
    kind, table = str(options.peek("type")), job.project.losses
    key = "ldl" if name == "ldl" and kind.lower() in ("l1loss", "l1_loss") else kind.lower()
    if key not in table:
        hint = slip_of(kind, table)
        for argument in options:
            if argument != "type":
                options.take(argument)
        options.take("type")
        options.lost(
            "type",
            f"the loss {kind} has no counterpart here and is left out: the sum is without it.{hint}",
            "model.losses",
        )
        return None
    for number in ("loss_weight", "perceptual_weight", "style_weight"):
        if isinstance(options.peek(number), str):
            options.number(number, float, 1.0)
    loss = translate(options, table[key], "loss", f"model.losses.{name}", f"{job.project.name}'s loss")
    for argument in ("weight", "style_weight"):
        if isinstance(loss.get(argument), str):
            loss[argument] = float(loss[argument])
    if loss.get("style_weight") and loss.get("weight", 1.0) != 1.0:  # theirs stands beside the weight, ours below it
        loss["style_weight"] = loss["style_weight"] / loss["weight"]
    return loss


def _read_discriminator(job: Import) -> None:
    options = job.options.section("network_d")
    counterpart = counterpart_of(job, options, job.project.discriminators, "discriminator")
    result = translate(options, counterpart, "network", "model.discriminator", f"{job.project.name}'s")
    job.draft.set("model.discriminator", vgg_discriminator(result))


def fit_structure(job: Import) -> None:
    """Let MS-SSIM have as many scales as fit into the crops."""
    size = job.draft.get("model.preprocess.gt_size") or job.draft.get("data.train.dataset.gt_size") or 0
    losses = job.draft.get("model.losses") or {}
    for name, loss in losses.items():
        if loss["type"] == "MSSSIMLoss" and 0 < size < WHOLE_STRUCTURE:
            loss["scales"] = max(1, (size // STRUCTURE_WINDOW).bit_length())
            job.draft.comment(f"model.losses.{name}", f"{loss['scales']} scales fit into crops of {size} pixels")


def check_colours(job: Import) -> None:
    """Refuse a file whose data and network have other colours.

    Raises:
        ConfigError: the file says luma for the data, and the network is none of luma.
    """
    colour = job.draft.get("model.generator.colour")
    datasets = job.options.section("datasets")
    for name in datasets:
        dataset = datasets.peek(name)
        if isinstance(dataset, dict) and dataset.get("color") == "y" and colour != "y":
            raise datasets.fault(name, "its color is 'y', but network_g has three channels")
