"""What tensors do not tell is found out on a photograph: the right network is taken, named, and kept."""

from __future__ import annotations

import inspect
import json
import logging
import math
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from srtoolbox.cli import main
from srtoolbox.errors import CheckpointError
from srtoolbox.image import rgb_to_ycbcr, to_tensor
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize
from srtoolbox.weights import contest
from srtoolbox.weights import plausibility as guarding
from srtoolbox.weights.contest import Score
from srtoolbox.weights.load import load_network, read_network
from srtoolbox.weights.plausibility import cache_folder
from srtoolbox.weights.trial import Trial, _own_candidates, describe, fed, try_on_photograph
from tests.weights.fitted import fitted_espcn

RELU = {"type": "ESPCN", "scale": 3, "kernels": [5, 3, 3], "channels": [24, 16], "activation": "relu"}
RGB = {**RELU, "colour": "rgb"}
TANH = {**RELU, "activation": "tanh"}
MEAN = [0.4488, 0.4371, 0.4040]
DIV2K = torch.tensor(MEAN).view(1, 3, 1, 1)


def to_jpeg(rgb: Tensor) -> Tensor:
    """YCbCr of the full range, as in JPEG files."""
    red, green, blue = rgb.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luma, (blue - luma) / 1.772 + 128 / 255, (red - luma) / 1.402 + 128 / 255], 1)


@pytest.fixture(scope="module")
def relu() -> dict[str, Tensor]:
    """A luma ESPCN trained with relu: its tensors fit the one with tanh, too."""
    return fitted_espcn(RELU)


@pytest.fixture
def relu_file(relu: dict[str, Tensor], tmp_path: Path) -> Path:
    torch.save(relu, tmp_path / "espcn.pth")
    return tmp_path / "espcn.pth"


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> pytest.LogCaptureFixture:
    """What is told; and a cache of this test alone."""
    monkeypatch.setenv("SRTOOLBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(logging.getLogger("srtoolbox"), "propagate", True)
    caplog.set_level(logging.INFO, "srtoolbox")
    return caplog


def psnr(network: torch.nn.Module) -> float:
    """dB of luma on a photograph that neither training nor trial has seen."""
    gt = to_tensor(np.ascontiguousarray(skimage.data.rocket()[100:250, 200:350]))
    gt, lq = (rgb_to_ycbcr(image)[:, :1] for image in (gt, imresize(gt, 1 / 3)))
    return float(-10 * torch.log10((network(lq).clamp(0, 1) - gt).square().mean()))


def test_an_espcn_trained_with_relu_opens_as_that(relu_file: Path, log: pytest.LogCaptureFixture) -> None:
    right, wrong = load_network(relu_file), load_network(relu_file, trial=False)
    assert (right.activation, wrong.activation) == ("relu", "tanh")
    assert psnr(right) > psnr(wrong) + 8
    assert "espcn.pth: ESPCN, x3, 5-3-3, luma, activation='relu'; on a photograph " in log.text
    assert "; not as assumed at first, activation='tanh': " in log.text


def test_the_commands_use_it(relu_file: Path, relu: dict[str, Tensor], tmp_path: Path) -> None:
    """Also what is converted from it, and what it is blended with."""
    ours, header = tmp_path / "ours.pth", tmp_path / "header.safetensors"
    assert main(["convert_checkpoint", str(relu_file), "-o", str(ours)]) == 0
    assert main(["convert_checkpoint", str(relu_file), "-o", str(header)]) == 0
    assert load_network(ours).activation == load_network(header).activation == "relu"
    assert main(["convert_checkpoint", str(relu_file), "-o", str(ours), "--no-trial"]) == 0
    assert load_network(ours).activation == "tanh"


def test_one_that_is_fed_otherwise_is_blended_with_its_like_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config, enter, train, _ = CONVENTIONS["255"]
    torch.save(fitted_espcn(config, enter, train), tmp_path / "a.pth")
    torch.save(fitted_espcn(config), tmp_path / "b.pth")
    half = ["--alpha", "0.5", "-o", str(tmp_path / "x.pth")]
    assert main(["interp", str(tmp_path / "a.pth"), str(tmp_path / "b.pth"), *half]) == 2
    told = "compute different things: activation='relu', images in 0 ... 255; and activation='relu'"
    assert told in capsys.readouterr().err
    assert main(["interp", str(tmp_path / "a.pth"), str(tmp_path / "a.pth"), *half]) == 0
    assert load_network(tmp_path / "x.pth").peak == 255


def test_a_blend_of_different_networks_is_refused_by_name(
    relu_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    main(["convert_checkpoint", str(relu_file), "-o", str(tmp_path / "tanh.pth"), "--no-trial"])
    pair = [str(relu_file), str(tmp_path / "tanh.pth")]
    assert main(["interp", *pair, "--alpha", "0.5", "-o", str(tmp_path / "x.pth")]) == 2
    assert "compute different things: activation='relu' and 'tanh'" in capsys.readouterr().err


def test_a_config_that_contradicts_the_weights_gives_way(relu_file: Path, log: pytest.LogCaptureFixture) -> None:
    """As one does whose tensors do not fit: the user is told, and gets the right image."""
    tanh = {**RELU, "activation": "tanh"}
    assert load_network(relu_file, config=RELU).activation == "relu"
    assert log.text == ""
    assert load_network(relu_file, config=tanh).activation == "relu"
    assert "espcn.pth is not the ESPCN given (activation='tanh': " in log.text
    assert load_network(relu_file, config=tanh, trial=False).activation == "tanh"


CONVENTIONS = {
    "YCbCr": (RGB, to_jpeg, to_jpeg, {"order": "ycbcr"}),
    "BGR": (RGB, lambda lq: lq.flip(1), lambda gt: gt.flip(1), {"order": "bgr"}),
    "255": (RELU, lambda lq: 255 * lq, lambda gt: 255 * gt, {"peak": 255.0}),
    "results in [-1, 1]": (RELU, lambda lq: lq, lambda gt: 2 * gt - 1, {"output_peak": 2.0, "output_mean": 0.5}),
    "mean": (RGB, lambda lq: 255 * (lq - DIV2K), lambda gt: 255 * (gt - DIV2K), {"peak": 255.0, "mean": MEAN}),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_how_a_network_was_fed_is_found_out(name: str, tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    config, enter, train, convention = CONVENTIONS[name]
    state = fitted_espcn(config, enter, train)
    torch.save(state, tmp_path / "net.pth")
    network = load_network(tmp_path / "net.pth")
    plain = NETWORKS.build(config)
    plain.load_state_dict(state)
    lq = torch.rand(1, network.in_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(train(network(lq)), plain(enter(lq)), rtol=1e-4, atol=1e-3)
    found = read_network(tmp_path / "net.pth").config
    assert convention.items() <= found.items() and describe(found)[-1] in log.text
    # what is made of it keeps that: our own checkpoint, a bare state_dict of ours
    for to, suffix in (("ours", ".pth"), ("plain", ".safetensors"), ("plain", ".pth")):
        assert (
            main(["convert_checkpoint", str(tmp_path / "net.pth"), "--to", to, "-o", f"{tmp_path}/{to}{suffix}"]) == 0
        )
        torch.testing.assert_close(load_network(f"{tmp_path}/{to}{suffix}")(lq), network(lq))


def test_the_range_is_settled_in_the_right_order_of_channels() -> None:
    """In the wrong one, 0 ... 255 looks a little better than [0, 1] to this network."""
    state = fitted_espcn({**RGB, "channels": [64, 32]}, lambda lq: lq.flip(1), lambda gt: gt.flip(1))
    assumed = {**RGB, "channels": [64, 32], "activation": "tanh"}
    assert describe(try_on_photograph(assumed, state).config) == ["activation='relu'", "BGR"]


@pytest.mark.parametrize(
    "name", ["BGR", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mean", "255", "YCbCr"))]
)
def test_candidates_that_cost_much_are_compared_on_a_part_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is that of all on the whole; few come there."""
    config, enter, train, convention = CONVENTIONS[name]
    state = fitted_espcn(config, enter, train)
    on_all = try_on_photograph(config, state)
    sides = sides_tried(monkeypatch)
    few = try_on_photograph(config, state)
    assert (few.config, few.score, few.assumed) == (on_all.config, on_all.score, on_all.assumed)
    assert convention.items() <= few.config.items()
    assert sides.count(12) == few.count and len(sides) - few.count <= 8


def sides_tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sides of all images that networks are given from here on; all networks cost much."""
    sides, scores = [], contest._scores
    monkeypatch.setattr(contest, "AFFORDABLE", 0)
    monkeypatch.setattr(contest, "AFFORDABLE_PART", 0)

    def counted(network: torch.nn.Module, sample: contest.Sample, count: int) -> list[Score]:
        sides.extend([sample.lq.shape[-1]] * count)
        return scores(network, sample, count)

    monkeypatch.setattr(contest, "_scores", counted)
    return sides


def test_a_large_network_that_fits_nothing_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the size that others are tried on."""
    config = {"type": "EDSR", "scale": 4, "num_features": 16, "num_blocks": 1}
    torch.manual_seed(0)
    state = {key: 2 * value for key, value in NETWORKS.build(config).state_dict().items()}
    sides = sides_tried(monkeypatch)
    trial = try_on_photograph(config, state)
    assert trial.score.match < contest.HOPELESS and trial.count >= 18
    assert sides == [12] * trial.count


def test_a_file_is_refused_by_the_best_of_what_failed_on_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of all is no less wrong than others: the one that is nearest is told."""
    config = {"type": "EDSR", "scale": 4, "num_features": 16, "num_blocks": 1}
    torch.manual_seed(0)
    state = {key: 2 * value for key, value in NETWORKS.build(config).state_dict().items()}
    sides_tried(monkeypatch)
    trial = try_on_photograph(config, state)
    part = contest.sample_for(NETWORKS.build(config), 12 * 4)
    network = NETWORKS.build(trial.config)
    inner = network.network if trial.config["type"] == "Adapter" else network
    inner.load_state_dict(state)
    assert trial.score == pytest.approx(contest.score_on(network, part), abs=1e-3)
    assert trial.score.match >= trial.assumed.match


@pytest.mark.parametrize("colour", ["rgb", "y"])
def test_ways_to_feed_a_network_are_one_batch(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As each alone, in their order, the network run once."""
    config = {**RGB, "colour": colour}
    state = fitted_espcn(config)
    own = [network for _, network in _own_candidates(config, state)][:2]
    ways = [{"peak": 255.0}, {"output_peak": 2.0, "output_mean": 0.5}]
    adapters = [fed(network, way) for network in own for way in ways]
    sample = contest.sample_for(own[0], 36)
    alone = [contest.score_on(network, sample) for network in (*own, *adapters)]
    runs: list[int] = []
    for network in own:
        network.register_forward_pre_hook(lambda _, inputs: runs.append(len(inputs[0])))
    together = contest.scores_on([own[1], own[0], *adapters], sample)
    alone[:2] = alone[1], alone[0]
    assert runs == [1, 1, 2, 2]
    for score, expected in zip(together, alone, strict=True):
        assert score == pytest.approx(expected, abs=1e-3)


def test_candidates_share_the_memory_of_one() -> None:
    state = {key: value.half() for key, value in NETWORKS.build(RGB).state_dict().items()}
    networks = [network for _, network in _own_candidates(RGB, state)]
    places = [{parameter.data_ptr() for parameter in network.parameters()} for network in networks]
    assert len(networks) == 4 and all(place == places[0] for place in places)
    assert {parameter.dtype for network in networks for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["network", "model"])
def test_a_plugins_network_that_holds_another_keeps_its_names(name: str, tmp_path: Path) -> None:
    """They begin as wrappers' do, which are taken off other files."""

    class Mine(torch.nn.Module):
        colour, in_channels, size_multiple, receptive_field = "rgb", 3, 1, None

        def __init__(self, scale: int) -> None:
            super().__init__()
            self.scale = scale
            self.add_module(name, NETWORKS.build({**RGB, "scale": scale}))

        def forward(self, lq: Tensor) -> Tensor:
            return self.get_submodule(name)(lq)

    NETWORKS.register(Mine)
    try:  # nor is the verdict kept, for the plugin may be changed
        state = fitted_espcn(RGB, lambda lq: 255 * lq, lambda gt: 255 * gt)
        torch.save({f"{name}.{key}": value for key, value in state.items()}, tmp_path / "net.pth")
        mine, lq = {"type": "Mine", "scale": 3}, torch.rand(1, 3, 8, 8)
        network = load_network(tmp_path / "net.pth", config=mine)
        assert (type(network.network).__name__, network.peak) == ("Mine", 255)
        assert not cache_folder().exists()
        (tmp_path / "mine.py").write_text(f"model = dict(generator={mine})")
        config = ["--config", str(tmp_path / "mine.py")]
        for target in ("a.pth", "a.safetensors"):
            assert main(["convert_checkpoint", str(tmp_path / "net.pth"), "-o", f"{tmp_path}/{target}", *config]) == 0
            torch.testing.assert_close(load_network(tmp_path / target)(lq), network(lq))
    finally:
        NETWORKS._entries.pop("Mine")


def test_a_mean_is_found_out(tmp_path: Path) -> None:
    torch.save(fitted_espcn(TANH, lambda lq: lq - 0.5, lambda gt: gt - 0.5), tmp_path / "net.pth")
    assert (load_network(tmp_path / "net.pth").mean, load_network(tmp_path / "net.pth").activation) == (0.5, "tanh")


def test_scale_1_is_judged_by_its_input(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    config = {"type": "SRVGGNetCompact", "scale": 1, "num_features": 8, "num_blocks": 1}
    network = NETWORKS.build(config)
    network.body[-1].weight.data /= 100  # so that it changes little
    network.body[-1].bias.data /= 100
    torch.save(network.state_dict(), tmp_path / "denoise_x1.pth")
    load_network(tmp_path / "denoise_x1.pth")
    assert "dB from its input" in log.text and "doubtful" not in log.text


def test_what_fails_is_refused_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.manual_seed(3)
    torch.save(NETWORKS.build(RELU).state_dict(), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"net.pth: ESPCN, x3.* dB in the best of \d+ ways.*--no-trial"):
        load_network(tmp_path / "net.pth")
    assert main(["export", str(tmp_path / "net.pth"), "--torch-export", str(tmp_path / "x.pt2")]) == 2
    assert "--no-trial" in capsys.readouterr().err
    assert load_network(tmp_path / "net.pth", trial=False).activation == "tanh"
    assert main(["model_info", str(tmp_path / "net.pth"), "--runs", "1"]) == 0  # needs no weights


@pytest.mark.parametrize(
    ("match", "outcome"),
    [(25.0, "taken"), (24.9, "doubtful"), (20.0, "doubtful"), (19.9, "refused"), (-math.inf, "refused")],
)
def test_between_sound_and_refused_a_sentence_warns(
    match: float, outcome: str, relu_file: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    score = Score(-9.0, match)
    monkeypatch.setattr(guarding, "try_on_photograph", lambda config, *_: Trial(config, score, score, 1))
    if outcome == "refused":
        told = f"agrees with it to {match:.1f} dB" if math.isfinite(match) else "is not finite"
        with pytest.raises(CheckpointError, match=f"{told}, where sound files reach 30"):
            load_network(relu_file)
        return
    load_network(relu_file)
    told = f"espcn.pth is doubtful: what it makes of a photograph, shrunk back, agrees with it to {match:.1f} dB only"
    assert (told in log.text) == (outcome == "doubtful")


def test_hidden_arguments_begin_with_the_default() -> None:
    """So what a config leaves out is described rightly."""
    for name in NETWORKS:
        parameters = inspect.signature(NETWORKS.get(name)).parameters
        for key, values in getattr(NETWORKS.get(name), "hidden_arguments", {}).items():
            assert values[0] == parameters[key].default, (name, key)


def test_our_own_files_need_no_trial(relu_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a header that names the network."""
    for name in ("a.pth", "a.safetensors"):
        main(["convert_checkpoint", str(relu_file), "-o", str(tmp_path / name), "--no-trial"])
    monkeypatch.setattr(guarding, "try_on_photograph", None)
    assert load_network(tmp_path / "a.pth").activation == load_network(tmp_path / "a.safetensors").activation == "tanh"


@pytest.mark.parametrize(
    "network",
    [
        {"type": "ESPCN", "scale": "3"},
        {"type": "ESPCN"},
        {"type": ["ESPCN"], "scale": 3},
        {"type": "Adapter", "scale": 3, "network": "ESPCN"},
        {"type": "Adapter", "scale": 3, "network": {"type": "ESPCN"}, "peak": "255"},
    ],
)
def test_a_file_of_ours_that_names_no_possible_network_is_named(network: dict, tmp_path: Path) -> None:
    config = json.dumps({"model": {"generator": network}})
    torch.save({"config": config, "networks": {"generator": {"a": torch.ones(1)}}}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth: (its network cannot be built: |no network .* is known)"):
        load_network(tmp_path / "odd.pth")


def test_a_trial_draws_nothing_from_the_random_numbers(relu_file: Path) -> None:
    before = torch.get_rng_state()
    read_network(relu_file)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_verdict_is_kept_by_content(
    relu_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    load_network(relu_file)
    (kept,) = cache_folder().iterdir()
    first = log.messages
    log.clear()
    os.rename(relu_file, tmp_path / "renamed.pth")
    with monkeypatch.context() as patch:
        patch.setattr(guarding, "try_on_photograph", None)
        assert load_network(tmp_path / "renamed.pth").activation == "relu"
        assert [line.replace("renamed", "espcn") for line in log.messages] == first
    for damage in ("", "[]", "{", "[" * 10_000, json.dumps({"key": kept.stem, "config": {}, "score": [1, 2]}), "\0"):
        kept.write_text(damage)
        assert load_network(tmp_path / "renamed.pth").activation == "relu"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "config": {"type": "Bicubic", "scale": 3}}))
    assert load_network(tmp_path / "renamed.pth").activation == "relu"  # a network that does not fit is none


@pytest.mark.parametrize("place", ["", "file", "missing home"])
def test_no_place_for_verdicts_is_no_fault(
    place: str, relu_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    if place == "missing home":
        monkeypatch.delenv("SRTOOLBOX_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    else:
        (tmp_path / "file").write_text("where the folder would be")
        monkeypatch.setenv("SRTOOLBOX_CACHE", place and str(tmp_path / place))
    assert load_network(relu_file).activation == "relu"
    assert [record.levelno for record in log.records] == [logging.INFO]


def test_a_network_whose_code_fails_here_is_told_and_taken(
    relu_file: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("needs a GPU\nand more")

    monkeypatch.setattr(guarding, "try_on_photograph", fail)
    assert load_network(relu_file, config=RELU).activation == "relu"
    assert "espcn.pth could not be tried on a photograph (RuntimeError: needs a GPU)" in log.text
