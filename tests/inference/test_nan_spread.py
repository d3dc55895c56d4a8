"""Gates that are shut or saturated, masks and windows hide nothing from what measures how far a network sees."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.inference.tiling.nan_spread import NanSpread
from srtoolbox.inference.tiling.receptive_field import measure_receptive_field


class Gated(nn.Module):
    """A pixel times what a gate makes of its surroundings, 4 pixels around: kernel 9."""

    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 1, None

    def __init__(self, gate, bias: float = 0.0) -> None:
        super().__init__()
        self.around, self.last = nn.Conv2d(3, 3, 9, padding=4), nn.Conv2d(3, 12, 1)
        nn.init.constant_(self.around.bias, bias)
        self.gate = gate

    def forward(self, lq: Tensor) -> Tensor:
        return F.pixel_shuffle(self.last(lq * self.gate(self.around(lq))), 2)


def replace_shut(values: Tensor) -> Tensor:
    values = values.clone()
    values[...] = values.masked_fill_(values < 1e3, 0.25)
    return values


def by_mask(values: Tensor) -> Tensor:
    shut = (values < 1e3) & ~(values > 1e6)
    return torch.cat([shut[:, :1], shut[:, 1:]], 1).flip(1).to(values.dtype) + 0.5


SATURATED = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": lambda values: F.hardswish(values - 2e4),
    "relu6": F.relu6,
    "dead relu": lambda values: torch.relu(values - 2e4) + 1,
    "clamp": lambda values: values.clamp(0, 1),
    "minimum": lambda values: torch.minimum(values, torch.ones_like(values)),
    "threshold": lambda values: F.threshold(values, 2e4, 1.0),
    "softplus": lambda values: F.softplus(-values) + 1,
    "where": lambda values: torch.where(values > 1e6, values, 1.0),
    "comparison": lambda values: (values > 1e6).to(values.dtype) + 1,
    "mask": by_mask,
    "masked_fill": replace_shut,
    "nan_to_num": lambda values: torch.nan_to_num(values).sign(),
    "rounded": lambda values: (values / 1e9).round() + 1,
    "whole numbers": lambda values: (values / 1e9).long() + 1,
    "pooled": lambda values: F.avg_pool2d(F.hardtanh(values), 1),
}


@pytest.mark.parametrize("gate", SATURATED)
def test_a_saturated_gate_hides_nothing(gate):
    assert measure_receptive_field(Gated(SATURATED[gate], bias=1e4)) == 4


def test_a_pool_sees_what_it_is_not_the_maximum_of():
    assert measure_receptive_field(Gated(lambda values: F.max_pool2d(values, 5, 1, 2))) == 6


@pytest.mark.parametrize(
    "statistics",
    [
        lambda values: torch.sigmoid(values.mean((2, 3), keepdim=True) + 1e4),
        lambda values: F.hardsigmoid(F.adaptive_avg_pool2d(values, 1) + 1e4),
        lambda values: F.hardtanh(F.instance_norm(values) + 1e4),
        lambda values: F.hardtanh(F.adaptive_max_pool2d(values, 1)) * 0 + 1,
    ],
    ids=["sigmoid", "hardsigmoid", "instance norm", "max"],
)
def test_statistics_behind_a_shut_gate_see_everything(statistics):
    assert measure_receptive_field(Gated(statistics)) is None


@pytest.mark.parametrize(
    "choice",
    [
        lambda values: values if values.max() > 1e3 else values + 1,
        lambda values: values * float(values[0, 0, 0, 0] > 1e3),
        lambda values: values.sort(-1).values,
        lambda values: values.take_along_dim(values.argmax(1, keepdim=True), 1),
        lambda values: values.flatten(2)[..., (values[0, 0].flatten() > -1e9).nonzero()[:, 0]].view_as(values),
        lambda values: values + (values > 1e3).flatten().tolist()[0],
        lambda values: values + float(values[0, 0].numpy().max() > 1e3),
    ],
    ids=["if", "float", "sort", "argmax", "indices", "list", "array"],
)
def test_what_decides_by_values_counts_as_seeing_everything(choice):
    assert measure_receptive_field(Gated(choice)) is None


def seen_before_it_is_written(values: Tensor) -> Tensor:
    mask = torch.zeros(values.shape, dtype=torch.bool)
    view = mask.view(values.shape)
    mask |= values > 1e3
    return view.to(values.dtype) + 1


def filled(values: Tensor) -> Tensor:
    return torch.zeros(values.shape, dtype=torch.bool).fill_((values > 1e3)[0, 0, 0, 0]).to(values.dtype) + 1


@pytest.mark.parametrize("written", [seen_before_it_is_written, filled])
def test_a_mask_that_is_written_into_hides_nothing(written):
    assert measure_receptive_field(Gated(written)) is None


def test_values_that_depend_on_no_pixel_may_be_read():
    assert measure_receptive_field(Gated(lambda values: values + torch.arange(3).tolist()[2])) == 4


def test_an_index_of_a_place_is_no_decision():
    assert measure_receptive_field(Gated(lambda values: values[:, torch.tensor([2, 0, 1])])) == 4


class Windows(Gated):
    """Gates a pixel by what a saturated sigmoid makes of its window of 8, which it does not tell."""

    def forward(self, lq: Tensor) -> Tensor:
        height, width = lq.shape[-2:]
        padded = F.pad(lq, (0, -width % 8, 0, -height % 8), mode="replicate")
        mean = F.interpolate(F.avg_pool2d(padded, 8), scale_factor=8)[..., :height, :width]
        return F.pixel_shuffle(self.last(lq * torch.sigmoid(mean + 1e4)), 2)


def test_windows_behind_a_shut_gate_are_not_missed():
    network = Windows(None)
    assert measure_receptive_field(network) is None
    network.size_multiple = 8
    assert measure_receptive_field(network) == 7


@pytest.mark.parametrize("gate", [torch.sigmoid, F.hardtanh, torch.relu_, lambda values: values.clamp_(-1, 1)])
def test_a_place_behind_a_shut_gate_is_not_missed(gate):
    class Vignette(Gated):
        def forward(self, lq: Tensor) -> Tensor:
            across = torch.linspace(0, 1, lq.shape[-1], dtype=lq.dtype)
            return F.pixel_shuffle(self.last(lq * self.gate(across - 20)), 2)

    assert measure_receptive_field(Vignette(gate)) is None


def test_a_place_that_only_wild_values_show_is_not_missed():
    class Floor(Gated):
        def forward(self, lq: Tensor) -> Tensor:
            across = torch.linspace(0, 1, lq.shape[-1], dtype=lq.dtype)
            return F.pixel_shuffle(self.last(torch.maximum(lq, across - 20)), 2)

    assert measure_receptive_field(Floor(None)) is None


def test_around_the_edge_counts_as_seeing_everything():
    class Circular(Gated):
        def forward(self, lq: Tensor) -> Tensor:
            return super().forward(F.pad(lq, (1, 1, 1, 1), mode="circular"))[..., 2:-2, 2:-2]

    assert measure_receptive_field(Circular(torch.sigmoid)) is None


def test_attention_in_windows_that_are_told_is_measured():
    class Attention(Gated):
        def __init__(self) -> None:
            super().__init__(None)
            self.size_multiple = 8
            self.attend, self.norm = nn.MultiheadAttention(3, 1, batch_first=True), nn.LayerNorm(3)

        def forward(self, lq: Tensor) -> Tensor:
            n, c, h, w = lq.shape
            cells = lq.view(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 64, c)
            cells = self.norm(cells)
            cells = cells + self.attend(cells, cells, cells, need_weights=False)[0]
            back = cells.view(n, h // 8, w // 8, 8, 8, c).permute(0, 5, 1, 3, 2, 4).reshape(lq.shape)
            return F.pixel_shuffle(self.last(back), 2)

    assert measure_receptive_field(Attention()) == 7


def test_the_dye_reaches_what_it_reaches_and_no_more():
    values = torch.zeros(2, 5)
    values[0, 3] = torch.nan
    with NanSpread():
        mask = values > 0
        chosen = torch.where(mask.roll(1, -1), 1.0, 2.0)
        mask.fill_(True)
        fresh = mask.float()
    assert chosen.isnan().nonzero().tolist() == [[0, 4]]
    assert not fresh.isnan().any()


NOTHING = torch.zeros(4, 4, 3, 3, dtype=torch.float64)
CARRIERS = {
    "convolution": lambda x: F.conv2d(x, NOTHING, padding=1),
    "grouped": lambda x: F.conv2d(x, NOTHING[:, :1], padding=1, groups=4),
    "dilated": lambda x: F.conv2d(x, NOTHING, padding=2, dilation=2),
    "transposed": lambda x: F.conv_transpose2d(x, NOTHING, padding=1),
    "matrix": lambda x: (NOTHING[..., 0, 0] @ x.flatten(2)).view_as(x),
    "linear": lambda x: F.linear(x.movedim(1, -1), NOTHING[..., 0, 0]).movedim(-1, 1),
    "einsum": lambda x: torch.einsum("nchw,dc->ndhw", x, NOTHING[..., 0, 0]),
    "masked softmax": lambda x: (x + torch.tensor([0.0] + 3 * [-torch.inf])[:, None, None]).softmax(1),
    "layer norm": lambda x: F.layer_norm(x.movedim(1, -1), (4,), NOTHING[0, :, 0, 0]).movedim(-1, 1),
    "batch norm": lambda x: F.batch_norm(x, NOTHING[0, :, 0, 0], 1 + NOTHING[0, :, 0, 0], NOTHING[0, :, 0, 0]),
    "prelu": lambda x: F.prelu(x, NOTHING[0, :, 0, 0]),
    "average": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "maximum": lambda x: F.max_pool2d(x, 3, 1, 1),
    "unfolded": lambda x: F.fold(F.unfold(x, 3, padding=1), x.shape[-2:], 3, padding=1),
    "shuffled": lambda x: F.pixel_unshuffle(F.interpolate(x, scale_factor=2, mode="bilinear"), 2),
    "norm of pixels": lambda x: x / x.norm(dim=1, keepdim=True),
    "variance of channels": lambda x: x.expand(-1, 4, -1, -1).var(1, keepdim=True) * 0,
}


@pytest.mark.parametrize("operator", CARRIERS)
def test_the_operators_of_networks_carry_the_dye_through_weights_of_zero(operator):
    values = torch.ones(1, 4, 8, 8, dtype=torch.float64)
    values[0, 2, 3, 5] = torch.nan
    with NanSpread():
        result = CARRIERS[operator](values)
    assert result[0, :, 3, 5].isnan().any() and not result[0, :, 0, 0].isnan().any()
