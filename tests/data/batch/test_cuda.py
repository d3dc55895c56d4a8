"""On a GPU: every degradation of batches gives what it gives on a CPU, and never waits. Skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srtoolbox.data.transforms.batch.base import Images, stack
from srtoolbox.data.transforms.batch.random import bits_of_32, normals
from tests.data.batch.test_all import CASES, degraded, photos, step_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
ON_DEVICE = [name for name in CASES if not step_of(name).on_host]


@pytest.mark.parametrize("name", ON_DEVICE)
def test_a_gpu_computes_the_same_and_waits_for_nothing(name: str, photo: np.ndarray) -> None:
    step, images, draws = step_of(name), stack(photos(photo)), np.arange(7, 11)
    _, on_cpu = degraded(step, images, draws)
    pixels = images.pixels.cuda()
    degraded(step, Images(pixels, images.sizes), draws)  # tables are brought up
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        _, on_gpu = degraded(step, Images(pixels, images.sizes), draws)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    both = zip(on_cpu.each(), on_gpu.each(), strict=True)
    # a rounding error may move a value across a step, and with a coefficient of JPEG goes a block of 16 x 16
    alike = torch.cat([((one - other.cpu()).abs() < 1e-4).flatten() for one, other in both])
    assert alike.float().mean() > 0.9


def test_random_numbers_have_the_same_bits_everywhere() -> None:
    keys, alike = np.array([7, 1 << 63], np.uint64), np.array([False, True])
    for numbers in (normals, bits_of_32):
        on_cpu, on_gpu = (numbers(keys, (3, 50, 37), torch.device(name), alike) for name in ("cpu", "cuda"))
        assert torch.equal(on_cpu, on_gpu.cpu())
