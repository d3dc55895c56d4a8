"""MSRResNet and SRResNet in the names of BasicSR, MMagic, Lornatang and leftthomas."""

from __future__ import annotations

import math

from srtoolbox.weights.formats.layout import (
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
    """MSRResNet's arguments; `init` says how training begins only."""
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
    """SRResNet's arguments but `output`, which leaves no trace."""
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
    """`block1` to `block<n>`: first convolution, residual blocks, last convolution of the body, upsampling and end.

    The body ends with a PReLU in place of BatchNorm.
    """
    numbers = sorted({int(key.partition(".")[0].removeprefix("block")) for key in state if key.startswith("block")})
    if len(numbers) < 4 or numbers != list(range(1, len(numbers) + 1)):
        raise Misfit("its blocks are not numbered from 1 up")
    end, body_end = numbers[-1], numbers[-2]
    stages = count(state, f"block{end}.{{n}}.conv.weight")
    pairs = [("block1.0", "conv_first"), ("block1.1", "act_first"), (f"block{body_end}.0", "conv_body")]
    pairs += [(f"block{body_end}.1", "act_body"), (f"block{end}.{stages}", "conv_last")]
    pairs += [(f"block{end}.{{n}}.conv", "upsample.{n}.conv"), (f"block{end}.{{n}}.prelu", "upsample.{n}.act")]
    for number in numbers[1:-2]:
        ours = f"body.{number - 2}"
        pairs += [(f"block{number}.prelu", f"{ours}.act"), (f"block{number}.conv{{k}}", f"{ours}.conv{{k}}")]
        pairs += [(f"block{number}.bn{{k}}", f"{ours}.bn{{k}}")]
    return renamer(*pairs)(state)


LAYOUTS = (
    Layout(
        "MSRResNet",
        "MSRResNet",
        "BasicSR's names",
        (r"body\.0\.conv1\.weight", r"upconv1\.weight", r"conv_hr\.weight"),
        as_they_are,
        msrresnet,
    ),
    Layout(
        "MSRResNet",
        "MSRResNet",
        "MMagic's names",
        (r"trunk_net\.0\.conv1\.weight", r"upsample1\.upsample_conv\.weight"),
        renamer(*MMAGIC),
        msrresnet,
    ),
    Layout(
        "MSRResNet",
        "MSRResNet",
        "BasicSR's names of 2019",
        (r"recon_trunk\.0\.conv1\.weight", r"upconv1\.weight"),
        renamer(*OLD_BASICSR),
        msrresnet,
    ),
    Layout("SRResNet", "SRResNet", "", (r"body\.0\.bn1\.weight", r"act_first\.weight"), as_they_are, srresnet),
    Layout(
        "SRResNet",
        "SRResNet",
        "Lornatang's names",
        (r"trunk\.0\.rcb\.0\.weight", r"upsampling\.0\.upsample_block\.0\.weight"),
        renamer(*LORNATANG),
        srresnet,
    ),
    Layout(
        "SRResNet",
        "SRGAN's generator",
        "leftthomas' names",
        (r"block1\.0\.weight", r"block2\.bn1\.running_mean", r"block\d+\.0\.prelu\.weight"),
        from_leftthomas,
        srresnet,
        (("output", "tanh"),),
    ),
)
