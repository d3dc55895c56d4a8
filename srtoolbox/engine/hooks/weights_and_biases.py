"""Weights & Biases by way of TensorBoard: records are sent along, nothing is logged twice."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from srtoolbox.errors import ConfigError, RunError
from srtoolbox.logger import LOGGER

_OURS = ("sync_tensorboard", "config", "resume")
MISSING = "needs the package wandb: pip install 'srtoolbox[wandb]', or take wandb out of the logger"


def wandb_fault(settings: object) -> str | None:
    """Return what is wrong with `LoggerHook(wandb=...)`, before anything runs; None: nothing."""
    if settings is None:
        return None
    if not isinstance(settings, Mapping):
        return f"the arguments of wandb.init, such as dict(project='...'), got {settings!r}"
    if find_spec("wandb") is None:
        return MISSING
    doubled = [key for key in _OURS if key in settings]
    return f"{', '.join(doubled)} is set by the toolbox; take it out" if doubled else None


class WandbRun:
    """One run there. `begin` precedes TensorBoard's writer: wandb listens to writers made later.

    Args:
        settings: arguments of `wandb.init`: project, entity, name, tags, mode='offline', ...
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.id: str = self.settings.pop("id", None) or secrets.token_hex(4)
        self._run: Any = None

    def begin(self, work_dir: Path, config: Mapping[str, Any]) -> None:
        """Start the run, or go on with the one of this id; its files go to `wandb/` here, or in `dir`.

        Raises:
            ConfigError: an argument that wandb.init does not know, or a `dir` within the work dir.
            RunError: the package is missing, or the run cannot start (no login).
        """
        try:
            import wandb
        except ImportError as error:
            raise RunError(f"LoggerHook: wandb {MISSING}") from error
        unknown = sorted(set(self.settings) - set(inspect.signature(wandb.init).parameters))
        if unknown:
            raise ConfigError(f"LoggerHook: wandb.init takes no {', '.join(map(repr, unknown))}")
        if Path(self.settings.get("dir") or ".").resolve().is_relative_to(work_dir.resolve()):
            # it links the event files into its folder, finds the links there, links them, ...
            advice = "write wandb=dict(..., dir='...')"
            raise ConfigError(f"LoggerHook: wandb's folder must not lie in {work_dir}: {advice}")
        offline = self.settings.get("mode") in ("offline", "disabled")
        settings = self.settings if offline else {**self.settings, "resume": "allow"}
        try:
            self._run = wandb.init(**settings, id=self.id, config=dict(config), sync_tensorboard=True)
        except Exception as error:  # its own errors: no login, no network, a wrong project
            raise RunError(
                f"LoggerHook: Weights & Biases cannot start a run ({error}). `wandb login` first, or "
                "write wandb=dict(..., mode='offline')"
            ) from error

    def end(self, failed: bool) -> None:
        """Finish the run, as failed if the training was. A failure there is one warning."""
        if self._run is not None:
            try:
                self._run.finish(exit_code=int(failed))
            except Exception as error:  # its own errors: no network, a full disk
                fault = "Weights & Biases could not finish its run"
                LOGGER.warning("%s (%s): `wandb sync` sends it again", fault, error)
            self._run = None
