"""Every shipped config really trains: four iterations and an evaluation of a smaller network on a few photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data

from srtoolbox.check import check
from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.engine.loop import Runner
from srtoolbox.image import write_image
from srtoolbox.resize import imresize
from srtoolbox.weights.checkpoint import load_checkpoint
from tests.models.networks.small import small_arguments
from tests.test_configs import BACKBONES, CONFIGS, ROOT, name

TRAINED = [path for path in CONFIGS if "max_iters" in Config.fromfile(path) and path.parent.name != "quickstart"]
# its first stage's file is not there: what `load_from` does is tested elsewhere
COMMON = ["max_iters=4", "load_from=None", "data.train.batch_size=2", "data.train.workers=0", "data.val.interval=4",
          "runtime.threads=1", "runtime.device=cpu", "hooks.logger.interval=1",
          "hooks.logger.tensorboard=False"]  # fmt: skip


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All folders that the configs name, with three photographs each."""
    root = tmp_path_factory.mktemp("data")
    photos = [
        skimage.data.astronaut()[:264, :288],
        skimage.data.chelsea()[:264, :288],
        skimage.data.coffee()[:264, :288],
    ]
    folders = ["T91", "General100", "BSDS500/train", "BSDS500/test", "BSDS500/val", "BSDS300/images/train",
               "BSDS300/images/test", "DIV2K/DIV2K_train_HR", "DIV2K/DIV2K_valid_HR",
               "Flickr2K/Flickr2K_HR", "OST/OST_HR", "photos"]  # fmt: skip
    pairs = [(f"{data}/HR/X{s}", f"{data}/LR_bicubic/X{s}", s) for data in ("Set5", "Set14") for s in (2, 3, 4)]
    for number, photo in enumerate(photos):
        photo = np.ascontiguousarray(photo)
        for folder in folders:
            write_image(root / folder / f"{number}.png", photo)
        for gt, lq, scale in pairs:
            write_image(root / gt / f"{number}.png", photo[:108, :204])  # two blocks for NIQE
            write_image(root / lq / f"{number}.png", imresize(photo[:108, :204], 1 / scale))
        write_image(root / f"pairs/gt/{number}.png", photo)
        write_image(root / f"pairs/lq/{number}.png", imresize(photo, 1 / 4))
    for folder in ("DIV2K/DIV2K_train_HR", "Flickr2K/Flickr2K_HR", "OST/OST_HR"):
        for scale in ("2", "3", "4"):
            store = (root / folder).parent / f"X{scale}"
            assert main(["convert_lmdb", str(root / folder), "--scale", scale, "-o", str(store)]) == 0
    return root


@pytest.mark.slow
@pytest.mark.parametrize("path", TRAINED, ids=name)
def test_trains(path: Path, data_root: Path, tmp_path: Path) -> None:
    config = Config.fromfile(path, [f"data_root={data_root}"])
    generator = config["model"]["generator"]
    smaller = [f"model.generator.{key}={value}" for key, value in small_arguments(generator["type"]).items()]
    if "preprocess" in config["model"]:
        smaller += [f"model.preprocess.gt_size={16 * config['scale']}"]
        smaller += [f"data.train.dataset.gt_size={24 * config['scale']}"]
    elif config["data"]["train"]["dataset"].get("gt_size", 0) > 264:  # the photographs' height
        smaller.append(f"data.train.dataset.gt_size={48 * config['scale']}")
    if config["model"].get("discriminator", {}).get("type") == "UNetDiscriminatorSN":
        smaller.append("model.discriminator.num_features=4")
    feature_networks = [f"{backbone}=random" for backbone in BACKBONES if backbone in config]
    config = Config.fromfile(path, [f"data_root={data_root}", *COMMON, *smaller, *feature_networks])
    check(config)
    runner = Runner(config, tmp_path / "run")
    runner.train()
    state = load_checkpoint(tmp_path / "run/checkpoints/iter_000004.pth")
    assert {"generator", *config["optim"]} <= state["networks"].keys()
    scores = (tmp_path / "run/scores.jsonl").read_text().splitlines()
    assert sum('"eval"' in line for line in scores) == 1
    kept = config["hooks"]["checkpoint"].get("best") or []
    for key in [kept] if isinstance(kept, str) else kept:
        assert (tmp_path / f"run/checkpoints/best_{key.replace('/', '_')}.pth").exists(), key


def test_all_are_here() -> None:
    assert len(TRAINED) >= 25 and all(ROOT in path.parents for path in TRAINED)
