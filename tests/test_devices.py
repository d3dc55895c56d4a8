"""What MPS has not got is done on the CPU, and told once. No Metal is at hand: `meta` stands for it, or a stand-in."""

from __future__ import annotations

import logging
import types

import numpy as np
import pytest
import torch

from srtoolbox import devices
from srtoolbox.compat.pytorch import DispatchMode, tree_leaves
from srtoolbox.engine.device import to_device
from srtoolbox.image import to_tensor
from srtoolbox.inference.tiling import memory
from srtoolbox.metrics.psnr import PSNR
from srtoolbox.metrics.ssim import SSIM
from srtoolbox.resize import imresize

LACKING = (torch.float64, torch.uint16)


class Metal(DispatchMode):
    """Refuses what Metal refuses, of tensors on the device that stands for it."""

    def run(self, func, args, kwargs):
        result = func(*args, **kwargs)
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and each.device.type == "meta" and each.dtype in LACKING:
                raise TypeError(f"Cannot convert a MPS Tensor to {each.dtype}")
        return result


@pytest.fixture
def metal(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    monkeypatch.setattr(devices, "lacks_float64", lambda device: torch.device(device).type == "meta")
    devices.tell_once.cache_clear()
    return torch.device("meta")


def test_the_stand_in_refuses_what_metal_refuses(metal: torch.device) -> None:
    with Metal(), pytest.raises(TypeError, match="uint16"):
        torch.zeros(2, dtype=torch.uint16).to(metal)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_and_batches_go_to_metal_in_what_it_has(dtype: type, metal: torch.device) -> None:
    image = np.zeros((5, 4, 3), dtype)
    with Metal():
        assert to_tensor(image, metal).dtype == torch.float32
        batch = to_device({"lq": torch.from_numpy(image)[None], "key": "a"}, metal)
    assert batch["lq"].device == metal and batch["key"] == "a"


def test_levels_carried_to_metal_are_the_same_values(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    image = np.array([[[0, 1, 65534], [65535, 257, 32768]]], np.uint16)
    usual = to_tensor(image)
    monkeypatch.setattr(devices, "lacks_float64", lambda device: True)
    monkeypatch.setattr(devices.LOGGER, "propagate", True)
    devices.tell_once.cache_clear()
    with caplog.at_level(logging.INFO):
        assert torch.equal(to_tensor(image, "cpu"), usual)
        to_tensor(image, "cpu")
    assert [record.message for record in caplog.records] == [
        "MPS has no 16-bit pixels: they go there as 32-bit ones"
    ], "told once"


def test_resizing_on_metal_needs_no_float64(metal: torch.device) -> None:
    with Metal():
        assert imresize(torch.zeros(1, 3, 30, 20, device=metal), scale=1 / 3).shape == (1, 3, 10, 7)


@pytest.mark.parametrize("metric", [PSNR(), SSIM()])
def test_scores_of_images_on_metal_are_those_of_the_cpu(metric: object, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnMetal(torch.Tensor):
        device = torch.device("mps")

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            result = super().__torch_function__(func, types, args, kwargs or {})
            if isinstance(result, cls) and result.dtype in LACKING:
                raise TypeError(f"Cannot convert a MPS Tensor to {result.dtype}")
            return result

        def cpu(self) -> torch.Tensor:
            return self.as_subclass(torch.Tensor)

    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(2, 3, 20, 24, generator=generator) for _ in range(2)]
    assert torch.equal(metric(*(image.as_subclass(OnMetal) for image in images)), metric(*images))


def test_free_memory_of_metal_is_its_share_of_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    told = types.SimpleNamespace(recommended_max_memory=lambda: 9 << 30, driver_allocated_memory=lambda: 2 << 30)
    monkeypatch.setattr(torch, "mps", told)
    for free, least in ((20 << 30, 7 << 30), (3 << 30, 3 << 30)):
        monkeypatch.setattr(memory, "_system", lambda free=free: [free])
        assert memory.free_bytes(torch.device("mps")) == least


def test_exact_products_are_those_of_one_device() -> None:
    backends = {"cpu": torch.backends.mkldnn.matmul, "cuda": torch.backends.cuda.matmul}
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        set_to = {name: matmul.fp32_precision for name, matmul in backends.items()}
        assert set_to == {"cpu": "bf16", "cuda": "tf32"}
        with torch.autocast("cpu", torch.bfloat16), devices.exact_products(torch.device("cpu")):
            assert {name: matmul.fp32_precision for name, matmul in backends.items()} == {**set_to, "cpu": "ieee"}
            one, other = torch.rand(300, 300), torch.rand(300, 300)
            exact = one.double() @ other.double()
            assert (one @ other - exact).abs().max() < 1e-3  # bfloat16 is off by 0.1
        assert {name: matmul.fp32_precision for name, matmul in backends.items()} == set_to
        with devices.exact_products(torch.device("meta")):  # which knows no autocast
            assert {name: matmul.fp32_precision for name, matmul in backends.items()} == set_to
    finally:
        torch.set_float32_matmul_precision(before)
