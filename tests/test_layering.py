"""Who may import whom: a room imports lower ones only, not even for types, and never one of its siblings."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "srtoolbox"

# the rooms from low to high: each imports what stands above it in this list, never what stands below
ROOMS = [
    "moved",
    "errors",
    "text",
    "system",
    "io",
    "logger",
    "registry",
    "devices",
    "compat",
    "dist",
    "config",
    "plugins",
    "interfaces",
    "image",
    "resize",
    "data",
    "features",
    "losses",
    "metrics",
    "optim",
    "models.networks",
    "models.restorers",
    "check",
    "plots",
    "inference",
    "weights",
    "engine",
    "apps",
    "cli",
]
RANK = {room: rank for rank, room in enumerate(ROOMS)}
# siblings know each other by the registry only
SIBLINGS = {"data", "losses", "metrics", "optim", "models.networks", "models.restorers"}
MAY = {
    ("metrics", "features"),
    ("losses", "features"),
    ("models.restorers", "models.networks"),
    ("models.restorers", "optim"),
}
# a library and the only parts that may import it
ONLY_IN = {
    "argcomplete": {"cli"},
    "cv2": {"image"},
    "PIL": {"image", "plots"},
    "lmdb": {"data"},
    "datasets": {"data"},
    "pyarrow": {"data"},
    "optuna": {"apps", "compat"},
    "onnx": {"apps", "weights"},
    "onnxruntime": {"apps", "weights"},
    "av": {"apps", "image", "plots"},
    "pytorch_optimizer": {"optim"},
    "safetensors": {"io"},
    "spandrel": {"compat", "models.networks", "weights"},
    "zstandard": {"data"},
    "starlette": {"apps"},
    "uvicorn": {"apps"},
    "torchvision": {"features"},
    "matplotlib": {"plots"},
    "yaml": {"config"},
}
# calls and the only parts that may make them
CALLS_ONLY_IN = {"torch.load": {"io"}, "torch.save": {"io"}}
# imports inside functions: only where a part must answer without PyTorch, or with what an extra brings
LAZY_IN = {"cli", "__init__"}

FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    """'srtoolbox.models.networks.espcn' -> 'models.networks'."""
    words = module.split(".")[1:]
    return ".".join(words[:2]) if words[:1] == ["models"] and len(words) > 1 else (words or ["__init__"])[0]


def module_of(path: Path) -> str:
    words = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" and len(words) > 2 else words)


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file; parsing all of them takes seconds, so it is done once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree: ast.AST) -> set[str]:
    """All imports, those for type checkers too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def may_import(part: str, target: str) -> bool:
    if {part, target} <= SIBLINGS and part != target:
        return (part, target) in MAY
    return RANK[target] <= RANK[part]


def faults_of(tree: ast.Module, module: str) -> list[str]:
    """What a file's imports and calls do that the tables above do not allow."""
    part = part_of(module)
    faults = []
    for name in imports_of(tree):
        root = name.split(".")[0]
        if root == "srtoolbox":
            target = part_of(name)
            if target in RANK and part in RANK and not may_import(part, target):
                faults.append(f"{part} imports {name}")
        elif root in ONLY_IN and part not in ONLY_IN[root]:
            faults.append(f"{part} imports {root}")
    if part != "compat":
        faults += [f"{part} uses the private name {name}" for name in private_names(tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            faults += _call_faults(node, part)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and part not in LAZY_IN:
            hidden = {name for name in imports_of(node) if name.startswith("srtoolbox.")}
            faults += [f"{part}: {node.name} hides an import of {name}" for name in hidden]
    return faults


def private_names(tree: ast.AST) -> set[str]:
    """Private names of torch and argparse, imported or as attributes: only `compat` may use them."""
    attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = {name for name in imports_of(tree) | attributes if name.split(".")[0] in ("torch", "argparse")}
    return {name for name in names if any(re.match("_(?!_)", word) for word in name.split("."))}


def _call_faults(node: ast.Call, part: str) -> list[str]:
    called = ast.unparse(node.func)
    if called in CALLS_ONLY_IN and part not in CALLS_ONLY_IN[called]:
        return [f"{part} calls {called} (line {node.lineno})"]
    if called == "print" and part != "cli":
        return [f"{part} prints (line {node.lineno})"]
    if called.endswith((".write_text", ".write_bytes")) and not called.startswith("files.") and part != "io":
        return [f"{part} writes with {called} (line {node.lineno})"]
    if called == "open" or called.endswith(".open"):
        modes = [*(node.args[1:2] if called == "open" else node.args[:1])]
        modes += [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
        texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
        if part != "io" and any(set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts):
            return [f"{part} opens a file for writing (line {node.lineno})"]
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_follow_the_table(path):
    assert faults_of(tree_of(path), module_of(path)) == []


def reached_from(rooms: set[str]) -> set[str]:
    """The modules of some rooms, those that they import, and so on; of other libraries the name alone."""
    imported = {module_of(path): imports_of(tree_of(path)) for path in FILES}
    reached: set[str] = set()
    waiting = {module for module in imported if part_of(module) in rooms}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        for name in imported.get(module, ()):
            words = name.split(".")
            starts = [".".join(words[:count]) for count in range(len(words), 0, -1)]
            waiting |= {next((start for start in starts if start in imported), words[0])} - reached
    return reached


def test_a_training_imports_no_matplotlib():
    """It takes a tenth of the time that all imports take."""
    reached = reached_from({"engine", "data", "losses", "metrics", "models.networks", "models.restorers"})
    assert {"srtoolbox.plots.panels", "torch", "tensorboard"} <= reached
    assert "matplotlib" not in reached


def test_every_part_is_in_the_table():
    parts = {part_of(module_of(path)) for path in FILES} - {"__init__", "__main__", "models", "models.__init__"}
    assert parts == set(ROOMS)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("srtoolbox.losses.x", "from srtoolbox.metrics.psnr import PSNR"),
        ("srtoolbox.losses.x", "import srtoolbox.engine.loop"),
        ("srtoolbox.image", "def f():\n    from srtoolbox.engine import loop"),
        ("srtoolbox.models.networks.x", "from srtoolbox.models.restorers.base import Restorer"),
        ("srtoolbox.models.restorers.x", "from srtoolbox.losses.pixel import L1Loss"),
        ("srtoolbox.data.x", "import cv2"),
        ("srtoolbox.data.x", "from torch.utils.data._utils import signal_handling"),
        ("srtoolbox.engine.x", "import torch\ntorch._foreach_copy_([], [])"),
        ("srtoolbox.cli.x", "import argparse\nPlace = argparse._ActionsContainer"),
        ("srtoolbox.engine.x", "import lmdb"),
        ("srtoolbox.losses.x", "import torchvision"),
        ("srtoolbox.engine.x", "import torch\ntorch.save({}, 'x')"),
        ("srtoolbox.engine.x", "with open('x', 'w') as f: pass"),
        ("srtoolbox.engine.x", "with open('x', mode='ab') as f: pass"),
        ("srtoolbox.engine.x", "path.open('wb')"),
        ("srtoolbox.engine.x", "path.write_text('x')"),
        ("srtoolbox.engine.x", "print(1)"),
        ("srtoolbox.engine.x", "def f():\n    from srtoolbox import image"),
        ("srtoolbox.config.x", "from srtoolbox.cli import main"),
        ("srtoolbox.losses.x", "if TYPE_CHECKING:\n    from srtoolbox.engine.loop import Runner"),
        ("srtoolbox.optim.x", "from srtoolbox.models.networks.blocks import conv3x3"),
    ],
)
def test_the_rule_bites(module, source):
    assert faults_of(ast.parse(source), module)


def test_what_is_allowed_passes():
    assert not faults_of(ast.parse("with open('x', 'rb') as f: pass"), "srtoolbox.engine.x")
    assert not faults_of(ast.parse("from srtoolbox.registry import LOSSES\nimport torch"), "srtoolbox.losses.x")
