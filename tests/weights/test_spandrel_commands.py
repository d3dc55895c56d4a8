"""Files that spandrel opens, in the commands that test a config and upscale a video; and in any precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from srtoolbox.cli import main
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.io.tensor_files import save_safetensors
from srtoolbox.models.networks.spandrel import is_installed
from srtoolbox.weights import convert
from srtoolbox.weights.load import load_network
from tests.apps.clips import frames_of, make_clip
from tests.weights.spandrel_files import SMALL, made

if not is_installed():
    pytest.skip("needs the extra 'spandrel'", allow_module_level=True)
BY_NAME = {small.name: small for small in SMALL}


def ditn(folder: Path, scale: int) -> Path:
    """A file of a network that is not here."""
    small = BY_NAME["DITN_Real"]
    state = made(small._replace(arguments={**small.arguments, "upscale": scale})).state_dict()
    torch.save({"params": state, "params_ema": state}, folder / "ditn.pth")
    return folder / "ditn.pth"


@pytest.mark.slow
def test_a_config_is_tested_with_it(tmp_path: Path, tiny_config: Path) -> None:
    """Its scores are those of the checkpoint that is made of it."""
    file, ours = ditn(tmp_path, 3), tmp_path / "ours.pth"
    assert main(["convert_checkpoint", str(file), "-o", str(ours), "--no-trial"]) == 0
    scores = []
    for checkpoint in (file, ours):
        json_file = tmp_path / f"{checkpoint.stem}.json"
        assert main(["test", str(tiny_config), str(checkpoint), "--no-trial", "--json", str(json_file)]) == 0
        scores.append(json.loads(json_file.read_text())[checkpoint.stem]["photos"]["images"]["cat0"])
        scores[-1].pop("seconds")
    assert scores[0] == scores[1] and all(np.isfinite(value) for value in scores[0].values())
    assert main(["test", str(tiny_config), str(ditn(tmp_path, 2)), "--no-trial"]) == 2


@pytest.mark.slow
def test_a_video_is_upscaled_with_it(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra 'video'")
    clip, out, file = make_clip(tmp_path / "in.mp4", number=4), tmp_path / "out.mkv", tmp_path / "net.safetensors"
    state = made(BY_NAME["NAFNet"]).state_dict()
    calm = {key: value * (0.1 if key.startswith("ending") else 1) for key, value in state.items()}
    save_safetensors(file, {**calm, "ending.bias": torch.full((3,), 0.1)}, {})
    assert main(["upscale_video", str(file), str(clip), "-o", str(out), "--no-trial", "--codec", "ffv1"]) == 0
    before, after = ([image.astype(int) for _, image in frames_of(path)] for path in (clip, out))
    upscaler = Upscaler(load_network(file, trial=False))
    for first, result in zip(before, after, strict=True):
        assert np.abs(result - upscaler(first.astype(np.uint8))).mean() < 3 < np.abs(result - first).mean()


def test_a_conversion_builds_what_spandrel_has_opened_no_further_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "build_network", None)
    file = ditn(tmp_path, 2)
    assert main(["convert_checkpoint", str(file), "-o", str(tmp_path / "ours.pth"), "--no-trial"]) == 0
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(load_network(tmp_path / "ours.pth")(x), load_network(file, trial=False)(x))


KINDS = ("SRVGGNetCompact", "RealPLKSR", "NAFNet", "RRDBNet")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
def test_a_file_in_half_precision_is_computed_in_float32(
    kind: str, name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    state: dict[str, Tensor] = made(BY_NAME[kind]).state_dict()
    half = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    if name.endswith("safetensors"):
        save_safetensors(tmp_path / name, half, {})
    else:
        torch.save({"params": half}, tmp_path / name)
    network = load_network(tmp_path / name, trial=False)
    rounded = {key: value.to(state[key].dtype) for key, value in half.items()}
    torch.save({"params_ema": rounded}, tmp_path / "whole.pth")
    whole = load_network(tmp_path / "whole.pth", trial=False).state_dict()
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert all(torch.equal(value, whole[key]) for key, value in network.state_dict().items())
