"""ESPCNs that are good at once: the hidden layers hand on the image beside random features, and least squares fit the
last one to photographs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.image import rgb_to_ycbcr, to_tensor
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize

Map = Callable[[Tensor], Tensor]
SIDE = 192
RIDGE = 1e-7


def fitted_espcn(config: dict[str, Any], enter: Map = lambda lq: lq, train: Map = lambda gt: gt) -> dict[str, Tensor]:
    """The state_dict of an ESPCN that makes `train(gt)` of `enter(lq)`."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = NETWORKS.build(config)
        lq, gt = _pairs(config["scale"], network.colour)
        *hidden, last = network.children()
        for conv in hidden:
            _pass_on(conv, network.in_channels)
        seen: list[Tensor] = []
        last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        network(enter(lq))
        patches = F.unfold(seen[0], last.kernel_size, padding=last.padding).transpose(1, 2).flatten(0, 1).double()
        patches = torch.cat([patches, torch.ones(len(patches), 1)], 1)
        wanted = F.pixel_unshuffle(train(gt), config["scale"]).flatten(2).transpose(1, 2).flatten(0, 1).double()
        squares = patches.T @ patches
        squares.diagonal().add_(RIDGE * squares.diagonal().mean())
        weights = torch.linalg.solve(squares, patches.T @ wanted).float().T
        nn.Module.load_state_dict(last, {"weight": weights[:, :-1].reshape(last.weight.shape), "bias": weights[:, -1]})
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def _pass_on(conv: nn.Conv2d, channels: int) -> None:
    """Let the first filters hand on the image, as it is and negated: an activation may cut off one half of it."""
    middle = conv.kernel_size[0] // 2
    for number in range(2 * channels):
        conv.weight[number], conv.bias[number] = 0, 0
        sign = -1 if number >= channels and conv.in_channels == channels else 1
        conv.weight[number, number % conv.in_channels, middle, middle] = sign


def _pairs(scale: int, colour: str) -> tuple[Tensor, Tensor]:
    places = {"astronaut": (0, 150), "chelsea": (50, 100), "coffee": (200, 300)}
    images = [getattr(skimage.data, name)()[y : y + SIDE, x : x + SIDE].copy() for name, (y, x) in places.items()]
    lq = torch.cat([to_tensor(imresize(image, 1 / scale)) for image in images])
    gt = torch.cat([to_tensor(image) for image in images])
    return (lq, gt) if colour == "rgb" else (rgb_to_ycbcr(lq)[:, :1], rgb_to_ycbcr(gt)[:, :1])
