"""docs/config.md is true: its configs load, its commands print what stands there, its Python runs."""

import re
import shlex
from pathlib import Path

import pytest

from srtoolbox.cli import main
from srtoolbox.config.evaluator.calls import FUNCTIONS

TEXT = (Path(__file__).parent.parent.parent / "docs/config.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.S)
COMMANDS = re.findall(
    r"^\$ python tools/(\w+)\.py (.*)\n((?:(?!\$ ).*\n)*)", "".join(b for k, b in BLOCKS if k == "console"), re.M
)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The configs of the page as files in the current folder."""
    monkeypatch.chdir(tmp_path)
    for kind, block in BLOCKS:
        name = re.match(r"# (\S+\.py)\n", block)
        if kind == "python" and name:
            path = Path(name.group(1))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("command", "arguments", "output"), COMMANDS, ids=[f"{c} {a}" for c, a, _ in COMMANDS])
def test_commands_print_what_stands_there(written, capsys, command, arguments, output):
    code = main([command, *shlex.split(arguments)])
    captured = capsys.readouterr()
    assert code == (2 if "faulty" in arguments else 0)
    pattern = "".join(".*" if line == "...\n" else re.escape(line) for line in output.splitlines(keepends=True))
    assert re.fullmatch(pattern, captured.out + captured.err, re.S), captured.out + captured.err


def test_there_are_commands():
    assert len(COMMANDS) >= 4


def test_every_config_is_right(written, capsys):
    assert main(["check_config", "my/espcn/espcn_base.py", "my/other_schedule.py", "my/transposed.py"]) == 0, (
        capsys.readouterr().err
    )


def test_python_runs(written, capsys):
    [code] = [block for kind, block in BLOCKS if kind == "python" and not block.startswith("# ")]
    exec(code, {})
    assert capsys.readouterr().out == "2 100 my/espcn_x2.py:4\n"


def test_the_functions_are_all_named():
    listed = re.search(r"the functions `([^`]*)`", TEXT).group(1).split()
    assert listed == sorted({*FUNCTIONS, "isinstance"})
