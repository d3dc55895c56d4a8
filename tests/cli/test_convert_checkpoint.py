"""`convert_checkpoint`: there and back, equal outputs; refusals; safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from srtoolbox.cli import main
from srtoolbox.errors import CheckpointError
from srtoolbox.io.tensor_files import load_tensors, save_safetensors
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.checkpoint import save_checkpoint
from srtoolbox.weights.convert import AUTHORS_NAMES, plain_names
from srtoolbox.weights.load import load_network
from srtoolbox.weights.recognise import LAYOUTS
from tests.models.networks.small import GENERATORS, small_config

X = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(5))
RRDB = {"type": "RRDBNet", "scale": 4, "num_features": 8, "growth_channels": 4, "num_blocks": 2}
MSR = {"type": "MSRResNet", "scale": 4, "num_features": 8, "num_blocks": 2}

EDSR = {"type": "EDSR", "scale": 4, "num_features": 8, "num_blocks": 2, "residual_scaling": 1.0}
RCAN = {"type": "RCAN", "scale": 2, "num_features": 8, "num_groups": 2, "num_blocks": 1, "reduction": 4}


def save(path: Path, config: dict, *, ema: bool = True) -> Path:
    torch.manual_seed(1)
    trained, averaged = (NETWORKS.build(config).state_dict() for _ in range(2))
    networks = {"generator": trained, **({"generator_ema": averaged} if ema else {})}
    save_checkpoint(path, {"iter": 9, "config": json.dumps({"model": {"generator": config}}), "networks": networks})
    return path


def convert(*arguments: object) -> int:
    return main(["convert_checkpoint", *map(str, arguments)])


@pytest.mark.parametrize(
    ("config", "to"),
    [(RRDB, to) for to in ("basicsr", "mmagic", "esrgan", "esrgan2019", "plain")]
    + [(MSR, to) for to in ("basicsr", "mmagic", "plain")]
    + [(config, to) for config in (EDSR, RCAN) for to in ("basicsr", "edsr")],
    ids=lambda value: value["type"] if isinstance(value, dict) else value,
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_there_and_back(config: dict, to: str, suffix: str, tmp_path: Path) -> None:
    ours = save(tmp_path / "ours.pth", config)
    theirs = tmp_path / f"theirs{suffix}"
    assert convert(ours, "--to", to, "-o", theirs) == 0
    assert convert(theirs, "-o", tmp_path / "back.pth", "--no-trial") == 0  # of random weights, which no trial takes
    expected = load_network(ours)(X)
    assert torch.equal(load_network(theirs, trial=False)(X), expected)
    assert torch.equal(load_network(tmp_path / "back.pth")(X), expected)
    assert not torch.equal(load_network(ours, weights="raw")(X), expected)
    if suffix == ".pth" and to in ("basicsr", "mmagic"):  # these hold both
        theirs_raw = load_network(theirs, weights="raw", trial=False)
        assert torch.equal(theirs_raw(X), load_network(ours, weights="raw")(X))


def test_names_as_the_projects_have_them(tmp_path: Path) -> None:
    ours = save(tmp_path / "ours.pth", RRDB)
    assert convert(ours, "--to", "esrgan", "-o", tmp_path / "old.pth") == 0
    old = torch.load(tmp_path / "old.pth", weights_only=True)
    expected = {f"model.1.sub.{n}.RDB{m}.conv{k}.0" for n in (0, 1) for m in (1, 2, 3) for k in (1, 2, 3, 4, 5)}
    expected |= {"model.0", "model.1.sub.2", "model.3", "model.6", "model.8", "model.10"}
    assert {key.rpartition(".")[0] for key in old} == expected
    assert convert(ours, "--to", "basicsr", "-o", tmp_path / "new.pth") == 0
    new = torch.load(tmp_path / "new.pth", weights_only=True)
    assert set(new) == {"params", "params_ema"} and "body.1.rdb3.conv5.bias" in new["params"]
    assert convert(ours, "--to", "basicsr", "-o", tmp_path / "raw.pth", "--raw") == 0
    assert set(torch.load(tmp_path / "raw.pth", weights_only=True)) == {"params"}
    assert convert(save(tmp_path / "m.pth", MSR), "--to", "mmagic", "-o", tmp_path / "mm.pth") == 0
    mmagic = torch.load(tmp_path / "mm.pth", weights_only=True)["state_dict"]
    assert {"generator.trunk_net.0.conv1.weight", "generator_ema.upsample2.upsample_conv.bias"} <= set(mmagic)
    assert convert(ours, "--to", "basicsr", "-o", tmp_path / "s.safetensors") == 0
    assert "body.0.rdb1.conv1.weight" in load_file(tmp_path / "s.safetensors")


SPAN = {"type": "SPAN", "scale": 2, "num_features": 8, "num_blocks": 6, "img_range": 1.0}


@pytest.mark.parametrize(
    ("config", "name", "options"),
    [
        (SPAN, "fused.pth", ()),
        (SPAN, "fused.safetensors", ()),
        (SPAN, "plain.pth", ("--to", "plain")),
        ({"type": "Adapter", "scale": 2, "network": SPAN, "order": "bgr"}, "fed.pth", ()),
    ],
)
def test_a_network_is_written_in_its_form_for_inference(
    config: dict, name: str, options: tuple, tmp_path: Path
) -> None:
    ours = save(tmp_path / "ours.pth", config)
    assert convert(ours, "--fuse", *options, "-o", tmp_path / name) == 0
    own = {"config": {**SPAN, "fused": True}} if options else {}  # no tensor tells the range
    fused = load_network(tmp_path / name, trial=False, **own)
    torch.testing.assert_close(fused(X), load_network(ours)(X), rtol=1e-4, atol=1e-5)
    assert not any("sk" in key for key in fused.state_dict())
    assert "sk.weight" not in "".join(load_tensors(tmp_path / name).get("networks", {}).get("generator_ema", ()))


def test_what_has_no_form_for_inference_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert convert(save(tmp_path / "ours.pth", MSR), "--fuse", "-o", tmp_path / "x.pth") == 2
    assert "MSRResNet has no branches to fuse; leave --fuse out" in capsys.readouterr().err
    fused = {**SPAN, "fused": True}
    assert convert(save(tmp_path / "fused.pth", fused), "--to", "basicsr", "-o", tmp_path / "x.pth") == 2
    assert "basicsr has no SPAN with fused=True (it takes False)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "to", "message"),
    [
        ({"type": "ESPCN", "scale": 2}, "basicsr", "basicsr has no ESPCN; it has "),
        ({**RRDB, "num_dense_blocks": 2}, "basicsr", "num_dense_blocks=2 (it takes 3)"),
        ({**RRDB, "scale": 2}, "esrgan", "unshuffle=True"),
        ({**RRDB, "scale": 3}, "basicsr", "scale=3 (it takes 1, 2, 4)"),
    ],
)
def test_what_the_other_project_has_not(
    config: dict, to: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    ours = save(tmp_path / "ours.pth", config)
    assert convert(ours, "--to", to, "-o", tmp_path / "x.pth") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "x.pth").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"type": "SRResNet", "scale": 4, "num_features": 8, "num_blocks": 1, "output": "tanh"},
        {"type": "SRCNN", "scale": 3, "padding": "replicate"},
        {"type": "VDSR", "scale": 2, "num_features": 8, "num_blocks": 2, "input_range": (0.1, 0.9)},
        {"type": "FSRCNN", "scale": 3},
    ],
    ids=lambda config: config["type"],
)
def test_safetensors_keep_what_no_tensor_tells(config: dict, tmp_path: Path) -> None:
    ours, theirs = save(tmp_path / "ours.pth", config), tmp_path / "theirs.safetensors"
    assert convert(ours, "-o", theirs) == 0
    assert convert(theirs, "-o", tmp_path / "back.pth") == 0
    image = X[:, : 3 if config["type"] == "SRResNet" else 1]
    expected = load_network(ours)(image)
    assert torch.equal(load_network(theirs)(image), expected)
    assert torch.equal(load_network(tmp_path / "back.pth")(image), expected)
    for path in (ours, theirs):
        with pytest.raises(CheckpointError, match=f"{config['type']} that upscales x{config['scale']}, .*not x8"):
            load_network(path, scale=8)


@pytest.mark.parametrize("text", ["", "[]", '{"type": 3}', '{"type": "ESPCN", "scale": 2}', '{"type": "MSRResNet"}'])
def test_a_header_that_does_not_fit_is_not_believed(text: str, tmp_path: Path) -> None:
    state = NETWORKS.build(MSR).state_dict()
    save_safetensors(tmp_path / "a.safetensors", state, {"network": text})
    assert load_network(tmp_path / "a.safetensors", trial=False).scale == 4


def test_files_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ours = save(tmp_path / "ours.pth", MSR)
    for arguments, message in (
        (["-o", tmp_path / "x.onnx"], "suffix is .pth or .safetensors"),
        (["-o", ours], "the file to convert"),
        (["--to", "ours", "-o", tmp_path / "x.safetensors"], "is a .pth"),
    ):
        with pytest.raises(SystemExit):
            convert(ours, *arguments)
        assert message in capsys.readouterr().err
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 100)
    assert convert(tmp_path / "bad.safetensors", "-o", tmp_path / "x.pth") == 2
    assert "bad.safetensors: damaged, cut short, or no safetensors file" in capsys.readouterr().err


def test_a_checkpoint_without_averaged_weights_gets_none(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ours = save(tmp_path / "ours.pth", MSR, ema=False)
    assert convert(ours, "--to", "basicsr", "-o", tmp_path / "x.pth") == 0
    assert set(torch.load(tmp_path / "x.pth", weights_only=True)) == {"params"}
    capsys.readouterr()
    assert convert(tmp_path / "x.pth", "-o", tmp_path / "y.pth", "--no-trial") == 0
    assert "".join(capsys.readouterr()).count("x.pth: ") == 1  # what it is, once
    assert set(torch.load(tmp_path / "y.pth", weights_only=True)["networks"]) == {"generator"}


@pytest.mark.parametrize("name", GENERATORS)
def test_plain_says_whose_names_they_are(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The authors', where one of the layouts that are known of other projects has our own names."""
    ours = save(tmp_path / "ours.pth", small_config(name, 2))
    assert convert(ours, "--to", "plain", "-o", tmp_path / "plain.pth") == 0
    told = capsys.readouterr().out
    assert f"format plain: {plain_names(innermost_type(name))}" in told
    unchanged = [layout for layout in LAYOUTS if layout.network == name and not layout.names]
    if name in AUTHORS_NAMES:
        assert unchanged and all("names, which are ours" in told for _ in unchanged)
        for layout in unchanged:
            assert layout.origin in ("", "new key layout", AUTHORS_NAMES[name])
    else:
        assert "format plain: our names" in told and not any(layout.origin for layout in unchanged)


def innermost_type(name: str) -> str:
    return "Bicubic" if name == "Adapter" else name


def test_what_is_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Averaged weights alone where a file holds one set, and what tensors of a bare state_dict do not tell."""
    ours = save(tmp_path / "ours.pth", {"type": "ESPCN", "scale": 2, "activation": "relu"})
    for target, told in {
        "a.safetensors": "(ESPCN x2, averaged weights, format plain: our names)",
        "b.pth": "averaged weights, format plain: our names; it cannot say activation='relu', as a .safetensors",
    }.items():
        assert convert(ours, "--to", "plain", "-o", tmp_path / target) == 0
        assert told in capsys.readouterr().out
    assert convert(ours, "-o", tmp_path / "c.pth") == 0
    assert "(ESPCN x2, trained and averaged weights, format ours)" in capsys.readouterr().out


def test_a_network_that_is_fed_otherwise_is_no_other_projects(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = {"type": "Adapter", "scale": 4, "network": RRDB, "order": "bgr", "peak": 255.0}
    assert convert(save(tmp_path / "ours.pth", config), "--to", "basicsr", "-o", tmp_path / "x.pth") == 2
    assert (
        "feeds its networks RGB in [0, 1]; this one is fed otherwise: order='bgr', peak=255.0"
        in capsys.readouterr().err
    )
    for target in ("x.pth", "x.safetensors"):  # whose names are the network's own, as is said
        assert convert(tmp_path / "ours.pth", "--to", "plain", "-o", tmp_path / target) == 0
        assert load_tensors(tmp_path / target).keys() == NETWORKS.build(RRDB).state_dict().keys()
    assert torch.equal(load_network(tmp_path / "x.safetensors")(X), load_network(tmp_path / "ours.pth")(X))
