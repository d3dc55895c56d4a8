"""Who may import whom. The table is the rule: a lower layer never imports a higher one, nor one of its siblings."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "srtoolbox"

# part of the package -> what it may import besides itself
FOUNDATION = {"errors", "registry", "files", "dist", "logger", "image", "resize", "config", "check", "plugins"}
FOUNDATION |= {
    "tensor_files",
    "vision",
    "backbones",
    "features",
    "watch",
    "system",
    "workers",
    "file_names",
    "system_memory",
}
FOUNDATION |= {"wording", "parameter_names"}
FOUNDATION |= {"devices", "meta_device"}
COMPONENTS = {"models.networks", "losses", "metrics", "data"}
ALLOWED = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    **dict.fromkeys(COMPONENTS, FOUNDATION),
    "models.restorers": FOUNDATION | COMPONENTS,
    "models.interop": FOUNDATION | COMPONENTS,
    **dict.fromkeys(("inference", "visual"), FOUNDATION | COMPONENTS | {"models.restorers", "models.interop"}),
    "engine": FOUNDATION | COMPONENTS | {"models.restorers", "models.interop", "inference", "visual"},
    "cli": FOUNDATION | COMPONENTS | {"models.restorers", "models.interop", "inference", "visual", "engine"},
}
# losses are asked for by name, never imported
FORBIDDEN = {("models.restorers", "losses"), ("models.restorers", "metrics"), ("models.restorers", "data")}
# a library and the only parts that may import it
ONLY_IN = {
    "cv2": {"image"},
    "PIL": {"image", "visual"},
    "lmdb": {"data"},
    "datasets": {"data"},
    "pyarrow": {"data"},
    "onnx": {"inference"},
    "onnxruntime": {"inference"},
    "av": {"inference", "visual"},
    "safetensors": {"tensor_files"},
    "zstandard": {"data"},
    "torchvision": {"vision"},
    "matplotlib": {"visual"},
    "yaml": {"config"},
}
# calls and the only parts that may make them
CALLS_ONLY_IN = {"torch.load": {"tensor_files"}, "torch.save": {"tensor_files"}}
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


def runtime_nodes(tree: ast.AST):
    """All nodes but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from runtime_nodes(node)


def imports_of(tree: ast.AST, nodes=None) -> set[str]:
    found = set()
    for node in runtime_nodes(tree) if nodes is None else nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def faults_of(source: str, module: str) -> list[str]:
    """What a file's imports and calls do that the tables above do not allow."""
    tree, part = ast.parse(source), part_of(module)
    faults = []
    for name in imports_of(tree):
        root = name.split(".")[0]
        if root == "srtoolbox":
            target = part_of(name)
            both_known = target in ALLOWED and part in ALLOWED and target != part
            if both_known and (target not in ALLOWED[part] or (part, target) in FORBIDDEN):
                faults.append(f"{part} imports {name}")
        elif root in ONLY_IN and part not in ONLY_IN[root]:
            faults.append(f"{part} imports {root}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            faults += _call_faults(node, part)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and part not in LAZY_IN:
            hidden = {name for name in imports_of(node) if name.startswith("srtoolbox.")}
            faults += [f"{part}: {node.name} hides an import of {name}" for name in hidden]
    return faults


def _call_faults(node: ast.Call, part: str) -> list[str]:
    called = ast.unparse(node.func)
    if called in CALLS_ONLY_IN and part not in CALLS_ONLY_IN[called]:
        return [f"{part} calls {called} (line {node.lineno})"]
    if called == "print" and part != "cli":
        return [f"{part} prints (line {node.lineno})"]
    if called.endswith((".write_text", ".write_bytes")) and not called.startswith("files.") and part != "files":
        return [f"{part} writes with {called} (line {node.lineno})"]
    if called == "open" or called.endswith(".open"):
        modes = [*(node.args[1:2] if called == "open" else node.args[:1])]
        modes += [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
        texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
        if part != "files" and any(set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts):
            return [f"{part} opens a file for writing (line {node.lineno})"]
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_follow_the_table(path):
    assert faults_of(path.read_text(encoding="utf-8"), module_of(path)) == []


def test_every_part_is_in_the_table():
    parts = {part_of(module_of(path)) for path in FILES} - {"__init__", "__main__", "models", "models.__init__"}
    assert parts <= set(ALLOWED)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("srtoolbox.losses.x", "from srtoolbox.metrics.psnr import PSNR"),
        ("srtoolbox.losses.x", "import srtoolbox.engine.runner"),
        ("srtoolbox.image", "def f():\n    from srtoolbox.engine import runner"),
        ("srtoolbox.models.networks.x", "from srtoolbox.models.restorers.base import Restorer"),
        ("srtoolbox.models.restorers.x", "from srtoolbox.losses.pixel import L1Loss"),
        ("srtoolbox.data.x", "import cv2"),
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
    ],
)
def test_the_rule_bites(module, source):
    assert faults_of(source, module)


def test_what_is_allowed_passes():
    assert not faults_of("if TYPE_CHECKING:\n    from srtoolbox.engine.runner import Runner", "srtoolbox.losses.x")
    assert not faults_of("with open('x', 'rb') as f: pass", "srtoolbox.engine.x")
    assert not faults_of("from srtoolbox.registry import LOSSES\nimport torch", "srtoolbox.losses.x")
