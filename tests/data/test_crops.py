"""Where crops are taken."""

import numpy as np
import pytest

from srtoolbox.data.datasets.crops import Cropper, pad
from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.stores.base import Window
from srtoolbox.errors import ConfigError


def test_random_reaches_every_position_evenly() -> None:
    cropper = Cropper(12, 3, "random")
    windows = [cropper.window(6, 7, Rng(0, draw)) for draw in range(6000)]
    counts = {window: windows.count(window) for window in set(windows)}
    assert set(counts) == {Window(top, left, 4, 4) for top in range(3) for left in range(4)}
    assert max(counts.values()) - min(counts.values()) < 200


def test_center_and_ten() -> None:
    assert Cropper(8, 2, "center").window(10, 21, Rng(0, 0)) == (3, 8, 4, 4)
    ten = Cropper(8, 2, "ten")
    corners = [(0, 0), (0, 17), (6, 0), (6, 17), (3, 8)]
    assert ten.per_image == 10
    assert [ten.window(10, 21, Rng(0, 0), number)[:2] for number in range(10)] == corners * 2


def test_whole_and_small_images() -> None:
    assert Cropper(None, 2, "random").window(5, 6, Rng(0, 0)) == (0, 0, 5, 6)
    assert Cropper(8, 2, None).window(5, 6, Rng(0, 0)) == (0, 0, 5, 6)
    assert Cropper(12, 2, "random").window(4, 9, Rng(0, 0))[2:] == (4, 6)
    assert Cropper(12, 2, "random").window(6, 6, Rng(0, 0)) == (0, 0, 6, 6)


def test_margin_is_read_and_cut_off() -> None:
    cropper = Cropper(12, 3, "center", margin=4)  # 4 GT px are 2 LQ px
    assert cropper.needed == 8
    assert cropper.window(20, 20, Rng(0, 0)) == (6, 6, 8, 8)
    image = np.arange(8 * 8).reshape(8, 8, 1)
    assert np.array_equal(cropper.trim(image, 1), image[2:6, 2:6])


def test_reflected_filling_keeps_gt_and_lq_aligned() -> None:
    lq = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    gt = lq.repeat(3, 0).repeat(3, 1)  # a GT whose nearest reduction is the LQ, wherever it is filled up
    big_lq, big_gt = pad(lq, 9, "reflect"), pad(gt, 27, "reflect")
    assert big_lq.shape == (9, 9, 3) and big_gt.shape == (27, 27, 3)
    assert np.array_equal(big_gt, big_lq.repeat(3, 0).repeat(3, 1))
    assert np.array_equal(big_lq[:5, :7], lq)
    assert pad(lq, 9, "zero")[5:].sum() == 0
    assert pad(lq, 5, "zero") is lq


@pytest.mark.parametrize(
    ("gt_size", "crop", "message"),
    [(10, "random", "multiple of scale 3"), (12, "middle", "crop is one of"), (None, "ten", "needs a gt_size")],
)
def test_impossible_arguments(gt_size: int | None, crop: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cropper(gt_size, 3, crop)
