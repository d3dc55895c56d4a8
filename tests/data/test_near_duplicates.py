"""Perceptual comparison: the same image is found whatever its size and compression, others are not."""

import numpy as np
import pytest
import skimage.data

from srtoolbox.data.audit.near_duplicates import SAME, find_near_duplicates, hash_image
from srtoolbox.image import read_image
from srtoolbox.image.pixels import compress_jpeg
from srtoolbox.resize import imresize

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick", "grass", "gravel", "moon")


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    found = [np.asarray(getattr(skimage.data, name)()) for name in PHOTOS]
    return [np.ascontiguousarray(image if image.ndim == 3 else image[..., None]) for image in found]


CHANGES = {
    "same": lambda image: image,
    "half": lambda image: imresize(image, 1 / 2),
    "third, as LQ": lambda image: imresize(image, 1 / 3),
    "quarter, JPEG": lambda image: compress_jpeg(imresize(image, 1 / 4), 30),
    "JPEG": lambda image: compress_jpeg(image, 20),
    "enlarged": lambda image: imresize(image, 1.5),
    "16 bit": lambda image: image.astype(np.uint16) * 257,
    "dark": lambda image: (image * 0.6).astype(np.uint8),
    "cut to a multiple": lambda image: image[:-3, :-2],
    "mirrored": lambda image: image[:, ::-1],
    "turned": lambda image: np.rot90(image),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_same_image_is_found_and_no_other(photos, name) -> None:
    changed = [hash_image(np.ascontiguousarray(CHANGES[name](image))) for image in photos]
    found = find_near_duplicates([hash_image(image) for image in photos], changed)
    assert [(match.first, match.second) for match in found] == [(n, n) for n in range(len(photos))]
    hows = {match.how for match in found}
    if name == "same":
        assert hows == {"identical"}
    elif name in ("mirrored", "turned"):
        assert all(name in how for how in hows)
    else:
        assert hows == {"alike"}


def test_within_one_set_each_pair_is_told_once(photos) -> None:
    prints = [hash_image(image) for image in (photos[0], photos[1], imresize(photos[0], 1 / 2), photos[1])]
    assert [(m.first, m.second, m.how) for m in find_near_duplicates(prints)] == [(0, 2, "alike"), (1, 3, "identical")]


def test_copies_are_paired_with_the_first_alone(photos) -> None:
    large, small = hash_image(photos[0]), hash_image(imresize(photos[0], 1 / 2))
    found = find_near_duplicates([large, small, large, hash_image(photos[1]), large, small])
    identical = [(m.first, m.second) for m in found if m.how == "identical"]
    assert identical == [(0, 2), (0, 4), (1, 5)]
    assert [(m.first, m.second) for m in found if m.how != "identical"] == [(0, 1)]
    assert [m[:2] for m in find_near_duplicates([large, large], [small, large, large])] == [(0, 0), (0, 1), (0, 2)]
    assert len(find_near_duplicates([large] * 3000)) == 2999  # and not 4.5 million


def test_flat_images_match_only_if_identical() -> None:
    flat = [hash_image(np.full((20, 20, 3), level, np.uint8)) for level in (0, 128, 128, 255)]
    assert [(m.first, m.second) for m in find_near_duplicates(flat)] == [(1, 2)]


def test_a_crop_is_another_image(photos) -> None:
    image = photos[0]
    assert find_near_duplicates([hash_image(image)], [hash_image(image[100:400, 100:400])]) == []


@pytest.mark.data
def test_the_published_sets(data_root) -> None:
    """T91 has one image twice; Set14's face is Set5's head; nothing else of 590 + 19 images is the same."""
    folders = ["T91", "General100", "BSDS500/train", "BSDS500/test", "Set5/HR_full", "Set14/HR_full"]
    paths = [path for folder in folders for path in sorted((data_root / folder).iterdir())]
    prints = [hash_image(read_image(path)) for path in paths]
    found = {
        tuple(sorted(paths[n].relative_to(data_root).as_posix() for n in match[:2]))
        for match in find_near_duplicates(prints)
    }
    assert found == {("T91/t36.png", "T91/t65.png"), ("Set14/HR_full/img_006.png", "Set5/HR_full/img_004.png")}
    tests = prints[-19:]
    for scale in (2, 3, 4):
        lows = [read_image(p.parents[1] / f"LR_bicubic/X{scale}" / p.name) for p in paths[-19:]]
        pairs = {match[:2]: match.likeness for match in find_near_duplicates(tests, [hash_image(low) for low in lows])}
        assert all(pairs[n, n] > SAME + 0.1 for n in range(19))
        assert len(pairs) == 21  # and the face, both ways
