"""Configs of Real-ESRGAN and BSRGAN against the values of the authors' option files."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from srtoolbox.config import Config
from srtoolbox.registry import LOSSES

GENERATORS = {4: {"type": "RRDBNet", "scale": 4}, 2: {"type": "RRDBNet", "scale": 2}}  # 64 features, 23 blocks, 32 more
SHARES = {"iso": 0.45, "aniso": 0.25, "generalized_iso": 0.12, "generalized_aniso": 0.03}
SHARES |= {"plateau_iso": 0.12, "plateau_aniso": 0.03}
VGG = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
NOISES = [
    (("gaussian", "sigma"), [(1, 30), (1, 25)]),
    (("poisson", "scale"), [(0.05, 3), (0.05, 2.5)]),
]


def config(name: str) -> dict[str, Any]:
    return Config.fromfile(f"{name}.py").to_dict()


def plain(value: Any) -> Any:
    """Return a value with tuples as lists."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("scale", [4, 2])
@pytest.mark.parametrize("is_gan", [False, True])
def test_real_esrgan(scale: int, is_gan: bool) -> None:
    name = "realesrgan_x{}_df2k_ost_400k" if is_gan else "realesrnet_x{}_df2k_ost_1000k"
    cfg = config(f"realesrgan/{name.format(scale)}")
    model, train, iterations = cfg["model"], cfg["data"]["train"], 400_000 if is_gan else 1_000_000
    adam = {"type": "Adam", "lr": 1e-4 if is_gan else 2e-4, "betas": [0.9, 0.99]}
    optim = {"optimizer": adam, "scheduler": {"type": "MultiStepLR", "milestones": [iterations], "gamma": 0.5}}
    networks = ("generator", "discriminator") if is_gan else ("generator",)
    assert plain(cfg["optim"]) == dict.fromkeys(networks, optim) and cfg["max_iters"] == iterations
    assert model["generator"] == GENERATORS[scale] and cfg["hooks"]["ema"]["decay"] == 0.999
    assert (train["batch_size"], train["pool"], train["dataset"]["gt_size"]) == (4 * 12, 4 * 180, 400)
    assert train["dataset"]["transforms"] == [{"type": "RandomHorizontalFlip"}]  # use_hflip, not use_rot
    preprocess = model["preprocess"]
    assert (preprocess["gt_size"], preprocess["share"], preprocess["scale"]) == (256, "batch", scale)
    assert preprocess["sharpen"] == {"type": "USMSharpening"}
    targets = {"pixel": "gt_usm"} | ({"perceptual": "gt_usm", "gan": "gt"} if is_gan else {})
    assert model["targets"] == targets  # l1_gt_usm, percep_gt_usm, not gan_gt_usm
    if is_gan:
        assert model["discriminator"] == {"type": "UNetDiscriminatorSN"}
        assert model["gan_loss"] == {"type": "GANLoss", "weight": 0.1} and model.get("disc_init_iters", 0) == 0
        perceptual = model["losses"]["perceptual"]
        assert perceptual["layers"] == VGG and (perceptual["backbone"], perceptual["criterion"]) == ("vgg19", "l1")


def test_fine_tuning() -> None:
    for name, has_pairs in (("photos", False), ("pairs", True)):
        cfg = config(f"realesrgan/fine_tune_realesrgan_x4_{name}")
        model, train = cfg["model"], cfg["data"]["train"]
        assert train["batch_size"] == 12 and train["dataset"]["transforms"] == [{"type": "RandomHorizontalFlip"}]
        assert train["dataset"]["gt_size"] == (256 if has_pairs else 400)
        assert (train.get("pool"), "preprocess" in model) == ((None, False) if has_pairs else (180, True))
        assert model["gan_loss"] == {"type": "GANLoss", "weight": 0.1} and cfg["hooks"]["ema"]["decay"] == 0.999
        adam = {"type": "Adam", "lr": 1e-4, "betas": [0.9, 0.99]}
        assert [plain(each["optimizer"]) for each in cfg["optim"].values()] == [adam, adam]


def test_steps_of_real_esrgan() -> None:
    steps = plain(config("realesrgan/realesrnet_x4_df2k_ost_1000k")["model"]["preprocess"]["steps"])
    second = steps["second_blur"]
    assert second["p"] == 0.8 and [key for key in steps] == [
        "blur", "resize", "noise", "jpeg", "second_blur", "second_resize", "second_noise", "last",
    ]  # fmt: skip
    for blur, sigma in ((steps["blur"], [0.2, 3]), (second["transforms"]["blur"], [0.2, 1.5])):
        assert blur == {
            "type": "Blur", "kinds": SHARES, "kernel_size": [7, 21], "sinc": 0.1, "sigma": sigma,
            "beta_generalized": [0.5, 4], "beta_plateau": [1, 2],
        }  # fmt: skip
    first, again = steps["resize"], steps["second_resize"]
    assert (first["up"], first["down"], first["probabilities"]) == ([1, 1.5], [0.15, 1], [0.2, 0.7, 0.1])
    assert (again["up"], again["down"], again["probabilities"]) == ([1, 1.2], [0.3, 1], [0.3, 0.4, 0.3])
    for (kind, argument), ranges in NOISES:
        for noise, values in zip((steps["noise"], steps["second_noise"]), ranges, strict=True):
            assert noise["weights"] == [0.5, 0.5] and noise["transforms"][kind][argument] == list(values)
            assert noise["transforms"][kind]["gray"] == 0.4
    last = steps["last"]["transforms"]
    assert steps["jpeg"] == last["jpeg"] == {"type": "DiffJPEG", "quality": [30, 95]}
    assert last["to_lq"]["transforms"]["sinc"] == {"type": "SincFilter", "kernel_size": [7, 21], "p": 0.8}


def test_bsrgan() -> None:
    net, gan = config("bsrgan/bsrnet_x4_df2k_ost_1000k"), config("bsrgan/bsrgan_x4_df2k_ost_800k")
    halved = {"type": "MultiStepLR", "milestones": [200_000, 400_000, 600_000, 800_000], "gamma": 0.5}
    assert net["optim"]["generator"] == {"optimizer": {"type": "Adam", "lr": 1e-4}, "scheduler": halved}
    later = {"type": "MultiStepLR", "milestones": [800_000], "gamma": 0.5}
    both = {"optimizer": {"type": "Adam", "lr": 5e-5}, "scheduler": later}
    assert gan["optim"] == {"generator": both, "discriminator": both}
    for cfg in (net, gan):
        assert cfg["model"]["generator"] == GENERATORS[4] and cfg["model"]["preprocess"]["gt_size"] == 288
        flips = [each["type"] for each in cfg["data"]["train"]["dataset"]["transforms"]]
        assert flips == ["RandomHorizontalFlip", "RandomVerticalFlip", "RandomTranspose"]  # eight orientations
    assert gan["hooks"]["ema"]["decay"] == 0.999 and gan["model"]["losses"]["perceptual"]["layers"] == VGG
    loss, logits = LOSSES.build(gan["model"]["gan_loss"]), torch.randn(2, 1, 8, 8)
    theirs = torch.nn.functional.mse_loss(logits, torch.ones_like(logits))  # lsgan, of weight 1
    torch.testing.assert_close(loss.generator(None, logits), theirs)
