"""MSRResNet, SRResNet and IMDN in the names of BasicSR, MMagic, Lornatang, leftthomas and ours."""

from __future__ import annotations

import math

from srtoolbox.weights.formats import (
    Arguments,
    Layout,
    Misfit,
    State,
    as_they_are,
    colour_of,
    count,
    renamer,
    root,
    tensor,
)

MMAGIC = (("trunk_net.{n}.conv{k}", "body.{n}.conv{k}"), ("upsample{n}.upsample_conv", "upconv{n}"))
OLD_BASICSR = (("recon_trunk.{n}.conv{k}", "body.{n}.conv{k}"), ("HRconv", "conv_hr"))
LORNATANG = (
    ("conv1.0", "conv_first"),
    ("conv1.1", "act_first"),
    ("trunk.{n}.rcb.0", "body.{n}.conv1"),
    ("trunk.{n}.rcb.1", "body.{n}.bn1"),
    ("trunk.{n}.rcb.2", "body.{n}.act"),
    ("trunk.{n}.rcb.3", "body.{n}.conv2"),
    ("trunk.{n}.rcb.4", "body.{n}.bn2"),
    ("conv2.0", "conv_body"),
    ("conv2.1", "bn_body"),
    ("upsampling.{n}.upsample_block.0", "upsample.{n}.conv"),
    ("upsampling.{n}.upsample_block.2", "upsample.{n}.act"),
    ("conv3", "conv_last"),
)


def msrresnet(state: State, scale: int | None) -> Arguments:
    """Return MSRResNet's arguments but `init`, which only says how training begins."""
    first = tensor(state, "conv_first.weight")
    stages = count(state, "upconv{n}.weight")
    factors = [_factor(state, f"upconv{number}.weight") for number in range(1, stages + 1)]
    return {
        "scale": math.prod(factors),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_blocks": count(state, "body.{n}.conv1.weight"),
    }


def srresnet(state: State, scale: int | None) -> Arguments:
    """Return SRResNet's arguments but `output`, which leaves no trace."""
    first = tensor(state, "conv_first.weight")
    stages = count(state, "upsample.{n}.conv.weight")
    factors = [_factor(state, f"upsample.{number}.conv.weight") for number in range(stages)]
    return {
        "scale": math.prod(factors),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_blocks": count(state, "body.{n}.conv1.weight"),
        "bias": "body.0.conv1.bias" in state,
        "body_end": "prelu" if "act_body.weight" in state else "batch",
    }


def _factor(state: State, key: str) -> int:
    weight = tensor(state, key)
    return root(weight.shape[0] / weight.shape[1], "a sub-pixel upsampling")


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
    pairs = [
        ("block1.0", "conv_first"),
        ("block1.1", "act_first"),
        (f"block{body_end}.0", "conv_body"),
        (f"block{body_end}.1", "act_body"),
        (f"block{end}.{stages}", "conv_last"),
        (f"block{end}.{{n}}.conv", "upsample.{n}.conv"),
        (f"block{end}.{{n}}.prelu", "upsample.{n}.act"),
    ]
    for number in numbers[1:-2]:
        theirs, ours = f"block{number}", f"body.{number - 2}"
        pairs += [(f"{theirs}.prelu", f"{ours}.act"), (f"{theirs}.conv{{k}}", f"{ours}.conv{{k}}")]
        pairs += [(f"{theirs}.bn{{k}}", f"{ours}.bn{{k}}")]
    return renamer(*pairs)(state)


def imdn(state: State, scale: int | None) -> Arguments:
    """Return IMDN's arguments."""
    first, last = tensor(state, "fea_conv.weight"), tensor(state, "upsampler.0.weight")
    return {
        "scale": root(last.shape[0] / first.shape[1], "a sub-pixel upsampling"),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_blocks": count(state, "IMDB{n}.c1.weight"),
    }


LAYOUTS = (
    Layout(
        "MSRResNet",
        "BasicSR's names",
        "body.0.conv1.weight upconv1.weight conv_hr.weight",
        as_they_are,
        msrresnet,
    ),
    Layout(
        "MSRResNet",
        "MMagic's names",
        "trunk_net.0.conv1.weight upsample1.upsample_conv.weight",
        renamer(*MMAGIC),
        msrresnet,
    ),
    Layout(
        "MSRResNet",
        "BasicSR's names of 2019",
        "recon_trunk.0.conv1.weight upconv1.weight",
        renamer(*OLD_BASICSR),
        msrresnet,
    ),
    Layout("SRResNet", "", "body.0.bn1.weight act_first.weight", as_they_are, srresnet),
    Layout(
        "SRResNet",
        "Lornatang's names",
        "trunk.0.rcb.0.weight upsampling.0.upsample_block.0.weight",
        renamer(*LORNATANG),
        srresnet,
    ),
    Layout(
        "SRResNet",
        "leftthomas' names",
        "block1.0.weight block2.bn1.running_mean block{n}.0.prelu.weight",
        from_leftthomas,
        srresnet,
        (("output", "tanh"),),
        "SRGAN's generator",
    ),
    Layout("IMDN", "", "fea_conv.weight IMDB1.c1.weight upsampler.0.weight", as_they_are, imdn),
)
