"""Comparison sheets: what is enlarged and where it lands, read back from the pixels of the sheet."""

import numpy as np
import pytest

from srtoolbox.errors import SrtoolboxError
from srtoolbox.plots import sheet as module
from srtoolbox.plots.regions import Region, choose_regions
from srtoolbox.plots.sheet import comparison_sheet
from srtoolbox.resize import imresize


def versions(photo: np.ndarray, scale: int = 3) -> list:
    truth = photo[:300, :450]
    lq = imresize(truth, 1 / scale)
    return [("input", lq, "150x100"), ("Bicubic", imresize(lq, scale), "psnr 28.43"), ("truth", truth, "450x300")]


def cells(sheet: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """(rows, columns, cell, cell, 3): the enlarged regions, found by their frames at the right end of the sheet."""
    size, gap = module._CELL, module._GAP
    found = []
    for number in range(rows):
        colour = np.array(module._MARKS[number])
        left = sheet.shape[1] - columns * (size + gap)
        frame = np.all(sheet[:, left] == colour, axis=1)
        top = int(np.flatnonzero(frame)[0])
        assert frame.sum() == size
        found.append([sheet[top : top + size, left + c * (size + gap) :][:, :size] for c in range(columns)])
    return np.array(found)


def test_cells_show_the_regions_pixel_by_pixel(photo: np.ndarray) -> None:
    columns = versions(photo)
    regions = [Region(30, 60, 66, 66), Region(150, 300, 66, 66)]
    found = cells(comparison_sheet(columns, regions), len(columns), len(regions))
    for row, region in enumerate(regions):
        for column, (_, image, _) in enumerate(columns):
            factor = module._CELL // 66 * (300 // image.shape[0])  # 4 px a pixel, 12 px a pixel of the input
            top, left = (value * image.shape[0] // 300 for value in region[:2])
            side = module._CELL // factor
            expected = np.kron(image[top : top + side, left : left + side], np.ones((factor, factor, 1), np.uint8))
            inner = slice(module._FRAME, -module._FRAME)
            assert np.array_equal(found[row, column][inner, inner], expected[inner, inner])


def test_regions_are_marked_on_the_whole_image(photo: np.ndarray) -> None:
    region = Region(30, 60, 66, 66)
    sheet = comparison_sheet(versions(photo), [region])
    assert sheet.dtype == np.uint8
    colour = np.all(sheet == module._MARKS[0], axis=2)
    colour[:, sheet.shape[1] - 3 * (module._CELL + module._GAP) :] = False  # without the cells
    rows, places = np.nonzero(colour)
    shown = module._CELL / 300  # the image is made as high as the cell, which is its floor
    assert rows.max() - rows.min() + 1 == pytest.approx(66 * shown, abs=1)
    assert places.max() - places.min() + 1 == pytest.approx(66 * shown, abs=1)
    assert places.min() == module._GAP + round(60 * shown)


def test_chosen_regions_lie_where_versions_differ(photo: np.ndarray) -> None:
    one, truth = photo.copy(), photo.copy()
    other = one.copy()
    other[200:230, 100:130] ^= 64
    truth[10:60, 300:400] = 255 - truth[10:60, 300:400]  # all versions miss this alike
    first, second = choose_regions([photo[::3, ::3], one, other, truth])
    assert first.top <= 200
    assert first.top + first.height >= 230
    assert first.left <= 100
    assert first.left + first.width >= 130
    apart = abs(first.top - second.top) >= first.height or abs(first.left - second.left) >= first.width
    assert apart


def test_without_differences_detail_decides() -> None:
    image = np.full((100, 120, 3), 90, np.uint8)
    image[60:84, 30:54:2] = 200
    (region,) = choose_regions([image, image], 1)
    assert abs(region.top - 60) <= 1
    assert abs(region.left - 30) <= 2


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (10, 200), (300, 20), (30, 40), (1200, 700)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_gives_a_sheet(shape: tuple, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, channels), dtype=np.uint8)
    sheet = comparison_sheet([("a", image, ""), ("b" * 80, image[::-1], "one\ntwo"), ("c d" * 30, image, "e_" * 60)])
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    assert max(sheet.shape) < 3000


@pytest.mark.parametrize(
    ("columns", "regions", "words"),
    [
        ([], None, "at least one"),
        ([("a", np.zeros((4, 4, 3), np.float32), "")], None, "a: .*float32"),
        ([("a", np.zeros((4, 4), np.uint8), "")], None, r"a: .*\(4, 4\)"),
        ([("a", np.zeros((4, 4, 3), np.uint8), "")], [(0, 0, 5, 4)], "outside"),
        ([("a", np.zeros((4, 4, 3), np.uint8), "")], [(-1, 0, 2, 2)], "outside"),
    ],
)
def test_misuse_is_named(columns: list, regions: list | None, words: str) -> None:
    with pytest.raises(SrtoolboxError, match=words):
        comparison_sheet(columns, regions)
