"""The zoo: its table is what classes, configs and docs say, and filters choose among it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from srtoolbox.apps.zoo import TABLE, Variant, Wish, can_scale, choose, describe, families, find
from srtoolbox.apps.zoo.text import details, listing, short
from srtoolbox.interfaces import variants_of
from srtoolbox.registry import NETWORKS
from tools.maintenance import write_zoo

ROOT = Path(__file__).parents[2]
COMMAND = "python tools/maintenance/write_zoo.py writes it"
QUICK = ("CARN", "SAFMNPP")
"""Families that are built in the default run."""


def test_the_table_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the parameters, fields and windows of large families, which are built by the next test."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    assert list(table) == describe.names(), COMMAND
    build = describe.variant

    def as_told(family: str, name: str, arguments: dict[str, Any]) -> Variant:
        known = find(family).variants
        same = [one for one in known if one.name == name and one.arguments == describe.plain(arguments)]
        return same[0] if same and family not in QUICK else build(family, name, arguments)

    monkeypatch.setattr(describe, "variant", as_told)
    configs = {name: family.trainings for name, family in families().items()}
    files = write_zoo.public_files()
    true = {name: write_zoo.entry(describe.describe(name), configs, files) for name in table}
    assert table == true, COMMAND


def test_the_table_names_all_configs_that_train() -> None:
    named = {training.config for family in families().values() for training in family.trainings}
    files = {path.relative_to(ROOT / "configs").as_posix() for path in ROOT.glob("configs/*/*.py")}
    assert named == {file for file in files if not file.startswith(("_base_", "bicubic"))}, COMMAND
    measured = {Path(t.config).name for family in families().values() for t in family.trainings if t.is_measured}
    assert measured == write_zoo.measured(), COMMAND
    assert "espcn_x3_t91.py" in measured and "edsr_x4_div2k_300k.py" not in measured


@pytest.mark.slow
def test_the_whole_table_is_true() -> None:
    table = write_zoo.table()
    assert json.loads(TABLE.read_text(encoding="utf-8")) == table, COMMAND
    assert TABLE.read_text(encoding="utf-8") == write_zoo.text_of(table), COMMAND


def chosen(**wish: Any) -> set[str]:
    return {variant.name for _, variant in choose(Wish(**wish))}


def test_filters() -> None:
    everything = {name for family in describe.names() for name in variants_of(NETWORKS.get(family))}
    assert chosen() == everything
    assert chosen(words=["HAT"]) == {"HAT", "HAT-S", "HAT-L"}
    assert chosen(words=["pan"]) == {"PAN"} and chosen(words=["hat-s", "rgan"]) == {"HAT-S", "ESRGAN+"}
    assert chosen(words=["swinir-l", "lim 2017"]) == {"SwinIR-light", "EDSR", "EDSR-baseline"}
    assert chosen(words=["swinir"], scale=3) == {"SwinIR", "SwinIR-light"}
    assert {"RFDN", "SRVGGNetCompact", "SwinIR-noise"} <= chosen(scale=1)  # the first two for any scale
    assert chosen(words=["swinir"], scale=1) - chosen(words=["swinir"], scale=8) == {"SwinIR-noise", "SwinIR-JPEG"}
    assert chosen(words=["carn"], max_parameters=300_000) == {"CARN-M"}
    assert chosen(words=["carn"], max_parameters=300_000, scale=3) == set()
    assert chosen(colour="y") == {"ESPCN", "FSRCNN", "FSRCNN-s", "SRCNN", "SRCNN-955", "VDSR"}
    assert chosen(windows=True) | chosen(windows=False) == everything
    assert {"DAT", "OmniSR", "SwinIR-JPEG"} <= chosen(windows=True) and "RCAN" not in chosen(windows=True)
    assert {"EDSR", "SPAN"} <= chosen(exact=True) and not {"RCAN", "HAT"} & chosen(exact=True)
    assert {"ESPCN", "MSRResNet"} <= chosen(trained=True) and "EDSR" not in chosen(trained=True)
    assert "IMDN" in chosen(checked=True) and "FSRCNN-s" not in chosen(checked=True)


@pytest.mark.parametrize(
    ("name", "scales"), [("SwinIR-real", [1, 2, 4, 8]), ("CARN", [2, 3, 4, 8]), ("IMDN", [*range(1, 9)])]
)
def test_scales_are_those_that_build(name: str, scales: list[int]) -> None:
    family = find(name)
    variant = next(one for one in family.variants if one.name == name)
    assert [scale for scale in range(1, 9) if can_scale(family, variant, scale)] == scales


def test_papers_in_short() -> None:
    cited = {name: family.cited for name, family in families().items()}
    assert all(cited.values())
    assert cited["EDSR"] == "Lim 2017" and cited["SRVGGNetCompact"] == "Wang 2021"
    assert cited["SAFMNPP"] == "Sun 2024" and cited["RealPLKSR"] == "after Lee 2024"  # the module's paper is another
    assert cited["SAFMN"] == "Sun 2023" and cited["PLKSR"] == "Lee 2024" and cited["RRDBNet"] == "Wang 2018"


def test_the_documents_cite_alike() -> None:
    text = (ROOT / "docs/networks.md").read_text(encoding="utf-8")
    table = text.partition("| name | paper |")[2].partition("\n\n")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", table, flags=re.MULTILINE))
    cited = {name: family.cited for name, family in families().items()}
    assert {name: documented.get(name) for name in cited} == cited


def test_a_family_in_detail() -> None:
    text = details(find("hat-l"))
    for part in (
        "Activating more pixels",
        "compress_ratio: `num_features` over",
        "HAT(scale, colour='rgb', *, num_features=180, depths=(6, 6",
        "HAT-L: x2 40.7 M",
        "dict(type='HAT', scale=4, depths=[6] * 12, num_heads=[6] * 12)",
        "hat/hat_s_x2_df2k_500k.py                   x2  HAT-S",
        "--to: basicsr",
    ):
        assert part in text
    for family in families().values():
        assert family.summary() and family.text() and family.signature().startswith(f"{family.name}(scale")
        assert family.name in details(family)


def test_the_listing() -> None:
    lines = listing(list(choose(Wish(["edsr", "srgan", "omnisr"]))), 2).splitlines()
    assert lines[0].split() == ["name", "paper", "parameters", "scales", "field", "configs", "trained", "file"]
    assert lines[1].split("  ")[0] == "EDSR" and "40.7 M" in lines[1] and "68" not in lines[0]
    assert lines[3].split()[-4:] == ["paper,", "small", "-", "-"] and "windows" in lines[3]
    assert any("at x2" in line for line in lines[4:])
    assert listing([]).startswith("no network is so")
    assert [short(n) for n in (72, 8129, 239_520, 9_620_000, 43_100_000)] == [
        "72",
        "8.13 K",
        "239.5 K",
        "9.62 M",
        "43.1 M",
    ]
