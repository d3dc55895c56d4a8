"""What the logger adds on request: the network's graph, image panels with the error, Weights & Biases."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.engine.hooks import tensorboard
from srtoolbox.engine.hooks.tensorboard import write_graph
from srtoolbox.errors import ConfigError
from srtoolbox.image import read_image
from srtoolbox.plots.panels import PEAK, error_map
from srtoolbox.registry import NETWORKS
from tests.engine.runs import build, final_state, run

BOARD = ("hooks.logger.tensorboard=True", "max_iters=5")


def events(work_dir: Path) -> EventAccumulator:
    return EventAccumulator(str(work_dir), size_guidance={"images": 0}).Reload()


def names_in_graph(work_dir: Path) -> str:
    return " ".join(node.name for node in events(work_dir).Graph().node)


def test_the_graph_is_written_once_and_changes_nothing(tiny_config: Path, tmp_path: Path) -> None:
    kill = "hooks.kill=dict(type='KillHook',at=4)"
    run(tiny_config, tmp_path / "with", *BOARD, "hooks.logger.graph=True", kill)
    assert all(name in names_in_graph(tmp_path / "with") for name in ("conv1", "conv2", "conv3"))
    first = set(tmp_path.glob("with/events*"))
    run(tiny_config, tmp_path / "with", *BOARD, "hooks.logger.graph=True", resume=True)
    (second,) = set(tmp_path.glob("with/events*")) - first
    with pytest.raises(ValueError, match="no graph"):
        EventAccumulator(str(second)).Reload().Graph()
    run(tiny_config, tmp_path / "without", *BOARD)
    states = [final_state(tmp_path / name, 5) for name in ("with", "without")]
    assert {key for key in states[0] if states[0][key] != states[1].get(key)} <= {"/hooks/kill"}


def test_tracing_leaves_running_statistics_alone(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    network.scale, network.colour, network.size_multiple, network.in_channels = 3, "rgb", 5, 3
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with SummaryWriter(tmp_path) as writer:
        write_graph(writer, network, torch.device("cpu"))
    assert "BatchNorm2d" in names_in_graph(tmp_path)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items()) and network.training


class Untraceable(nn.Module):
    """ESPCN-like, but it refuses to be traced."""

    scale, in_channels, colour, size_multiple, receptive_field = 3, 3, "rgb", 1, 2

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 27, 3, padding=1)

    def forward(self, lq: Tensor) -> Tensor:
        """Upscale."""
        if torch.jit.is_tracing():
            raise RuntimeError("not under a tracer\nat all")
        return nn.functional.pixel_shuffle(self.conv(lq), 3)


def test_a_network_that_cannot_be_traced_is_one_warning(
    tiny_config: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(NETWORKS._entries, "Untraceable", Untraceable)  # other tests walk all networks there are
    logging.getLogger("srtoolbox").propagate = True
    network = "model.generator=dict(_delete_=True,type='Untraceable')"
    assert run(tiny_config, tmp_path / "run", *BOARD, network, "hooks.logger.graph=True").iter == 5
    (told,) = {record.getMessage() for record in caplog.records if "graph" in record.getMessage()}
    assert told == "no graph of Untraceable for TensorBoard: it cannot be traced (not under a tracer)"
    assert capfd.readouterr().out == ""


def test_panels_show_input_result_truth_and_error(tiny_config: Path, photo_folder: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run", *BOARD)
    board = events(tmp_path / "run")
    (tag, _) = board.Tags()["images"]
    assert tag == f"photos/cat0 (LQ, SR, GT, error 0-{PEAK} levels)"
    shown = np.array(Image.open(io.BytesIO(board.Images(tag)[-1].encoded_image_string)))
    truth = read_image(photo_folder / "cat0.png")
    lq, sr, gt, error = np.split(shown, 4, axis=1)
    assert np.array_equal(gt, truth)
    assert np.array_equal(lq, lq[::3, ::3].repeat(3, axis=0).repeat(3, axis=1))
    assert np.array_equal(error, error_map(sr, gt))
    assert not np.array_equal(sr, gt)


def test_the_error_map_has_a_fixed_scale() -> None:
    truth = np.full((1, 5, 3), 100, np.uint8)
    result = truth + np.array([0, PEAK // 2, PEAK, 2 * PEAK, 0], np.uint8)[None, :, None]
    result[0, 4, 0] = 100 - PEAK // 2  # one channel alone counts a third
    colours = error_map(result, truth)
    assert colours[0, 0].sum() <= 4 and np.array_equal(colours[0, 2], colours[0, 3]) and colours[0, 2].sum() > 600
    brightness = colours[0].sum(axis=1)
    assert brightness[0] < brightness[4] < brightness[1] < brightness[2]
    assert np.array_equal(error_map(truth, result), colours)


def test_check_tells_what_wandb_lacks(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faults(*changes: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            check(Config.fromfile(str(tiny_config), ["hooks.logger.tensorboard=True", *changes]), mode="train")
        return caught.value.faults

    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    (fault,) = faults("hooks.logger.wandb=dict(project='x')")
    assert "hooks.logger: wandb" in fault and "pip install 'srtoolbox[wandb]'" in fault
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: object())
    (fault,) = faults("hooks.logger.wandb=dict(project='x',resume='must')")
    assert "resume is set by the toolbox" in fault
    (fault,) = faults("hooks.logger.wandb=True")
    assert "wandb" in fault
    (fault,) = faults("hooks.logger.wandb=dict(project='x')", "hooks.logger.tensorboard=False")
    assert "go by way of TensorBoard" in fault


def test_wandbs_folder_may_not_lie_among_the_event_files(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    runner = build(tiny_config, tmp_path / "run", *BOARD, "hooks.logger.wandb=dict(project='x',mode='offline')")
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(ConfigError, match="must not lie in"):
        runner.train()


@pytest.mark.slow
def test_wandb_offline_gets_each_record_once(tiny_config: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    wandb = "hooks.logger.wandb=dict(project='x',mode='offline')"
    command = [sys.executable, "-m", "srtoolbox", "train", str(tiny_config), "--work-dir", "runs/a", wandb, BOARD[0]]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    (stored,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert len(list(stored.parent.glob("files/**/events*"))) == 1
    history = next(line for line in done.stderr.splitlines() if "loss/pixel" in line)
    assert len(history.split()[-1]) <= 12  # 7 and 4 records of trainings and evaluations: none twice
