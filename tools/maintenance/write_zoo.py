"""Write srtoolbox/apps/zoo/networks.json, what `srtoolbox networks` tells, from the classes, the configs and the docs.

    python tools/maintenance/write_zoo.py            the whole table; it takes a minute
    python tools/maintenance/write_zoo.py --check    say what differs, write nothing

- families, variants, parameters, fields, layouts: of the classes, see srtoolbox/apps/zoo/describe.py.
- configs: of each file of configs/ its network; it is a variant if its arguments are that one's but for those
  that leave no trace in weights and for `init`, and small if its name says so.
- measured trainings: rows of tables in configs/*/README.md that name a config and have a score below the name of a set.
- public files: the table "Public weights that were measured" of docs/networks.md.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from srtoolbox.apps.zoo import TABLE, Family, Training, as_json
from srtoolbox.apps.zoo.describe import describe, names, plain
from srtoolbox.config import Config
from srtoolbox.interfaces import variants_of
from srtoolbox.registry import NETWORKS

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = re.compile(r"\*{0,2}\d\d\.\d+")
SETS = ("Set5", "Set14", "BSD100", "Urban100")
FILES = "Public weights that were measured"


def measured() -> set[str]:
    """Return the names of configs whose trainings have scores in the READMEs."""
    found: set[str] = set()
    for readme in sorted(ROOT.glob("configs/*/README.md")):
        header: list[str] = []
        for line in readme.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
            if not cells or not header:
                header = cells
                continue
            scores = [cell for title, cell in zip(header, cells, strict=False) if title.startswith(SETS)]
            if any(map(NUMBERS.match, scores)):
                found |= set(re.findall(r"(\w+\.py)`", cells[0]))
    return found


def public_files() -> dict[str, tuple[str, ...]]:
    """Return the measured files of other projects by the network."""
    page = (ROOT / "docs/networks.md").read_text(encoding="utf-8")
    files: dict[str, tuple[str, ...]] = {}
    for file, network in re.findall(r"^\| ([^|]+) \| `(\w+)`", page.partition(f"## {FILES}\n")[2], re.M):
        files[network] = (*files.get(network, ()), file.strip())
    return files


def variant_of(generator: Mapping[str, Any]) -> str | None:
    """Return the name of the variant that a config's network is."""
    network = NETWORKS.get(generator["type"])
    parameters = inspect.signature(network).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    traceless = {"type", "scale", "init", *getattr(network, "hidden_arguments", {})}

    def key(arguments: Mapping[str, Any]) -> dict[str, Any]:
        return plain({name: value for name, value in {**defaults, **arguments}.items() if name not in traceless})

    own = key(generator)
    return next((name for name, told in variants_of(network).items() if key(told) == own), None)


def trainings() -> dict[str, tuple[Training, ...]]:
    """Return the configs that train a network, by its class."""
    found: dict[str, tuple[Training, ...]] = {}
    with_scores = measured()
    for path in sorted(ROOT.glob("configs/*/*.py")):
        if path.parent.name == "_base_":
            continue
        config = Config.fromfile(path).to_dict()
        if "optim" not in config:
            continue
        generator, name = config["model"]["generator"], path.relative_to(ROOT / "configs").as_posix()
        is_small = "_small_" in path.stem or path.parent.name in ("quickstart", "fine_tune")
        training = Training(name, generator["scale"], variant_of(generator), is_small, path.name in with_scores)
        found[generator["type"]] = (*found.get(generator["type"], ()), training)
    return found


def table() -> dict[str, Any]:
    """Return the whole table, as JSON has it."""
    configs, files = trainings(), public_files()
    return {name: entry(describe(name), configs, files) for name in names()}


def entry(
    family: Family, configs: Mapping[str, tuple[Training, ...]], files: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Return a family's entry, with its configs and files, as JSON has it."""
    full = replace(family, trainings=configs.get(family.name, ()), files=files.get(family.name, ()))
    return json.loads(json.dumps(as_json(full)))


def text_of(rows: Mapping[str, Any]) -> str:
    """Return the table as text: a line for each variant, config and fact."""
    lines = []
    for name, facts in rows.items():
        parts = []
        for key, value in facts.items():
            if isinstance(value, dict):
                inner = ",\n".join(f"      {json.dumps(own)}: {json.dumps(told)}" for own, told in value.items())
                parts.append(f"    {json.dumps(key)}: {{\n{inner}\n    }}" if value else f"    {json.dumps(key)}: {{}}")
            else:
                parts.append(f"    {json.dumps(key)}: {json.dumps(value)}")
        lines.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(parts) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Write the table, or say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the table is not true")
    args = parser.parse_args()
    rows = table()
    if args.check:
        known = json.loads(TABLE.read_text(encoding="utf-8"))
        wrong = [name for name in sorted({*rows, *known}) if rows.get(name) != known.get(name)]
        print(f"not true of: {', '.join(wrong)}" if wrong else "true")
        return 1 if wrong else 0
    TABLE.write_text(text_of(rows), encoding="utf-8", newline="\n")
    print(f"{TABLE}: {len(rows)} families")
    return 0


if __name__ == "__main__":
    sys.exit(main())
