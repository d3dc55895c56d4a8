"""Faults of pipelines of degradations, each at its line."""

from __future__ import annotations

# ruff: noqa: E501 - the table of faults reads best with a line each
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters
from srtoolbox.errors import ConfigError
from srtoolbox.registry import LOSSES, TRANSFORMS, Registry
from tests.data.batch import steps as _steps

assert _steps
GOOD = """model = dict(
    type='GANRestorer',
    generator=dict(type='ESPCN', scale=3, kernels=[3, 3, 3], channels=[8, 4], colour='rgb'),
    discriminator=dict(type='VGGDiscriminator', input_size=24, channels=[4, 4], fc=[8]),
    gan_loss=dict(type='GANLoss'),
    losses=dict(pixel=dict(type='L1Loss')),
    targets=dict(pixel='gt_usm', gan='gt'),
    preprocess=dict(
        type='DegradationPipeline', scale=3, gt_size=24, share='batch',
        sharpen=dict(type='Brightening'),
        steps=dict(
            some=dict(type='RandomApply', transforms=[dict(type='Brightening', most=3.0)]),
            resize=dict(type='Fitting'),
        ),
    ),
)
optim = dict(generator=dict(optimizer=dict(type='Adam')), discriminator=dict(optimizer=dict(type='Adam')))
max_iters = 20
data = dict(
    train=dict(
        dataset=dict(
            type='GTOnlyDataset', gt='gt', scale=3, gt_size=48,
            transforms=[dict(type='RandomHorizontalFlip')],
        ),
        batch_size=4, pool=40,
    ),
    val=dict(
        datasets=dict(set5=dict(type='GTOnlyDataset', gt='gt', scale=3)),
        metrics=dict(psnr=dict(type='PSNR')), interval=10,
    ),
)
"""
OF_SET = "pipeline=dict(type='DegradationPipeline', scale=3, steps=[dict(type='Fitting')])"
FAULTS = {
    "target": ("pixel='gt_usm'", "pixel='gt_ums'", r"7: model: targets\.pixel is 'gt', 'gt_usm' or 'lq', the batch has no 'gt_ums'\. Did you mean 'gt_usm'"),
    "target without sharpening": ("        sharpen=dict(type='Brightening'),\n", "\n", r"7: model: targets\.pixel is 'gt' or 'lq', the batch has no 'gt_usm'"),
    "target of another size": ("pixel='gt_usm'", "pixel='lq'", r"7: model: targets\.pixel is 'lq', but model\.generator upscales x3: its images are larger than LQ"),
    "images of another size for the discriminator": ("gan='gt'", "gan='lq'", r"7: model: targets\.gan is 'lq', but model\.generator upscales x3"),
    "target of no loss": ("gan='gt'", "gna='gt'", r"7: model: targets names loss 'gna', which is not in losses\. Did you mean 'gan'"),
    "argument of a step": ("most=3.0", "mots=3.0", r"12: model\.preprocess\.steps\.some\.transforms\.0: Brightening takes no 'mots'\. Did you mean 'most'"),
    "value of a step within another": ("dict(type='Brightening', most=3.0)", "dict(type='JPEGCompression', quality=[0, 9])", r"12: model\.preprocess\.steps\.some\.transforms\.0: cannot be built: JPEGCompression: quality is"),
    "name of a step": ("type='Fitting'", "type='Fiting'", r"13: model\.preprocess\.steps\.resize: no transform named 'Fiting'\. Did you mean 'Fitting'"),
    "step without a type": ("dict(type='Fitting')", "dict(by=3)", r"13: model\.preprocess\.steps\.resize: .*`type` is missing"),
    "sharpening": ("sharpen=dict(type='Brightening')", "sharpen=dict(type='Brightening', least=2)", r"10: model\.preprocess\.sharpen: Brightening takes no 'least'"),
    "argument": ("share='batch'", "shared='batch'", r"9: model\.preprocess: DegradationPipeline takes no 'shared'\. Did you mean 'share'"),
    "pair transform": ("dict(type='Fitting')", "dict(type='RandomTranspose')", r"13: model\.preprocess\.steps\.resize: RandomTranspose is no degradation of batches: it belongs among the dataset's"),
    "scale": ("'DegradationPipeline', scale=3, gt_size=24", "'DegradationPipeline', scale=2, gt_size=24", r"9: model\.preprocess: scale is 2, but model\.generator upscales x3"),
    "size": ("gt_size=24, share", "gt_size=25, share", r"9: model\.preprocess: cannot be built: DegradationPipeline: gt_size must be a multiple of scale 3, got 25"),
    "size of the data": ("gt_size=48", "gt_size=21", r"22: data\.train\.dataset: gt_size is 21, but model\.preprocess\.gt_size is 24"),
    "size of the discriminator": ("input_size=24", "input_size=48", r"4: model\.discriminator: input_size is 48, but model\.preprocess\.gt_size is 24"),
    "end": ("type='Fitting'", "type='Fitting', by=2", r"11: model\.preprocess: the steps of the pipeline make LQ of 18x18 px from GT of 48x48, x3 needs 16x16"),
    "pairs": ("'GTOnlyDataset', gt='gt', scale=3, gt", "'PairedDataset', gt='gt', lq='lq', scale=3, gt", r"22: data\.train\.dataset: PairedDataset gives LQ, but model\.preprocess makes it"),
    "changes LQ": ("'RandomHorizontalFlip'", "'GaussianNoise'", r"23: data\.train\.dataset\.transforms\.0: GaussianNoise changes LQ, which a pipeline makes from GT"),
    "degradations": ("gt_size=48,", "gt_size=48, degradations=[dict(type='GaussianNoise')],", r"22: data\.train\.dataset: degradations and model\.preprocess both make LQ"),
    "two pipelines": ("gt_size=48,", f"gt_size=48, {OF_SET},", r"22: data\.train\.dataset: pipeline and model\.preprocess both make LQ"),
    "pipeline among transforms": ("dict(type='RandomHorizontalFlip')", OF_SET[9:], r"23: data\.train\.dataset\.transforms\.0: DegradationPipeline stands alone: it is the model's preprocess"),
    "pipeline as a step": ("dict(type='Fitting')", OF_SET[9:], r"13: model\.preprocess\.steps\.resize: DegradationPipeline stands alone: it is the model's preprocess"),
    "step for a pipeline": ("gt='gt', scale=3))", "gt='gt', scale=3, pipeline=dict(type='Fitting')))", r"28: data\.val\.datasets\.set5: Fitting is no pipeline; one is dict\(type='DegradationPipeline', scale=\.\.\., steps=\[dict\(type='Fitting', \.\.\."),
    "pool": ("pool=40", "pool=4", r"25: data\.train: pool=4 mixes nothing, a batch has 4 samples: give it several times"),
    "pipeline of a test set": ("gt='gt', scale=3))", f"gt='gt', scale=3, {OF_SET.replace('=3', '=2')}))", r"28: data\.val\.datasets\.set5\.pipeline: scale is 2, but model\.generator upscales x3"),
    "step of a test set": ("gt='gt', scale=3))", f"gt='gt', scale=3, {OF_SET.replace('Fitting', 'Fiting')}))", r"28: data\.val\.datasets\.set5\.pipeline\.steps\.0: no transform named 'Fiting'"),
    "degradations and pipeline": ("gt='gt', scale=3))", f"gt='gt', scale=3, degradations=[dict(type='GaussianNoise')], {OF_SET}))", r"28: data\.val\.datasets\.set5: degradations change LQ, which a pipeline makes"),
}  # fmt: skip
Check = Callable[[str], list[str]]


@pytest.fixture
def faults(tmp_path: Path) -> Check:
    def found(text: str) -> list[str]:
        (tmp_path / "config.py").write_text(text)
        try:
            check(Config.fromfile(tmp_path / "config.py"))
        except ConfigError as error:
            return str(error).splitlines()
        return []

    return found


def test_a_good_config_has_no_fault(faults: Check, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "srtoolbox")
    assert faults(GOOD) == [] and faults(GOOD.replace("gt='gt', scale=3))", f"gt='gt', scale=3, {OF_SET}))")) == []
    assert "mixes" not in caplog.text
    assert faults(GOOD.replace(", share='batch'", "")) == []
    assert "data.train: pool=40 mixes what batches share, but model.preprocess has no share='batch'" in caplog.text


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_at_its_line(name: str, faults: Check) -> None:
    before, after, pattern = FAULTS[name]
    assert GOOD.count(before) == 1
    lines = faults(GOOD.replace(before, after))
    assert any(re.search(pattern, line) for line in lines), lines
    assert len(lines) == (2 if name == "size" else 1), lines  # and that of the discriminator


@pytest.mark.parametrize("kind", ["Fitting", "GaussianNoise", "Sequence"])
def test_a_step_alone_is_no_preprocess(kind: str, faults: Check) -> None:
    start, end = GOOD.index("    preprocess="), GOOD.index("optim = ")
    transforms = ", transforms=[]" if kind == "Sequence" else ""
    text = f"{GOOD[:start]}    preprocess=dict(type='{kind}'{transforms}),\n)\n{GOOD[end:]}"
    (line,) = faults(text.replace("input_size=24", "input_size=48"))
    assert f"8: model.preprocess: {kind} is no pipeline; one is dict(type='DegradationPipeline'" in line


def test_a_plugins_loss_may_compare_with_lq(register: Callable[[Registry, Any], Any], faults: Check) -> None:
    class Reducing(nn.Module):
        """Resizes the result to LQ itself."""

        def __init__(self) -> None:
            super().__init__()

        def forward(self, pred: Tensor, target: Tensor) -> Tensor:
            return nn.functional.l1_loss(nn.functional.interpolate(pred, target.shape[-2:]), target)

    register(LOSSES, Reducing)
    assert faults(GOOD.replace("L1Loss", "Reducing").replace("pixel='gt_usm'", "pixel='lq'")) == []


def test_a_plugins_draw_that_fails_is_a_fault(register: Callable[[Registry, Any], Any], faults: Check) -> None:
    class Failing(BatchDegradation):
        """Has a draw that takes too little."""

        def draw(self, rngs: Rngs) -> Parameters:  # type: ignore[override]
            return {}

        def apply(self, images: Images, parameters: Parameters) -> Images:
            return images

    register(TRANSFORMS, Failing)
    (line,) = faults(GOOD.replace("dict(type='Brightening', most=3.0)", "dict(type='Failing')"))
    assert "model.preprocess" in line and "draw() takes 2 positional arguments" in line
