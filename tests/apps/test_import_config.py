"""Option files of other projects become configs: what is mapped, what is told, what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from srtoolbox import import_config
from srtoolbox.apps import import_config as apps_import_config
from srtoolbox.apps.import_config import Imported
from srtoolbox.apps.import_config.record import Fate
from srtoolbox.check import check
from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.errors import ConfigError, OptionError
from srtoolbox.registry import SCHEDULERS
from tests.apps.importing import told, written

BASICSR = """# general settings
name: 001_RRDB_x4_f16b1
model_type: SRModel
scale: 4
num_gpu: 4
manual_seed: 10

datasets:
  train:
    name: Sub
    type: PairedImageDataset
    dataroot_gt: datasets/sub/GT
    dataroot_lq: datasets/sub/X4.lmdb
    filename_tmpl: '{}'
    io_backend:
      type: lmdb
    gt_size: 128
    use_hflip: true
    use_rot: true
    use_shuffle: true
    num_worker_per_gpu: 3
    batch_size_per_gpu: 16
    dataset_enlarge_ratio: 100
    prefetch_mode: ~
  val:
    name: Set 14!
    type: PairedImageDataset
    dataroot_gt: datasets/Set14/GT
    dataroot_lq: datasets/Set14/LQ
    filename_tmpl: '{}x4'
    io_backend:
      type: disk
  val_2:
    name: mine
    type: SingleImageDataset
    dataroot_lq: datasets/mine

network_g:
  type: RRDBNet
  num_in_ch: 3
  num_out_ch: 3
  num_feat: 16
  num_block: 1

path:
  pretrain_network_g: experiments/x2/net_g.pth
  param_key_g: params
  strict_load_g: false
  resume_state: ~

train:
  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: 2e-4
    weight_decay: 0
    betas: [0.9, 0.99]
  scheduler:
    type: MultiStepLR
    milestones: [500, 800]
    gamma: 0.5
  total_iter: 1000
  warmup_iter: -1
  pixel_opt:
    type: L1Loss
    loss_weight: !!float 1e-2
    reduction: mean

val:
  val_freq: !!float 5e2
  save_img: false
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 4
      test_y_channel: false
    ssim_y:
      type: calculate_ssim
      crop_border: 4
      test_y_channel: true

logger:
  print_freq: 100
  save_checkpoint_freq: !!float 5e2
  use_tb_logger: true
  wandb:
    project: ~
    resume_id: ~

dist_params:
  backend: nccl
  port: 29500
"""
GAN: dict[str, Any] = {
    "network_d": {"type": "VGGStyleDiscriminator", "num_in_ch": 3, "num_feat": 8},
    "train": {
        "optim_d": {"type": "Adam", "lr": 2e-4, "weight_decay": 0, "betas": [0.9, 0.99]},
        "perceptual_opt": {
            "type": "PerceptualLoss", "layer_weights": {"conv5_4": 1}, "vgg_type": "vgg19", "use_input_norm": True,
            "range_norm": False, "perceptual_weight": 0.5, "style_weight": 2, "criterion": "l1",
        },
        "gan_opt": {"type": "GANLoss", "gan_type": "vanilla", "real_label_val": 1.0, "loss_weight": 5e-3},
        "net_d_iters": 1,
        "net_d_init_iters": 100,
    },
}  # fmt: skip


def options(*changes: dict[str, Any], text: str = BASICSR) -> dict[str, Any]:
    """Return BasicSR's options with changes put in, dict by dict; None takes a key out."""
    values: dict[str, Any] = yaml.safe_load(text)

    def put(node: dict[str, Any], change: dict[str, Any]) -> None:
        for key, value in change.items():
            if isinstance(value, dict) and isinstance(node.get(key), dict):
                put(node[key], value)
            elif value is None:
                node.pop(key, None)
            else:
                node[key] = copy.deepcopy(value)

    for change in changes:
        put(values, change)
    return values


@pytest.fixture
def made(tmp_path: Path):
    """Import options or a text; returns the result and the config that was written."""

    def make(source: dict[str, Any] | str, name: str = "train.yml") -> tuple[Imported, Config]:
        text = source if isinstance(source, str) else yaml.safe_dump(source)
        return written(tmp_path, text, name)

    return make


def test_a_file_of_basicsr_comes_through_whole(made, tmp_path: Path) -> None:
    imported, config = made(BASICSR)
    check(config)
    assert imported.is_whole and imported.origin.project == "basicsr"
    values = config.to_dict()
    assert values["scale"] == 4 and values["seed"] == 10 and values["max_iters"] == 1000
    assert values["work_dir"] == "work_dirs/001_RRDB_x4_f16b1" and values["load_from"] == "experiments/x2/net_g.pth"
    assert values["model"] == {
        "type": "Restorer",
        "generator": {"type": "RRDBNet", "scale": 4, "num_features": 16, "num_blocks": 1},
        "losses": {"pixel": {"type": "L1Loss", "weight": 1e-2}},
    }
    assert values["optim"]["generator"] == {
        "optimizer": {"type": "Adam", "lr": 2e-4, "betas": (0.9, 0.99)},
        "scheduler": {"type": "MultiStepLR", "milestones": [500, 800], "gamma": 0.5},
    }
    train, val = values["data"]["train"], values["data"]["val"]
    assert train["batch_size"] == 16 and train["workers"] == 3
    flips = [{"type": f"Random{name}"} for name in ("HorizontalFlip", "VerticalFlip", "Transpose")]
    assert train["dataset"] == {
        "type": "PairedDataset", "gt": "datasets/sub/GT", "lq": "datasets/sub/X4.lmdb", "scale": 4, "gt_size": 128,
        "transforms": flips,
    }  # fmt: skip
    assert list(val["datasets"]) == ["set_14", "mine"] and val["interval"] == 500
    assert val["datasets"]["set_14"]["lq_name"] == "{}x4"
    assert val["datasets"]["mine"] == {"type": "FolderDataset", "lq": "datasets/mine"}
    assert val["metrics"] == {
        "psnr": {"type": "PSNR", "crop_border": 4, "y_channel": False},
        "ssim_y": {"type": "SSIM", "crop_border": 4},
    }
    assert values["hooks"]["ema"] == {"type": "EMAHook", "decay": 0.999}
    assert values["hooks"]["logger"]["interval"] == 100 and values["hooks"]["checkpoint"]["interval"] == 500
    assert values["runtime"]["amp"] is None  # float32, as there


def test_every_key_has_a_line_in_the_report(made, tmp_path: Path) -> None:
    imported, _config = made(BASICSR)
    keys = {entry.key for entry in imported.record.entries}

    def leaves(node: dict[str, Any], path: str = "") -> list[str]:
        inner = [leaves(v, f"{path}{k}.") if isinstance(v, dict) else [f"{path}{k}"] for k, v in node.items()]
        return [leaf for part in inner for leaf in part]

    missing = [leaf for leaf in leaves(yaml.safe_load(BASICSR)) if leaf not in keys and leaf.split(".")[0] not in keys]
    assert missing == []
    lines = BASICSR.splitlines()
    for entry in imported.record.entries:
        assert entry.place and lines[int(entry.place) - 1].strip().startswith(entry.key.rpartition(".")[2] + ":"), entry
    report = (tmp_path / "ours.import.txt").read_text(encoding="utf-8")
    line = next(number for number, line in enumerate(lines, 1) if "gt_size" in line)
    assert report == imported.report and f"{line:>5}  datasets.train.gt_size" in report
    different = told(imported, Fate.DIFFERENT)
    assert "params_ema" in different["path.param_key_g"] and "dist_train.sh CONFIG 4" in different["num_gpu"]
    text = (tmp_path / "ours.py").read_text(encoding="utf-8")
    assert "# path.param_key_g: " in text and max(map(len, text.splitlines())) <= 100


def test_a_gan_of_basicsr(made) -> None:
    imported, config = made(options(GAN, {"model_type": "ESRGANModel"}))
    check(config)
    assert imported.is_whole
    model = config.to_dict()["model"]
    assert model["type"] == "GANRestorer" and model["disc_init_iters"] == 100 and "disc_steps" not in model
    assert model["gan_loss"] == {"type": "RelativisticGANLoss", "weight": 2.5e-3}  # the paper's sum is twice theirs
    widths = [8, 16, 32, 64, 64]
    assert model["discriminator"]["channels"] == [width for width in widths for _ in range(2)]
    perceptual = {"type": "PerceptualLoss", "layers": {"conv5_4": 1.0}, "weight": 0.5, "style_weight": 4.0}
    assert model["losses"]["perceptual"] == perceptual  # 0.5 (features + 4 Gram) is 0.5 features + 2 Gram
    optim = config.to_dict()["optim"]
    assert optim["generator"] == optim["discriminator"]
    said_nothing = {"val": {"metrics": {"psnr": {"test_y_channel": None}}}}
    change = {"model_type": "SRGANModel", "train": {"gan_opt": {"gan_type": "lsgan"}}}
    _imported, config = made(options(GAN, change, said_nothing))
    assert config.data.val.metrics.psnr.y_channel is False  # R, G and B where a file says nothing
    assert config.model.gan_loss == {"type": "GANLoss", "kind": "lsgan", "weight": 1e-2}


def rates(schedule: dict[str, Any], milestones: list[int], steps: int) -> list[float]:
    """Return the rate of each iteration, as the toolbox schedules it, for a rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    parts = schedule if isinstance(schedule, list) else [schedule]
    built = [SCHEDULERS.build(part, optimizer=optimizer) for part in parts]
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, built, milestones) if milestones else built[0]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.filterwarnings("ignore")
def test_a_warm_up_is_theirs_iteration_by_iteration(made) -> None:
    change = {"train": {"warmup_iter": 100, "scheduler": {"milestones": [150, 200]}}}
    _imported, config = made(options(change))
    check(config)
    entry = config.to_dict()["optim"]["generator"]
    found = rates(entry["scheduler"], entry["milestones"], 300)
    # iteration t of theirs: t / 100 until 100, then what the schedule has after t - 1 iterations
    theirs = [min(1, t / 100) * 0.5 ** ((t - 1 >= 150) + (t - 1 >= 200)) for t in range(1, 301)]
    assert found == pytest.approx(theirs, abs=1e-9)


def test_cosines_with_restarts(made) -> None:
    cosine = {"type": "CosineAnnealingRestartLR", "restart_weights": [1, 1, 1, 1], "eta_min": 1e-7}
    no_steps: dict[str, Any] = {"milestones": None, "gamma": None}
    change = {"train": {"scheduler": {**no_steps, **cosine, "periods": [250] * 4}}}
    imported, config = made(options(change))
    check(config)
    schedule = {"type": "CosineAnnealingWarmRestarts", "T_0": 250, "eta_min": 1e-7}
    assert config.optim.generator.scheduler == schedule
    assert "one iteration earlier" in told(imported, Fate.DIFFERENT)["train.scheduler.periods"]
    change = {"train": {"scheduler": {**no_steps, **cosine, "periods": [400, 600], "restart_weights": [1, 0.5]}}}
    imported, config = made(options(change))
    check(config)
    assert [part["T_max"] for part in config.optim.generator.scheduler] == [400, 600]
    assert config.optim.generator.milestones == [400] and not imported.is_whole
    assert "full rate" in told(imported, Fate.LOST)["train.scheduler.restart_weights"]


def test_unknown_keys_are_told_with_the_nearest_name(made) -> None:
    change = {
        "datasets": {"train": {"use_hfilp": True, "use_hflip": None}},
        "network_g": {"num_feats": 8, "num_feat": None},
        "wholly_new": {"a": 1},
    }
    imported, config = made(options(change))
    check(config)
    assert not imported.is_whole
    lost = told(imported, Fate.LOST)
    assert "Did you mean 'use_hflip'?" in lost["datasets.train.use_hfilp"]
    assert "Did you mean 'num_feat'?" in lost["network_g.num_feats"] and "wholly_new" in lost


def test_networks_of_authors_who_train_in_basicsr(made) -> None:
    small = {
        "type": "HAT", "upscale": 4, "in_chans": 3, "img_size": 64, "embed_dim": 12, "depths": [1], "num_heads": [2],
        "window_size": 4, "mlp_ratio": 2, "squeeze_factor": 6, "upsampler": "pixelshuffle", "resi_connection": "1conv",
    }  # fmt: skip
    imported, config = made(options({"network_g": None, "model_type": "HATModel"}, {"network_g": small}))
    assert imported.is_whole
    generator = config.model.generator
    assert generator.num_features == 12 and generator.squeeze_factor == 6 and "mlp_ratio" not in generator


def test_a_model_of_authors_trains_as_those_of_basicsr_do(made) -> None:
    imported, config = made(options({"model_type": "SwinIRModell"}))
    check(config)
    assert config.model.type == "Restorer" and list(lost := told(imported, Fate.LOST)) == ["model_type"]
    assert "beyond SRModel" in lost["model_type"] and "Did you mean 'swinirmodel'?" in lost["model_type"]
    imported, config = made(options(GAN, {"model_type": "MyGANModel"}))
    assert config.model.type == "GANRestorer" and "beyond SRGANModel" in told(imported, Fate.LOST)["model_type"]
    artifacts = {"train": {"artifacts_opt": {"type": "L1Loss", "loss_weight": 1.0}, "ema_decay": None}}
    imported, config = made(options(GAN, artifacts, {"model_type": "ESRGANArtifactsDisModel"}))
    check(config)  # which has an average for LDLLoss
    assert imported.is_whole and config.model.losses.ldl == {"type": "LDLLoss"}
    assert config.model.gan_loss.type == "RelativisticGANLoss" and config.hooks.ema.decay == 0.999


def test_empty_keys_lose_nothing(made) -> None:
    text = BASICSR.replace("pretrain_network_g: experiments/x2/net_g.pth", "pretrain_model_g: ~")
    imported, config = made(text + "wholly_new: ~\n")
    assert imported.is_whole and "load_from" not in config


def test_a_file_that_only_evaluates(made) -> None:
    change = {
        "train": None,
        "logger": None,
        "datasets": {"train": None, "val": None, "val_2": None},
    }
    values = options(change)
    values["datasets"] = {"test_1": {"name": "Set5", "type": "SingleImageDataset", "dataroot_lq": "datasets/Set5"}}
    values["path"] = {"pretrain_model_g": "net_g.pth", "strict_load": True}  # as in 2020
    imported, config = made(values)
    check(config, mode="test")
    assert imported.is_whole and config.data.test.datasets.set5 == {"type": "FolderDataset", "lq": "datasets/Set5"}
    different = told(imported, Fate.DIFFERENT)
    assert "tools/test.py CONFIG net_g.pth" in different["path.pretrain_model_g"]
    assert config.data.test.metrics == {} and "no set has the truth" in different["val.metrics.psnr.type"]


RESTARTS = {"type": "CosineAnnealingRestartLR", "periods": [5], "restart_weights": ["x"]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"network_g": {"type": "ECBSR"}}, r"train.yml:\d+: network_g.type: the network 'ECBSR' has no counterpart"),
        ({"network_g": {"type": "EDVR"}}, "EDVR is for video"),
        ({"model_type": "VideoBaseModel"}, "is for video"),
        ({"scale": None}, r"train.yml(:\d+)?: scale: the file does not say"),
        ({"scale": "four"}, r"train.yml:\d+: scale: a whole number is wanted, got 'four'"),
        ({"train": {"total_iter": None}}, "does not say how many iterations"),
        ({"train": {"optim_g": {"type": "Adma"}}}, "Did you mean 'adam'"),
        ({"datasets": {"train": None}}, "no training set"),
        ({"network_g": {"num_in_ch": 4}}, r"network_g.num_in_ch: 4 has no counterpart here; 3, 1 have"),
        ({"datasets": {"val": {"color": "y"}}}, "its color is 'y', but network_g has three channels"),
        ({"train": {"scheduler": {"milestones": ["a"]}}}, r"train.yml:\d+: train.scheduler.milestones: a list of iter"),
        (
            {"train": {"scheduler": RESTARTS}},
            r"train.yml:\d+: train.scheduler.restart_weights: its value is not of the",
        ),
        ({"network_g": {"num_feat": None, "type": "EDSR", "res_scale": "x"}}, r"res_scale: 'x' is of a kind"),
        ({"datasets": [1]}, r"datasets: a mapping of options is wanted"),
        ({"train": {"optim_g": [1]}}, "a mapping of options is wanted"),
    ],
)
def test_what_has_no_counterpart_as_a_whole_is_refused(made, change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        made(options(change))


def test_hostile_and_foreign_files(tmp_path: Path) -> None:
    def refusal(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            import_config(tmp_path / name)
        return str(caught.value)

    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(8))
    assert "does too much work" in refusal("bomb.yml", bomb)
    assert "nested deeper" in refusal("deep.yml", "a: " + "[" * 5000)
    assert "nested deeper" in refusal("deep.toml", "a = " + "[" * 5000 + "]" * 5000)
    assert "not valid YAML" in refusal("tag.yml", "a: !!python/object/apply:os.system [ls]")
    assert "not valid TOML" in refusal("cut.toml", "name = 'x")
    assert "imports are refused" in refusal("code.py", "import os\nmodel = dict(type='BasicRestorer')\n")
    assert "no options of BasicSR" in refusal("other.yml", "services: {web: {image: nginx}}")
    old = refusal("old.yml", "network_G: {which_model_G: RRDBNet}")
    assert "before 2020" in old and "write its values with the names from 2020 on (network_g," in old
    assert "JSON (of KAIR" in refusal("kair.json", '{"task": "x", // comment\n "netG": {"net_type": "swinir"}}')
    assert "name those files in `_base_ = [...]`" in refusal("new.py", "with read_base():\n    from .a import *\n")
    assert "an option file is a .yml" in refusal("text.txt", "hello")
    with pytest.raises(ConfigError, match="there is no such file"):
        import_config(tmp_path / "missing.yml")


def test_nothing_is_overwritten_unasked(made, tmp_path: Path) -> None:
    made(BASICSR)
    before = (tmp_path / "ours.py").read_bytes()
    with pytest.raises(OptionError, match="the file is there"):
        import_config(tmp_path / "train.yml", tmp_path / "ours.py")
    with pytest.raises(OptionError, match="the suffix of a config"):
        import_config(tmp_path / "train.yml", tmp_path / "ours.yml")
    assert (tmp_path / "ours.py").read_bytes() == before


def test_nothing_is_left_by_an_import_that_breaks_off(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: Config, mode: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(apps_import_config, "check", broken)
    with pytest.raises(KeyboardInterrupt):
        made(BASICSR)
    assert [path.name for path in tmp_path.iterdir()] == ["train.yml"]


def test_a_folder_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options/more").mkdir(parents=True)
    lossy, refused = options({"train": {"sam": True}}), options({"network_g": {"type": "ECBSR"}})
    Path("options/a.yml").write_text(BASICSR)
    Path("options/more/b.yml").write_text(yaml.safe_dump(lossy))
    Path("options/more/c.yml").write_text(yaml.safe_dump(refused))
    Path("options/compose.yml").write_text("services: {web: {image: nginx}}")
    Path("options/more/b.toml").write_text("name = 'x'")  # b.yml's config needs another name than b.py, which it had
    Path("out/more").mkdir(parents=True)
    Path("out/more/c.py").touch()
    with pytest.raises(SystemExit, match="2"):
        main(["import_config", "options", "-o", "out"])
    assert "c.py: the file is there" in capsys.readouterr().err and not Path("out/a.py").exists()
    Path("out/more/c.py").unlink()
    assert main(["import_config", "options", "-o", "out"]) == 1
    printed = capsys.readouterr().out
    assert "options/a.yml: whole" in printed.replace("\\", "/") and "1 key lost, the first train.sam" in printed
    assert printed.splitlines()[-1].split() == ["BasicSR", "3", "1", "1", "0", "1"]
    assert {path.name for path in Path("out").rglob("*.py")} == {"a.py", "b_yml.py"}
    assert main(["import_config", "options/a.yml"]) == 0 and "mapped (" in capsys.readouterr().out
    assert main(["import_config", "options/more/b.yml", "-o", "b.py"]) == 1
    assert main(["import_config", "options/more/c.yml"]) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["import_config", "options/a.yml", "-o", "b.py"])
    assert "--out b.py: the file is there" in capsys.readouterr().err
