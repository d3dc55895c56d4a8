"""Interpolated states: exact ends, float64 sums, and nothing averaged that is no quantity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.weights.interpolate import interpolate_states


def trained(seed: int) -> nn.Module:
    """A network with parameters, running statistics and a counter of their own."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.PReLU())
    for _ in range(seed):
        network(torch.rand(2, 3, 5, 5) * seed)
    return network


A, B, C = (trained(seed).state_dict() for seed in (1, 2, 3))


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 1.0])
def test_every_floating_tensor_is_the_weighted_mean(alpha: float) -> None:
    result = interpolate_states([A, B], [1 - alpha, alpha])
    assert list(result) == list(A)
    for key in ("0.weight", "0.bias", "1.running_mean", "1.running_var", "2.weight"):
        first, second = (state[key].numpy().astype(np.float64) for state in (A, B))
        expected = ((1 - alpha) * first + alpha * second).astype(np.float32)
        np.testing.assert_array_equal(result[key].numpy(), expected)


def test_the_ends_are_the_files_themselves_even_beside_ruined_ones() -> None:
    ruined = {key: value * torch.nan if value.is_floating_point() else value for key, value in B.items()}
    result = interpolate_states([A, ruined], [1.0, 0.0])
    assert all(torch.equal(result[key], A[key]) and result[key].dtype == A[key].dtype for key in A)


def test_counters_come_from_the_heaviest() -> None:
    key = "1.num_batches_tracked"
    assert [int(state[key]) for state in (A, B, C)] == [1, 2, 3]
    assert int(interpolate_states([A, B], [0.4, 0.6])[key]) == 2
    assert int(interpolate_states([A, B], [0.5, 0.5])[key]) == 1
    assert int(interpolate_states([A, B, C], [0.3, 0.3, 0.4])[key]) == 3


def test_other_whole_numbers_must_agree() -> None:
    index = {"index": torch.tensor([1, 2])}
    assert torch.equal(interpolate_states([index, dict(index)], [0.5, 0.5])["index"], index["index"])
    with pytest.raises(CheckpointError, match="index holds whole numbers that differ"):
        interpolate_states([index, {"index": torch.tensor([1, 3])}], [0.5, 0.5])


def test_half_precision_beside_single_is_single() -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in A.items()}
    assert interpolate_states([half, B], [0.5, 0.5])["0.weight"].dtype == torch.float32
    assert interpolate_states([half, half], [0.5, 0.5])["0.weight"].dtype == torch.float16


def test_the_result_shares_no_memory() -> None:
    result = interpolate_states([A, B], [1.0, 0.0])
    assert all(result[key].data_ptr() != A[key].data_ptr() for key in A)


@pytest.mark.parametrize("weights", [[1.2, -0.2], [0.5, 0.6], [1.0], [float("nan"), 1.0], [1.5, -0.5]])
def test_weights_that_are_no_shares_are_refused(weights: list[float]) -> None:
    with pytest.raises(SrtoolboxError, match="weights"):
        interpolate_states([A, B], weights)


def test_other_architectures_are_refused_by_groups() -> None:
    deep = {f"body.{i}.conv{j}.{kind}": torch.ones(1) for i in range(23) for j in (1, 2) for kind in ("weight", "bias")}
    shallow = {key: value for key, value in deep.items() if int(key.split(".")[1]) < 16}
    with pytest.raises(CheckpointError, match=r"28 missing \(body.\{16..22\}.conv\{1,2\}.\{weight,bias\}\)$"):
        interpolate_states([deep, shallow], [0.5, 0.5])
    with pytest.raises(CheckpointError, match=r"1 of another shape \(0.bias \(5,\) for \(4,\)\)"):
        interpolate_states([A, {**B, "0.bias": torch.ones(5)}], [0.5, 0.5])
