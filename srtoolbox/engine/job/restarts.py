"""Whether this process is a later attempt of a job that has begun its run.

torchrun starts a job again after a failure, SLURM after a preemption, by the same command: what the first attempt was
told (`--overwrite`, `--resume-from`) must not be done twice, and must be done if that attempt did not come so far.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from srtoolbox import dist
from srtoolbox.system import environment_of, parent_of, started_at


def slurm_job() -> str | None:
    """The job's number, which it keeps when it is queued again."""
    return os.environ.get("SLURM_JOB_ID")


def begun_before(began: Mapping[str, Any]) -> bool:
    """Whether an earlier attempt of this job has begun the run of a work dir.

    Args:
        began: what the work dir's `run.json` tells of the last run that began there: `began` (seconds since the epoch),
            `job` (of SLURM).
    """
    if int(os.environ.get("SLURM_RESTART_COUNT") or 0) and slurm_job() and began.get("job") == slurm_job():
        return True
    return dist.restarts() > 0 and began.get("began", 0.0) > launched_at()


def launched_at() -> float:
    """When torchrun was started, in seconds since the epoch; 0 where neither tools/start.py nor the system tells.

    On each machine that is before the first attempt began, since this waits for all. torchrun is the nearest process
    above this one that has not got its variables.
    """
    if os.environ.get("SRTOOLBOX_LAUNCHED"):
        return float(os.environ["SRTOOLBOX_LAUNCHED"])
    launcher: int | None = os.getppid()
    while launcher is not None and b"TORCHELASTIC_RUN_ID=" in (environment_of(launcher) or b""):
        launcher = parent_of(launcher)
    return (started_at(launcher) if launcher is not None else None) or 0.0
