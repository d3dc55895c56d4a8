"""Whatever way an image is cut, the result is that of the whole, of the right size, and memory may run out."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import to_image, to_tensor
from srtoolbox.inference import upscaler
from srtoolbox.inference.restore import AutocastRestore, SelfEnsemble, evaluation, restore, upscale_whole
from srtoolbox.inference.tiling.planner import Overlap
from srtoolbox.inference.tiling.source import Source
from srtoolbox.inference.tiling.stitch import float_bands
from srtoolbox.inference.tiling.sums import NO_SUMS
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.models.networks.bicubic import Bicubic
from srtoolbox.models.networks.espcn import ESPCN
from srtoolbox.models.networks.srcnn import SRCNN
from srtoolbox.models.networks.vdsr import VDSR
from srtoolbox.resize import imresize
from tests.inference.networks import Mean, Windows, build
from tests.models.networks.test_all import CASES

CPU = torch.device("cpu")


FAST = ("RRDBNet", 2), *((name, 3) for name, _ in CASES if name != "RRDBNet")  # the first works in cells
EXACT = [
    pytest.param(name, scale, marks=() if (name, scale) in FAST else pytest.mark.slow)
    for name, scale in CASES
    if build(name, scale).receptive_field is not None
]


def in_tiles(network: nn.Module, image: np.ndarray, tile: tuple[int, int], less: int = 0, batch: int = 1) -> Tensor:
    overlap = Overlap(network.receptive_field - less, network.size_multiple, False)
    grid = overlap.grid(image.shape[:2], tile, batch)
    assert len(grid.rows) > 1
    assert len(grid.columns) > 1
    run, source = AutocastRestore(network, "fp32"), Source(image, CPU)
    with torch.inference_mode():
        return torch.cat(list(float_bands(run, source, network.scale, grid)), 2)


def whole(network: nn.Module, image: np.ndarray) -> Tensor:
    with evaluation(network), torch.inference_mode():
        return restore(network, to_tensor(image)).rgb


@pytest.mark.parametrize(("name", "scale"), EXACT)
def test_tiles_cannot_be_seen(photo, name, scale):
    network = build(name, scale)
    cell = network.size_multiple
    room = 2 * (-(-network.receptive_field // cell) * cell) + cell - 1
    image = np.pad(photo, ((0, 300), (0, 300), (0, 0)), mode="symmetric")[: 41 + room, 100 : 153 + room]
    expected = whole(network, image)
    # MSRResNet's skip interpolates by 3 with places in float32, whose rounding depends on the place
    bound = 2e-5 if (name, scale) == ("MSRResNet", 3) else 2e-6
    for tile in ((16, 23), (29, 32)):
        torch.testing.assert_close(in_tiles(network, image, tile, batch=2), expected, rtol=0, atol=bound)
    levels = Upscaler(network, tile=24)(image).astype(int)
    assert np.abs(levels - to_image(expected)).max() <= 1  # where a value lies between two levels
    assert (levels != to_image(expected)).mean() < 1e-4


@pytest.mark.parametrize("name", ["ESPCN", "FSRCNN", "MSRResNet"])
def test_a_halo_one_pixel_short_would_be_seen(photo, name):
    network, image = build(name, 2), photo[:119, 100:231]
    assert (in_tiles(network, image, (16, 23), less=1) - whole(network, image)).abs().max() > 2e-6


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_16_bit_in_tiles(photo, bits, channels):
    image = photo[:70, :81, :channels].astype(f"uint{bits}") * (257 if bits == 16 else 1)
    network = build("ESPCN", 3)
    result = Upscaler(network, tile=20)(image)
    assert (result.dtype, result.shape) == (image.dtype, (210, 243, channels))
    assert np.abs(result.astype(int) - upscale_whole(network, image)).max() <= 1


@pytest.mark.parametrize("options", [{}, {"outscale": 1.7, "tile": 16}])
def test_a_gray_image_may_lack_its_axis_of_channels(photo, options):
    image = photo[:30, :41, 1]
    upscaler = Upscaler(build("ESPCN", 2), **options)
    expected = upscaler(image[..., None])
    result = upscaler(image)
    assert result.shape == upscaler.size(30, 41) and np.array_equal(result, expected[..., 0])
    assert np.array_equal(np.concatenate(list(upscaler.bands(image))), result)


def test_images_done_in_turns_keep_their_own_pieces(photo, monkeypatch):
    upscaler, pieces, runs = Upscaler(build("MSRResNet", 2), tile=16, overlap=2), iter([100, 200]), []
    plan = upscaler._planner.plan
    monkeypatch.setattr(upscaler._planner, "plan", lambda *size: plan(*size)._replace(piece=next(pieces)))
    upscaler._pieces.register_forward_pre_hook(lambda module, inputs: runs.append(module.piece))
    bands = [upscaler.bands(photo[:60, :16]) for _ in range(2)]
    count = len(list(zip(*bands, strict=True)))
    assert count > 2 and [piece for piece, _ in itertools.groupby(runs)] == [100, 200] * count


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_images_gives_a_list(photo, kind):
    images = kind([photo[:20, :31], photo[:9, :8, :1].astype(np.uint16) * 257, photo[:12, :12, 0]])
    upscaler = Upscaler(build("ESPCN", 3))
    results = upscaler(images)
    assert [result.shape for result in results] == [(60, 93, 3), (27, 24, 1), (36, 36)]
    assert all(np.array_equal(result, upscaler(image)) for result, image in zip(results, images, strict=True))
    assert upscaler(kind()) == []


@pytest.mark.parametrize("image", [np.zeros((2, 4, 4, 3), np.uint8), "photo.png", None, [["photo.png"]]])
def test_what_is_no_image_and_no_list_of_them_is_told(image):
    with pytest.raises(SrtoolboxError, match=r"upscaling takes .*list"):
        Upscaler(Bicubic(2))(image)


def test_networks_in_cells_in_tiles(photo):
    network, image = build("RRDBNet", 1, num_blocks=1, num_convs=2), photo[:101, :123]
    assert network.size_multiple == 4
    expected = whole(network, image)
    torch.testing.assert_close(in_tiles(network, image, (13, 20)), expected, rtol=0, atol=2e-6)


def test_tiles_of_an_ensemble(photo):
    network, image = build("ESPCN", 2), photo[:61, :73]
    expected = to_image(whole(SelfEnsemble(network), image))
    for tile in (None, "auto", 20):
        assert np.abs(Upscaler(network, ensemble=True, tile=tile)(image).astype(int) - expected).max() <= 1
    assert (np.abs(upscale_whole(network, image).astype(int) - expected) > 1).any()


@pytest.mark.parametrize("axis", [0, 1])
def test_networks_that_see_everything_are_faded(axis, monkeypatch):
    monkeypatch.setattr(upscaler, "find_sums", lambda run, channels: NO_SUMS)  # as if it could not be told how
    ramp = np.linspace(0, 65535, 400).astype(np.uint16)[:, None, None] * np.ones((1, 230, 3), np.uint16)
    result = Upscaler(Mean(), tile=80)(np.ascontiguousarray(ramp.swapaxes(0, axis))).swapaxes(0, axis)
    line = result[:, 200, 0] / 65535
    assert np.abs(np.diff(line)).max() < 0.01  # a hard seam would be a step of about a fifth
    assert line[-1] - line[0] > 0.3


@pytest.mark.parametrize("options", [{}, {"overlap": 9}, {"ensemble": True}, {"ensemble": True, "overlap": 9}])
def test_windows_of_attention_lie_in_tiles_as_in_the_whole(photo, options):
    image = photo[:117, :131]
    expected = Upscaler(Windows(), tile=None, ensemble=options.get("ensemble", False))(image).astype(int)
    assert np.abs(Upscaler(Windows(), tile=20, **options)(image) - expected).max() <= 1


def test_a_constant_stays_constant_under_the_fading():
    image = np.full((197, 230, 3), 77, np.uint8)
    assert (Upscaler(Mean(), tile=40)(image) == 77).all()


def test_a_network_that_does_not_tell_its_reach_is_measured(photo):
    network, image = build("ESPCN", 2), photo[:90, :95]
    expected = upscale_whole(network, image)
    network.receptive_field = None
    assert np.abs(Upscaler(network, tile=24)(image).astype(int) - expected).max() <= 1


def test_an_overlap_fades_instead(photo):
    network, image = build("MSRResNet", 2, num_blocks=8), photo[:150, :161]
    result = Upscaler(network, tile=48, overlap=8)(image).astype(int)
    assert 0 < np.abs(result - upscale_whole(network, image)).max() < 8


# ---- sizes


@pytest.mark.parametrize("outscale", [0.3, 1, 2.7, 3])
@pytest.mark.parametrize("name", ["MSRResNet", "SRCNN"])
def test_any_final_scale_and_the_same_in_tiles(photo, name, outscale):
    network, image = build(name, 3), photo[:61, :73]
    upscaler = Upscaler(network, outscale=outscale)
    result = upscaler(image)
    assert result.shape == (*upscaler.size(61, 73), 3)
    assert result.shape[:2] == imresize(image, outscale).shape[:2]
    tiled = Upscaler(network, outscale=outscale, tile=16)
    assert np.abs(tiled(image).astype(int) - result).max() <= 1
    assert len(list(tiled.bands(image))) > 1
    if outscale != 3:
        afterwards = to_image(imresize(whole(network, image), outscale / 3))
        same = np.abs(afterwards.astype(int) - result).max() <= 1
        assert same or (name == "SRCNN" and outscale > 1)


@pytest.mark.parametrize("network", [SRCNN(2), VDSR(2, num_blocks=2)], ids=["SRCNN", "VDSR"])
def test_pre_upsampling_networks_interpolate_to_the_final_scale(photo, network):
    image = np.ascontiguousarray(photo[:40, :53])
    network.eval()
    size = Upscaler(network, outscale=2.6).size(40, 53)
    assert size == (104, 138)
    upscaled = imresize(to_tensor(image), 2.6)
    with torch.inference_mode():
        expected = restore(Refine(network), upscaled).rgb
    assert np.abs(Upscaler(network, outscale=2.6, tile=30)(image).astype(int) - to_image(expected)).max() <= 1


class Refine(nn.Module):
    size_multiple, scale, receptive_field = 1, 1, 0

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.colour, self.in_channels = network, network.colour, network.in_channels

    def forward(self, lq: Tensor) -> Tensor:
        return self.network(lq, size=lq.shape[-2:])


def test_bicubic_to_any_scale_is_imresize(photo):
    image = np.ascontiguousarray(photo[:50, :61])
    expected = to_image(imresize(to_tensor(image), 2.35))
    assert np.abs(Upscaler(Bicubic(4), outscale=2.35, tile=16)(image).astype(int) - expected).max() <= 1


# ---- precision


class Overflowing(Bicubic):
    """Goes through values that half precision does not have."""

    def __init__(self) -> None:
        super().__init__(2)
        self.up, self.down = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.up.weight.copy_(torch.eye(3)[..., None, None] * 1e6)
            self.down.weight.copy_(torch.eye(3)[..., None, None] * 1e-6)

    def forward(self, lq: Tensor, *more: object) -> Tensor:
        return super().forward(self.down(self.up(lq)), *more)


def test_fp16_that_overflows_is_done_again_in_fp32(photo, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("srtoolbox"), "propagate", True)
    image = np.ascontiguousarray(photo[:50, :61])
    with caplog.at_level(logging.WARNING):
        result = Upscaler(Overflowing(), dtype="fp16", tile=16)(image)
    assert np.abs(result.astype(int) - upscale_whole(Bicubic(2), image)).max() <= 1
    told = {id(record) for record in caplog.records if "going on in float32" in record.getMessage()}
    assert len(told) == 1  # a record may be seen by several handlers


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_is_near(photo, dtype):
    network, image = build("MSRResNet", 2), photo[:70, :61]
    result = Upscaler(network, dtype=dtype)(image).astype(int)
    difference = np.abs(result - upscale_whole(network, image))
    assert 0 < difference.max() <= 6
    assert difference.mean() < 1
    assert next(network.parameters()).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_ruined_weights_are_an_error_and_not_a_black_image(photo, dtype):
    network = build("ESPCN", 2)
    network.conv1.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(SrtoolboxError, match="not finite"):
        Upscaler(network, dtype=dtype)(photo[:20, :20])


# ---- options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 0}, "tile is"),
        ({"tile": True}, "tile is"),
        ({"tile": "big"}, "tile is"),
        ({"dtype": "fp8"}, "fp32, bf16, fp16"),
        ({"outscale": 0}, "outscale"),
        ({"outscale": float("nan")}, "outscale"),
        ({"overlap": -1}, "overlap"),
        ({"batch": 0}, "batch"),
        ({"patches": "some"}, "overlapping, non-overlapping"),
        ({"patches": "overlapping"}, "ESPCN does not"),
        ({"patches": "overlapping", "tile": 20}, "tile is not needed"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(SrtoolboxError, match=words):
        Upscaler(ESPCN(2), **options)


def test_a_network_that_does_not_upscale_is_refused():
    with pytest.raises(SrtoolboxError, match="lacks facts"):
        Upscaler(nn.Conv2d(3, 3, 3))


@pytest.mark.parametrize("name", ["Bicubic", "SRCNN"])  # resized behind the network, and before it
@pytest.mark.parametrize("shape", [(8, 9), (9, 8)])
def test_a_final_scale_beyond_all_memory_is_one_error(photo, name, shape):
    image = np.ascontiguousarray(photo[: shape[0], : shape[1]])
    with pytest.raises(SrtoolboxError, match=r"would be \d{9,} x \d{9,} pixels: memory does not suffice for a row"):
        Upscaler(build(name, 2), outscale=1e8).bands(image)


def test_a_usual_scale_is_tried_whatever_seems_to_be_free(photo, monkeypatch):
    monkeypatch.setattr("srtoolbox.inference.upscaler.free_bytes", lambda device: 0)
    assert Upscaler(Bicubic(2), outscale=3)(photo).shape == (900, 1353, 3)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 4), (0, 4, 3), (4, 0), (2, 4, 4, 3)])
def test_other_arrays_are_refused_before_the_first_band(shape):
    with pytest.raises(SrtoolboxError):
        Upscaler(Bicubic(2)).bands(np.zeros(shape, np.uint8))


def test_modes_are_the_callers_between_bands(photo):
    network = build("SRResNet", 2).train()
    for _ in Upscaler(network, tile=24).bands(photo[:60, :60]):
        assert network.training
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
