"""Real-ESRGAN's options of degradations become the steps of a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import srtoolbox
from srtoolbox.apps.import_config import Imported
from srtoolbox.apps.import_config.record import Fate
from srtoolbox.config import Config
from srtoolbox.image import write_image
from tests.apps.importing import checked, told
from tests.apps.test_import_config import GAN, options

KINDS = ["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
SHARES = [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
TOP: dict[str, Any] = {
    "model_type": "RealESRGANModel",
    "l1_gt_usm": True, "percep_gt_usm": True, "gan_gt_usm": False,
    "resize_prob": [0.2, 0.7, 0.1], "resize_range": [0.15, 1.5], "gaussian_noise_prob": 0.5, "noise_range": [1, 30],
    "poisson_scale_range": [0.05, 3], "gray_noise_prob": 0.4, "jpeg_range": [30, 95],
    "second_blur_prob": 0.8, "resize_prob2": [0.3, 0.4, 0.3], "resize_range2": [0.3, 1.2], "gaussian_noise_prob2": 0.5,
    "noise_range2": [1, 25], "poisson_scale_range2": [0.05, 2.5], "gray_noise_prob2": 0.4, "jpeg_range2": [30, 95],
    "gt_size": 256, "queue_size": 180,
}  # fmt: skip
KERNELS: dict[str, Any] = {
    "type": "RealESRGANDataset", "dataroot_lq": None, "filename_tmpl": None, "gt_size": 256, "use_rot": False,
    "blur_kernel_size": 21, "kernel_list": KINDS, "kernel_prob": SHARES, "sinc_prob": 0.1, "blur_sigma": [0.2, 3],
    "betag_range": [0.5, 4], "betap_range": [1, 2],
    "blur_kernel_size2": 21, "kernel_list2": KINDS, "kernel_prob2": SHARES, "sinc_prob2": 0.1,
    "blur_sigma2": [0.2, 1.5], "betag_range2": [0.5, 4], "betap_range2": [1, 2], "final_sinc_prob": 0.8,
}  # fmt: skip
UNET = {"network_d": {"type": "UNetDiscriminatorSN", "num_in_ch": 3, "num_feat": 8, "skip_connection": True}}


def real(*changes: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a small Real-ESRGAN with the published degradations."""
    return options(GAN, UNET, TOP, {"datasets": {"train": KERNELS}}, *changes)


@pytest.fixture
def made(tmp_path: Path):
    """Import options; returns the result and the config that was written."""

    def make(values: dict[str, Any]) -> tuple[Imported, dict[str, Any]]:
        return checked(tmp_path, yaml.safe_dump(values), "real.yml")

    return make


def test_the_published_options_are_the_packages_own_steps(made, tmp_path: Path) -> None:
    imported, values = made(real())
    assert imported.is_whole and imported.origin.project == "realesrgan"
    text = (tmp_path / "ours.py").read_text(encoding="utf-8")
    assert "'_base_/degradations/real_esrgan.py'" in text and "steps=_base_.steps" in text
    preprocess = values["model"]["preprocess"]
    packaged = Config.fromfile("realesrgan/realesrgan_x4_df2k_ost_400k.py").to_dict()["model"]["preprocess"]
    assert preprocess == packaged  # of the paper's own config, the sharpening of GT and what a batch shares included
    assert values["model"]["targets"] == {"pixel": "gt_usm", "perceptual": "gt_usm"}
    train = values["data"]["train"]
    assert train["dataset"]["gt_size"] == 400 and train["dataset"]["small"] == "reflect"
    assert train["pool"] == 720  # of four GPUs with 180 each


def test_other_values_are_written_out(made) -> None:
    change = {
        "num_gpu": 1, "noise_range": [0, 0], "poisson_scale_range": [0, 0], "jpeg_range": [75, 90], "blur_prob": 0,
        "jpeg_prob2": 0.5, "second_blur_prob": 1, "queue_size": 64, "resize_mode_list": ["bilinear", "lanczos"],
        "datasets": {"train": {"kernel_list2": ["iso", "aniso"], "kernel_prob2": [0.6, 0.4], "final_sinc_prob": 0}},
    }  # fmt: skip
    imported, values = made(real(change))
    steps = values["model"]["preprocess"]["steps"]
    assert "blur" not in steps and "noise" not in steps
    assert steps["jpeg"] == {"type": "DiffJPEG", "quality": (75.0, 90.0)}
    assert steps["resize"]["modes"] == ("bilinear",) and "modes" not in steps["second_resize"]
    second = steps["second_blur"]["transforms"]["blur"]
    assert steps["second_blur"]["p"] == 1.0 and second["kinds"] == {"iso": 0.6, "aniso": 0.4}
    last = steps["last"]["transforms"]
    assert list(last["to_lq"]["transforms"]) == ["resize"] and last["jpeg"]["type"] == "RandomApply"
    assert values["data"]["train"]["pool"] == 64
    assert list(told(imported, Fate.LOST)) == ["resize_mode_list"]
    keys = [entry.key for entry in imported.record.entries]
    twice = {key for key in keys if keys.count(key) > 1}
    assert twice == {"logger.save_checkpoint_freq"}  # which is mapped, and different


def test_a_network_without_a_discriminator_and_given_pairs(made) -> None:
    plain = {
        "model_type": "RealESRNetModel",
        "gt_usm": True,
        **dict.fromkeys(("l1_gt_usm", "percep_gt_usm", "gan_gt_usm")),
    }
    no_gan = {"network_d": None, "train": dict.fromkeys(GAN["train"])}
    imported, values = made(real(plain, no_gan))
    assert imported.is_whole and values["model"]["targets"] == {"pixel": "gt_usm"}
    _imported, values = made(real(plain, no_gan, {"gt_usm": False}))
    assert "targets" not in values["model"] and "sharpen" not in values["model"]["preprocess"]
    pairs = {
        "high_order_degradation": False,
        "datasets": {"train": {"type": "RealESRGANPairedDataset", "dataroot_lq": "lq"}},
    }
    imported, values = made(options(GAN, UNET, {"model_type": "RealESRGANModel", "l1_gt_usm": True}, pairs))
    assert values["data"]["train"]["dataset"]["type"] == "PairedDataset" and "preprocess" not in values["model"]
    assert "not sharpened" in told(imported, Fate.LOST)["l1_gt_usm"]
    one = {"datasets": {"train": {"dataroot_gt": "DF2K", "dataroot_lq": "DF2K", "meta_info": "pairs.txt"}}}
    imported, _values = made(options(GAN, UNET, {"model_type": "RealESRGANModel"}, pairs, one))
    assert "name the folder of each" in told(imported, Fate.LOST)["datasets.train.meta_info"]


@pytest.mark.slow
def test_what_was_imported_trains(made, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "datasets/sub/GT"
    folder.mkdir(parents=True)
    for number in range(4):
        write_image(folder / f"{number}.png", photo[:160, number * 8 : number * 8 + 160])
    small = {
        "path": {"pretrain_network_g": None},
        "datasets": {
            "val": None,
            "val_2": None,
            "train": {"gt_size": 64, "crop_pad_size": 96, "num_worker_per_gpu": 0},
        },
        "train": {"perceptual_opt": None, "total_iter": 3, "net_d_init_iters": 0},
        "num_gpu": 0,
        "queue_size": 8,
    }
    made(real(small, {"datasets": {"train": {"batch_size_per_gpu": 2, "num_worker_per_gpu": 0}}}))
    result = srtoolbox.train(tmp_path / "ours.py")
    assert result.iteration == 3


def test_a_discriminator_starts_from_its_own_file(made) -> None:
    """As in the published options for fine-tuning, whose generator and discriminator are two files."""
    files = {"pretrain_network_g": "net_g.pth", "pretrain_network_d": "net_d.pth"}
    imported, values = made(real({"path": files}))
    assert values["load_from"] == {"generator": "net_g.pth", "discriminator": "net_d.pth"}
    assert imported.is_whole
    _, values = made(real({"path": {"pretrain_network_g": None, "pretrain_network_d": "net_d.pth"}}))
    assert values["load_from"] == {"discriminator": "net_d.pth"}
    no_gan = {"network_d": None, "train": dict.fromkeys(GAN["train"]), "path": files}
    imported, values = made(real(no_gan))
    assert values["load_from"] == "net_g.pth" and not imported.is_whole
