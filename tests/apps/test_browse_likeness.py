"""What the network is given beside photographs of one's own: distances, sentences, charts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

import srtoolbox
from srtoolbox.apps.browse import browse
from srtoolbox.apps.browse.charts import bin_edges, histogram
from srtoolbox.apps.browse.likeness import Photos, compare
from srtoolbox.errors import DataError
from srtoolbox.image import write_image
from srtoolbox.image.pixels import compress_jpeg, gaussian_blur
from tests.apps.test_browse import config_of


def test_the_distance_is_kolmogorovs_and_the_share_is_counted() -> None:
    rng = np.random.default_rng(4)
    seen, yours = rng.normal(0, 1, 300).round(1), rng.normal(0.7, 1.5, 200).round(1)
    (result,) = compare({"noise": np.append(seen, np.nan)}, {"noise": yours})
    assert result.distance == pytest.approx(ks_2samp(seen, yours).statistic)
    pairs_above = np.mean(yours[:, None] > seen) + np.mean(yours[:, None] == seen) / 2
    assert result.above == pytest.approx(pairs_above)
    assert compare({"noise": np.array([np.nan])}, {"noise": yours}) == []


def sentences(name: str, seen: list[float], yours: list[float]) -> str:
    (result,) = compare({name: np.array(seen)}, {name: np.array(yours)})
    return " ".join(result.sentences())


def test_comparisons_are_plain_sentences() -> None:
    numbers = [float(number) for number in range(100)]
    high = sentences("sharpness", numbers, [79.5] * 10)
    assert high.startswith(
        "Your photos are sharper than 80 % of what the network sees. Distance 0.80 of 1: the two differ"
    )
    low = sentences("noise", numbers, [-5.0, -5.0, 10.5, 10.5])
    assert low.startswith("Your photos are less noisy than 94 % of what the network sees.")
    assert "50 % of your crops are less noisy than 99 % of it: the network hardly meets their like." in low
    blocky = sentences("blockiness", numbers, [500.0, 50.0, 50.0, 50.0, 50.0])
    assert "20 % of your crops are more blocky than 99 % of it: the network hardly meets their like." in blocky
    assert re.search("about the middle.*much alike", sentences("detail", numbers, numbers))


def test_photographs_are_cut_to_the_size_of_lq(tmp_path: Path, photo: np.ndarray) -> None:
    write_image(tmp_path / "large.png", photo)
    write_image(tmp_path / "small.png", photo[:30, :200])
    write_image(tmp_path / "gray.png", photo[:64, :64, :1])
    photos = Photos(tmp_path, (40, 48), 1, 10)
    crops = list(photos)
    assert len(crops) == len(photos) == 10 and {crop.shape for crop in crops} == {(40, 48, 1)}
    assert photos.note == "10 crops of 2 photos; 1 of 3 left out: smaller than 48 x 40 px"
    assert len(list(Photos(tmp_path, (40, 48), 3, 1))) == 1
    with pytest.raises(DataError, match=r"3 images, all smaller than the 999 x 999 px that the network sees"):
        Photos(tmp_path, (999, 999), 3, 10)


def test_degradations_unlike_the_photographs_are_told(tmp_path: Path, photo: np.ndarray) -> None:
    for number in range(3):
        part = np.ascontiguousarray(photo[90 * number :][:90])
        write_image(tmp_path / f"gt/{number}.png", part)
        write_image(tmp_path / f"mine/{number}.png", compress_jpeg(gaussian_blur(part, 2.0), 20))
    config = config_of(dict(type="GTOnlyDataset", gt=str(tmp_path / "gt"), scale=1, gt_size=48))
    done = srtoolbox.browse_data(config, tmp_path / "p.html", count=2, samples=40, like=tmp_path / "mine")
    words = {each.name: each.sentences()[0] for each in done.comparisons}
    assert re.match(r"Your photos are less sharp than ([789]\d|100) %", words["sharpness"])
    assert re.match(r"Your photos are less noisy than (9\d|100) %", words["noise"])
    assert re.match(r"Your photos are more blocky than (9\d|100) %", words["blockiness"])
    assert len(done.photos) == len(done.seen) == browse.PHOTOS


def test_bars_are_as_high_as_their_shares() -> None:
    drawing = histogram([1, 1, 1, 2, 4], [4, 4], label="kind <of> it")
    heights = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', drawing)]
    assert heights == pytest.approx([96 * 0.6, 96 * 0.2, 96 * 0.2], abs=0.1)
    assert (
        'aria-label="kind &lt;of&gt; it: 1 to 4, median 1 / yours 4"' in drawing
        and "polyline" in drawing
        and "median 1 / yours 4" in drawing
    )
    assert bin_edges(np.array([3.0, 3.0])).tolist() == [2.5, 3.5]
    assert bin_edges(np.array([0.31, 0.31])).tolist() == [-0.19, 0.81]
    assert len(bin_edges(np.linspace(0, 1, 900))) == 31
