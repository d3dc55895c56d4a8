"""Real limits of the address space: what the estimate avoids, and what the allocator refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "tools" / "benchmarks" / "upscale.py"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="the limit is of Linux")]


@pytest.mark.parametrize(("height", "width"), [(2500, 2500), (400, 20000)], ids=["100 megapixels", "panorama"])
def test_a_large_image_in_2_gb_of_address_space(height, width):
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    command = [sys.executable, str(BENCHMARK), "--large", "ESPCN", str(height), str(width), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == 0
    assert told["bands"] > 1
    assert told["mapped"] * 1e6 < 2 << 30


REFUSED = """
import resource, sys
import numpy as np, skimage.data, torch
torch.set_num_threads(1)
from srtoolbox.inference.tiling import planner as planning
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.registry import NETWORKS
torch.manual_seed(0)
network = NETWORKS.build({"type": sys.argv[1], "scale": 4})
image = np.ascontiguousarray(skimage.data.chelsea()[:120, :140])
expected = Upscaler(network, tile=None)(image)
planning.free_bytes = lambda device: 1 << 40
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (80 << 20),) * 2)
result = Upscaler(network)(image)
assert np.abs(result.astype(int) - expected).max() <= 1
"""


@pytest.mark.parametrize("name", ["MSRResNet", "SRCNN"])
def test_what_the_allocator_refuses_is_done_in_smaller_tiles(name):
    done = subprocess.run([sys.executable, "-c", REFUSED, name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "out of memory: going on with tiles" in done.stdout + done.stderr
