"""Metrics that need no truth with pyiqa itself, over random weights under the names of files that it looks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.image import to_tensor
from srtoolbox.registry import METRICS

pytestmark = pytest.mark.slow


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of torch's downloads, with random weights."""
    torchvision_models()  # the library imports torchvision, which may need help
    pytest.importorskip("pyiqa", reason="needs the package pyiqa, see docs/metrics.md")
    from pyiqa.archs.musiq_arch import MUSIQ
    from pyiqa.utils import download_util

    folder = tmp_path / "pyiqa"
    folder.mkdir()
    torch.manual_seed(0)
    torch.save((torch.rand(774, 1) - 0.5, torch.rand(774, 36) * 2 - 1), tmp_path / METRICS.get("BRISQUE").file)
    torch.save(MUSIQ(pretrained=False).state_dict(), tmp_path / METRICS.get("MUSIQ").file)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(folder))
    return tmp_path


@pytest.mark.parametrize("name", ["BRISQUE", "MUSIQ"])
def test_the_library_finds_its_file_and_scores_a_batch_as_each_alone(name: str, hub: Path, photo: np.ndarray) -> None:
    first, second = (to_tensor(np.ascontiguousarray(photo[at : at + 120, :160])) for at in (0, 100))
    metric = METRICS.build({"type": name})
    both = metric(torch.cat([first, second]))
    assert both.shape == (2,) and both.dtype == torch.float64 and both[0] != both[1]
    alone = torch.cat([metric(first), metric(second)])
    torch.testing.assert_close(both, alone, rtol=1e-5, atol=1e-5)
