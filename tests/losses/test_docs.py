"""docs/losses.md and docs/test.md are true: their configs have no fault, and every loss and metric stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from srtoolbox.features.backbones import BACKBONES, filled_backbone
from srtoolbox.losses.perceptual import FeatureLoss
from srtoolbox.registry import LOSSES, METRICS, argument_faults

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of weights that the pages name, in the current folder."""
    (tmp_path / "weights").mkdir()
    torch.save(filled_squeezenet(), tmp_path / "weights/squeezenet1_0.pth")
    monkeypatch.chdir(tmp_path)


def filled_squeezenet() -> dict[str, torch.Tensor]:
    state = filled_backbone("squeezenet1_0", "random").state_dict()
    return {key: value for key, value in state.items() if key.startswith("features")}


def entries(page: str, registry) -> list[dict]:
    """Every component of a registry in the page's Python blocks."""
    found: list[dict] = []

    def note(**values):
        if values.get("type") in registry:
            found.append(values)
        return values

    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S):
        if "import" not in block:
            exec(block, {"dict": note})
    return found


@pytest.mark.parametrize(("page", "registry", "count"), [("losses.md", LOSSES, 15), ("test.md", METRICS, 6)])
def test_entries_have_no_fault(page, registry, count, with_weights):
    found = entries(page, registry)
    assert len(found) == count
    for cfg in found:
        entry = registry.get(cfg["type"])
        assert argument_faults(entry, cfg["type"], [key for key in cfg if key != "type"]) == []
        assert not hasattr(entry, "check") or entry.check(cfg, {}) == []
        if not issubclass(entry, FeatureLoss) or "weights" in cfg:
            registry.build(cfg)


def test_table_of_papers_has_no_fault():
    rows = re.findall(r"\| `(.*layers=.*?)`", (DOCS / "losses.md").read_text(encoding="utf-8"))
    assert len(rows) == 4
    for row in rows:
        cfg = eval(f"dict({row})")
        assert LOSSES.get("PerceptualLoss").check(cfg, {}) == []
        LOSSES.build({"type": "PerceptualLoss", **cfg, "weights": "random"})


def test_all_there_is_stands_there():
    losses = (DOCS / "losses.md").read_text(encoding="utf-8")
    metrics = (DOCS / "test.md").read_text(encoding="utf-8")
    for registry, text in ((LOSSES, losses), (METRICS, metrics)):
        ours = [name for name in registry if registry.get(name).__module__.startswith("srtoolbox.")]
        assert [name for name in ours if name not in text] == []
    families = {re.match(r"[a-z]+", name)[0] for name in BACKBONES}
    assert [family for family in families if family not in losses] == []
