"""Private names of Optuna, an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna


def live_trial(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> optuna.Trial:
    """Return a running trial of a study's storage, to report to, which another process may have begun."""
    import optuna

    return optuna.Trial(study, frozen._trial_id)
