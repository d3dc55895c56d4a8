"""BSRGAN's degradations: a second transcription of what was published, and that against theory."""

from __future__ import annotations

import numpy as np
import torch

from srtoolbox.resize import imresize
from tests.data.batch.transcriptions import bsrgan as published


def test_a_transcribed_kernel_lies_where_it_should() -> None:
    offsets = np.arange(25) - 12
    kernel = published.anisotropic_kernel(25, 6.0, 1.5, 0.4)
    along = np.cos(0.4) * offsets[None, :] + np.sin(0.4) * offsets[:, None]
    assert abs(kernel.sum() - 1) < 1e-12 and abs((kernel * along**2).sum() - 6) < 0.01
    shifted = published.shifted_kernel(2.0, 4)
    assert abs((shifted.sum(0) * offsets).sum() + 1.5) < 1e-3 and np.allclose(shifted, shifted.T)


def test_the_transcribed_half_is_matlabs(photo: np.ndarray) -> None:
    image = photo[:64, :80] / 255
    ours = imresize(torch.from_numpy(image.transpose(2, 0, 1))[None], 0.5, border="symmetric")
    assert np.abs(published.halve(image) - ours[0].numpy().transpose(1, 2, 0).clip(0, 1)).max() < 1e-6


def test_the_transcribed_blur_before_every_fourth_pixel_keeps_the_image_in_its_place() -> None:
    ramp = np.tile(np.arange(128.0)[None, :, None] / 128, (128, 1, 3))
    thinned = published.blur(ramp, published.shifted_kernel(1.5, 4))[::4, ::4]
    assert np.abs(thinned[16, 6:-6, 0] - ramp.reshape(128, 32, 4, 3).mean(2)[16, 6:-6, 0]).max() < 1e-3


def test_the_transcribed_whole_gives_an_image_of_the_wanted_size_in_8_bits(photo: np.ndarray) -> None:
    rng, orders = np.random.default_rng(3), set()
    for _ in range(8):
        drawn = published.draw(rng)
        orders.add(tuple(drawn[f"{step}_place"] for step in published.STEPS))
        assert drawn["resize1_place"] < drawn["resize2_place"]
        lq = published.degrade(photo[:128, :160] / 255, drawn, rng)
        assert lq.shape == (32, 40, 3) and np.abs(lq * 255 - (lq * 255).round()).max() < 1e-9
    assert len(orders) > 5
