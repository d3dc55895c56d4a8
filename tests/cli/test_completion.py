"""What the shell offers behind Tab, in real processes and, where that is enough, by function."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from srtoolbox.cli import commands, completers, main
from srtoolbox.cli.options import CommandParser
from srtoolbox.cli.visualize import parts

pytest.importorskip("argcomplete")
ROOT = Path(__file__).parents[2]
FREE = set(
    re.split(
        " ",
        "A A,B FIRST:LAST:STEP FORMAT H HxW I/N KEY KEY=VALUE@ITER KIND N NAME PX Q S SHARE SIZE TEXT W X,Y,W,H "
        "auto|PX|0 '{}x4'",
    )
)
"""Values that are numbers, lists of names and the like, by their names in the help: Tab offers nothing."""


def process(line: str, out: Path, **options: object) -> subprocess.CompletedProcess:
    """Start what a shell starts; `-X importtime` lists all that is imported."""
    asked = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n"}
    breaks = {"_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n\"'><=;|&(:", "_ARGCOMPLETE_SHELL": "bash"}
    env = {
        **os.environ,
        **asked,
        **breaks,
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
    }
    words = [sys.executable, "-X", "importtime", "-m", "srtoolbox"]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True, **options)


def offered(line: str, out: Path, **options: object) -> list[str]:
    result = process(line, out, **options)
    imported = {row.rpartition("|")[2].strip() for row in result.stderr.splitlines()}
    assert "argparse" in imported and not {"torch", "numpy", "cv2", "rich"} & imported
    return out.read_text().splitlines()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("srtoolbox vi", ["visualize"]),
        ("srtoolbox train edsr/edsr_x4_div2k_300k.py model.generator.num_b", ["model.generator.num_blocks="]),
    ],
)
def test_a_line(line: str, words: list[str], tmp_path: Path) -> None:
    assert offered(line, tmp_path / "out", cwd=ROOT) == words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("srtoolbox visualize tra", ["training"]),
        ("srtoolbox visualize bars --met", ["--metrics"]),
        ("srtoolbox train edsr/edsr_x3", ["edsr/edsr_x3_div2k_300k.py"]),
        ("srtoolbox train edsr_x3", ["edsr_x3_div2k_300k.py"]),
        ("srtoolbox train --load-fr", ["--load-from"]),
        ("srtoolbox train x.py --load-from setu", ["setup.py"]),
        ("srtoolbox train x.py --load-from=setu", ["setup.py"]),
        ("srtoolbox upscale --wrap ", ["x", "y", "xy"]),
        ("srtoolbox upscale --alpha ", []),
        ("srtoolbox networks hat", ["hat", "hat-s", "hat-l"]),
        ("srtoolbox networks HAT-", ["HAT-S", "HAT-L"]),
        ("srtoolbox", []),
        ("srtoolbox nothing -", []),
        ("srtoolbox visualize nothing -", []),
    ],
)
def test_more_lines(line: str, words: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch()
    process(line, out, cwd=ROOT)
    assert out.read_text().splitlines() == words


@pytest.mark.slow
@pytest.mark.parametrize("command", [*commands(), *(f"visualize {part}" for part in parts())])
def test_each_command_completes_its_options(command: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch()
    process(f"srtoolbox {command} --hel", out)
    assert out.read_text().split() == ["--help"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not there")
def test_in_bash(tmp_path: Path) -> None:
    (tmp_path / "srtoolbox").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m srtoolbox "$@"\n')
    (tmp_path / "srtoolbox").chmod(0o755)
    script = """
        eval "$(srtoolbox completion bash)"
        complete -p srtoolbox
        COMP_LINE='srtoolbox completion f' COMP_POINT=22 COMP_TYPE=9
        _python_argcomplete srtoolbox
        printf '%s|' "${COMPREPLY[@]}"
    """
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    typed = ["bash", "--norc", "--noprofile", "-c", script]
    result = subprocess.run(typed, env=env, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "-F _python_argcomplete srtoolbox" in result.stdout and result.stdout.endswith("fish |")


def test_the_code_of_each_shell_names_the_program(capsys: pytest.CaptureFixture) -> None:
    for shell, word in (
        ("bash", "complete "),
        ("zsh", "compdef"),
        ("fish", "--command srtoolbox"),
        ("powershell", "Register"),
    ):
        assert main(["completion", shell]) == 0
        code = capsys.readouterr().out
        assert word in code and "srtoolbox" in code


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["completion", "bash"]) == 2
    assert capsys.readouterr().err == "error: completion needs argcomplete: pip install 'srtoolbox[completion]'\n"
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main([]) == 0 and capsys.readouterr() == ("", "")


def test_configs_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine.py", "notes.txt", ".hidden.py", "sub/a.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    found = list(completers.configs(""))
    assert {"edsr/", "hat/", "mine.py", "sub/"} <= set(found) and "edsr/edsr_x4_div2k_300k.py" not in found
    assert not {"_base_/", "notes.txt", ".hidden.py"} & set(found)
    assert {"sub/a.yaml"} == set(completers.configs("sub/"))
    assert set(completers.configs("edsr/edsr_x4_d")) == {"edsr/edsr_x4_div2k_300k.py"}
    assert "edsr_x4_div2k_300k.py" in completers.configs("edsr_x4")
    assert list(completers.paths("")) == ["mine.py", "notes.txt", "sub/"] and list(completers.paths(".h")) == [
        ".hidden.py"
    ]
    assert list(completers.paths(f"{tmp_path}/no")) == [f"{tmp_path}/notes.txt"] and not list(
        completers.paths("none/x")
    )
    assert {"hat/", "notes.txt"} <= set(completers.configs_or_files(""))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "~/sub/" in completers.paths("~/s")


def test_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("work_dirs/b/train.log", "work_dirs/a/scores.jsonl", "work_dirs/c/other"):
        Path(name).parent.mkdir(parents=True)
        Path(name).touch()
    assert list(completers.runs("")) == ["work_dirs/a", "work_dirs/b", "work_dirs/"]
    assert list(completers.runs("./w")) == ["./work_dirs/"]


def test_keys_of_a_config_that_is_not_there_or_wrong(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import os\n")
    for name in ("none.py", str(tmp_path / "wrong.py"), None):
        assert completers.keys("m", argparse.Namespace(config=name)) == []
    full = completers.keys("m", argparse.Namespace(config="edsr/edsr_x4_div2k_300k.py"))
    assert {"max_iters=", "model.generator.type="} <= set(full)
    assert completers.keys("max_iters=", argparse.Namespace(config="edsr/edsr_x4_div2k_300k.py")) == []


def test_each_value_is_completed_or_free_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class ParsedError(Exception):
        pass

    def stop(parser: CommandParser, argv: object) -> None:
        raise ParsedError(parser)

    monkeypatch.setattr(CommandParser, "parse", stop)
    unknown = {}
    for name, module in {**commands(), **parts()}.items():
        if name == "visualize":
            continue
        with pytest.raises(ParsedError) as caught:
            module.main([])
        for action in caught.value.args[0]._actions:
            if action.nargs == 0 or action.choices is not None:
                continue
            words = action.metavar if isinstance(action.metavar, tuple) else [action.metavar or action.dest]
            if not {*words} <= FREE | {"seed"} | set(completers.COMPLETERS):
                unknown[name, action.dest] = words
    assert not unknown, "a row in COMPLETERS of srtoolbox/cli/completers.py, or in FREE here"
