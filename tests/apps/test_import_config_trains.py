"""What was imported trains: an iteration of a file of each project, on images of random pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import srtoolbox
from srtoolbox.image import write_image
from tests.apps.importing import checked
from tests.apps.test_import_config import BASICSR, GAN, options
from tests.apps.test_import_config_degradations import KERNELS, TOP, UNET, real
from tests.apps.test_import_config_descendants import NEOSR_TEXT, REDUX_TEXT
from tests.apps.test_import_config_mm import MMAGIC, MMEDITING, REAL, RUNTIME

PAIRS = "type: pairedimagedataset\n    dataroot_gt: [datasets/hr, datasets/hr2]\n"
OTF = "type: realesrgandataset\n    dataroot_gt: datasets/hr\n"
REDUX_OTF = REDUX_TEXT.replace(PAIRS + "    dataroot_lq: [datasets/lr, datasets/lr2]\n", OTF)
MMAGIC_REAL = (
    MMAGIC.split("train_pipeline = ")[0] + f"train_pipeline = {REAL}\n" + MMAGIC[MMAGIC.index("data_root =") :]
)
FILES = {
    "basicsr": ("a.yml", BASICSR),
    "basicsr-gan": ("a.yml", yaml.safe_dump(options(GAN, {"model_type": "ESRGANModel"}))),
    "realesrgan": ("a.yml", yaml.safe_dump(real())),
    "realesrnet": ("a.yml", yaml.safe_dump(options({"gt_usm": True}, TOP, {"datasets": {"train": KERNELS}}, UNET))),
    "redux": ("a.yml", REDUX_TEXT),
    "redux-otf": ("a.yml", REDUX_OTF),
    "neosr": ("a.toml", NEOSR_TEXT),
    "mmagic": ("a.py", MMAGIC),
    "mmagic-degradations": ("a.py", MMAGIC_REAL),
    "mmediting": ("a.py", MMEDITING),
}


def small(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a config cut down to an iteration of two crops, of images in `folder`."""
    values.pop("load_from", None)
    values["model"].get("losses", {}).pop("perceptual", None)  # its network's weights are not here
    values["model"].get("targets", {}).pop("perceptual", None)
    scale = values["scale"]
    size = 32 * scale
    sets = [values["data"]["train"]["dataset"], *values["data"].get("val", {}).get("datasets", {}).values()]
    for dataset in sets:
        dataset.pop("lq_name", None)
        for key in ("gt", "lq"):
            if key in dataset:
                dataset[key] = str(folder / (key if key == "gt" or scale > 1 else "gt"))
    train = values["data"]["train"]
    train.update(batch_size=2, workers=0)
    train["dataset"]["gt_size"] = size * 3 // 2 if "preprocess" in values["model"] else max(size, 128)
    if "gt_size" in values["model"].get("preprocess", {}):
        values["model"]["preprocess"]["gt_size"] = size
    if "pool" in train:
        train["pool"] = 4
    values["runtime"] = {**values.get("runtime", {}), "amp": None, "compile": False, "channels_last": False}
    values["max_iters"], values["work_dir"] = 1, str(folder / "run")
    return values


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")
def test_an_iteration(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for key, side in (("gt", 256), ("lq", 64)):
        (tmp_path / key).mkdir()
        for number in range(3):
            write_image(tmp_path / key / f"{number}.png", rng.integers(0, 256, (side, side, 3), np.uint8))
    (tmp_path / "runtime.py").write_text(RUNTIME, encoding="utf-8")
    file, text = FILES[name]
    _imported, values = checked(tmp_path, text, file)
    result = srtoolbox.train(small(values, tmp_path), device="cpu")
    assert result.iteration == 1
