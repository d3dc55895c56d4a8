"""Count how the code of a checkout is built: sizes, imports, the training loop, the walk of an image, words, types.

    python tools/maintenance/measure_code.py                 a table of this checkout
    python tools/maintenance/measure_code.py --json          the same as JSON
    python tools/maintenance/measure_code.py --walk          also the files that an image passes, in order

How each is counted:
- lines: all lines of srtoolbox/**/*.py, blank ones and comments, too.
- imported by exactly one other: modules that one other module of the package imports, at the top or inside functions or
  for types only; `from a import b` imports a.b where that is a module, else a.
- the loop: lines of the functions of LOOP that neither are blank nor belong to the docstring.
- stays, climbs, returns: see `image_walk.Walk`; by the public Python names (read_image, upscale, write_image), and
  by the command. A file stands the higher, the more parts tests/test_layering.py lets it import.
- relative docstrings: of modules, classes and functions (nested ones, too), whose first word is one of RELATIVE.
- long functions: over 60 lines from `def` to the end, docstring included.
- lines as formatted for 100 columns: of a copy of the package, by ruff, where it is installed; the lengths of two trees
  compare by these, since one that wraps at fewer columns has more lines for the same code.
- type errors: of mypy with --ignore-missing-imports, where it is installed.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# what one iteration runs: change it where the loop moves
LOOP = ("engine/loop.py:iterations",)
RELATIVE = ["What", "Whether", "Where", "Who", "Whom", "Whose", "How", "Which", "That", "When", "Why", "If", "As", "Of"]
LONG_LINE, LONG_FUNCTION = 100, 60
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """A file of the package."""

    path: str
    """Relative to the package, with slashes."""
    module: str
    lines: list[str]
    tree: ast.Module


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout to measure (default: this one)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--walk", action="store_true", help="print the files that an image passes, too")
    parser.add_argument("--loop", nargs="+", default=LOOP, metavar="FILE:NAME", help="the functions of the loop")
    parser.add_argument("--static", action="store_true", help="only read the code: no walk, no type checker")
    args = parser.parse_args(argv)
    tree = args.tree.resolve()
    measures = measure_sources(read_sources(tree / "srtoolbox"), args.loop)
    walks = {} if args.static else measure_walks(tree)
    for door, walk in walks.items():
        measures[f"stays / climbs / returns of one image by {door}"] = (
            f"{len(walk.stays)} / {walk.climbs} / {walk.returns}"
        )
    if not args.static:
        measures[f"lines as formatted for {LONG_LINE} columns"] = lines_of_equal_width(tree / "srtoolbox")
        measures["type errors (mypy)"] = type_errors(tree)
    if args.walk:
        measures |= {f"walk by {door}": " -> ".join(walk.stays) for door, walk in walks.items()}
    print(json.dumps(measures, indent=1) if args.json else table(measures))
    return 0


def read_sources(package: Path) -> list[Source]:
    """Return the parsed files of a package, sorted by path."""
    sources = []
    for file in sorted(package.rglob("*.py")):
        words = file.relative_to(package.parent).with_suffix("").parts
        module = ".".join(words[:-1] if words[-1] == "__init__" else words)
        text = file.read_text(encoding="utf-8")
        sources.append(Source(file.relative_to(package).as_posix(), module, text.splitlines(), ast.parse(text)))
    return sources


def measure_sources(sources: Sequence[Source], loop: Sequence[str]) -> dict[str, Any]:
    """Return what the text of the files tells, by the names in the table."""
    lines = [line for source in sources for line in source.lines]
    docstrings = [text for source in sources for text in docstrings_of(source.tree)]
    relative = [text for text in docstrings if opens_with_a_relative_word(text)]
    importers = importers_of(sources)
    longest = [size for source in sources for size in function_sizes(source.tree)]
    words = Counter(word.lower() for line in lines for word in re.findall(r"[^\W_\d]+", line))
    found = [size for size in (loop_lines(sources, name) for name in loop) if size is not None]
    missing = f" ({len(loop) - len(found)} not found)" if len(found) < len(loop) else ""
    wide = sum(len(line) > LONG_LINE for line in lines)
    return {
        "files": len(sources),
        "lines": len(lines),
        "modules imported by exactly one other": sum(len(names) == 1 for names in importers.values()),
        "cli/ lines": sum(len(source.lines) for source in sources if source.path.startswith("cli/")),
        "the loop: lines": sum(found),
        "the loop: functions": f"{len(found)}{missing}",
        "docstrings that open with a relative word": f"{len(relative)} ({share(len(relative), len(docstrings))})",
        f"lines over {LONG_LINE} columns": f"{wide} ({share(wide, len(lines))})",
        "noqa: ANN401": sum("# noqa: ANN401" in line for line in lines),
        f"functions over {LONG_FUNCTION} lines": sum(size > LONG_FUNCTION for size in longest),
        "'picture' / 'image' as words": " / ".join(
            str(words[word] + words[f"{word}s"]) for word in ("picture", "image")
        ),
    }


def share(part: int, whole: int) -> str:
    """Return a share in per cent."""
    return f"{100 * part / max(whole, 1):.1f} %"


def docstrings_of(tree: ast.Module) -> list[str]:
    """Return the docstrings of the module, its classes and functions."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | _FUNCTION)]
    return [text for text in map(ast.get_docstring, nodes) if text]


def opens_with_a_relative_word(docstring: str) -> bool:
    """Return True if the first word of a docstring is one of RELATIVE, where a verb or a noun is wanted."""
    return re.split(r"\W", docstring, maxsplit=1)[0] in RELATIVE


def function_sizes(tree: ast.Module) -> list[int]:
    """Return the lines of each function, decorators not counted."""
    return [(node.end_lineno or 0) - node.lineno + 1 for node in ast.walk(tree) if isinstance(node, _FUNCTION)]


def importers_of(sources: Sequence[Source]) -> dict[str, set[str]]:
    """Return for each module of the package the others that import it."""
    importers: dict[str, set[str]] = {source.module: set() for source in sources}
    for source in sources:
        for node in ast.walk(source.tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in importers else node.module for name in whole]
            for name in names:
                if name in importers and name != source.module:
                    importers[name].add(source.module)
    return importers


def loop_lines(sources: Sequence[Source], name: str) -> int | None:
    """Return the lines of code of 'file.py:Class.method', or None where it is not there."""
    file, _, path = name.partition(":")
    source = next((source for source in sources if source.path == file), None)
    node: ast.AST | None = source.tree if source else None
    for part in path.split("."):
        children = getattr(node, "body", [])
        node = next((child for child in children if getattr(child, "name", None) == part), None)
    if source is None or not isinstance(node, _FUNCTION):
        return None
    rows = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    if ast.get_docstring(node) is not None:
        rows -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return sum(bool(source.lines[row - 1].strip()) for row in rows)


def measure_walks(tree: Path) -> dict[str, Any]:
    """Return the walks of one image by Python names and by the command, measured in a process of their own."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("image_walk.py")), str(tree)]
    done = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the walk of an image fails:\n{done.stderr[-2000:]}")
    from image_walk import Walk

    return {door: Walk(*walk) for door, walk in json.loads(done.stdout).items()}


def lines_of_equal_width(package: Path) -> int | str:
    """Return the lines of a package when its code is wrapped at LONG_LINE columns, or why there is no such number."""
    if importlib.util.find_spec("ruff") is None:
        return "ruff is not installed"
    command = [sys.executable, "-m", "ruff", "format", "--quiet", "--isolated", "--target-version", "py311"]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(package, Path(folder, package.name)))
        subprocess.run([*command, "--line-length", str(LONG_LINE), folder], check=True)
        return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in copy.rglob("*.py"))


def type_errors(tree: Path) -> int | str:
    """Return the errors that mypy finds, or why there is no such number."""
    if importlib.util.find_spec("mypy") is None:
        return "mypy is not installed"
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--no-error-summary", "srtoolbox"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        return f"mypy fails: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
    return sum(": error:" in line for line in done.stdout.splitlines())


def table(measures: dict[str, Any]) -> str:
    """Return the measures as a Markdown table."""
    return "\n".join(["| | |", "|---|--:|", *(f"| {name} | {value} |" for name, value in measures.items())])


if __name__ == "__main__":
    raise SystemExit(main())
