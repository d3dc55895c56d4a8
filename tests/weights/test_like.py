"""Tuned weights written back as the file that they came from: names, wrappers, number types."""

from __future__ import annotations

import json
import logging
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from srtoolbox.cli import main
from srtoolbox.engine.job.job import train
from srtoolbox.errors import CheckpointError
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.models.networks.spandrel import is_installed
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.checkpoint import save_checkpoint
from srtoolbox.weights.convert import convert
from srtoolbox.weights.formats.edsr import with_means
from srtoolbox.weights.like import _compute_the_same, original_of, write_like
from srtoolbox.weights.load import load_network
from srtoolbox.weights.recognise import recognise
from tests.engine.runs import flatten
from tests.weights.fitted import fitted_espcn
from tests.weights.formats import foreign
from tests.weights.formats.test_recognise import agree, randomised
from tests.weights.spandrel_files import SMALL, made

X = torch.rand(1, 3, 12, 8, generator=torch.Generator().manual_seed(5))
EDSR = {"type": "EDSR", "scale": 2, "num_features": 8, "num_blocks": 2, "residual_scaling": 1.0}


def tuned(path: Path, config: dict[str, Any], *, ema: bool = True, **more: Any) -> Path:
    """A checkpoint of a run, of random weights."""
    networks = {}
    for number, name in enumerate(("generator", "generator_ema")[: 1 + ema]):
        torch.manual_seed(number)
        network = randomised(NETWORKS.build(config))
        networks[name] = {
            key: value + 0.01 * torch.randn_like(value) if value.is_floating_point() else value
            for key, value in network.state_dict().items()
        }
    run_config = {"model": {"generator": config}, **more}
    save_checkpoint(path, {"iter": 9, "config": json.dumps(run_config), "networks": networks})
    return path


def form(value: Any) -> Any:
    """What two files of one form have in common: containers, keys in order, shapes and types of tensors."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), *value.shape)
    if isinstance(value, dict):
        return [type(value).__name__, *((key, form(item)) for key, item in value.items())]
    return [form(item) for item in value] if isinstance(value, list | tuple) else value


WAYS: dict[str, tuple[nn.Module, Callable[[dict], Any], Callable[[Any], dict], str]] = {
    "old ESRGAN": (foreign.OldESRGAN(4), lambda s: s, lambda s: s, "x.pth"),
    "ESRGAN+": (foreign.OldESRGAN(4, plus=True), lambda s: s, lambda s: s, "x.pth"),
    "MMagic": (
        foreign.MMagicMSRResNet(4),
        lambda s: {"meta": {"iter": 7}, "state_dict": {f"generator.{k}": v for k, v in s.items()}},
        lambda s: {k.removeprefix("generator."): v for k, v in s["state_dict"].items()},
        "x.pth",
    ),
    "Lornatang's SRResNet": (
        foreign.LornatangSRResNet(),
        lambda s: {"epoch": 3, "state_dict": OrderedDict(s)},
        lambda s: s["state_dict"],
        "x.pth",
    ),
    "Lornatang's FSRCNN": (foreign.LornatangFSRCNN(3), lambda s: s, lambda s: s, "x3.pth"),
    "Fast-SRGAN": (
        foreign.FastSRGAN(),
        lambda s: {f"_orig_mod.{k}": v.half() for k, v in s.items()},
        lambda s: {k.removeprefix("_orig_mod."): v for k, v in s.items()},
        "x.pth",
    ),
    "BasicSR's EDSR": (foreign.BasicSREDSR(3), lambda s: {"params": s}, lambda s: s["params"], "x.pth"),
    "yjn870's ESPCN": (foreign.YjnESPCN(2), lambda s: s, lambda s: s, "x.pth"),
}


SLOW = ("ESRGAN+", "Lornatang's SRResNet", "yjn870's ESPCN", "MMagic")


@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.slow if way in SLOW else ()) for way in WAYS])
def test_another_projects_program_computes_the_tuned_network(way: str, tmp_path: Path) -> None:
    theirs, wrap, unwrap, name = WAYS[way]
    original = wrap(randomised(theirs).state_dict())
    torch.save(original, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    config = recognise(original, name).config
    run = tuned(tmp_path / "run.pth", config)
    description = write_like(run, tmp_path / name, tmp_path / "out.pth", trial=False)
    assert f"{config['type']} x{config['scale']}, averaged weights as in " in description
    assert (tmp_path / name).read_bytes() == before
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    assert form(written) == form(original)
    theirs.load_state_dict({key: value.float() for key, value in unwrap(written).items()})
    assert_rounded(load_network(run), theirs.eval(), way)
    write_like(run, tmp_path / name, tmp_path / "raw.pth", raw=True, trial=False)
    theirs.load_state_dict(unwrap(torch.load(tmp_path / "raw.pth", weights_only=True)))
    assert_rounded(load_network(run, weights="raw"), theirs, way)


def assert_rounded(ours: nn.Module, theirs: nn.Module, way: str) -> None:
    """Equal outputs of a network here, its weights rounded as the file's are, and of another project's."""
    for value in ours.state_dict().values() if way == "Fast-SRGAN" else ():
        value.copy_(value.half())
    agree(ours, theirs.double(), X[:, : ours.in_channels])
    theirs.float()


@pytest.mark.parametrize("ema", [True, False])
def test_a_file_with_two_sets_gets_both(ema: bool, tmp_path: Path) -> None:
    config = {"type": "MSRResNet", "scale": 4, "num_features": 8, "num_blocks": 2}
    state = NETWORKS.build(config).state_dict()
    half = {key: value.half() for key, value in state.items()}
    torch.save({"params": state, "params_ema": half, "iter": 5}, tmp_path / "x.pth")
    run = tuned(tmp_path / "run.pth", config, ema=ema)
    write_like(run, tmp_path / "x.pth", tmp_path / "out.pth", trial=False)
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    networks = torch.load(run, weights_only=True)["networks"]
    averaged = networks["generator_ema" if ema else "generator"]
    assert flatten(written["params"]) == flatten(networks["generator"])
    assert flatten(written["params_ema"]) == flatten({key: value.half() for key, value in averaged.items()})
    assert written["iter"] == 5


def test_constants_and_headers_stay(tmp_path: Path) -> None:
    theirs = with_means(NETWORKS.build(EDSR).state_dict())
    save_file(theirs, tmp_path / "x.safetensors", {"format": "pt", "of": "them"})
    other = tuned(tmp_path / "run.pth", {**EDSR, "rgb_mean": [0.5, 0.5, 0.5]})
    with pytest.raises(CheckpointError, match=r"x\.safetensors: says rgb_mean=.*, not \[0\.5, 0\.5, 0\.5\]"):
        write_like(other, tmp_path / "x.safetensors", tmp_path / "out.safetensors", trial=False)
    run = tuned(tmp_path / "run.pth", recognise(theirs, "x").config)
    write_like(run, tmp_path / "x.safetensors", tmp_path / "out.safetensors", trial=False)
    written = load_file(tmp_path / "out.safetensors")
    assert written.keys() == theirs.keys() and torch.equal(written["sub_mean.bias"], theirs["sub_mean.bias"])
    assert torch.equal(load_network(tmp_path / "out.safetensors", trial=False)(X), load_network(run)(X))
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "of": "them"}


def test_a_header_of_ours_names_the_tuned_network(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = {"type": "ESPCN", "scale": 3, "kernels": [3, 3, 3], "channels": [8, 4], "activation": "tanh"}
    convert(tuned(tmp_path / "old.pth", config), tmp_path / "x.safetensors", "plain")
    run = tuned(tmp_path / "run.pth", {**config, "activation": "relu", "mean": 0.5})
    write_like(run, tmp_path / "x.safetensors", tmp_path / "out.safetensors", trial=False)
    assert "was made for" not in caplog.text
    y = X[:, :1]
    assert torch.equal(load_network(tmp_path / "out.safetensors", trial=False)(y), load_network(run)(y))


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    mixed = with_means(NETWORKS.build(EDSR).state_dict())
    mixed["sub_mean.weight"] = mixed["sub_mean.weight"] + 0.01 * torch.rand(3, 3, 1, 1)  # some have trained it
    torch.save(mixed, tmp_path / "mixed.pth")
    config = recognise(mixed, "mixed.pth").config
    run, out = tuned(tmp_path / "run.pth", config), tmp_path / "out.pth"
    for original, target, fault in (
        (tmp_path / "mixed.pth", out, r"mixed\.pth: has no tensor for head\.0\.weight alone"),
        (run, out, "is a checkpoint of srtoolbox; --to ours writes one"),
        (tmp_path / "mixed.pth", out.with_suffix(".safetensors"), r"mixed\.pth is no \.safetensors; name a \.pth"),
    ):
        with pytest.raises(CheckpointError, match=fault):
            write_like(run, original, target, trial=False)
    torch.save(foreign.BasicSREDSR(2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"holds EDSR, BasicSR's names, .*which is another network: 2 missing"):
        write_like(run, tmp_path / "other.pth", out, trial=False)
    assert not out.exists()


def test_numbers_too_large_for_the_originals_type_are_told(tmp_path: Path) -> None:
    theirs = {key: value.half() for key, value in NETWORKS.build(EDSR).state_dict().items()}
    torch.save(theirs, tmp_path / "half.pth")
    run = tuned(tmp_path / "run.pth", EDSR, ema=False)
    state = torch.load(run)
    state["networks"]["generator"]["tail.1.bias"][0] = 1e5
    torch.save(state, run)
    with pytest.raises(CheckpointError, match=r"half\.pth: has float16, and tail\.1\.bias now reaches 1e\+05"):
        write_like(run, tmp_path / "half.pth", tmp_path / "out.pth", trial=False)
    assert not (tmp_path / "out.pth").exists()


def test_arguments_are_compared_on_the_trained_weights() -> None:
    """Where a branch is zero, its factor says nothing; in the weights that a training begins with it is not."""
    state = NETWORKS.build(EDSR).state_dict()
    other = {key: value for key, value in {**EDSR, "residual_scaling": 0.1}.items() if key != "type"}
    assert not _compute_the_same(EDSR, other, state)
    silent = {key: 0 * value if re.search(r"body\.\d+\.", key) else value for key, value in state.items()}
    assert _compute_the_same(EDSR, other, silent)


def test_another_way_to_feed_it_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = {"type": "ESPCN", "scale": 3, "kernels": [3, 3, 3], "channels": [8, 4], "activation": "relu"}
    torch.save(fitted_espcn(config), tmp_path / "x.pth")
    write_like(tuned(tmp_path / "same.pth", config), tmp_path / "x.pth", tmp_path / "out.pth")
    assert "was made for" not in caplog.text
    other = tuned(tmp_path / "other.pth", {**config, "activation": "tanh"})
    write_like(other, tmp_path / "x.pth", tmp_path / "out.pth")
    told = "x.pth was made for activation='relu', these weights were trained with activation='tanh'"
    assert told in caplog.text


@pytest.mark.slow
def test_a_network_that_is_fed_otherwise_is_tuned_and_written_as_it_was(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"type": "ESPCN", "scale": 3, "kernels": [3, 3, 3], "channels": [8, 4], "activation": "relu"}
    state = fitted_espcn(config, enter=lambda lq: 255 * lq, train=lambda gt: 255 * gt)
    path, out = tmp_path / "x.pth", tmp_path / "out.pth"
    torch.save(state, path)
    changes = (f"model.generator={path}", "max_iters=3", "optim.generator.optimizer.lr=1e-4")
    result = train(tiny_config, work_dir=tmp_path / "run", overrides=changes)
    assert main(["convert_checkpoint", str(result.last), "--to", "same", "-o", str(out)]) == 0
    assert "was made for" not in caplog.text
    assert form(torch.load(out, weights_only=True)) == form(state)
    ours, again, before = (load_network(each) for each in (result.last, out, path))
    assert type(ours).__name__ == type(again).__name__ == "Adapter"
    assert torch.equal(ours(X[:, :1]), again(X[:, :1])) and not torch.equal(ours(X[:, :1]), before(X[:, :1]))


def test_the_source_of_a_run_is_found_through_other_runs(tmp_path: Path) -> None:
    torch.save(NETWORKS.build(EDSR).state_dict(), tmp_path / "x.pth")
    first = tuned(tmp_path / "first.pth", EDSR, load_from=str(tmp_path / "x.pth"))
    second = tuned(tmp_path / "second.pth", EDSR, load_from=str(first))
    assert original_of(second) == str(tmp_path / "x.pth")
    command = ["convert_checkpoint", str(second), "--to", "same", "--no-trial", "-o"]
    assert main([*command, str(tmp_path / "out.pth")]) == 0
    with pytest.raises(SystemExit):
        main([*command, str(tmp_path / "x.pth")])
    assert torch.equal(load_network(tmp_path / "out.pth", trial=False)(X), load_network(second)(X))
    (tmp_path / "x.pth").rename(tmp_path / "moved.pth")
    with pytest.raises(CheckpointError, match=r"no such checkpoint file; the run began from it: .* --like FILE"):
        original_of(second)
    (tmp_path / "moved.pth").rename(tmp_path / "x.pth")
    like = ["convert_checkpoint", str(second), "--like", str(tmp_path / "x.pth"), "--no-trial", "-o"]
    assert main([*like, str(tmp_path / "again.pth")]) == 0
    assert flatten(torch.load(tmp_path / "again.pth")) == flatten(torch.load(tmp_path / "out.pth"))
    for path, fault in ((tmp_path / "x.pth", "is no checkpoint of a run"), (tuned(first, EDSR), "began from no file")):
        with pytest.raises(CheckpointError, match=fault):
            original_of(path)


@pytest.mark.parametrize("options", [("--to", "same", "--fuse"), ("--like", "x.pth", "--to", "plain")])
def test_options_that_contradict_each_other(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert_checkpoint", "run.pth", "-o", "out.pth", *options])
    assert "--like and --to same say names and network" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not is_installed(), reason="needs the extra 'spandrel'")
def test_what_spandrel_opened_is_opened_by_it_again(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torchvision_models()  # mends it for spandrel
    from spandrel import ModelLoader

    caplog.set_level(logging.ERROR, "srtoolbox")
    path, out = tmp_path / "theirs.pth", tmp_path / "out.pth"
    network = made(next(small for small in SMALL if small.architecture == "MoSR"))
    torch.save({"params_ema": {key: value.half() for key, value in network.state_dict().items()}}, path)
    changes = (f"model.generator={path}", "scale=2", "max_iters=2", "data.val=None", "hooks.checkpoint.best=None")
    result = train(tiny_config, work_dir=tmp_path / "run", overrides=changes)
    assert main(["convert_checkpoint", str(result.last), "--to", "same", "--no-trial", "-o", str(out)]) == 0
    assert form(torch.load(out, weights_only=True)) == form(torch.load(path, weights_only=True))
    ours, theirs = load_network(result.last), ModelLoader("cpu").load_from_file(out).eval()
    torch.testing.assert_close(ours(X).clamp(0, 1), theirs(X), rtol=0, atol=0.01)
    before = ModelLoader("cpu").load_from_file(path).eval()
    assert (before(X) - theirs(X)).abs().max() > 0.01
