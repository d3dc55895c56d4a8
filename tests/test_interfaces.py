"""What components must offer: facts as one value, and interfaces with the base classes that have them."""

from __future__ import annotations

import importlib
from dataclasses import asdict, replace

import pytest
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import (
    FACTS,
    MEMBERS,
    Discriminator,
    NetworkFacts,
    NetworkWrapper,
    SRNetwork,
    discriminator_facts_of,
    discriminator_faults,
    facts_of,
    network_faults,
    network_kind,
)

ESPCN_FACTS = NetworkFacts(3, 1, "y", 2, 4)


class Plain(nn.Module):
    """A network of a user's, which derives from nothing of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.in_channels, self.colour, self.size_multiple, self.receptive_field = 3, 1, "y", 2, 4
        self.conv = nn.Conv2d(1, 9, 3)


def test_facts_are_read_from_plain_attributes() -> None:
    assert facts_of(Plain()) == ESPCN_FACTS
    assert list(asdict(ESPCN_FACTS)) == [*FACTS, "input_size"]  # which hardly any network has: none must set it


def test_facts_pass_through_ddp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DistributedDataParallel, "__init__", lambda self, module: None)
    wrapped = DistributedDataParallel.__new__(DistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = Plain()
    assert facts_of(wrapped) == ESPCN_FACTS


def test_an_input_is_raised_to_the_size_multiple() -> None:
    assert [ESPCN_FACTS.fit(side) for side in (1, 2, 3)] == [2, 2, 4]


def test_a_wrapper_passes_facts_on_or_changes_some() -> None:
    assert facts_of(NetworkWrapper(Plain())) == ESPCN_FACTS
    changed = replace(ESPCN_FACTS, receptive_field=None)
    assert facts_of(NetworkWrapper(Plain(), changed)) == changed
    assert list(NetworkWrapper(Plain()).state_dict()) == ["network.conv.weight", "network.conv.bias"]


def test_the_base_of_networks_sets_the_facts_and_refuses_what_is_none() -> None:
    class Own(SRNetwork):
        scales = (2, 4)

    assert facts_of(Own(2)) == NetworkFacts(2, 3, "rgb", 1, None)
    assert network_faults(Own(4, "y")) is None
    with pytest.raises(ConfigError, match=r"^Own: scale=3 is not possible; allowed: 2, 4$"):
        Own(3)
    with pytest.raises(ConfigError, match=r"^Own: colour='bgr' is not possible; allowed: 'y', 'rgb'$"):
        Own(2, "bgr")
    with pytest.raises(ConfigError, match=r"^SRNetwork: scale=True is not possible; it is a positive integer$"):
        SRNetwork(True)


def test_the_base_of_discriminators_says_what_it_is() -> None:
    judge = Discriminator("y")
    assert (network_kind(judge), network_kind(SRNetwork(2))) == ("discriminator", "generator")
    assert (judge.in_channels, discriminator_faults(judge)) == (1, None)
    assert discriminator_facts_of(judge).fit(33) == 33
    judge.input_size, judge.size_multiple = None, 8
    assert discriminator_facts_of(judge).fit(33) == 40
    judge.input_size = 128
    assert discriminator_facts_of(judge).fit(33) == 128


def test_all_faults_of_the_facts_are_named() -> None:
    network = Plain()
    assert network_faults(network) is None
    del network.scale, network.receptive_field
    assert "scale (the upscaling factor); receptive_field (the radius" in (network_faults(network) or "")


@pytest.mark.parametrize("kind", list(MEMBERS))
def test_the_base_class_that_a_fault_names_has_every_member(kind: str) -> None:
    base, members = MEMBERS[kind]
    module, _, name = base.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    set_by_instances = {"higher_is_better", "protocol"}
    assert len(members) > 1 and all(hasattr(cls, member) for member in set(members) - set_by_instances)
