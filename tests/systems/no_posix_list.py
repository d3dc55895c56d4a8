"""Which tests are about a part of POSIX, so that `no_posix` skips them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SITE = Path(__file__).parent / "site"
NEEDS_POSIX = {
    "tests/engine/job/test_launchers.py": "bash scripts, SLURM, SIGUSR1",
    "tests/engine/job/test_restarts.py::test_torchrun_starts_again": "bash scripts",
    "tests/engine/job/test_restarts.py::test_when_the_launcher_started": "the times of processes, which Linux tells",
    "tests/engine/test_crash_power.py": "its model of a power loss is of file systems whose folders are flushed",
    "tests/engine/test_crash_syscalls.py::test_the_scene_holds": "folders are flushed on POSIX systems alone",
    "tests/engine/test_faulty_ranks.py::test_a_faulty_rank_ends_all[2-stop": "SIGSTOP",
    "tests/engine/test_faulty_ranks.py::test_a_faulty_rank_ends_all[3-stop": "SIGSTOP",
    "tests/engine/job/test_signals.py::test_a_signal_to_some_ranks": "SIGUSR1",
    "tests/engine/job/test_signals.py::test_a_stopped_and_continued": "SIGUSR1, SIGSTOP",
    "tests/cli/test_train.py::test_a_signal_saves_and_exits_with_its_code[SIGUSR1]": "SIGUSR1",
    "tests/cli/test_folders.py::test_names_with_odd_characters": "images whose names Windows cannot hold",
    "tests/apps/test_export.py::test_a_file_that_differs_is_not": "torch.export trips over the stand-ins",
    "tests/inference/test_limits.py": "limits of the address space",
    "tests/inference/test_memory.py::test_a_limit_of_the_address_space": "limits of the address space",
    "tests/apps/test_report.py::test_neither_sheets_nor_report_keep": "images whose names Windows cannot hold",
    "tests/apps/test_report.py::test_without_truth_there_are": "images whose names Windows cannot hold",
    "tests/test_plugins.py::test_failing_plugins_name_file_and_line[import surely": "our frame comes last",
}
"""Beginnings of test ids, and why these need POSIX."""
