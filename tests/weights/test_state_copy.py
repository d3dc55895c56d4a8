"""The copy of a state: the same bytes in a file, untouched by what follows, in memory that is used again."""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from srtoolbox.weights import state_copy
from srtoolbox.weights.state_copy import StateCopy


def saved(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network in channels_last with shared weights and running statistics, after a step of Adam."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    network[3].weight = network[2].weight
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    step(network, optimizer)
    return network, optimizer


def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    network(torch.rand(2, 3, 9, 9).to(next(network.parameters()).device)).square().mean().backward()
    optimizer.step()


def state_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {"iter": 3, "networks": {"generator": network.state_dict()}, "optims": {"generator": optimizer.state_dict()}}


def test_a_copy_is_saved_as_the_state_is_and_stays_so() -> None:
    network, optimizer = trained()
    copies, state = StateCopy(), state_of(network, optimizer)
    expected, taken = saved(state), copies.take(state)
    assert saved(taken) == expected
    step(network, optimizer)
    optimizer.param_groups[0]["lr"] = 0.5
    state["networks"]["more"] = 1
    assert saved(taken) == expected != saved(state_of(network, optimizer))


SPECIAL: dict[str, Callable[[], object]] = {
    "a part of a larger one": lambda: torch.arange(10.0)[2:5],
    "every second": lambda: torch.arange(10.0)[::2],
    "expanded": lambda: torch.ones(1, 3).expand(4, 3),
    "transposed": lambda: torch.rand(3, 4).T,
    "empty": lambda: torch.empty(0, 3),
    "scalar": lambda: torch.tensor(3),
    "bool": lambda: torch.tensor([True, False]),
    "bfloat16": lambda: torch.rand(5).bfloat16(),
    "complex": lambda: torch.rand(5, dtype=torch.complex64),
    "learning": lambda: torch.ones(3, requires_grad=True),
    "parameter": lambda: nn.Parameter(torch.rand(3)),
    "twice": lambda: [torch.ones(4)] * 2,
    "views of one": lambda: (lambda whole: [whole[:2], whole[2:]])(torch.arange(4.0)),
    "tuple": lambda: (1, (torch.ones(2), "x"), None, 2.5, True),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_whatever_a_state_holds_is_copied(kind: str) -> None:
    state = {"before": torch.ones(3), "x": SPECIAL[kind](), "after": torch.zeros(2)}
    assert saved(StateCopy().take(state)) == saved(copy.deepcopy(state)) == saved(state)


def test_from_a_gpu_all_is_sent_at_once_into_pinned_memory_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in: tensors of the CPU that pass for a GPU's, whose copies arrive when the device is waited for."""
    sent: list[tuple[torch.Tensor, torch.Tensor]] = []
    pinned: list[bool] = []
    empty, copy_ = torch.empty, torch.Tensor.copy_

    def send(self: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        assert non_blocking
        sent.append((self, source))
        return self

    def pin(*size: Any, pin_memory: bool = False, **rest: Any) -> torch.Tensor:
        pinned.append(pin_memory)
        return empty(*size, **rest)

    def arrive(device: torch.device) -> None:
        assert device.type == "cpu"
        for place, source in sent:
            copy_(place, source)

    state = state_of(*trained())
    expected = saved(state)
    copies = StateCopy()
    monkeypatch.setattr(state_copy, "_is_on_cuda", lambda tensor: tensor.dim() > 0)  # the steps of Adam are not
    monkeypatch.setattr(torch.Tensor, "copy_", send)
    monkeypatch.setattr(torch, "empty", pin)
    monkeypatch.setattr(torch.cuda, "synchronize", arrive)
    taken = copies.take(state)
    monkeypatch.undo()
    assert saved(taken) == expected and pinned.count(True) == 1


def test_memory_is_used_again_by_whole_states_and_networks_alone() -> None:
    network, optimizer = trained()
    copies = StateCopy()

    def place() -> int:
        return copies.take(state_of(network, optimizer))["networks"]["generator"]["0.weight"].data_ptr()

    first = place()
    alone = {"iter": 3, "networks": {"generator": network.state_dict()}}
    taken = copies.take(alone)
    assert taken["networks"]["generator"]["0.weight"].data_ptr() == first == place()
    assert saved(copies.take(alone)) == saved(alone)
    other = {"networks": {"generator": {"w": torch.rand(7), "v": torch.rand(2, 3).half()}}}
    assert saved(copies.take(other)) == saved(other)
    assert saved(copies.take(state_of(network, optimizer))) == saved(state_of(network, optimizer))
    larger = {"w": torch.rand(10_000)}
    assert saved(copies.take(larger)) == saved(larger)


def test_values_are_copied_while_the_block_runs_and_there_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    may_copy, foreach_copy_ = threading.Event(), state_copy.foreach_copy_

    def copied_late(places: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
        assert may_copy.wait(60)
        foreach_copy_(places, sources)

    monkeypatch.setattr(state_copy, "foreach_copy_", copied_late)
    copies, state = StateCopy(), {"w": torch.ones(3)}
    with copies.taking(state) as taken:
        assert taken["w"].shape == (3,)
        may_copy.set()
    assert taken["w"].tolist() == [1, 1, 1]
    may_copy.clear()
    with pytest.raises(ZeroDivisionError), copies.taking({"w": torch.zeros(3)}):
        may_copy.set()
        raise ZeroDivisionError
    assert taken["w"].tolist() == [0, 0, 0]  # nothing writes there any more


def test_only_what_lies_on_the_cpu_is_copied_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def copied(places: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
        threads.append(threading.current_thread())

    monkeypatch.setattr(state_copy, "foreach_copy_", copied)
    StateCopy().take({"w": torch.ones(3)})
    StateCopy().take({"w": torch.ones(3), "on another device": torch.ones(3, device="meta")})
    assert threads[0] is not threading.current_thread() is threads[1]
