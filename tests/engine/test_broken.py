"""A run whose numbers explode ends with an error; what is on the disk stays good."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.errors import RunError
from srtoolbox.weights.checkpoint import verify_checkpoint
from srtoolbox.weights.load import load_network
from tests.engine.runs import listing, load, run

SAVING = ("hooks.checkpoint.interval=1", "hooks.logger.interval=1000", "data.val.interval=1000")
LOGGING = ("hooks.checkpoint.interval=1000", "hooks.logger.interval=1", "data.val.interval=1000")
EVALUATING = ("hooks.checkpoint.interval=1000", "hooks.logger.interval=1000", "data.val.interval=1")


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
@pytest.mark.parametrize("changes", [SAVING, LOGGING, EVALUATING], ids=["saving", "logging", "evaluating"])
def test_no_broken_weights_on_the_disk(
    changes: tuple[str, ...], optimizer: str, tiny_config: Path, tmp_path: Path
) -> None:
    exploding = ("optim.generator.optimizer.lr=1e20", f"optim.generator.optimizer.type={optimizer}")
    with pytest.raises(RunError, match="no longer finite"):
        run(tiny_config, tmp_path, *changes, *exploding)
    for path in (tmp_path / "checkpoints").glob("*.pth"):
        assert verify_checkpoint(path) is None
        for weights in load(tmp_path, path.stem)["networks"].values():
            assert all(bool(value.isfinite().all()) for value in weights.values()), path.name


def test_earlier_checkpoints_stay_good(tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    assert main([*arguments, "max_iters=10"]) == 0
    assert main([*arguments, "--resume", "optim.generator.optimizer.lr=1e20"]) == 2
    errors = capsys.readouterr().err
    assert "no longer finite" in errors and "Traceback" not in errors
    assert "iter_000010.pth" in listing(tmp_path / "run")
    network = load_network(tmp_path / "run/checkpoints/iter_000010.pth")
    assert bool(network(torch.rand(1, 1, 8, 8)).isfinite().all())
    assert main([*arguments, "--resume-from", str(tmp_path / "run/checkpoints/iter_000010.pth")]) == 0
    assert "iter_000020.pth" in listing(tmp_path / "run")
