"""Other projects' networks, recognised from their tensors alone: right type, right arguments, equal outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import srtoolbox.weights.recognise as recognising
from srtoolbox.errors import CheckpointError
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize
from srtoolbox.weights import by_spandrel
from srtoolbox.weights.formats.edsr import with_means
from srtoolbox.weights.load import load_network, weights_in
from srtoolbox.weights.recognise import recognise, scale_in
from tests.models.networks.small import small_config
from tests.weights.formats import foreign

X = torch.rand(1, 3, 12, 8, generator=torch.Generator().manual_seed(5))


def randomised(network: nn.Module) -> nn.Module:
    """With parameters and statistics that all matter."""
    generator = torch.Generator().manual_seed(7)
    for key, value in network.state_dict().items():
        if value.is_floating_point() and "rpe_biases" not in key:  # DAT's are the size of its windows
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(noise + 0.5 if "var" in key else (noise - 0.4) * 0.3)
    return network.eval().requires_grad_(False)


def agree(ours: nn.Module, theirs: object, x: torch.Tensor) -> None:
    """Equal outputs, in float64, where the order of sums hardly matters."""
    theirs = theirs.double() if isinstance(theirs, nn.Module) else theirs
    torch.testing.assert_close(ours.double()(x.double()), theirs(x.double()), rtol=1e-9, atol=1e-9)


def recognised(state: dict, name: str = "x.pth", **options: object) -> tuple[nn.Module, str, dict]:
    found = recognise(state, name, **options)
    network = NETWORKS.build(found.config)
    network.load_state_dict(found.tensors)
    return network.eval(), found.sentence, found.config


@pytest.mark.parametrize(
    ("network", "wrap", "sentence"),
    [
        (foreign.OldESRGAN(4), lambda s: s, "ESRGAN, old key layout, x4, 2 blocks, 8 features"),
        (foreign.OldESRGAN(4, plus=True), lambda s: s, "ESRGAN, old key layout, x4, 2 blocks, 8 features, ESRGAN+"),
        (foreign.OldESRGAN(8, blocks=1), lambda s: s, "ESRGAN, old key layout, x8, 1 block, 8 features"),
        (
            foreign.MMagicMSRResNet(4),
            lambda s: {"state_dict": {f"generator.{k}": v for k, v in s.items()}, "meta": {}},
            "MSRResNet, MMagic's names, x4, 2 blocks, 8 features",
        ),
        (foreign.MMagicMSRResNet(3), lambda s: s, "MSRResNet, MMagic's names, x3, 2 blocks, 8 features"),
        (
            foreign.LornatangSRResNet(),
            lambda s: {"epoch": 3, "state_dict": s},
            "SRResNet, Lornatang's names, x4, 2 blocks, 8 features",
        ),
        (foreign.LornatangESPCN(3), lambda s: s, "ESPCN, Lornatang's names, x3, 5-3-3, luma"),
        (
            foreign.FastSRGAN(),
            lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
            "Fast-SRGAN's generator, HasnainRaz' names, x4, 2 blocks, 8 features",
        ),
        (foreign.YjnESPCN(2), lambda s: s, "ESPCN, yjn870's names, x2, 5-3-3, luma"),
        (foreign.BasicSREDSR(4), lambda s: {"params": s}, "EDSR, BasicSR's names, x4, 3 blocks, 8 features"),
        (foreign.BasicSRRCAN(4), lambda s: s, "RCAN, BasicSR's names, x4, 2 groups, 3 blocks, 8 features"),
        (foreign.BasicSRRCAN(3), lambda s: s, "RCAN, BasicSR's names, x3, 2 groups, 3 blocks, 8 features"),
        (foreign.BasicSREDSR(3), lambda s: s, "EDSR, BasicSR's names, x3, 3 blocks, 8 features"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_written_by_others(network: nn.Module, wrap: object, sentence: str) -> None:
    network = randomised(network)
    ours, said, config = recognised(wrap(network.state_dict()))
    x = X[:, : 1 if config["colour"] == "y" else 3]
    agree(ours, network, x)
    assert said == sentence


@pytest.mark.parametrize("scale", [2, 3])
def test_one_stage_may_be_two_or_three_times(scale: int) -> None:
    network = randomised(foreign.OldESRGAN(scale))
    ours, sentence, _ = recognised(network.state_dict())
    assert ours.scale == 2 and sentence.endswith(", taken for x2 (--scale 3 where it is for x3)")
    for options in ({"scale": scale}, {"name": f"{scale}x_thing.pth"}):
        ours, sentence, _ = recognised(network.state_dict(), **options)
        agree(ours, network, X)
        assert "taken for" not in sentence


@pytest.mark.parametrize(
    "network", [foreign.LornatangSRCNN(), foreign.LornatangVDSR()], ids=lambda network: type(network).__name__
)
@pytest.mark.parametrize("scale", [2, 3])
def test_networks_on_the_upscaled_image_serve_any_scale(network: nn.Module, scale: int) -> None:
    network, x = randomised(network), X[:, :1]
    with pytest.raises(CheckpointError, match=r"fit any scale.*--scale N"):
        recognise(network.state_dict(), "x.pth")
    ours = recognised(network.state_dict(), scale=scale)[0]
    agree(ours, lambda small: network.double()(imresize(small, scale)), x)


@pytest.mark.parametrize("order", ["rgb", "ycbcr"])
def test_fsrcnn_of_nhat_thanh(order: str) -> None:
    """Its own files are of JPEG's YCbCr, which a trial finds out; an Adapter feeds it then."""
    network = randomised(foreign.NhatThanhFSRCNN(3))
    ours, sentence, config = recognised(network.state_dict(), "fsrcnn_x3.pth")
    agree(ours, network, X)
    assert sentence == "FSRCNN, Nhat-Thanh's names, x3, 6 features" and config["num_mapping"] == 3
    adapter = NETWORKS.get("Adapter")(3, ours, order=order).double()
    to_ycbcr = torch.tensor(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=torch.float64
    )
    if order == "rgb":
        to_ycbcr = torch.eye(3, dtype=torch.float64)
    gray = torch.tensor([0, 128 / 255, 128 / 255] if order == "ycbcr" else [0, 0, 0], dtype=torch.float64)
    ycbcr = torch.einsum("rc,ncyx->nryx", to_ycbcr, X.double()) + gray.view(3, 1, 1)
    result = network.double()(ycbcr) - gray.view(3, 1, 1)
    expected = torch.einsum("rc,ncyx->nryx", torch.linalg.inv(to_ycbcr), result)
    torch.testing.assert_close(adapter(X.double()), expected, rtol=0, atol=1e-4)


def test_fsrcnn_of_lornatang() -> None:
    network = randomised(foreign.LornatangFSRCNN(3))
    ours, sentence, config = recognised(network.state_dict(), "fsrcnn_x3.pth")
    agree(ours, network, X[:, :1])
    assert sentence == "FSRCNN, Lornatang's names, x3, 6 features, luma" and config["num_mapping"] == 3


OURS = [
    {"type": "RRDBNet", "scale": 4, "num_features": 8, "growth_channels": 4, "num_blocks": 2},
    {"type": "RRDBNet", "scale": 2, "num_features": 8, "growth_channels": 4, "num_blocks": 1, "colour": "y"},
    {"type": "RRDBNet", "scale": 1, "num_features": 8, "growth_channels": 4, "num_blocks": 1},
    {"type": "RRDBNet", "scale": 4, "num_features": 8, "growth_channels": 4, "num_blocks": 1, "plus": True},
    {"type": "RRDBNet", "scale": 1, "num_features": 8, "growth_channels": 4, "num_blocks": 1, "unshuffle": False},
    {"type": "RRDBNet", "scale": 3, "num_features": 8, "num_blocks": 1, "upsampling": "pixelshuffle"},
    {"type": "RRDBNet", "scale": 4, "num_features": 8, "num_blocks": 1, "num_dense_blocks": 2, "num_convs": 3},
    {"type": "MSRResNet", "scale": 2, "num_features": 8, "num_blocks": 3},
    {"type": "MSRResNet", "scale": 4, "num_features": 8, "num_blocks": 1, "colour": "y"},
    {"type": "SRResNet", "scale": 8, "num_features": 8, "num_blocks": 1},
    {"type": "SRResNet", "scale": 3, "num_features": 8, "num_blocks": 2, "bias": True, "body_end": "prelu"},
    {"type": "ESPCN", "scale": 3, "kernels": [5, 3, 3], "channels": [6, 4]},
    {"type": "ESPCN", "scale": 2, "kernels": [5, 3], "channels": [6], "colour": "rgb"},
    {"type": "SRCNN", "scale": 2, "kernels": [9, 1, 5], "channels": [6, 4], "padding": "zeros", "colour": "rgb"},
    {"type": "FSRCNN", "scale": 4, "num_features": 8, "shrink_channels": 5, "num_mapping": 1, "colour": "rgb"},
    {"type": "VDSR", "scale": 2, "num_features": 8, "num_blocks": 2, "bias": True},
    {"type": "EDSR", "scale": 8, "num_features": 8, "num_blocks": 2, "residual_scaling": 1.0},
    {"type": "EDSR", "scale": 3, "num_features": 8, "num_blocks": 1, "residual_scaling": 1.0, "colour": "y"},
    {"type": "EDSR", "scale": 1, "num_features": 136, "num_blocks": 1},
    {"type": "RCAN", "scale": 3, "num_features": 8, "num_groups": 2, "num_blocks": 1, "reduction": 4, "img_range": 1.0}
    | {"rgb_mean": [0.0, 0.0, 0.0]},
    {"type": "RDN", "scale": 4, "num_features": 8, "num_blocks": 2, "num_convs": 3, "growth_channels": 6},
    {"type": "RDN", "scale": 3, "num_features": 8, "num_blocks": 1, "num_convs": 1, "colour": "y"},
    {"type": "IMDN", "scale": 3, "num_features": 16, "num_blocks": 2},
    {"type": "CARN", "scale": 4, "num_features": 8, "num_blocks": 2},
    {"type": "CARN", "scale": 3, "num_features": 8, "num_blocks": 3, "groups": 4, "colour": "y"},
    {"type": "DRCT", "scale": 4, "num_features": 8, "num_heads": [2, 4], "growth_channels": 8, "window_size": 4},
    {"type": "HAT", "scale": 2, "num_features": 8, "depths": [1, 2], "num_heads": [2, 4], "squeeze_factor": 4},
    {"type": "OmniSR", "scale": 3, "num_features": 8, "num_groups": 2, "window_size": 4, "colour": "y"},
    {"type": "PAN", "scale": 4, "num_features": 8, "num_blocks": 2, "upsampling_channels": 4},
    {"type": "PAN", "scale": 3, "num_features": 6, "num_blocks": 1, "colour": "y"},
    {"type": "RFDN", "scale": 3, "num_features": 8, "num_blocks": 3},
    {"type": "RFDN", "scale": 4, "num_features": 8, "num_blocks": 2, "attention": "contrast"},
    {"type": "RLFN", "scale": 4, "num_features": 8, "num_blocks": 2, "esa_channels": 4},
    {"type": "RLFN", "scale": 2, "num_features": 6, "mid_channels": 8, "num_blocks": 1, "colour": "y"},
    {"type": "SAFMN", "scale": 3, "num_features": 8, "num_blocks": 2, "ffn_scale": 1.5, "colour": "y"},
    {"type": "SAFMNPP", "scale": 2, "num_features": 8, "num_blocks": 1},
    {"type": "SAFMNPP", "scale": 4, "num_features": 10, "num_blocks": 2, "ratio": 3, "residual": True},
    {
        "type": "PLKSR",
        "scale": 3,
        "num_features": 8,
        "num_blocks": 1,
        "kernel_size": 5,
        "ccm_type": "ICCM",
        "colour": "y",
    },
    {"type": "RealPLKSR", "scale": 2, "num_features": 8, "num_blocks": 1, "kernel_size": 5, "dysample": True},
    {"type": "SPAN", "scale": 4, "num_features": 8, "num_blocks": 6, "norm": False},
    {"type": "SPAN", "scale": 2, "num_features": 8, "num_blocks": 2, "fused": True, "colour": "y"},
    {"type": "SRVGGNetCompact", "scale": 4, "num_features": 8, "num_blocks": 3, "colour": "y"},
    {"type": "SRFormer", "scale": 2, "num_features": 8, "depths": [1, 2], "num_heads": [2, 4], "window_size": 6},
    {"type": "ATD", "scale": 2, "num_features": 12, "depths": [2], "num_heads": [2], "window_size": 4, "norm": False},
    {"type": "DAT", "scale": 4, "num_features": 32, "depths": [2], "num_heads": [2], "split_size": [4, 2]},
    {"type": "SwinIR", "scale": 3, "num_features": 8, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4},
    {"type": "SwinIR", "scale": 1, "num_features": 8, "depths": [1], "num_heads": [2], "mlp_ratio": 1.5, "colour": "y"},
]


@pytest.mark.parametrize("config", OURS, ids=lambda config: f"{config['type']}_x{config['scale']}")
def test_bare_weights_of_our_own_networks(config: dict) -> None:
    network = randomised(NETWORKS.build(config))
    ours, _, found = recognised(network.state_dict(), scale=config["scale"])
    assert {**found, **config} == found
    x = X[:, : 1 if config.get("colour", "rgb" if network.in_channels == 3 else "y") == "y" else 3]
    if config["type"] == "VDSR":  # the public weights, of the same names, are for a clipped input
        ours.input_range = None
    agree(ours, network, x)


@pytest.mark.parametrize(
    ("name", "key", "features", "ratio"),
    [
        ("SwinIR", "mlp_ratio", 28, 2.2),
        ("SRFormer", "mlp_ratio", 28, 2.2),
        ("HAT", "mlp_ratio", 28, 2.2),
        ("DRCT", "mlp_ratio", 28, 2.2),
        ("ATD", "mlp_ratio", 28, 2.2),
        ("DAT", "expansion_factor", 38, 2.8),
    ],
)
def test_ratios_that_are_no_whole_numbers(name: str, key: str, features: int, ratio: float) -> None:
    # 61 / 28 * 28 is below 61 in floats
    config = {**small_config(name, 2), "num_features": features, key: ratio}
    state = NETWORKS.build(config).state_dict()
    found = recognise({"params": state}, "x.pth")
    assert {found.config["type"], found.config["num_features"]} == {name, features}
    NETWORKS.build(found.config).load_state_dict(found.tensors)


def test_compact_trained_with_relu() -> None:
    """It has no tensors where PReLU has slopes; with these, of 0, it opens wherever Compact does."""
    torch.manual_seed(0)
    sizes = [(3, 8), (8, 8), (8, 8), (8, 12)]
    layers = [layer for i, o in sizes for layer in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU())][:-1]
    body = randomised(nn.Sequential(*layers))
    state = {f"body.{key}": value for key, value in body.state_dict().items()}
    network, sentence, config = recognised({"params": state})
    assert sentence == "SRVGGNetCompact, trained with ReLU, x2, 2 blocks, 8 features"
    agree(
        network,
        lambda x: nn.functional.pixel_shuffle(body.double()(x), 2) + nn.functional.interpolate(x, scale_factor=2),
        X,
    )
    assert config["num_blocks"] == 2
    with pytest.raises(CheckpointError, match="it is not convolutions with ReLU between them"):
        recognise({"params": {key: value for key, value in state.items() if "4" not in key}}, "x.pth")


def test_names_of_2019() -> None:
    config = {"type": "RRDBNet", "scale": 4, "num_features": 8, "growth_channels": 4, "num_blocks": 2}
    network = randomised(NETWORKS.build(config))

    def rename(key: str) -> str:
        key = key.replace("conv_body", "trunk_conv").replace("body", "RRDB_trunk").replace("rdb", "RDB")
        return key.replace("conv_up", "upconv").replace("conv_hr", "HRconv")

    state = {"params_ema": {rename(key): value for key, value in network.state_dict().items()}}
    ours, sentence, _ = recognised(state)
    assert sentence == "ESRGAN, key layout of 2019, x4, 2 blocks, 8 features, EMA weights"
    agree(ours, network, X)
    old = {key.replace("body", "recon_trunk").replace("conv_hr", "HRconv"): value for key, value in small_ms().items()}
    assert recognised(old)[1] == "MSRResNet, BasicSR's names of 2019, x2, 1 block, 8 features"


def small_ms() -> dict[str, torch.Tensor]:
    return NETWORKS.build({"type": "MSRResNet", "scale": 2, "num_features": 8, "num_blocks": 1}).state_dict()


def test_fast_srgan_in_half_precision_and_whole() -> None:
    """Its statistics are the image's: it has no field, and stays near in bfloat16."""
    network, _, config = recognised(foreign.FastSRGAN().state_dict())
    assert network.receptive_field is None and config["input_range"] == "signed"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        half = network(X)
    assert (half.float() - network(X)).abs().max() < 0.05


def test_counters_that_old_files_lack_are_added() -> None:
    state = NETWORKS.build({"type": "SRResNet", "scale": 2, "num_features": 8, "num_blocks": 1}).state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert recognised(state)[1] == "SRResNet, x2, 1 block, 8 features"


def keys(*names: str) -> dict[str, torch.Tensor]:
    return dict.fromkeys(names, torch.ones(1))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (keys("conv_first.weight", "layers.0.residual_group.blocks.0.attn.logit_scale"), "looks like Swin2SR"),
        (keys("1.sub.0.res.0.weight"), "looks like SRResNet of 2018 .*, which has no network here"),
        (keys("conv0_0.weight", "bn0_1.weight", "linear1.weight"), "looks like a discriminator"),
        (keys("conv0.weight", "conv1.weight_orig", "conv1.weight_u"), "looks like a discriminator"),
        (keys("intro.weight", "encoders.0.0.conv1.weight"), "looks like NAFNet, which has no network here"),
        (keys("features.0.weight", "classifier.0.weight"), "perceptual loss"),
        (keys("head.weight", "tail.weight"), r"2 tensors of no network known here \(head.weight, tail.weight\)"),
    ],
)
def test_what_does_not_fit_is_told_by_name(state: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"x.pth: .*{message}"):
        recognise(state, "x.pth")


def test_damaged_layouts_are_told() -> None:
    state = foreign.OldESRGAN(4).state_dict()
    plus = {**state, "model.1.sub.0.RDB1.conv1x1.weight": torch.ones(4, 8, 1, 1)}
    with pytest.raises(CheckpointError, match=r"looks like ESRGAN, old key layout, but 5 missing \(body.*conv1x1"):
        recognise(plus, "x.pth")
    lacking = {key: value for key, value in state.items() if not key.startswith("model.1.sub.0.RDB2.conv3")}
    with pytest.raises(CheckpointError, match=r"2 missing \(body.0.rdb2.conv3.\{weight,bias\}\)"):
        recognise(lacking, "x.pth")


BROKEN = {
    "no axes": lambda value: value.sum(),
    "one axis": lambda value: value.flatten(),
    "no channels": lambda value: value.narrow(min(1, value.dim() - 1), 0, 0) if value.dim() else value,
}


STATES = [
    foreign.OldESRGAN(4).state_dict(),
    foreign.MMagicMSRResNet(4).state_dict(),
    foreign.LornatangSRResNet().state_dict(),
    foreign.LornatangFSRCNN(2).state_dict(),
    foreign.LornatangVDSR().state_dict(),
    foreign.YjnESPCN(3).state_dict(),
    NETWORKS.build({"type": "IMDN", "scale": 2, "num_features": 16}).state_dict(),
    {**NETWORKS.build({"type": "SRVGGNetCompact", "scale": 2}).state_dict(), "body.x.weight": torch.ones(1)},
    with_means(NETWORKS.build(small_config("EDSR", 2)).state_dict()) | {"sub_mean.bias": torch.ones(3)},
    NETWORKS.build(small_config("RDN", 2)).state_dict(),
    foreign.BasicSRRCAN(2, blocks=1).state_dict(),
]
SHAPES = [
    pytest.param(
        state, broken, id=f"{next(iter(state))}-{broken}", marks=[pytest.mark.slow] * ((number + way) % len(BROKEN) > 0)
    )
    for number, state in enumerate(STATES)
    for way, broken in enumerate(BROKEN)
]
"""Each state broken in each way; in the default run in one."""


@pytest.mark.parametrize(("state", "broken"), SHAPES)
def test_tensors_of_any_shape_are_told_off(state: dict, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_spandrel, "is_installed", lambda: False)  # it would be asked each time
    changed = {key: BROKEN[broken](value.float()) for key, value in state.items()}
    for key in state:
        if changed[key].shape != state[key].shape:
            with pytest.raises(CheckpointError):
                recognise({**state, key: changed[key]}, "x_x2.pth")
    with pytest.raises(CheckpointError):
        recognise(changed, "x_x2.pth")


WINDOW = "layers.0.residual_group.blocks.0.attn.relative_position_bias_table"
LARGE = torch.zeros(999**2, 2)  # of windows of 500 pixels: a table of their positions is 500 GB


@pytest.mark.parametrize(
    ("name", "key", "tensor", "message"),
    [
        ("SwinIR", WINDOW, LARGE, "its windows of 500 x 500 pixels are larger than any"),
        ("SRFormer", WINDOW, LARGE, "its windows of 500 x 500 pixels are larger than any"),
        ("HAT", WINDOW, LARGE, "its windows of 500 x 500 pixels are larger than any"),
        ("HAT", "layers.0.residual_group.overlap_attn.relative_position_bias_table", LARGE, "992 x 992 pixels"),
        ("OmniSR", "residual_layer.0.residual_layer.0.layer.2.fn.rel_pos_bias.weight", LARGE, "500 x 500 pixels"),
        (
            "DAT",
            "layers.0.blocks.0.attn.attns.0.rpe_biases",
            torch.full((21, 2), 1e5),
            "100001 x 100001 pixels are larger",
        ),
        ("DAT", "layers.0.blocks.0.attn.attns.0.rpe_biases", torch.full((21, 2), 3.0), "distances do not fit"),
        ("DAT", "layers.0.blocks.0.attn.attns.0.rpe_biases", torch.zeros(7), "make no network"),
        ("SRFormer", "layers.0.residual_group.blocks.0.mlp.fc1.weight", torch.zeros(0, 4), "mlp_ratio"),
        ("ATD", "layers.0.residual_group.layers.0.convffn.fc1.weight", torch.zeros(0, 4), "mlp_ratio"),
    ],
)
def test_windows_and_widths_that_no_network_has(
    name: str, key: str, tensor: torch.Tensor, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(recognising, "open_by_spandrel", lambda *_: asked.append(1))
    state = NETWORKS.build(small_config(name, 2)).state_dict()
    with pytest.raises(CheckpointError, match=message):
        recognise({**state, key: tensor}, "x.pth")
    assert bool(asked) == ("pixels" not in message)  # it would make its own tables


def test_another_scale_than_wanted_is_refused() -> None:
    with pytest.raises(CheckpointError, match="that upscales x2, not x4"):
        recognise(small_ms(), "x.pth", scale=4)


def test_scales_in_names() -> None:
    names = [
        "net_x4.pth",
        "4x_net.pth",
        "realesr-x4.pth",
        "RealESRGAN_x4plus.pth",
        "dir_x2/net.pth",
        "x2_x3.pth",
        "v4x2b",
    ]
    assert [scale_in(name) for name in names] == [4, 4, 4, 4, None, None, None]


def test_nothing_is_allocated_for_a_lie(tmp_path: Path) -> None:
    """A file of a few bytes that claims 10^9 channels, by shape or by names, costs no memory."""
    state = small_ms()
    state["conv_first.weight"] = torch.ones(1).expand(10**9, 3, 3, 3)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"conv_first.weight claims more values than the file holds"):
        load_network(tmp_path / "x.pth")


# ---- through the commands' door


def test_load_network_needs_no_config_and_says_what_it_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import logging

    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    network = randomised(foreign.OldESRGAN(4))
    torch.save({"params_ema": network.state_dict()}, tmp_path / "y.pth")
    loaded = load_network(tmp_path / "y.pth", trial=False)
    agree(loaded, network, X)
    assert "y.pth: ESRGAN, old key layout, x4, 2 blocks, 8 features, EMA weights" in caplog.text


def test_a_given_config_counts_where_it_fits_and_is_told_off_where_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    logging.getLogger("srtoolbox").propagate = True
    torch.save(foreign.YjnESPCN(2).state_dict(), tmp_path / "x.pth")
    relu = {"type": "ESPCN", "scale": 2, "channels": [6, 4], "activation": "relu"}
    assert load_network(tmp_path / "x.pth", config=relu, trial=False).activation == "relu"
    bicubic = {"type": "Bicubic", "scale": 2}
    assert load_network(tmp_path / "x.pth", config=bicubic, trial=False).activation == "tanh"
    assert "x.pth is not the Bicubic given; its own network is used" in caplog.text
    torch.save(keys("head.weight"), tmp_path / "y.pth")
    with pytest.raises(CheckpointError, match=r"(?s)no network known here.*does not fit the ESPCN given either"):
        load_network(tmp_path / "y.pth", config=relu)


def test_fine_tuning_takes_other_names_but_no_generator_for_a_discriminator() -> None:
    state = foreign.OldESRGAN(2).state_dict()
    assert "body.0.rdb1.conv1.weight" in weights_in(state, "x.pth", weights="ema")
    with pytest.raises(CheckpointError, match="holds a generator, no discriminator"):
        weights_in(state, "x.pth", "discriminator", weights="ema")
