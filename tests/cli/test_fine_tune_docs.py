"""The cases of docs/fine_tune.md, typed as they stand but for two iterations; what is written is as the originals."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.models.networks.spandrel import is_installed
from srtoolbox.weights.load import load_network
from tests.weights.test_like import form

PAGE = Path(__file__).parents[2] / "docs/fine_tune.md"
TEXT = PAGE.read_text(encoding="utf-8").split("## Three cases")[1]
CASES = re.findall(r"```bash\n(.*?)```", TEXT, re.S)
SCRIPT = re.findall(r"```python\n(.*?)```", TEXT, re.S)[0]
RECIPE = re.search(r"^S=(\S+)$", CASES[0], re.M)[1]
SHORTER = {"max_iters": "max_iters=2", "data.val.interval": "data.val.interval=2", "--datasets": "set5"}
X = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(3))


def typed(block: str, data: Path, weights: Path) -> list[list[str]]:
    """The commands of a block as lists of arguments, with the paths of this machine, and short."""
    commands = []
    for line in block.replace("\\\n", " ").replace("$S ", f"{RECIPE} ").splitlines():
        if not line.startswith("python tools/"):
            continue
        words = [word.replace("path/to/data", str(data)) for word in shlex.split(line)]
        words = [re.sub(r"^(model\.generator=)?(?=[\w-]+__\S+\.pth$)", rf"\1{weights}/", word) for word in words]
        for number, word in enumerate(words):
            words[number] = SHORTER.get(word.partition("=")[0], word) if "=" in word else word
            if words[number - 1] == "--datasets":
                words[number] = SHORTER["--datasets"]
        commands.append([Path(words[1]).stem, *words[2:]])
    return commands


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [0, 1, 2], ids=["clean", "jpeg", "photos"])
def test_the_case_runs_as_it_is_typed(
    number: int, data_root: Path, weights_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if number == 1:
        exec(SCRIPT.replace("path/to/data", str(data_root)))
        assert len(list(Path("lr/Set5").glob("*.jpg"))) == 5
    commands = typed(CASES[number], data_root, weights_root)
    assert commands[0][0] == "train"
    for command in commands:
        assert main([*command, "runtime.threads=1"] if command[0] == "train" else command) == 0
    if number == 1:
        return
    train, convert, _ = commands
    source = next(Path(word.partition("=")[2]) for word in train if word.startswith("model.generator="))
    written, original = (torch.load(path, weights_only=True) for path in (convert[-1], source))
    assert form(written) == form(original)
    if number == 2 and is_installed():
        torchvision_models()  # mends it for spandrel
        from spandrel import ModelLoader

        theirs = ModelLoader("cpu").load_from_file(convert[-1])
        assert theirs.architecture.id == "Compact"
        ours = load_network(convert[1])
        torch.testing.assert_close(theirs(X), ours(X).clamp(0, 1), rtol=0, atol=1e-5)
