"""The step of a dumped fault, repeated and put into words."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from srtoolbox.config import Config
from srtoolbox.engine.halt import replay
from srtoolbox.engine.run import Run
from srtoolbox.errors import RunError
from srtoolbox.io.files import read_json
from srtoolbox.logger import setup_logging
from srtoolbox.plugins import load_plugins
from srtoolbox.text import counted, reason_of
from srtoolbox.weights.checkpoint import load_checkpoint


def replay_dump(
    dump: str | os.PathLike,
    overrides: Sequence[str] = (),
    *,
    device: str | None = None,
    plugins: Sequence[str] = (),
) -> tuple[bool, list[str]]:
    """Repeat the step of a dump, the folder faults/iter_... of a run.

    Args:
        overrides: 'key.sub=value' texts for the dump's config.
        device: where it runs; None: as the config says.
        plugins: Python files with components.

    Returns:
        whether the fault is gone, and lines that tell of the step.

    Raises:
        RunError: no dump of a fault.
    """
    setup_logging()
    folder = Path(dump)
    try:
        report = read_json(folder / "report.json")
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: no dump of a fault (report.json cannot be read: {reason_of(error)})") from error
    texts = [*overrides, *([f"runtime.device={device!r}"] if device else [])]
    config = Config.fromfile(folder / "config.py", texts)
    load_plugins(config, plugins)
    state = load_checkpoint(folder / "state.pth")
    run = Run(config, folder, resume=state, resumed_from=folder / "state.pth")
    rank, result = replay(run, state, report)
    return result["rank"]["finite"], _lines(report, rank, result)


def _lines(report: Mapping[str, Any], rank: int, result: Mapping[str, Any]) -> list[str]:
    """Return loss terms and gradient norms, the worst first, and whether the fault is there, in words."""
    batch = result["rank"]
    skipped = counted(report["skipped_in_a_row"], "step")
    lines = [f"iteration {report['iteration']}, rank {rank} of {report['world']}, {skipped} left out in a row"]
    lines.append("batch: " + ", ".join(batch["keys"]))
    for terms in batch["terms"]:
        lines.append("terms: " + "  ".join(f"{name} {value:.6g}" for name, value in terms.items()))
    for network, norms in result["gradient_norms"].items():
        bad = [name for name, value in norms.items() if not math.isfinite(value)]
        largest = sorted(set(norms) - set(bad), key=norms.__getitem__, reverse=True)[:5]
        lines.append(f"{network}: gradients not finite in {len(bad)} of {len(norms)} parameters {' '.join(bad[:5])}")
        lines.append("  largest finite norms: " + "  ".join(f"{name} {norms[name]:.4g}" for name in largest))
    return [*lines, "all is finite: the fault is gone" if batch["finite"] else "the fault is there"]
