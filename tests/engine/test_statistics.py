"""BatchNorm's running statistics after a step that was left out, by the path of the CPU and by that of a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.optim.nonfinite import StatisticsGuard


class FlagOfAGPU(Tensor):
    """A flag on the CPU that says it is on a GPU, and cannot be asked for its value, which would wait for the GPU."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda")

    def __bool__(self) -> bool:
        raise AssertionError("the device is asked")


PLACES = [
    "cpu",
    "as on a GPU",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, lambda n: nn.InstanceNorm2d(n, track_running_stats=True)])
@pytest.mark.parametrize("place", PLACES)
def test_statistics_are_those_of_the_last_good_step(place: str, norm: type[nn.Module]) -> None:
    network = nn.Sequential(norm(2)).to("cuda" if place == "cuda" else "cpu")
    device = network[0].running_mean.device
    guard = StatisticsGuard([network])

    def step(value: float, *flags: float) -> float:
        network(torch.full((1, 2, 4, 4), value, device=device))
        found = [torch.tensor(flag, device=device) for flag in flags]
        guard.after_step([flag.as_subclass(FlagOfAGPU) if place == "as on a GPU" else flag for flag in found])
        return float(network[0].running_mean[0])

    good = step(1.0, 0.0)
    assert good == pytest.approx(0.1)
    assert step(float("nan"), 1.0) == good
    assert step(5.0, 0.0, 1.0) == good  # one network's flag is enough
    assert step(1.0, 0.0, 0.0) == pytest.approx(0.19)
    assert step(float("nan"), 1.0) == pytest.approx(0.19)
