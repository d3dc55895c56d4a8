"""The record of a search: what was tried, and what comes next. It is Optuna's, an extra.

It lies in the sweep's folder as a journal, a file that several processes may add to, also on a
network drive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.apps.sweep.values import Choices
from srtoolbox.compat.optuna import live_trial
from srtoolbox.engine.job.run_config import shown
from srtoolbox.errors import OptionError, RunError
from srtoolbox.io.files import make_folder, write_errors
from srtoolbox.system import IS_WINDOWS

if TYPE_CHECKING:
    import optuna

JOURNAL = "search.journal"
MISSING = "trials: a search needs Optuna: pip install 'srtoolbox[sweep]'"
_DIGITS = 4  # of a number that is drawn


@dataclass
class Trial:
    """One try of a search.

    Attributes:
        number: from 0 on.
        values: by key; of a list the text of the item, as `shown` gives it.
        is_running: False once its result is known.
        reported: the iterations whose scores are known.
    """

    number: int
    values: Mapping[str, Any]
    is_running: bool = True
    reported: set[int] = field(default_factory=set)


def space_of(choices: Sequence[Choices]) -> dict[str, list[Any]]:
    """Return what is searched, as JSON: the kind of each key with the ends, or the items."""
    return {
        each.key: [each.range, *each.values] if each.range else ["list", *map(shown, each.values)]
        for each in choices
        if each.is_swept
    }


class Study:
    """A search in a folder, begun or gone on with.

    What is drawn follows from the seed, the number of the trial and the results so far.

    Args:
        folder: of the sweep.
        choices: what is searched.
        by: the score that is to become best.
        higher: True if it is to be high.
        seed: of all that is drawn.
        warm_up: iterations in which no trial is ended.

    Raises:
        OptionError: Optuna is not installed.
        RunError: the folder holds another search.
    """

    def __init__(
        self, folder: Path, choices: Sequence[Choices], by: str, *, higher: bool, seed: int, warm_up: int
    ) -> None:
        try:
            import optuna
        except ImportError as error:
            raise OptionError(MISSING) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._seed, self.space = optuna, seed, space_of(choices)
        self._pruner = optuna.pruners.MedianPruner(n_warmup_steps=warm_up)
        with write_errors(folder / JOURNAL):
            make_folder(folder)
            self._study = self._open(folder / JOURNAL, "maximize" if higher else "minimize")
        settings = {"by": by, "space": self.space, "seed": seed}
        known = self._study.user_attrs
        for name, value in settings.items():
            if name not in known:
                self._study.set_user_attr(name, value)
            elif known[name] != value:
                other = f"with another {name} ({known[name]}, now {value})"
                raise RunError(f"{folder} holds a search {other}: choose another --work-dir")

    def _open(self, path: Path, direction: str) -> optuna.Study:
        journal = self._optuna.storages.journal
        # links, which every network drive has, or a file where Windows allows no links
        lock = (journal.JournalFileOpenLock if IS_WINDOWS else journal.JournalFileSymlinkLock)(str(path))
        storage = self._optuna.storages.JournalStorage(journal.JournalFileBackend(str(path), lock))
        return self._optuna.create_study(
            storage=storage, study_name="sweep", direction=direction, pruner=self._pruner, load_if_exists=True
        )

    def trials(self) -> list[Trial]:
        """Return all trials, by number, but those whose values a kill left open."""
        found = self._study.get_trials(deepcopy=False)
        return [
            Trial(each.number, self._values(each.params), not each.state.is_finished(), {*each.intermediate_values})
            for each in found
            if len(each.params) == len(self.space)
        ]

    def ask(self) -> Trial:
        """Return a new trial, whose values are drawn."""
        number = len(self._study.get_trials(deepcopy=False))
        sampler = self._optuna.samplers.TPESampler(seed=(self._seed * 1_000_003 + number) % 2**32, constant_liar=True)
        self._study.sampler = sampler
        trial = self._study.ask({key: self._distribution(*entry) for key, entry in self.space.items()})
        return Trial(trial.number, self._values(trial.params))

    def _distribution(self, kind: str, *values: Any) -> optuna.distributions.BaseDistribution:  # noqa: ANN401
        distributions = self._optuna.distributions
        if kind == "list":
            return distributions.CategoricalDistribution(values)
        if kind == "int":
            return distributions.IntDistribution(*values)
        return distributions.FloatDistribution(*values, log=kind == "log")

    def _values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return values as they are trained: numbers with few digits."""
        return {key: self._rounded(key, value) for key, value in params.items() if key in self.space}

    def _rounded(self, key: str, value: object) -> object:
        if not isinstance(value, float):
            return value
        _, low, high = self.space[key]
        return min(max(float(f"{value:.{_DIGITS}g}"), low), high)

    def report(self, trial: Trial, iteration: int, score: float) -> bool:
        """Take a score of a running trial; return whether it is to be ended, because others were better by then.

        One that is no number is behind all others.
        """
        if math.isnan(score):
            return True
        live = self._live(trial)
        live.report(score, iteration)
        trial.reported.add(iteration)
        return bool(live.should_prune())

    def _live(self, trial: Trial) -> optuna.Trial:
        frozen = next(each for each in self._study.get_trials(deepcopy=False) if each.number == trial.number)
        return live_trial(self._study, frozen)

    def tell(self, trial: Trial, score: float | None, *, is_pruned: bool = False) -> None:
        """Take the result of a trial: its score, None of one that failed."""
        states = self._optuna.trial.TrialState
        state = states.PRUNED if is_pruned else states.FAIL if score is None else states.COMPLETE
        self._study.tell(trial.number, score if state is states.COMPLETE else None, state=state, skip_if_finished=True)
