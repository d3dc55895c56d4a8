"""Means of loss terms: exact, and the same when a run is interrupted between two log lines."""

import math

import pytest
import torch

from srtoolbox.engine.hooks import logger
from srtoolbox.engine.hooks.logger import LossAverages

TERMS = [{"pixel": torch.tensor(0.1 * i, dtype=torch.float32), **({"gan": torch.tensor(float(i))} if i % 2 else {})}
         for i in range(1, 8)]  # fmt: skip


@pytest.fixture(params=["numbers", "as on a GPU"], autouse=True)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where sums are kept. The arithmetic of a GPU is run here on the CPU."""
    if request.param == "as on a GPU":
        monkeypatch.setattr(logger, "_is_far", lambda term: isinstance(term, torch.Tensor))
    return request.param


def test_what_is_not_finite_is_left_out():
    means = LossAverages()
    for value in (1.0, math.inf, 2.0, math.nan, -math.inf):
        means.add({"norm": torch.tensor(value), "pixel": torch.tensor(0.5)})
    means.add({"norm": torch.tensor(6.0)})
    assert means.state_dict() == {"norm": (9.0, 3), "pixel": (2.5, 5)}
    assert means.take() == {"norm": 3.0, "pixel": 0.5}
    means.add({"norm": torch.tensor(math.nan)})
    assert means.take() == {}


def test_a_term_is_averaged_over_the_iterations_that_had_it_in_double_precision():
    means = LossAverages()
    for terms in TERMS:
        means.add(terms)
    assert means.take() == {"pixel": sum(float(t["pixel"]) for t in TERMS) / 7, "gan": 4.0}
    assert means.take() == {}


@pytest.mark.parametrize("at", range(8))
def test_an_interruption_changes_no_digit(at):
    whole, first, second = LossAverages(), LossAverages(), LossAverages()
    for number, terms in enumerate(TERMS):
        whole.add(terms)
        if number == at:  # what a resumed run has of the iteration it was saved at: numbers
            second.load_state_dict(first.state_dict())
            terms = {name: float(term) for name, term in terms.items()}
        (first if number < at else second).add(terms)
    assert (second if at < 7 else first).take() == whole.take()


def test_means_go_over_all_ranks_each_by_its_count(monkeypatch):
    other = {"pixel": (6.0, 2), "gan": (5.0, 1)}
    monkeypatch.setattr(logger.dist, "all_gather_object", lambda mine: [mine, other])
    means = LossAverages()
    means.add({"pixel": torch.tensor(3.0), "r1": torch.tensor(7.0)})
    assert means.take() == {"pixel": 3.0, "r1": 7.0, "gan": 5.0}
    means.add({"pixel": torch.tensor(0.0)})
    assert means.take() == {"pixel": 2.0, "gan": 5.0}
