"""Files of architectures that spandrel knows: opened, equal to its own call, refused by name, tried, exported."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srtoolbox.cli import main
from srtoolbox.errors import CheckpointError, ConfigError, SrtoolboxError
from srtoolbox.image import read_image, write_image
from srtoolbox.inference.restore import AutocastRestore, restore
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import facts_of
from srtoolbox.models.networks import spandrel as library
from srtoolbox.models.networks.spandrel import architectures, describe_tensors, open_state, state_of
from srtoolbox.registry import NETWORKS
from srtoolbox.weights import by_spandrel
from srtoolbox.weights.by_spandrel import EXTRA as EXTRA_NAMES
from srtoolbox.weights.by_spandrel import FAMILIES, Family, Opened, advice_to_install, family_of, open_by_spandrel
from srtoolbox.weights.by_spandrel import REFUSED as REASONS
from srtoolbox.weights.load import load_network, read_network
from srtoolbox.weights.recognise import LAYOUTS, find_weights, recognise
from tests.weights.spandrel_files import EXTRA, REFUSED, SMALL, Small, made

if not library.is_installed():
    pytest.skip("needs the extra 'spandrel'", allow_module_level=True)
CASES = [
    pytest.param(small, id=f"{small.architecture}-{small.name}", marks=() if small.is_quick else pytest.mark.slow)
    for small in (*SMALL, *EXTRA)
]
FEW = [pytest.param(*case.values, id=case.id, marks=() if "NAFNet" in case.id else pytest.mark.slow) for case in CASES]
SIZES = ((37, 50), (24, 24), (19, 26))
RANDOM = ("AuraSR",)  # it draws noise at each call
AT_THE_ENDS = ("DDColor",)  # its colours, with weights that were not trained
QUANTISED = ("AdaCode", "FeMaSR")  # they take the nearest entries of a codebook: rounding changes which
BY_NAME = {small.name: small for small in (*SMALL, *EXTRA, *REFUSED)}


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("srtoolbox"), "propagate", True)
    caplog.set_level(logging.INFO, "srtoolbox")
    return caplog


def small_state(small: Small) -> dict[str, Tensor]:
    if small.architecture not in architectures():
        pytest.skip("needs spandrel_extra_arches")
    return made(small).state_dict()


def opened(state: dict[str, Tensor]) -> tuple[Opened, nn.Module]:
    """What `load_network` does, for networks that are here, too."""
    found = open_by_spandrel(find_weights({"params": state}, "x.pth").tensors, "x.pth")
    assert found is not None
    network = NETWORKS.build(json.loads(json.dumps(found.config)))
    network.load_state_dict(found.tensors)
    return found, network.eval()


@pytest.mark.parametrize("small", CASES)
def test_a_file_opens_and_computes_what_spandrel_computes(small: Small) -> None:
    state = small_state(small)
    assert family_of(find_weights(state, "x.pth").tensors).architecture == small.architecture
    found, network = opened(state)
    theirs = open_state(small.architecture, state).eval()
    facts = facts_of(network)
    assert (facts.scale, found.config["architecture"]) == (theirs.scale, small.architecture)
    assert facts.in_channels == theirs.output_channels and found.words[1] == f"x{theirs.scale}"
    for size in _mirrored_once(network):
        lq = torch.rand(1, theirs.input_channels, *size)
        rgb = lq.expand(-1, 3, -1, -1)
        if facts.in_channels == 1:
            height, width = (-(-side // facts.size_multiple) * facts.size_multiple for side in size)
            with torch.inference_mode():
                ours = network(lq[..., :height, :width])
        else:
            with torch.inference_mode():
                torch.manual_seed(1)
                ours = restore(network, rgb).rgb
        torch.manual_seed(1)
        tolerance = 0.02 if small.architecture in RANDOM else 1e-5
        torch.testing.assert_close(ours.clamp(0, 1), theirs(lq.clone()), rtol=0, atol=tolerance)
    assert ours.amin() < ours.amax()


def _mirrored_once(network: nn.Module) -> list[tuple[int, int]]:
    """The sizes at which what is missing is one mirror image: more is made in another way here."""
    multiple, least = network.size_multiple, network.smallest if network.size_multiple > 1 else 1
    sizes = [size for size in SIZES if all(-side % multiple < side and side >= least for side in size)]
    return sizes or [(multiple, multiple)]


@pytest.mark.parametrize("small", FEW)
def test_what_is_written_in_its_names_opens_again(small: Small) -> None:
    """The names that spandrel's network has may be other ones than the file's."""
    found, _ = opened(small_state(small))
    plain = {key.removeprefix("network."): value for key, value in found.tensors.items()}
    again = open_by_spandrel(find_weights(plain, "x.pth").tensors, "x.pth")
    assert again.config["architecture"] == small.architecture
    assert again.tensors.keys() == found.tensors.keys()


@pytest.mark.parametrize("small", FEW)
def test_batches_training_and_half_precision(small: Small, log: pytest.LogCaptureFixture) -> None:
    """Images of a batch do not see each other; all parameters train, after inference too; bfloat16 is near."""
    _, network = opened(small_state(small))
    side = max(32, network.size_multiple)
    batch = torch.rand(2, network.in_channels, side, side)
    with torch.inference_mode():
        whole = network(batch)
        single = torch.cat([network(image) for image in batch.split(1)])
        near = AutocastRestore(network, "bf16")(batch)
        plain = restore(network, batch).rgb
    if small.architecture not in (*RANDOM, *AT_THE_ENDS):
        torch.testing.assert_close(whole, single, rtol=0, atol=2e-5)
        if small.architecture not in QUANTISED:
            assert (near - plain).abs().max() < 0.05 * max(1, float(plain.abs().max()))
    network.train()
    network(batch).square().mean().backward()
    assert any(parameter.grad is not None for parameter in network.parameters())
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


def test_all_of_the_main_registry_are_tested_or_refused() -> None:
    architectures()  # torchvision is mended
    import spandrel

    known = {support.architecture.id for support in spandrel.MAIN_REGISTRY}
    known -= set(EXTRA_NAMES)  # which a program may add to it, in the same process
    assert known == {small.architecture for small in SMALL} | {"GFPGAN", "RestoreFormer", "LaMa"}
    assert {family.architecture for family in FAMILIES} >= known
    assert {small.architecture for small in EXTRA} == set(EXTRA_NAMES)


@pytest.fixture
def nafnet() -> dict[str, Tensor]:
    """Nearly the image itself, so sound on a photograph."""
    state = made(BY_NAME["NAFNet"]).state_dict()
    return {key: value * (0.01 if key.startswith("ending") else 1) for key, value in state.items()}


def test_a_file_is_upscaled_exported_and_written_back(
    nafnet: dict[str, Tensor], tmp_path: Path, photo: np.ndarray, log: pytest.LogCaptureFixture
) -> None:
    torch.save({"params_ema": nafnet}, tmp_path / "net.pth")
    network = load_network(tmp_path / "net.pth")
    assert "net.pth: NAFNet, x1, 8w, opened by spandrel 0" in log.text
    assert "EMA weights; on a photograph" in log.text and not network.training
    write_image(tmp_path / "p.png", photo[:40, :50])
    assert main(["upscale", str(tmp_path / "net.pth"), str(tmp_path / "p.png"), "-o", str(tmp_path / "r.png")]) == 0
    assert read_image(tmp_path / "r.png").shape == (40, 50, 3)
    for name, to in (("ours.pth", "ours"), ("plain.pth", "plain"), ("header.safetensors", "plain")):
        assert main(["convert_checkpoint", str(tmp_path / "net.pth"), "-o", str(tmp_path / name), "--to", to]) == 0
        again = load_network(tmp_path / name)
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in again.state_dict().items())
    assert torch.load(tmp_path / "plain.pth").keys() == nafnet.keys()


def test_a_file_is_opened_once(nafnet: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be it tried or its verdict known: building the large ones takes seconds, and memory."""
    monkeypatch.setenv("SRTOOLBOX_CACHE", str(tmp_path))
    torch.save(nafnet, tmp_path / "net.pth")
    kind, opened = type(architectures()["NAFNet"].architecture), []
    load = kind.load
    monkeypatch.setattr(kind, "load", lambda *given: opened.append(1) or load(*given))
    first, again = (load_network(tmp_path / "net.pth") for _ in range(2))
    assert len(opened) == 2 and (tmp_path / "trials").exists()
    built = NETWORKS.build(read_network(tmp_path / "net.pth", quiet=True).config).eval()
    built.load_state_dict(first.state_dict())
    lq = torch.rand(1, 3, 16, 24)
    assert not first.training and not any(parameter.requires_grad for parameter in again.parameters())
    assert torch.equal(first(lq), built(lq)) and torch.equal(first(lq), again(lq))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("encoderlayer_0.blocks.0.attn.relative_position_bias_table", torch.zeros(999**2, 1)),
        ("layers.0.blocks.0.attn.attns.0.rpe_biases", torch.full((9, 2), 1e6)),
        ("layers.0.swin2.attn_mask", torch.zeros(10**9, 0, 0)),
    ],
)
def test_what_would_take_all_memory_is_not_asked_for(name: str, tensor: Tensor) -> None:
    with pytest.raises(CheckpointError, match=f"x.pth: {name} is of windows that are larger than any"):
        open_by_spandrel({name: tensor, "a.weight": torch.ones(1)}, "x.pth")
    assert open_by_spandrel({name: tensor[:9].abs().clamp(max=2), "a.weight": torch.ones(1)}, "x.pth") is None


@pytest.mark.parametrize("kind", [torch.bool, torch.float8_e4m3fn])
def test_tables_of_any_number_type_are_looked_at(kind: torch.dtype) -> None:
    assert open_by_spandrel({"rpe_biases": torch.ones(9, 2).to(kind)}, "x.pth") is None


def test_large_images_are_tiled(photo: np.ndarray) -> None:
    _, network = opened(made(BY_NAME["PLKSR"]).state_dict())
    image = photo[:120, :130]
    whole, tiled = (Upscaler(network, tile=tile)(image).astype(int) for tile in (None, 64))
    assert np.abs(whole - tiled).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NAFNet", "MoSR", "DITN_Real"])
def test_onnx(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    torch.save(made(BY_NAME[name]).state_dict(), tmp_path / "net.pth")
    arguments = ["export", str(tmp_path / "net.pth"), "--onnx", str(tmp_path / "net.onnx"), "--no-trial"]
    if name == "NAFNet":  # its code asks whether the image has to be padded
        assert main(arguments) == 2
        arguments += ["--static", "21x34"]
    assert main(arguments) == 0
    lq = torch.rand(1, 3, 21, 34)
    network = load_network(tmp_path / "net.pth", trial=False)
    onnx = load_network(tmp_path / "net.onnx")
    torch.testing.assert_close(onnx(lq), network(lq), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("model.model.1.bn_l.running_mean", "LaMa, which fills holes of an image, for which it needs a mask"),
        ("generator.model.1.bn_l.running_mean", "LaMa, which fills holes"),
        ("model.synthesis.first_stage.conv_first.conv.resample_filter", "MAT, which fills holes"),
        ("toRGB.0.weight stylegan_decoder.style_mlp.1.weight", "GFPGAN, which restores aligned faces alone"),
        (
            "position_emb encoder.blocks.0.weight "
            "generator.blocks.0.weight generator.blocks.1.norm1.weight generator.blocks.2.q.weight",
            "CodeFormer, which restores aligned faces",
        ),
        ("encoder.conv_in.weight decoder.conv_in.weight quant_conv.weight quantize.x", "RestoreFormer, which restores"),
    ],
)
@pytest.mark.parametrize("is_installed", [True, False])
def test_what_needs_a_mask_or_a_face_is_refused_by_name(
    keys: str, message: str, is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_spandrel, "is_installed", lambda: is_installed)
    with pytest.raises(CheckpointError, match=f"x.pth: {message}"):
        recognise(dict.fromkeys(keys.split(), torch.ones(1)), "x.pth")


@pytest.mark.slow
@pytest.mark.parametrize("small", REFUSED, ids=lambda small: small.architecture)
def test_real_files_of_those_are_refused(small: Small) -> None:
    with pytest.raises(CheckpointError, match=f"x.pth: {small.architecture}, which "):
        recognise({"params_ema": small_state(small)}, "x.pth")


def test_what_a_photograph_shows_is_said_and_refused(nafnet: dict[str, Tensor], tmp_path: Path, log) -> None:
    """A file whose result is dull is doubtful; one of other weights is refused; no other ranges are tried."""
    torch.save(made(BY_NAME["MoSR"]).state_dict(), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"net.pth: MoSR, x2, opened by spandrel .*--no-trial") as error:
        load_network(tmp_path / "net.pth")
    assert " ways tried" not in str(error.value)
    assert load_network(tmp_path / "net.pth", trial=False).scale == 2
    torch.save({**nafnet, "ending.bias": nafnet["ending.bias"] + 0.07}, tmp_path / "net.pth")
    load_network(tmp_path / "net.pth")
    assert "net.pth is doubtful" in log.text


def test_what_changes_images_by_intent_gets_the_sentence_only(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    torch.save(
        made(Small("MixDehazeNet", "MixDehazeNet", {"embed_dims": [8] * 5, "depths": [1] * 5})).state_dict(),
        tmp_path / "net.pth",
    )
    load_network(tmp_path / "net.pth")
    assert "net.pth: MixDehazeNet, x1, for dehazing, opened by spandrel" in log.text and "photograph" not in log.text


def test_networks_of_this_toolbox_come_first(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    torch.save(made(BY_NAME["SRVGGNetCompact"]).state_dict(), tmp_path / "net.pth")
    assert type(load_network(tmp_path / "net.pth", trial=False)).__name__ == "SRVGGNetCompact"
    assert "spandrel" not in log.text


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_spandrel, "is_installed", lambda: False)
    with pytest.raises(CheckpointError, match=r"looks like NAFNet, .*pip install 'srtoolbox\[spandrel\]' opens NAFNet"):
        recognise(made(BY_NAME["NAFNet"]).state_dict(), "x.pth")
    other_form = {"layers.0.residual_group.blocks.0.attn.qkv.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"looks like SwinIR of a form that has no network here; .* opens SwinIR"):
        recognise(other_form, "x.pth")
    with pytest.raises(CheckpointError, match=r"no network known here"):
        recognise({"a.weight": torch.ones(1)}, "x.pth")
    architectures.cache_clear()
    hide(monkeypatch, "spandrel", "spandrel_extra_arches")
    config = {"type": "Spandrel", "scale": 2, "architecture": "NAFNet", "tensors": ["a 1"]}
    with pytest.raises(SrtoolboxError, match=r"needs the package spandrel: pip install 'srtoolbox\[spandrel\]'"):
        NETWORKS.build(config)


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let packages be missing."""
    find = library.importlib.util.find_spec
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None if name in packages else find(name))


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.does not in REASONS], ids=lambda f: f[0])
def test_what_to_install_is_told_for_each_family(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = re.sub(r"\(([^)|]*)[^)]*\)\??", r"\1", family.marks).replace("*", "x").split()  # the first of (one|two)
    state = dict.fromkeys(keys, torch.ones(1))
    hide(monkeypatch, "spandrel_extra_arches")
    assert bool(advice_to_install(state)) == (family.architecture in EXTRA_NAMES)
    hide(monkeypatch, "spandrel")
    package = "spandrel_extra_arches" if family.architecture in EXTRA_NAMES else r"'srtoolbox\[spandrel\]'"
    with pytest.raises(CheckpointError, match=f"x.pth: .*; pip install {package} opens {family.architecture}$"):
        recognise(state, "x.pth")


def test_the_command_tells_it(
    tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    torch.save(made(BY_NAME["NAFNet"]).state_dict(), tmp_path / "net.pth")
    write_image(tmp_path / "p.png", photo[:8, :8])
    hide(monkeypatch, "spandrel", "spandrel_extra_arches")
    assert main(["upscale", str(tmp_path / "net.pth"), str(tmp_path / "p.png")]) == 2
    assert "looks like NAFNet, which has no network here; pip install 'srtoolbox[spandrel]'" in capsys.readouterr().err


def test_half_precision_that_it_does_not_bear_is_float32(log: pytest.LogCaptureFixture) -> None:
    _, network = opened(made(BY_NAME["NAFNet"]).state_dict())
    lq = torch.rand(1, 3, 20, 24)
    with torch.inference_mode():
        assert torch.equal(AutocastRestore(network, "fp16")(lq), restore(network, lq).rgb)
        assert not torch.equal(AutocastRestore(network, "bf16")(lq), restore(network, lq).rgb)
    assert "NAFNet of spandrel does not bear float16: it computes in float32" in log.text


def test_other_files_of_a_family_are_told_off(tmp_path: Path) -> None:
    state = made(BY_NAME["NAFNet"]).state_dict()
    lacking = {key: value for key, value in state.items() if not key.startswith("ending")}
    with pytest.raises(CheckpointError, match=r"x.pth: "):
        recognise(lacking, "x.pth")
    more = {**state, "other.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"x.pth: looks like NAFNet, but spandrel cannot open it"):
        recognise(more, "x.pth")
    with pytest.raises(CheckpointError, match="NAFNet that upscales x1, not x4"):
        recognise(state, "x.pth", scale=4)
    four = made(Small("NAFNet", "NAFNet", {**BY_NAME["NAFNet"].arguments, "img_channel": 4})).state_dict()
    with pytest.raises(CheckpointError, match="maps images of 4 channels to 4"):
        recognise(four, "x.pth")


def test_wrong_configs_are_told() -> None:
    state = made(BY_NAME["NAFNet"]).state_dict()
    config = {"type": "Spandrel", "scale": 1, "architecture": "NAFNet", "tensors": describe_tensors(state)}
    assert NETWORKS.build(config).scale == 1
    for change, message in (
        ({"scale": 2}, "scale=2 is not possible; allowed: 1"),
        ({"colour": "y"}, "colour='y' is not possible; allowed: 'rgb'"),
        ({"architecture": "Nafnet"}, "has no 'Nafnet'"),
        ({"tensors": ["a.weight 3 x"]}, "'a.weight 3 x' is no tensor's name and shape"),
    ):
        with pytest.raises(ConfigError, match=message):
            NETWORKS.build({**config, **change})


def test_tensors_are_described_by_names_shapes_and_few_values() -> None:
    state = {
        "a.weight": torch.ones(2, 3, dtype=torch.float16),
        "a.count": torch.tensor(5),
        "up.MetaUpsample": torch.tensor([1, 2, 4, 3, 3, 64, 4], dtype=torch.uint8),
    }
    lines = describe_tensors(state)
    assert lines == ["a.weight 2 3", "a.count int64", "up.MetaUpsample uint8 7 = 1.0 2.0 4.0 3.0 3.0 64.0 4.0"]
    again = state_of(lines)
    assert again["a.weight"].shape == (2, 3) and again["a.count"].dtype == torch.int64
    assert torch.equal(again["up.MetaUpsample"], state["up.MetaUpsample"])


def test_the_table_of_the_docs_has_all() -> None:
    page = (Path(__file__).parents[2] / "docs/other_weights.md").read_text(encoding="utf-8")
    table = page.split("## Through spandrel")[1].split("| for |")[1].split("\n- ")[0]
    words = set(re.findall(r"\w+", table))
    assert {family.architecture for family in FAMILIES} <= words
    assert set(architectures()) <= words
    example = page.split("## Through spandrel")[1].split("```")[1]
    assert not {row.network for row in LAYOUTS} & set(re.findall(r"\w+", example))  # those are opened here


def test_the_extra_opens_as_many_more_as_told() -> None:
    page = (Path(__file__).parents[2] / "docs/install.md").read_text(encoding="utf-8")
    assert "about thirty more architectures" in page
    here = {row.network for row in LAYOUTS} | {"Compact", "ESRGAN"}
    more = {family.architecture for family in FAMILIES if family.does not in REASONS} - here
    assert 25 <= len(more & set(architectures())) <= 35
