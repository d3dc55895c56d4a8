"""Option files of traiNNer-redux and neosr become configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from srtoolbox.apps import import_config
from srtoolbox.apps.import_config import NAMES, Imported
from srtoolbox.apps.import_config.family.project import Project
from srtoolbox.apps.import_config.projects.basicsr import BASICSR
from srtoolbox.apps.import_config.projects.neosr import NEOSR
from srtoolbox.apps.import_config.projects.networks import NETWORKS as BY_AUTHORS
from srtoolbox.apps.import_config.projects.redux import REDUX
from srtoolbox.apps.import_config.record import Fate
from srtoolbox.config import Config
from srtoolbox.registry import LOSSES, METRICS, NETWORKS, OPTIMIZERS, parameters_of
from tests.apps.importing import checked, told
from tests.apps.test_import_config import GAN, options
from tests.apps.test_import_config_degradations import KERNELS, TOP, UNET, real

REDUX_TEXT = """name: 4x_small
scale: 4
use_amp: true
amp_bf16: true
use_channels_last: true
fast_matmul: false
use_compile: false
num_gpu: auto
datasets:
  train:
    name: Train Dataset
    type: pairedimagedataset
    dataroot_gt: [datasets/hr, datasets/hr2]
    dataroot_lq: [datasets/lr, datasets/lr2]
    lq_size: 32
    use_hflip: true
    num_worker_per_gpu: auto
    batch_size_per_gpu: 8
    accum_iter: 2
  val:
    name: Val Dataset
    type: pairedimagedataset
    dataroot_gt: [datasets/val/hr]
    dataroot_lq: [datasets/val/lr]
network_g:
  type: superultracompact
network_d:
  type: dunet
path:
  pretrain_network_g: ~
  strict_load_g: true
train:
  ema_decay: 0.999
  grad_clip: true
  optim_g: &optimizer
    type: AdamW
    lr: !!float 1e-4
    weight_decay: 0
    betas: [0.9, 0.99]
  optim_d: *optimizer
  scheduler:
    type: MultiStepLR
    milestones: [100, 200]
    gamma: 0.5
  total_iter: 500
  warmup_iter: -1
  losses:
    - type: mssimloss
      loss_weight: 0.5
    - type: perceptualloss
      criterion: pd
      loss_weight: 0.01
    - type: hsluvloss
      loss_weight: 1.0
    - type: l1loss
      loss_weight: 0
    - type: ganloss
      gan_type: vanilla
      loss_weight: 0.1
  use_moa: false
  moa_augs: ['none', 'mixup']
val:
  val_enabled: true
  val_freq: 100
  save_img: true
  tile_size: 0
  metrics_enabled: true
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 4
      test_y_channel: false
    topiq:
      type: calculate_topiq
logger:
  print_freq: 100
  save_checkpoint_freq: 100
  save_checkpoint_format: safetensors
  use_tb_logger: true
"""
NEOSR_TEXT = """
name = "small"
model_type = "image"
scale = 4
#use_amp = true

[datasets.train]
type = "paired"
dataroot_gt = 'C:\\datasets\\gt\\'
dataroot_lq = 'C:\\datasets\\lq\\'
patch_size = 48
batch_size = 8
augmentation = [ "none", "mixup" ]
aug_prob = [ 0.5, 0.1 ]

[val]
val_freq = 100

[network_g]
type = "compact"
num_feat = 8

[network_d]
type = "unet"

[train]
ema = 0.999
wavelet_guided = true
wavelet_init = 80

[train.optim_g]
type = "adan_sf"
lr = 1e-3
betas = [ 0.98, 0.92, 0.99 ]
weight_decay = 0.02
schedule_free = true
warmup_steps = 160

[train.optim_d]
type = "adamw"
lr = 3e-4
fused = true

[train.consistency_opt]
type = "consistency_loss"
loss_weight = 1.0

[train.perceptual_opt]
type = "vgg_perceptual_loss"
loss_weight = 0.5
criterion = "chc"

[train.gan_opt]
type = "gan_loss"
gan_type = "bce"
loss_weight = 0.2

[logger]
total_iter = 1000
save_checkpoint_freq = 100
use_tb_logger = false
"""


@pytest.fixture
def made(tmp_path: Path):
    """Import a text; returns the result and the config that was written."""

    def make(text: str, name: str) -> tuple[Imported, dict[str, Any]]:
        return checked(tmp_path, text, name)

    return make


def test_a_gan_of_redux(made) -> None:
    imported, values = made(REDUX_TEXT, "a.yml")
    assert NAMES[imported.origin.project] == "traiNNer-redux" and "losses" in imported.origin.version
    model = values["model"]
    compact = {"type": "SRVGGNetCompact", "scale": 4, "num_features": 24, "num_blocks": 8}
    assert model["generator"] == compact and model["discriminator"] == {"type": "UNetDiscriminatorSN"}
    assert set(model["losses"]) == {"ms_ssim", "perceptual"}
    assert model["losses"]["ms_ssim"] == {"type": "MSSSIMLoss", "weight": 0.5, "scales": 4}  # of crops of 128
    assert len(model["losses"]["perceptual"]["layers"]) == 5 and model["losses"]["perceptual"]["weight"] == 0.01
    assert model["gan_loss"] == {"type": "GANLoss", "weight": 0.1}
    assert values["runtime"]["amp"] == "bf16" and values["runtime"]["channels_last"] is True
    assert values["accumulate"] == 2 and values["optim"]["generator"]["clip"] == 1.0
    dataset = values["data"]["train"]["dataset"]
    assert dataset["gt"] == ["datasets/hr", "datasets/hr2"] and dataset["gt_size"] == 128
    assert len(dataset["transforms"]) == 3  # use_rot is on where a file says nothing of it
    assert values["data"]["val"]["datasets"]["val_dataset"]["gt"] == "datasets/val/hr"
    lost = told(imported, Fate.LOST)
    assert set(lost) == {
        "network_d.type",
        "train.losses[1].criterion",
        "train.losses[2].type",
        "val.metrics.topiq.type",
    }
    assert "dunet has no counterpart; UNetDiscriminatorSN stands in its place" in lost["network_d.type"]
    assert "hsluvloss" in lost["train.losses[2].type"] and "Did you mean" not in lost["train.losses[2].type"]


def test_a_gan_of_neosr(made) -> None:
    imported, values = made(NEOSR_TEXT, "a.toml")
    assert imported.origin.project == "neosr" and "TOML" in imported.origin.version
    assert values["max_iters"] == 1000 and values["runtime"]["amp"] is None
    dataset = values["data"]["train"]["dataset"]
    assert dataset["gt"] == "C:\\datasets\\gt\\" and dataset["gt_size"] == 192
    optim = values["optim"]
    free = {"type": "ScheduleFreeAdamW", "lr": 1e-3, "weight_decay": 0.02, "warmup_steps": 160}
    assert optim["generator"] == {"optimizer": free, "clip": 1.0}  # clipped where a file says nothing of it
    assert optim["discriminator"]["optimizer"] == {"type": "AdamW", "lr": 3e-4}
    assert values["model"]["losses"]["consistency"] == {"type": "ColourLoss"}
    assert values["hooks"]["logger"]["tensorboard"] is False
    lost = told(imported, Fate.LOST)
    assert set(lost) == {
        "datasets.train.augmentation", "train.wavelet_guided", "train.optim_g.type", "train.perceptual_opt.criterion",
    }  # fmt: skip
    assert "ColourLoss" not in lost and "consistency_opt" in str(told(imported, Fate.DIFFERENT))


def test_files_of_2023_have_names_of_basicsr(made) -> None:
    color = {"color_opt": {"type": "ColorLoss", "criterion": "l1", "loss_weight": 1}, "mixup": False, "mix_p": 1.2}
    text = yaml.safe_dump(options(GAN, UNET, {"model_type": "RealESRGANModel", "train": color}))
    imported, values = made(text, "a.yml")
    assert imported.origin.project == "redux" and imported.is_whole and "2023" in imported.origin.version
    assert values["model"]["losses"]["color"]["type"] == "ColourLoss"
    text = yaml.safe_dump(real({"train": color}))
    imported, values = made(text, "a.yml")
    assert imported.origin.project == "redux" and next(iter(values["model"]["preprocess"]["steps"])) == "blur"
    change = {"model_type": "otf", "network_g": None, "network_d": None}
    own = {"network_g": {"type": "compact"}, "network_d": {"type": "unet"}}
    imported, values = made(yaml.safe_dump(options(GAN, TOP, {"datasets": {"train": KERNELS}}, change, own)), "a.yml")
    assert imported.origin.project == "neosr" and values["data"]["train"]["dataset"]["gt_size"] == 512
    assert values["model"]["preprocess"]["gt_size"] == 256


def test_lq_by_bicubic_alone_and_a_loss_of_two_parts(made) -> None:
    off: dict[str, Any] = {}
    for order in ("", "2"):
        off |= {f"blur_prob{order}": 0.0, f"resize_prob{order}": [0, 0, 1], f"resize_mode_list{order}": []}
        off |= {
            f"gaussian_noise_prob{order}": 0.0,
            f"noise_range{order}": [0, 0],
            f"poisson_scale_range{order}": [0, 0],
        }
        off |= {f"jpeg_prob{order}": 0.0, f"resize_mode_prob{order}": [], f"resize_range{order}": [1, 1]}
    off |= {"second_blur_prob": None, "resize_mode_list3": ["bicubic"], "model_type": None, "use_compile": False}
    loss = {"losses": [{"type": "msssiml1loss", "alpha": 0.1, "loss_weight": 1.0}], "pixel_opt": None}
    sinc = {"datasets": {"train": {"final_sinc_prob": 0.0}}}
    text = yaml.safe_dump(options(TOP, {"datasets": {"train": KERNELS}}, off, {"train": loss}, sinc))
    imported, values = made(text, "a.yml")
    resize = {"type": "Resize", "modes": ("bicubic",), "to": "lq"}
    assert values["model"]["preprocess"]["steps"] == {"last": {"type": "Sequence", "transforms": {"resize": resize}}}
    assert [loss["type"] for loss in values["model"]["losses"].values()] == ["L1Loss"]
    assert list(told(imported, Fate.LOST)) == ["train.losses[0].type"]


def test_transformers_of_redux_are_computed_in_bf16(made) -> None:
    text = REDUX_TEXT.replace("amp_bf16: true", "amp_bf16: false")
    _imported, values = made(text, "a.yml")
    assert values["runtime"]["amp"] == "fp16"
    small = "drct\n  embed_dim: 24\n  num_heads: [2]\n  window_size: 4\n  gc: 4"
    imported, values = made(text.replace("superultracompact", small), "a.yml")
    assert values["runtime"]["amp"] == "bf16" and "too narrow for drct" in told(imported, Fate.DIFFERENT)["use_amp"]


def test_losses_that_compare_with_an_average(made) -> None:
    ldl = "- type: hsluvloss\n      loss_weight: 1.0\n"
    imported, values = made(REDUX_TEXT.replace(ldl, "- type: ldlloss\n      loss_weight: 1.0\n"), "a.yml")
    assert values["model"]["losses"]["ldl"] == {"type": "LDLLoss"}
    assert "train.losses[2].type" not in told(imported, Fate.DIFFERENT)
    text = NEOSR_TEXT.replace("consistency", "ldl").replace("ema = 0.999\n", "")
    imported, values = made(text, "a.toml")
    assert "theirs does without" in told(imported, Fate.DIFFERENT)["train.ldl_opt.type"]
    assert values["hooks"]["ema"] == {"type": "EMAHook", "decay": 0.999}


def test_what_a_file_of_redux_leaves_out_is_as_there(made) -> None:
    text = REDUX_TEXT.replace("    type: pairedimagedataset\n    dataroot_gt: [datasets/hr, datasets/hr2]\n"
                              "    dataroot_lq: [datasets/lr, datasets/lr2]\n",
                              "    type: realesrgandataset\n    dataroot_gt: datasets/hr\n")  # fmt: skip
    new = "  grad_clip: true\n  grad_clip_max_norm: 100.0\n  adaptive_d: false\n  ema_switch_iter: 0\n  ema_power: 10\n"
    text = text.replace("  grad_clip: true\n", new).replace("scale: 4\n", "scale: 4\nhigh_order_degradation: true\n", 1)
    imported, values = made(text, "a.yml")
    assert values["model"]["losses"]["ms_ssim"]["scales"] == 4  # of the crops of 128, not of what is cut first
    steps = values["model"]["preprocess"]["steps"]
    assert list(steps) == ["resize", "jpeg", "second_resize", "last"]  # neither blur nor noise
    assert steps["jpeg"]["quality"] == (75.0, 95.0) and steps["resize"]["down"] == (0.4, 1.0)
    assert list(steps["last"]["transforms"]["to_lq"]["transforms"]) == ["resize"]  # no sinc
    assert values["optim"]["generator"]["clip"] == 100.0
    lost = told(imported, Fate.LOST)
    assert "lanczos" in lost["resize_mode_list"] and not any("train.ema" in key or "adaptive" in key for key in lost)


def test_what_a_file_of_neosr_leaves_out_is_as_there(made) -> None:
    text = NEOSR_TEXT.replace('[val]\nval_freq = 100\n', '[datasets.val]\nname = "val"\ntype = "paired"\n'
                              "dataroot_gt = 'a'\ndataroot_lq = 'b'\n[val]\nval_freq = 100\n"
                              '[val.metrics.psnr]\ntype = "calculate_psnr"\n')  # fmt: skip
    _imported, values = made(text.replace('gan_type = "bce"\nloss_weight = 0.2\n', 'gan_type = "bce"\n'), "a.toml")
    assert values["data"]["val"]["metrics"]["psnr"] == {"type": "PSNR", "crop_border": 4, "y_channel": False}
    assert values["model"]["gan_loss"] == {"type": "GANLoss", "weight": 0.1}


def test_what_the_tables_name_is_there() -> None:
    for project in (BASICSR, REDUX, NEOSR):
        tables = [
            (NETWORKS, project.networks), (NETWORKS, project.discriminators), (LOSSES, project.losses),
            (METRICS, project.metrics), (OPTIMIZERS, project.optimizers),
        ]  # fmt: skip
        for registry, table in tables:
            for name, counterpart in table.items():
                known = {*parameters_of(registry.get(counterpart.type)), "width"}
                names = {ours if isinstance(ours, str) else ours[0] for ours in counterpart.names.values()}
                names |= {*counterpart.always} | {near.name for near in counterpart.near.values()}
                assert names <= known, (project.name, name, names - known)
                assert {*counterpart.defaults} <= {*counterpart.names, *counterpart.fixed}, (project.name, name)
                assert name == name.lower()


OWN = [
    (project, name)
    for project in (REDUX, NEOSR)
    for name, counterpart in project.networks.items()
    if counterpart
    is not BY_AUTHORS.get(name)  # the authors' classes alone have defaults that some cannot be built with
]


@pytest.mark.slow
@pytest.mark.parametrize(("project", "network"), OWN, ids=[f"{project.name}-{name}" for project, name in OWN])
def test_every_network_of_the_tables_can_be_built(
    project: Project, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_config, "_faults", lambda text, name: ())  # which builds it three times, with values
    text, name = (REDUX_TEXT, "a.yml") if project is REDUX else (NEOSR_TEXT, "a.toml")
    old = "superultracompact" if project is REDUX else '"compact"\nnum_feat = 8'
    (tmp_path / name).write_text(text.replace(old, network if project is REDUX else f'"{network}"'), encoding="utf-8")
    (tmp_path / "ours.py").write_text(import_config.import_config(tmp_path / name).text, encoding="utf-8")
    generator = Config.fromfile(tmp_path / "ours.py").to_dict()["model"]["generator"]
    assert generator["type"] == project.networks[network].type
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in NETWORKS.build(generator).parameters()) > 10_000
