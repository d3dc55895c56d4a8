"""MSRResNet, SRResNet and IMDN in the names of BasicSR, MMagic, Lornatang, leftthomas and ours."""

from __future__ import annotations

from srtoolbox.weights.formats import (
    Arguments,
    Export,
    Layout,
    Misfit,
    State,
    count,
    first_convolution,
    rename,
    root,
    shuffle_scale,
    tensor,
)

MMAGIC = {"trunk_net.{n}.conv{k}": "body.{n}.conv{k}", "upsample{n}.upsample_conv": "upconv{n}"}
BASICSR_2019 = {"recon_trunk.{n}.conv{k}": "body.{n}.conv{k}", "HRconv": "conv_hr"}
LORNATANG = {
    "conv1.0": "conv_first",
    "conv1.1": "act_first",
    "trunk.{n}.rcb.0": "body.{n}.conv1",
    "trunk.{n}.rcb.1": "body.{n}.bn1",
    "trunk.{n}.rcb.2": "body.{n}.act",
    "trunk.{n}.rcb.3": "body.{n}.conv2",
    "trunk.{n}.rcb.4": "body.{n}.bn2",
    "conv2.0": "conv_body",
    "conv2.1": "bn_body",
    "upsampling.{n}.upsample_block.0": "upsample.{n}.conv",
    "upsampling.{n}.upsample_block.2": "upsample.{n}.act",
    "conv3": "conv_last",
}


def msrresnet(state: State, scale: int | None) -> Arguments:
    """Return MSRResNet's arguments but `init`, which only says how training begins."""
    first, stages = first_convolution(state, "conv_first.weight"), count(state, "upconv{n}.weight")
    return {
        "scale": shuffle_scale(state, "upconv{}.weight", range(1, stages + 1)),
        **first,
        "num_blocks": count(state, "body.{n}.conv1.weight"),
    }


FAST_SRGAN = {
    "neck.0": "conv_first",
    "neck.1": "act_first",
    "stem.{n}.conv{k}": "body.{n}.conv{k}",
    "stem.{n}.relu1": "body.{n}.act",
    "bottleneck.0": "conv_body",
    "upsampling.{n}.conv": "upsample.{n}.conv",
    "upsampling.{n}.relu": "upsample.{n}.act",
    "head.0": "conv_last",
}


def fast_srgan(state: State, scale: int | None) -> Arguments:
    """Return SRResNet's arguments for Fast-SRGAN, whose instance norms have no tensors."""
    kernel = tensor(state, "conv_first.weight").shape[-1]
    return {**srresnet(state, scale), "kernel_size": kernel, "norm": "instance"}


def srresnet(state: State, scale: int | None) -> Arguments:
    """Return SRResNet's arguments but `output`, which leaves no trace."""
    first, stages = first_convolution(state, "conv_first.weight"), count(state, "upsample.{n}.conv.weight")
    return {
        "scale": shuffle_scale(state, "upsample.{}.conv.weight", range(stages)),
        **first,
        "num_blocks": count(state, "body.{n}.conv1.weight"),
        "bias": "body.0.conv1.bias" in state,
        "body_end": "prelu" if "act_body.weight" in state else "batch",
    }


def from_leftthomas(state: State) -> State:
    """Rename `block1` to `block<n>`, whose body ends with a PReLU in place of BatchNorm.

    They are the first convolution, residual blocks, the body's last convolution, and the end.
    """
    names = {key.partition(".")[0] for key in state if key.startswith("block")}
    numbers = sorted(int(name.removeprefix("block")) for name in names)
    if len(numbers) < 4 or numbers != list(range(1, len(numbers) + 1)):
        raise Misfit("its blocks are not numbered from 1 up")
    end, body_end = numbers[-1], numbers[-2]
    stages = count(state, f"block{end}.{{n}}.conv.weight")
    table = {
        "block1.0": "conv_first",
        "block1.1": "act_first",
        f"block{body_end}.0": "conv_body",
        f"block{body_end}.1": "act_body",
        f"block{end}.{stages}": "conv_last",
        f"block{end}.{{n}}.conv": "upsample.{n}.conv",
        f"block{end}.{{n}}.prelu": "upsample.{n}.act",
    }
    for number in numbers[1:-2]:
        theirs, ours = f"block{number}", f"body.{number - 2}"
        table |= {f"{theirs}.prelu": f"{ours}.act", f"{theirs}.conv{{k}}": f"{ours}.conv{{k}}"}
        table[f"{theirs}.bn{{k}}"] = f"{ours}.bn{{k}}"
    return rename(state, table)


def imdn(state: State, scale: int | None) -> Arguments:
    """Return IMDN's arguments."""
    return {
        "scale": root(state["upsampler.0.weight"].shape[0] / state["fea_conv.weight"].shape[1]),
        **first_convolution(state, "fea_conv.weight"),
        "num_blocks": count(state, "IMDB{n}.c1.weight"),
    }


LAYOUTS = (
    Layout("MSRResNet", "BasicSR's names", "body.0.conv1.weight upconv1.weight conv_hr.weight", msrresnet),
    Layout("MSRResNet", "MMagic's names", "trunk_net.0.conv1.weight upsample1.upsample_conv.weight", msrresnet, MMAGIC),
    Layout(
        "MSRResNet", "BasicSR's names of 2019", "recon_trunk.0.conv1.weight upconv1.weight", msrresnet, BASICSR_2019
    ),
    Layout("SRResNet", "", "body.0.bn1.weight act_first.weight", srresnet),
    Layout(
        "SRResNet",
        "Lornatang's names",
        "trunk.0.rcb.0.weight upsampling.0.upsample_block.0.weight",
        srresnet,
        LORNATANG,
    ),
    Layout(
        "SRResNet",
        "leftthomas' names",
        "block1.0.weight block2.bn1.running_mean block{n}.0.prelu.weight",
        srresnet,
        from_leftthomas,
        hidden={"output": "tanh"},
        title="SRGAN's generator",
    ),
    Layout(
        "SRResNet",
        "HasnainRaz' names",
        "neck.0.weight stem.0.conv1.weight stem.0.relu1.weight bottleneck.0.weight head.0.weight",
        fast_srgan,
        FAST_SRGAN,
        hidden={"output": "tanh", "input_range": "signed"},
        title="Fast-SRGAN's generator",
    ),
    Layout("IMDN", "", "fea_conv.weight IMDB1.c1.weight upsampler.0.weight", imdn),
)
EXPORTS = (
    Export("basicsr", "MSRResNet", {}, {"scale": (2, 3, 4)}),
    Export("mmagic", "MSRResNet", MMAGIC, {"scale": (2, 3, 4)}),
)
