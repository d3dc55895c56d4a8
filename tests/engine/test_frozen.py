"""Whole runs with frozen parts and parameter groups: what stays, what the log and the plots show of every group."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from srtoolbox.plots.curves import plot_runs
from tests.engine.runs import build, differing, events, final_state, load, records, run

SRRESNET = (
    "model.generator={'type': 'SRResNet', 'scale': 3, 'num_features': 4, 'num_blocks': 2, '_delete_': True}",
    "optim.generator.scheduler=[dict(type='CosineAnnealingLR', T_max=10, eta_min=1e-3)]",
    "optim.generator.milestones=None",
    "optim.generator.param_groups={'conv_last': dict(lr=1e-4)}",
    "optim.generator.frozen=['body.0', 'conv_first']",
    "max_iters=10",
)


def test_a_frozen_part_is_that_of_the_start_with_its_statistics_and_so_is_its_average(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("srtoolbox"), "propagate", True)
    caplog.set_level(logging.INFO, "srtoolbox")
    initial = build(tiny_config, tmp_path / "start", *SRRESNET).networks["generator"].state_dict()
    frozen = [name for name in initial if name.startswith(("body.0.", "conv_first."))]
    assert any("running_mean" in name for name in frozen) and any("num_batches" in name for name in frozen)
    runner = run(tiny_config, tmp_path / "whole", *SRRESNET, "hooks.logger.tensorboard=True")
    count = sum(
        name.startswith(("body.0.", "conv_first.")) for name, _ in runner.networks["generator"].named_parameters()
    )
    assert f"optim.generator.frozen: {count} of " in caplog.text
    for network in load(tmp_path / "whole", "iter_000010")["networks"].values():
        assert all(torch.equal(network[name], initial[name]) for name in frozen)
        assert not torch.equal(network["body.1.bn1.running_mean"], initial["body.1.bn1.running_mean"])
        assert not torch.equal(network["body.1.conv1.weight"], initial["body.1.conv1.weight"])
    run(tiny_config, tmp_path / "parts", *SRRESNET, "hooks.kill.type=KillHook", "hooks.kill.at=6")
    run(tiny_config, tmp_path / "parts", *SRRESNET, resume=True)
    assert differing(final_state(tmp_path / "whole", 10), final_state(tmp_path / "parts", 10)) == []
    _rates_of_all_groups_are_shown(tmp_path / "whole", caplog.text)


def _rates_of_all_groups_are_shown(work_dir: Path, log: str) -> None:
    first = next(line for line in records(work_dir) if line["kind"] == "train")
    assert first["lr"].keys() == {"generator", "generator.conv_last"}
    assert (
        f"lr generator {first['lr']['generator']:.3g}, generator.conv_last {first['lr']['generator.conv_last']:.3g}"
        in log
    )
    assert {"lr/generator", "lr/generator.conv_last"} <= events(work_dir).keys()
    chart = work_dir / "lr.svg"
    assert plot_runs([work_dir], chart, keys=["lr"]) == ["lr"]
    assert "generator.conv_last" in chart.read_text()


@pytest.mark.parametrize("clip", ["None", "1e-3"])
def test_a_plain_run_logs_the_norm_it_clips(clip: str, tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run", f"optim.generator.clip={clip}", "max_iters=6")
    for line in records(tmp_path / "run"):
        if line["kind"] == "train":
            assert ("grad_norm" in line["terms"]) == (clip != "None")
            assert clip == "None" or line["terms"]["grad_norm"] > 1e-3  # before clipping
            assert line["lr"].keys() == {"generator"}
