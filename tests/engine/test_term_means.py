"""Means of loss terms: exact, and the same when a run is interrupted between two log lines."""

import pytest
import torch

from srtoolbox.engine.term_means import TermMeans

TERMS = [{"pixel": torch.tensor(0.1 * i, dtype=torch.float32), **({"gan": torch.tensor(float(i))} if i % 2 else {})}
         for i in range(1, 8)]  # fmt: skip


def test_a_term_is_averaged_over_the_iterations_that_had_it_in_double_precision():
    means = TermMeans()
    for terms in TERMS:
        means.add(terms)
    assert means.take() == {"pixel": sum(float(t["pixel"]) for t in TERMS) / 7, "gan": 4.0}
    assert means.take() == {}


@pytest.mark.parametrize("at", range(8))
def test_an_interruption_changes_no_digit(at):
    whole, first, second = TermMeans(), TermMeans(), TermMeans()
    for number, terms in enumerate(TERMS):
        whole.add(terms)
        if number == at:  # what a resumed run has of the iteration it was saved at: numbers
            second.load_state_dict(first.state_dict())
            terms = {name: float(term) for name, term in terms.items()}
        (first if number < at else second).add(terms)
    assert (second if at < 7 else first).take() == whole.take()
