"""The parts of networks with attention, against slow obvious versions."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks import attention

WINDOW = (2, 3)
SIZE = (6, 9)


def features(channels: int = 4) -> Tensor:
    return torch.randn(2, *SIZE, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def mirrored(place: int, length: int) -> int:
    """Walk to and fro between the ends."""
    step, at = 1, 0
    for _ in range(place):
        if not 0 <= at + step < length:
            step = -step
        at = at + step if length > 1 else 0
    return at


@pytest.mark.parametrize("size", [(5, 8), (8, 5), (1, 2), (3, 11)])
def test_padding_mirrors_as_often_as_it_takes(size):
    image = torch.rand(1, 2, *size)
    padded = attention.pad_to_multiple(image, (8, 4))
    assert padded.shape[2:] == tuple(-(-side // m) * m for side, m in zip(size, (8, 4), strict=True))
    for row in range(padded.shape[2]):
        for column in range(padded.shape[3]):
            there = image[..., mirrored(row, size[0]), mirrored(column, size[1])]
            assert torch.equal(padded[..., row, column], there)


def test_padding_is_torchs_where_one_mirror_does():
    image = torch.rand(2, 3, 5, 6)
    assert torch.equal(attention.pad_to_multiple(image, 8), F.pad(image, (0, 2, 0, 3), mode="reflect"))
    assert attention.pad_to_multiple(image[..., :4, :4], 4).data_ptr() == image.data_ptr()


def test_an_exporter_gets_the_same_without_asking_for_the_size(monkeypatch):
    image = torch.rand(2, 3, 9, 12)
    expected = attention.pad_to_multiple(image, 8), attention.crop(image, 5, 7)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(attention.pad_to_multiple(image, 8), expected[0])
    assert torch.equal(attention.crop(image, 5, 7), expected[1])


def test_layouts_are_one_memory():
    x = features()
    image = attention.as_image(x)
    assert image.shape == (2, 4, *SIZE) and image.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(attention.as_features(image), x) and attention.as_features(image).data_ptr() == x.data_ptr()
    assert attention.as_features(image.contiguous()).is_contiguous()
    assert torch.equal(attention.crop(image, 4, 5), image[..., :4, :5])


def test_windows_and_back():
    x = features()
    windows = attention.to_windows(x, WINDOW)
    across = SIZE[1] // WINDOW[1]
    for number, window in enumerate(windows):
        image, place = divmod(number, SIZE[0] // WINDOW[0] * across)
        top, left = place // across * WINDOW[0], place % across * WINDOW[1]
        part = x[image, top : top + WINDOW[0], left : left + WINDOW[1]]
        assert torch.equal(window, part.reshape(-1, 4))
    assert torch.equal(attention.from_heads(windows[:, None], SIZE, WINDOW), x)


def test_heads_are_parts_of_the_channels():
    x = features(3 * 2 * 5)
    query, key, value = attention.to_heads(x, WINDOW, 2, 3)
    windows = attention.to_windows(x, WINDOW)
    for number, part in enumerate((query, key, value)):
        for head in range(2):
            start = number * 10 + head * 5
            assert torch.equal(part[:, head], windows[..., start : start + 5])
    assert torch.equal(attention.from_heads(key, SIZE, WINDOW), x[..., 10:20])


def plain_attention(module: attention.WindowAttention, x: Tensor) -> Tensor:
    """Each pixel by itself: its window, those of its own side of the image, distances by subtraction."""
    (high, wide), (down, right) = module.window, module.shift
    height, width = x.shape[1:3]
    query, key, value = module.qkv(x).unflatten(-1, (3, module.num_heads, -1)).unbind(3)
    result = torch.zeros_like(query)
    for y in range(height):
        for left in range(width):
            # of the image rolled up and left by the shift, whose grid of windows begins at its corner
            window = [((y - down) % height) // high * high, ((left - right) % width) // wide * wide]
            here, logits, values = ((y - down) % height, (left - right) % width), [], []
            for row in range(window[0], window[0] + high):
                for column in range(window[1], window[1] + wide):
                    wraps = [(row >= height - down) != (here[0] >= height - down)]
                    wraps.append((column >= width - right) != (here[1] >= width - right))
                    if any(wraps):
                        continue
                    there = (row + down) % height, (column + right) % width
                    distance = (here[0] - row + high - 1) * (2 * wide - 1) + here[1] - column + wide - 1
                    products = (query[:, y, left] * key[:, there[0], there[1]]).sum(-1)
                    bias = module.relative_position_bias_table[distance]
                    logits.append(products * query.shape[-1] ** -0.5 + bias)
                    values.append(value[:, there[0], there[1]])
            weights = torch.stack(logits).softmax(0)
            result[:, y, left] = (weights[..., None] * torch.stack(values)).sum(0)
    return module.proj(result.flatten(-2))


def module(shift: tuple[int, int]) -> attention.WindowAttention:
    torch.manual_seed(3)
    return attention.WindowAttention(4, 2, WINDOW, shift).double()


def test_finer_queries_have_the_positions_of_their_place():
    plain, finer = attention.relative_positions((2, 3)), attention.relative_positions((2, 3), 2)
    assert finer.shape == (24, 6) and plain.shape == (6, 6)
    for row in range(4):
        for column in range(6):
            assert torch.equal(finer[row * 6 + column], plain[row // 2 * 3 + column // 2])


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (1, 1), (1, 2)])
def test_window_attention_is_that_of_each_pixel(shift, is_training):
    block, x = module(shift), features()
    # more than a trained one's spread: positions and values all matter
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    mask = attention.shift_mask(x, WINDOW, shift)
    with torch.set_grad_enabled(is_training):
        torch.testing.assert_close(block(x, mask), plain_attention(block, x))
    assert torch.equal(mask, torch.zeros_like(mask)) == (shift == (0, 0))


def test_both_forms_have_the_same_gradients(monkeypatch):
    block, x = module((1, 1)), features()
    mask = attention.shift_mask(x, WINDOW, (1, 1))
    block(x, mask).square().sum().backward()
    own = [parameter.grad.clone() for parameter in block.parameters()]
    block.zero_grad()
    monkeypatch.setattr(torch, "is_grad_enabled", lambda: False)  # PyTorch's function, with gradients
    block(x, mask).square().sum().backward()
    torch.testing.assert_close([parameter.grad for parameter in block.parameters()], own)


def test_heads_filled_up_for_a_gpu_give_the_same():
    query, key, value = torch.randn(3, 4, 2, 6, 5, dtype=torch.float64).unbind()
    bias = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    filled = attention.fused_attention(query, key, value, bias, attention.HEAD_MULTIPLE)
    assert filled.shape == query.shape
    torch.testing.assert_close(filled, attention.fused_attention(query, key, value, bias, 1))
    torch.testing.assert_close(filled, (query @ key.mT * 5**-0.5 + bias).softmax(-1) @ value)


def test_nothing_is_kept_between_calls():
    """Inference, copies, pickles, other sizes and kinds of numbers, then a training step."""
    block = module((1, 1))

    def run(x: Tensor) -> Tensor:
        return block(x, attention.shift_mask(x, WINDOW, (1, 1)))

    with torch.inference_mode():
        expected = run(features())
    block = pickle.loads(pickle.dumps(copy.deepcopy(block)))
    with torch.inference_mode():
        assert run(features()[:, :4]).shape == (2, 4, 9, 4)
    torch.testing.assert_close(run(features()), expected)
    run(features()).sum().backward()
    block = block.float()
    torch.testing.assert_close(run(features().float()).double(), expected, rtol=1e-5, atol=1e-5)
    assert list(block.state_dict()) == [
        "relative_position_bias_table",
        "qkv.weight",
        "qkv.bias",
        "proj.weight",
        "proj.bias",
    ]


def test_stochastic_depth_keeps_the_mean_and_rests_outside_training():
    torch.manual_seed(0)
    layer, x = attention.StochasticDepth(0.25), torch.ones(4000, 2, 1)
    y = layer(x)
    assert y.unique().tolist() == [0, pytest.approx(1 / 0.75)]
    assert torch.equal(y[:, 0], y[:, 1]) and abs(y.mean() - 1) < 0.05
    assert layer.eval()(x) is x and attention.StochasticDepth(0.0)(x) is x and not layer.state_dict()
    with pytest.raises(ConfigError, match=r"drop_path_rate=1 is not possible"):
        attention.StochasticDepth(1)
    assert attention.drop_path_rates(0.3, [2, 2]) == [[0, pytest.approx(0.1)], [pytest.approx(0.2), 0.3]]


@pytest.mark.parametrize(
    ("heads", "depths", "key"), [([2], [2, 2], "num_heads"), ([3], [2], "num_features"), ([2], [0], "depths")]
)
def test_heads_that_do_not_fit_are_refused(heads, depths, key):
    with pytest.raises(ConfigError, match=f"Net: {key}=") as caught:
        attention.require_heads("Net", 8, heads, depths)
    assert caught.value.faults[0].key == key


def test_initial_values_are_swins():
    linear, norm = nn.Linear(300, 300), nn.LayerNorm(4)
    nn.Sequential(linear, norm).apply(attention.init_transformer)
    assert abs(linear.weight.std() - 0.02) < 1e-3 and not linear.bias.any()
    assert norm.weight.eq(1).all() and not norm.bias.any()
