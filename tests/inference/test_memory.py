"""Free memory within all limits, what an out-of-memory error is, and the count of live tensors."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from srtoolbox.devices import is_out_of_memory
from srtoolbox.inference.tiling import memory
from srtoolbox.inference.tiling.memory import free_bytes, peak_bytes
from tests import processes

MB = 1 << 20


def test_free_memory_is_some_of_the_machines():
    assert 50 * MB < free_bytes(torch.device("cpu")) < 1 << 50
    assert free_bytes(torch.device("meta")) == memory.UNKNOWN


def test_meminfo(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemFree:   10 kB\nMemAvailable:   60 kB\n")
    assert list(memory._system(tmp_path / "meminfo")) == [60 << 10]
    assert list(memory._system(tmp_path / "absent")) == []


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def test_control_groups_of_the_new_kind(tmp_path):
    job = tmp_path / "fs" / "job"
    write(job / "step", memory__max="max", memory__current=5, memory__stat="inactive_file 1")
    write(job, memory__max=900 * MB, memory__current=600 * MB, memory__stat=f"anon 7\ninactive_file {100 * MB}")
    (tmp_path / "own").write_text("0::/job/step\n")
    assert list(memory._group(tmp_path / "fs", tmp_path / "own")) == [400 * MB]


def test_control_groups_of_the_old_kind(tmp_path):
    files = {"memory__limit_in_bytes": 800 * MB, "memory__usage_in_bytes": 300 * MB}
    write(tmp_path / "fs" / "memory" / "job", **files, memory__stat="total_inactive_file 0")
    (tmp_path / "own").write_text("9:cpu:/other\n4:memory:/job\n")
    assert list(memory._group(tmp_path / "fs", tmp_path / "own")) == [500 * MB]


def test_a_group_that_cannot_be_seen_from_inside(tmp_path):
    (tmp_path / "own").write_text("0::/gone\n")
    assert list(memory._group(tmp_path / "fs", tmp_path / "own")) == []


def limited() -> None:
    """Print 'refused' where the address space left has no room for a tensor."""
    import resource  # not on Windows

    with open("/proc/self/statm") as sizes:
        size = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 300 * MB,) * 2)
    free = free_bytes(torch.device("cpu"))
    assert 250 * MB < free <= 300 * MB, free
    try:
        torch.ones(400 * 2**18)
    except Exception as error:
        assert is_out_of_memory(error), error
        print("refused")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is of Linux")
def test_a_limit_of_the_address_space_and_the_error_it_makes():
    done = processes.run(limited)
    assert done.stdout.split() == ["refused"], done.stderr


def test_other_errors_are_not_out_of_memory():
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_only_what_is_alive_counts():
    def run():
        kept = torch.zeros(MB, dtype=torch.uint8)
        for _ in range(5):
            passing = kept + 1
        return passing.view(2, -1)

    assert peak_bytes(run) == 3 * MB  # the old `passing` goes when the new one is there


def test_counting_does_not_bring_the_compiler():
    code = "import sys, torch; from srtoolbox.inference.tiling.memory import peak_bytes; "
    code += "peak_bytes(lambda: torch.ones(3)); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
