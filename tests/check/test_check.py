"""check(config): a fault of every kind is found, named by file, line and path, and all of them at once."""

# ruff: noqa: E501 - the table of faults reads best with a line each
import logging
import re

import pytest
from torch import nn

from srtoolbox import registry
from srtoolbox.check import check, mode_of
from srtoolbox.config import Config
from srtoolbox.data.datasets.base import SRDataset
from srtoolbox.engine.hooks import Hook
from srtoolbox.errors import ConfigError
from srtoolbox.registry import DATASETS, HOOKS, LOSSES, OPTIMIZERS

GOOD = """scale = 3
model = dict(
    type='Restorer',
    generator=dict(type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4]),
    losses=dict(pixel=dict(type='L1Loss')),
)
optim = dict(
    generator=dict(
        optimizer=dict(type='Adam', lr=1e-3),
        scheduler=dict(type='MultiStepLR', milestones=[10], gamma=0.5),
        param_groups={'conv3': dict(lr=1e-4)},
    ),
)
max_iters = 20
data = dict(
    train=dict(
        dataset=dict(
            type='PairedDataset', gt='gt', lq='lq', scale=scale, gt_size=12 * scale,
            transforms=[dict(type='RandomHorizontalFlip')],
        ),
        batch_size=4,
    ),
    val=dict(
        datasets=dict(set5=dict(type='GTOnlyDataset', gt='gt', scale=scale)),
        metrics=dict(psnr=dict(type='PSNR', crop_border=scale)),
        interval=10,
    ),
)
hooks = dict(
    scheduler=dict(type='SchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=10, best='set5/psnr'),
)
runtime = dict(device='cpu', amp=None)
"""


@pytest.fixture
def faults(tmp_path):
    def faults(text=GOOD, *overrides, mode="train"):
        path = tmp_path / "config.py"
        path.write_text(text)
        try:
            check(Config.fromfile(path, overrides), mode=mode)
        except ConfigError as error:
            return [fault.removeprefix(f"{path}:") for fault in error.faults]
        return []

    return faults


def test_a_good_config_has_no_fault(faults):
    assert faults() == []


# (what to replace, by what, the fault: line, path, message)
TYPOS = {
    "top-level key": ("max_iters = 20", "max_iter = 20", r"14: max_iter: .*Did you mean 'max_iters'"),
    "section key": ("batch_size=4", "batchsize=4", r"21: data\.train\.batchsize: .*Did you mean 'batch_size'"),
    "runtime key": ("device='cpu'", "devise='cpu'", r"33: runtime\.devise: .*Did you mean 'device'"),
    "optim key": ("scheduler=dict(type='Multi", "schedule=dict(type='Multi", r"10: optim\.generator\.schedule: .*'scheduler'"),
    "type name": ("'L1Loss'", "'L1Los'", r"5: model\.losses\.pixel: no loss named 'L1Los'\. Did you mean 'L1Loss'"),
    "model type": ("'Restorer'", "'Restorerr'", r"3: model: no model named 'Restorerr'\. Did you mean 'Restorer'"),
    "dataset type": ("'GTOnlyDataset'", "'GTOnly'", r"24: data\.val\.datasets\.set5: no dataset named 'GTOnly'"),
    "wrong registry": ("'L1Loss'", "'PSNR'", r"5: model\.losses\.pixel: 'PSNR' is a metric, a loss is expected here"),
    "argument": ("kernels=", "kernel=", r"4: model\.generator: ESPCN takes no 'kernel'\. Did you mean 'kernels'"),
    "hook argument": ("interval=10, best", "intervall=10, best", r"31: hooks\.checkpoint: CheckpointHook takes no 'intervall'"),
    "transform argument": ("Flip')", "Flip', prob=0.5)", r"19: data\.train\.dataset\.transforms\.0: RandomHorizontalFlip"),
    "optimizer argument": ("lr=1e-3", "learning_rate=1e-3", r"9: optim\.generator\.optimizer: Adam takes no 'learning_rate'"),
    "group argument": ("dict(lr=1e-4)", "dict(rl=1e-4)", r"11: optim\.generator\.param_groups\.conv3: Adam takes no 'rl'"),
    "group prefix": ("'conv3'", "'conv9'", r"11: .*param_groups\.conv9: no parameter's name begins with 'conv9'\. Did you"),
    "group pattern": ("'conv3'", "'body.*'", r"11: .*no parameter's name fits 'body\.\*'\. There are conv1, conv2, conv3\."),
    "frozen": ("param_groups={", "frozen=['conv1', 'covn2'],\n        param_groups={", r"11: optim\.generator: frozen: .*begins with 'covn2'\. Did you mean 'conv2'"),
    "all frozen": ("param_groups={", "frozen='conv', param_groups={", r"11: optim\.generator: frozen: leaves no parameter to train"),
    "network of the average": ("checkpoint=dict(", "ema=dict(type='EMAHook',\n    network='generatr'),\n    checkpoint=dict(", r"32: hooks\.ema: network: the model has no network 'generatr'\. Did you mean 'generator'"),
    "network of an evaluation": ("checkpoint=dict(", "e=dict(type='EvaluateHook', network='discriminator'), checkpoint=dict(", r"31: hooks\.e: network: the model has no network 'discriminator'\. Known: generator\."),
    "average that nobody keeps": ("checkpoint=dict(", "e=dict(type='EvaluateHook', network='generator_ema'), checkpoint=dict(", r"31: hooks\.e: network: the model has no network 'generator_ema'"),
    "network of patches": ("checkpoint=dict(", "p=dict(type='PatchesHook', patches=['a.png'], network='x'), checkpoint=dict(", r"31: hooks\.p: network: the model has no network 'x'"),
    "network of feature maps": ("checkpoint=dict(", "p=dict(type='FeatureMapsHook', picture='a.png', layers=['conv1'], network='gen'), checkpoint=dict(", r"31: hooks\.p: network: the model has no network 'gen'\. Known: generator"),
    "network to start": ("max_iters = 20", "load_from = dict(genrator='a.pth')\nmax_iters = 20", r"14: load_from\.genrator: the model has no network 'genrator'\. Did you mean 'generator'"),
    "file to start from": ("max_iters = 20", "load_from = dict(generator=3)\nmax_iters = 20", r"14: load_from\.generator: the path of a file is needed, got 3"),
    "missing argument": ("gt='gt', lq", "lq", r"17: data\.train\.dataset: PairedDataset needs 'gt', which is missing"),
    "missing type": ("type='L1Loss'", "weight=1.0", r"5: model\.losses\.pixel: a loss is written as dict\(type="),
    "no dict": ("dict(type='L1Loss')", "'L1Loss'", r"5: model\.losses\.pixel: a loss is written as .* got 'L1Loss'"),
    "no map": ("pixel=dict(type='L1Loss')", "type='L1Loss'", r"5: model\.losses: several can stand here"),
    "None in a map": ("dict(type='L1Loss')", "None", r"5: model\.losses\.pixel: None is no entry"),
    "missing section": ("    train=dict(", "    trains=dict(", r"16: data\.trains: .*Did you mean 'train'"),
    "missing optim": ("optim = dict(", "optim = {} and dict(", r"7: optim: optim\.generator is missing"),
    "word for number": ("max_iters = 20", "max_iters = 'abc'", r"14: max_iters: a whole number is needed, got 'abc'"),
    "float for integer": ("max_iters = 20", "max_iters = 4e5", r"14: max_iters: a whole number is needed.*write 400_000"),
    "bool for integer": ("max_iters = 20", "max_iters = True", r"14: max_iters: a whole number is needed, got True"),
    "zero": ("batch_size=4", "batch_size=0", r"21: data\.train\.batch_size: at least 1 is needed, got 0"),
    "negative": ("max_iters = 20", "max_iters = -3", r"14: max_iters: at least 1 is needed"),
    "interval 0": ("interval=10, best", "keep_last=3,\n    interval=0, best", r"32: hooks\.checkpoint: cannot be built: .*interval is"),
    "negative interval": ("interval=10, best", "\n    interval=-5, best", r"32: hooks\.checkpoint: cannot be built: .*interval is"),
    "evaluation interval 0": ("interval=10,\n    )", "interval=0,\n    )", r"26: data\.val\.interval: at least 1 is needed, got 0"),
    "too few kept": ("interval=10, best", "interval=10,\n    keep_last=1, best", r"32: hooks\.checkpoint: .* keep_last is at least 2"),
    "argument of a network": ("kernels=[3, 3, 3]", "\n    activation='sine'", r"5: model\.generator: cannot be built: .*activation"),
    "argument of an optimizer": ("lr=1e-3", "lr=1e-3,\n    weight_decay=-1.0", r"9: optim\.generator\.optimizer: .*weight_decay"),
    "device": ("device='cpu'", "device='tpu'", r"33: runtime\.device: 'cpu', 'cuda', 'cuda:N', 'mps' or 'auto' is needed, got 'tpu'"),
    "namesake": ("scheduler=dict(type='Sch", "chekpoint=dict(interval=5),\n    scheduler=dict(type='Sch", r"30: hooks\.chekpoint: .*`type` is missing\. Did you mean 'checkpoint'\?$"),
    "typ": ("type='ESPCN'", "\n    typ='ESPCN'", r"5: model\.generator: .*`type` is missing, got 'typ'\. Did you mean 'type'\?$"),
    "default hook": ("checkpoint=dict(type='CheckpointHook', ", "chekpoint=dict(", r"31: hooks\.chekpoint: .*`type` is missing\. Did you mean 'checkpoint'\?$"),
    "no namesake": ("scheduler=dict(type='Sch", "mine=dict(interval=5),\n    scheduler=dict(type='Sch", r"30: hooks\.mine: .*`type` is missing\. Known: .*EMAHook"),
    "name of a loss": ("pixel=dict(", "\n    keys=dict(", r"6: model: losses\.keys: a loss cannot be called 'keys', torch"),
    "name of an attribute": ("pixel=dict(", "training=dict(", r"5: model: losses\.training: a loss cannot be called"),
    "name with a dot": ("dict(pixel=dict(type='L1Loss'))", "{'a.b': dict(type='L1Loss')}", r"5: model: losses\.a\.b: a loss's name has no dots"),
    "target of a loss": ("    losses=", "    targets=dict(pixel='hr'),\n    losses=", r"5: model: targets\.pixel is 'gt' or 'lq', the batch has no 'hr'"),
    "target of no loss": ("    losses=", "    targets=dict(pixle='gt'),\n    losses=", r"5: model: targets names loss 'pixle'"),
    "choice": ("amp=None", "amp='fp32'", r"33: runtime\.amp: one of 'auto', 'bf16', 'fp16', None is needed, got 'fp32'"),
    "kind of an argument": ("lr=1e-3", "lr='1e-3'", r"9: optim\.generator\.optimizer\.lr: Adam takes a number for 'lr'"),
    "kind in a component": ("crop_border=scale", "crop_border='3'", r"25: data\.val\.metrics\.psnr\.crop_border: PSNR takes"),
    "choice that may be true": ("amp=None", "compile='block'", r"33: runtime\.compile: one of .* got 'block'\. Did you mean 'blocks'"),
    "number for a dict": ("runtime = dict(device='cpu', amp=None)", "runtime = 3", r"33: runtime: a dict is needed here"),
    "scale of the data": ("lq='lq', scale=scale", "lq='lq', scale=4", r"18: data\.train\.dataset: scale is 4, but .* x3"),
    "scale of a test set": ("gt='gt', scale=scale)),", "gt='gt', scale=2)),", r"24: data\.val\.datasets\.set5: scale is 2"),
    "scale of the network": ("'ESPCN', scale=scale", "'ESPCN', scale=2", r"4: model\.generator: upscales x2, but .* is 3"),
    "crop size": ("12 * scale", "35", r"18: data\.train\.dataset: gt_size must be a multiple of scale 3"),
    "optim of no network": ("    generator=dict(\n        opt", "    generater=dict(\n        opt", r"8: optim\.generater: the model has no"),
    "no scheduler hook": ("scheduler=dict(type='SchedulerHook'),", "scheduler=None,", r"10: optim\.generator: nothing steps this schedule"),
    "score of no set": ("'set5/psnr'", "'set5/psrn'", r"31: hooks\.checkpoint: best='set5/psrn' is no score"),
    "impossible network": ("channels=[8, 4]", "channels=[8, 4, 2]", r"4: model\.generator: cannot be built: "),
    "impossible optimizer": ("lr=1e-3", "lr=-1.0", r"9: optim\.generator\.optimizer: cannot be built: Invalid learning rate"),
    "impossible hook": ("interval=10, best", "keep_last=1, best", r"31: hooks\.checkpoint: cannot be built: .*at least 2"),
    "impossible metric": ("crop_border=scale", "protocol='ycc'", r"25: data\.val\.metrics\.psnr"),
    "milestones": ("param_groups", "milestones=[5], param_groups", r"11: optim\.generator: milestones say when"),
    "training without loss": ("losses=dict(pixel=dict(type='L1Loss'))", "losses={}", r"5: model: training needs a loss|2: model: "),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), TYPOS.values(), ids=TYPOS)
def test_one_fault(faults, old, new, message):
    assert GOOD.count(old) == 1, "the replacement is to hit one place"
    found = faults(GOOD.replace(old, new))
    assert any(re.match(message, fault) for fault in found), found
    related = {
        "missing section",
        "missing optim",
        "top-level key",
        "section key",
        "no dict",
        "no map",
        "optim of no network",
    }
    if not any(TYPOS[name] == (old, new, message) for name in related | {"missing type", "None in a map", "optim key"}):
        assert len(found) == 1, found


def test_all_at_once(faults):
    text = GOOD
    chosen = (
        "section key",
        "runtime key",
        "type name",
        "hook argument",
        "transform argument",
        "group prefix",
        "crop size",
    )
    for name in chosen:
        text = text.replace(*TYPOS[name][:2])
    found = faults(text)
    for name in chosen:
        assert any(re.match(TYPOS[name][2], fault) for fault in found), (name, found)
    lines = [int(fault.split(":")[0]) for fault in found]
    assert lines == sorted(lines), "in the order of the file"


def test_faults_in_a_base_name_the_base(tmp_path):
    (tmp_path / "base.py").write_text(GOOD.replace("kernels=", "kernel="))
    (tmp_path / "child.py").write_text("_base_ = 'base.py'\nmodel = dict(generator=dict(chanels=[8, 4]))\n")
    with pytest.raises(ConfigError) as caught:
        check(Config.fromfile(tmp_path / "child.py", ["model.losses.pixel.wieght=2"]))
    first, second, third = caught.value.faults
    assert first.startswith(
        f"{tmp_path}/child.py:2: model.generator: ESPCN takes no 'chanels'. Did you mean 'channels'?"
    )
    assert second.startswith(f"{tmp_path}/base.py:4: model.generator: ESPCN takes no 'kernel'")
    assert third.startswith("command line: model.losses.pixel: L1Loss takes no 'wieght'")


def test_helpers_are_free(faults):
    assert faults(GOOD + "my_helper = 1\nmodel_name = 'x'\ndata_dir = 'y'\n_private = 2\n") == []
    assert faults(GOOD + "modle = 3\nother = modle\n") == [], "a name that is read is a helper"
    [fault] = faults(GOOD + "modle = 3\n")
    assert fault == "34: modle: not a key of configs, and nothing reads it. Did you mean 'model'?"


def test_what_is_typed_does_something(faults):
    [fault] = faults(GOOD, "kernels=3")
    start = "command line: kernels: not a key of configs, and nothing reads it"
    assert fault == start + ". Did you mean model.generator.kernels?"
    assert faults(GOOD, "decay=0.9") == [start.replace("kernels", "decay")]
    assert faults(GOOD, "batch_size=3")[0].endswith("Did you mean data.train.batch_size?")
    assert faults(GOOD, "keep_last=3")[0].endswith("Did you mean hooks.checkpoint.keep_last?"), "an argument left out"
    assert faults(GOOD + "steps = 3\nmax_iters = steps\n", "steps=5", "data_root=here") == []


def test_a_schedule_that_spans_another_run_is_warned_of(tmp_path, caplog):
    logging.getLogger("srtoolbox").propagate = True
    cosine = "scheduler=dict(type='CosineAnnealingLR', T_max=max_iters)"
    text = GOOD.replace("scheduler=dict(type='MultiStepLR', milestones=[10], gamma=0.5)", cosine)
    (tmp_path / "base.py").write_text("max_iters = 50\n" + text.replace("\nmax_iters", "\nother"))
    child = tmp_path / "child.py"
    child.write_text("_base_ = 'base.py'\nmax_iters = 5\n")
    check(Config.fromfile(child, ["max_iters=7"]))
    assert caplog.text == ""
    check(Config.fromfile(child))
    assert "optim.generator.scheduler.T_max: a base took it from its own max_iters, and the run has 5" in caplog.text
    caplog.clear()
    child.write_text(child.read_text() + "optim = dict(generator=dict(scheduler=dict(T_max=4)))\n")
    check(Config.fromfile(child))
    assert caplog.text == ""


def test_a_base_does_not_hear_of_what_is_set_later(tmp_path):
    (tmp_path / "base.py").write_text("rate = 1e-3\n" + GOOD.replace("lr=1e-3", "lr=rate"))
    child = tmp_path / "child.py"
    child.write_text("_base_ = 'base.py'\nrate = 1e-4\n")
    with pytest.raises(ConfigError) as caught:
        check(Config.fromfile(child))
    [fault] = caught.value.faults
    assert fault.startswith(f"{child}:2: rate: nothing reads it here, and what a base computed")
    child.write_text("_base_ = 'base.py'\nrate = 1e-4\noptim = dict(generator=dict(optimizer=dict(lr=rate)))\n")
    check(Config.fromfile(child))
    child.write_text("_base_ = 'base.py'\nmax_iters = 5\n")
    check(Config.fromfile(child, ["rate=1e-4"]))
    grandchild = tmp_path / "grandchild.py"
    child.write_text("_base_ = 'base.py'\nrate = 1e-4\n")
    grandchild.write_text("_base_ = 'child.py'\noptim = dict(generator=dict(optimizer=dict(lr=_base_.rate)))\n")
    check(Config.fromfile(grandchild))


def test_data_without_a_file_has_no_origin():
    with pytest.raises(ConfigError) as caught:
        check(Config({"model": {"type": "Restorer", "generator": {"type": "ESPCNN", "scale": 3}}}), mode="test")
    assert "model.generator: no network named 'ESPCNN'. Did you mean 'ESPCN'?" in caught.value.faults


def test_test_mode_needs_no_training_parts(faults):
    text = "model = dict(type='Restorer', generator=dict(type='Bicubic', scale=2))\n"
    sets = "data = dict(test=dict(datasets=dict(a=dict(type='GTOnlyDataset', gt='x', scale=2)), metrics={}))\n"
    assert faults(text + sets, mode="test") == []
    assert any("optim is missing, and training needs it" in fault for fault in faults(text + sets))
    assert any("there is nothing to test on" in fault for fault in faults(text, mode="test"))
    assert any("model is missing" in fault for fault in faults(sets, mode="test"))
    assert faults(text.replace("Bicubic", "Bicubicc") + sets, mode="test") != []
    assert mode_of(Config({"max_iters": 1})) == "train" and mode_of(Config({"model": {}})) == "test"


class OuterDataset(SRDataset):
    """Holds components under names that no table knows."""

    def __init__(self, inner: dict, several: list = (), gt_size: int = 0, scale: int = 3) -> None: ...


def test_sets_without_truth_need_metrics_that_judge_alone(faults):
    photos = "set5=dict(type='FolderDataset', lq='photos')"
    alone = GOOD.replace("set5=dict(type='GTOnlyDataset', gt='gt', scale=scale)", photos).replace(
        ", best='set5/psnr'", ""
    )
    (fault,) = faults(alone)
    line = 1 + alone[: alone.index("type='PSNR'")].count("\n")
    start = f"{line}: data.val.metrics.psnr: PSNR compares with the truth, which no set of data.val has (set5)."
    assert fault.startswith(start) and "NIQE" in fault
    inner = alone.replace(photos, f"set5=dict(type='ConcatDataset', datasets=dict({photos}))")
    assert len(faults(inner)) == 1
    assert faults(alone.replace("type='PSNR'", "type='NIQE'")) == []
    both = GOOD.replace("datasets=dict(set5=", f"datasets=dict({photos.replace('set5', 'mine')}, set5=")
    assert faults(both) == []
    assert faults(GOOD, f"data.test=dict(datasets=dict({photos}))", mode="test") == []
    (fault,) = faults(both.replace("best='set5/psnr'", "best='mine/psnr'"))
    assert "'mine/psnr': PSNR compares with the truth, which the set 'mine' has not" in fault


def test_any_dict_with_a_known_type_is_checked(faults, register):
    register(DATASETS, OuterDataset)
    text = GOOD + (
        "data['train']['dataset'] = dict(type='OuterDataset', inner=dict(type='GTOnlyDataset', gt='x', scale=3, gt_sise=1),\n"
        "    several=[dict(type='PSNR', crop_boarder=1), dict(type='NotOurs', x=1)], gt_size=10, scale=3)\n"
    )
    found = faults(text)
    assert [fault.split(": ")[1] for fault in found] == [
        "data.train.dataset.inner",
        "data.train.dataset.several.0",
        "data.train.dataset",
    ]
    assert "gt_size 10 is not a multiple of scale 3" in found[-1]


class LooseLoss(nn.Module):
    """Hints of all sorts."""

    def __init__(
        self,
        weight: float | None = 1.0,
        layers: dict[str, float] | None = None,
        size: tuple[int, int] = (1, 1),
        names: "list[str] | str" = (),
        unknown: "Undefined" = None,  # noqa: F821
    ) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ("weight=1", True),
        ("weight=None", True),
        ("weight='1'", False),
        ("weight=True", False),
        ("layers=dict(a=1.0)", True),
        ("layers=[1]", False),
        ("size=[1, 2]", True),
        ("size=(1, 2, 3)", False),
        ("size=(1, 2.5)", False),
        ("names='a'", True),
        ("names=['a']", True),
        ("names=[1]", False),
    ],
)
def test_kinds_of_arguments(faults, register, monkeypatch, arguments, fits):
    monkeypatch.setitem(globals(), "Undefined", object)
    register(LOSSES, LooseLoss)
    found = faults(GOOD.replace("type='L1Loss'", f"type='LooseLoss', {arguments}"))
    assert bool(found) is not fits, found


def test_torch_components_take_data_only(faults):
    assert faults(GOOD.replace("lr=1e-3", "lr=1e-3, betas=[0.9, 0.99], weight_decay=0, fused=True")) == []
    assert set(OPTIMIZERS.injected) == {"params", "network"}
    [fault] = faults(GOOD.replace("lr=1e-3", "params=[1]"))
    assert "given 'params' by the toolbox; remove it" in fault


def test_schedules_in_a_row(faults):
    row = (
        "scheduler=[dict(type='LinearLR', start_factor=0.1, total_iters=5), dict(type='CosineAnnealingLR', T_max=15)], "
    )
    single = "scheduler=dict(type='MultiStepLR', milestones=[10], gamma=0.5),"
    assert faults(GOOD.replace(single, row + "milestones=[5],")) == []
    [fault] = faults(GOOD.replace(single, row))
    assert "2 schedules need 1 milestones" in fault
    [fault] = faults(GOOD.replace(single, row.replace("T_max", "T_maxx") + "milestones=[5],"))[:1]
    assert "optim.generator.scheduler.1: CosineAnnealingLR" in fault


def test_parts_name_existing_registries():
    from srtoolbox.check import PARTS

    assert {part.kind for part in PARTS.values()} <= set(registry.registries())


@pytest.mark.parametrize("key", ["model", "optim", "data", "hooks", "runtime"])
@pytest.mark.parametrize("value", ["3", "'x'", "[1]", "dict(train=[1], val=3)"])
def test_values_of_the_wrong_kind_anywhere_are_faults(faults, key, value):
    assert faults(GOOD + f"{key} = {value}\n") != []
    assert faults(f"{key} = {value}\n", mode=mode_of(Config({"data": 3}))) != []


class FragileHook(Hook):
    """Fails on its values with whatever Python raises."""

    def __init__(self, table: dict) -> None:
        assert table["a"] > 1, "a is too small"


def test_any_failure_of_a_constructor_is_a_fault(faults, register):
    register(HOOKS, FragileHook)
    for table, message in (("{}", "KeyError: no key 'a'."), ("dict(a=1)", "AssertionError: a is too small")):
        found = faults(GOOD + f"hooks['mine'] = dict(type='FragileHook', table={table})\n")
        place = f"{__file__}:{FragileHook.__init__.__code__.co_firstlineno + 1}"
        assert found == [f"34: hooks.mine: cannot be built: {place}: {message}"]


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", "mps", "auto", None])
def test_devices(faults, device):
    assert faults(GOOD, f"runtime.device={device}") == []
