"""The dispatch of commands, check_config and print_config, as typed."""

import glob
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from srtoolbox import __version__, check, cli
from srtoolbox.cli import commands, help_text, main, test, train
from srtoolbox.cli.check_config import EXAMPLE
from srtoolbox.cli.options import CommandParser
from srtoolbox.config import Config

ROOT = Path(__file__).parent.parent.parent
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py") if path.stem in commands())
GOOD = """model = dict(type='Restorer', generator=dict(type='Bicubic', scale=2))
data = dict(test=dict(datasets=dict(a=dict(type='GTOnlyDataset', gt='x', scale=2)), metrics={}))
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("good.py").write_text(GOOD)
    Path("bad.py").write_text(GOOD.replace("Bicubic", "Bicubik").replace("metrics", "metric"))
    return Path("good.py")


def typed(*words, cwd=None, **options):
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, cwd=cwd, **options)


def test_help_lists_every_command_without_torch():
    code = (
        "import sys\nfrom srtoolbox.cli import main\nassert main(['--help']) == 0\n"
        "heavy = {'torch', 'numpy', 'cv2', 'rich', 'yaml'} & set(sys.modules)\nassert not heavy, heavy\n"
        "others = [name for name in sys.modules if not name.startswith('srtoolbox')]\n"
        "assert len(others) < 150, sorted(others)  # what makes it slow on any machine"
    )
    result = typed("-c", code, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    lines = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ")]
    assert lines == list(commands()) and set(lines) == {*TOOLS, "quickstart", "completion"}


def test_version_and_unknown_command(capsys):
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"srtoolbox {__version__}\n"
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "error: no command 'trian'. Did you mean 'train'?\n"
    assert main([]) == 0 and "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", TOOLS)
def test_every_tool_has_help_with_an_example(command):
    result = typed(ROOT / f"tools/{command}.py", "--help", cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "example" in result.stdout and "usage:" in result.stdout


def test_check_config(config, capsys):
    assert main(["check_config", "good.py"]) == 0
    assert capsys.readouterr().out == "good.py: ok (test)\n"
    assert main(["check_config", "bad.py", "good.py"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "good.py: ok (test)\n"
    assert "bad.py:1: model.generator: no network named 'Bicubik'. Did you mean 'Bicubic'?" in captured.err
    assert "bad.py:2: data.test.metric: data.test takes no 'metric'. Did you mean 'metrics'?" in captured.err
    assert "bad.py: 2 faults" in captured.err


def test_check_config_with_overrides_and_mode(config, capsys):
    assert main(["check_config", "model.generator.scal=3", "good.py"]) == 2
    assert "command line: model.generator: Bicubic takes no 'scal'" in capsys.readouterr().err
    assert main(["check_config", "good.py", "--mode", "train"]) == 2
    assert "training needs it" in capsys.readouterr().err
    assert main(["check_config", "gone.py"]) == 2
    assert "gone.py: no such config file" in capsys.readouterr().err


def test_check_config_with_a_plugin(config, capsys):
    Path("mine.py").write_text(
        "from srtoolbox.registry import METRICS\n\n"
        "from srtoolbox.metrics.base import Metric\n\n"
        "@METRICS.register\nclass MetricOfACliTest(Metric):\n    higher_is_better = True\n"
        "    def score(self, pred, target):\n        return (pred - target).flatten(1).amax(1)\n"
    )
    text = GOOD.replace("metrics={}", "metrics=dict(m=dict(type='MetricOfACliTest'))")
    Path("plugged.py").write_text(text)
    assert main(["check_config", "plugged.py"]) == 2
    try:
        assert main(["check_config", "plugged.py", "--plugin", "mine.py"]) == 0
    finally:
        from srtoolbox.registry import METRICS

        METRICS._entries.pop("MetricOfACliTest", None)


@pytest.mark.parametrize("command", [name for name in commands() if "_" in name])
def test_hyphens_are_underscores(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command.replace("_", "-"), "--help"])
    assert ended.value.code == 0 and f"usage: srtoolbox {command} " in capsys.readouterr().out


def test_a_misspelt_command_with_hyphens_gets_the_nearest(capsys):
    assert main(["convert-lmbd"]) == 2
    assert "no command 'convert-lmbd'. Did you mean 'convert_lmdb'?" in capsys.readouterr().err


def test_options_with_underscores_are_those_with_hyphens(capsys):
    for words in (["--work_dir=a_b"], ["--work_dir", "a_b"], ["--work-dir", "a_b"]):
        args = train.build_parser().parse(["tiny.py", "max_iters=1", *words])
        assert (args.work_dir, args.overrides) == ("a_b", ["max_iters=1"])
    with pytest.raises(SystemExit):
        train.build_parser().parse(["tiny.py", "--wrk_dir", "there"])
    assert "Did you mean '--work-dir'?" in capsys.readouterr().err


def test_lists_are_changed_and_appended_to_on_the_command_line(tiny_config, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    path = "data.train.dataset.transforms"
    assert main(["print_config", "tiny.py", f"{path}[1].p=0.9", f"{path}+=[dict(type='RandomVerticalFlip')]"]) == 0
    Path("printed.py").write_text(capsys.readouterr().out)
    transforms = Config.fromfile("printed.py").data.train.dataset.transforms
    kinds = ["RandomHorizontalFlip", "RandomTranspose", "RandomVerticalFlip"]
    assert [each["type"] for each in transforms] == kinds and transforms[1]["p"] == 0.9
    assert main(["check_config", "tiny.py", f"{path}+=[dict(type='RandomVerticalFlp')]"]) == 2
    assert "Did you mean 'RandomVerticalFlip'?" in capsys.readouterr().err


def test_print_config_can_be_loaded_again(config, capsys):
    assert main(["print_config", "good.py", "model.generator.scale=3", "extra=[1, 2]"]) == 0
    Path("printed.py").write_text(capsys.readouterr().out)
    printed = Config.fromfile("printed.py").to_dict()
    assert printed == Config.fromfile("good.py", ["model.generator.scale=3", "extra=[1, 2]"]).to_dict()


def test_print_config_with_origins(config, capsys):
    assert main(["print_config", "--origins", "good.py", "seed=1"]) == 0
    lines = [line.split("  # ") for line in capsys.readouterr().out.splitlines()]
    table = {text.strip(): origin for text, origin in lines}
    assert table["model.generator.scale = 2"] == "good.py:1"
    assert table["data.test.datasets.a.gt = 'x'"] == "good.py:2"
    assert table["seed = 1"] == "command line"


def test_print_config_runs_nothing(config, capsys):
    Path("trap.py").write_text("open('trace', 'w')\n")
    Path("trapped.py").write_text("custom_imports = ['./trap.py']\n")
    assert main(["print_config", "trapped.py"]) == 0
    assert (
        capsys.readouterr().out == f"custom_imports = ['{Path('trap.py').resolve()}']\n" and not Path("trace").exists()
    )
    assert main(["check_config", "trapped.py"]) == 2 and Path("trace").exists(), "the trap would have worked"


def test_print_config_wants_one(config, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["print_config", "good.py", "bad.py"])
    assert caught.value.code == 2


def test_closed_pipe_and_interrupt(config, monkeypatch):
    many = "x = [" + "'a long enough line', " * 4000 + "]\n"
    Path("long.py").write_text(many)
    command = f"{sys.executable} -m srtoolbox print_config long.py | head -1; exit ${{PIPESTATUS[0]}}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env)
    assert result.returncode in (0, 141) and "Traceback" not in result.stderr, result.stderr

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("srtoolbox.cli.print_config.main", interrupted)
    assert main(["print_config", "good.py"]) == 130


@pytest.fixture
def parser():
    """Options of every sort, two places for files, overrides."""
    parser = CommandParser("train", "A command.", "example: train.py config.py")
    parser.add_argument("config")
    parser.add_argument("files", nargs="*", default=[])
    parser.add_overrides()
    for name, options in {"--work-dir": {}, "--seed": {"type": int}, "--overwrite": {"action": "store_true"}}.items():
        parser.add_argument(name, "-" + name[2], **options)
    return parser


@pytest.mark.parametrize(
    ("typed", "files", "overrides", "work_dir"),
    [
        ("x.py a=1 --overwrite a=2", [], ["a=1", "a=2"], None),
        ("--overwrite a=1 x.py", [], ["a=1"], None),
        ("a.b=1 x.py --seed 3 c-d=y c=2", ["c-d=y"], ["a.b=1", "c=2"], None),
        ("--cfg-options a=1 b=2 x.py f", ["f"], ["a=1", "b=2"], None),
        ("--overwrite --cfg-options a=1 x.py --seed=3 f b=2", ["f"], ["a=1", "b=2"], None),
        ("--work-dir y=z x.py b=1", [], ["b=1"], "y=z"),
        ("--work y=z x.py b=1", [], ["b=1"], "y=z"),
        ("-w y=z b=1 x.py", [], ["b=1"], "y=z"),
        ("--work-dir=y=z b=1 x.py", [], ["b=1"], "y=z"),
        ("x.py a=b a/b=c ./c=d a=1", ["a=b", "a/b=c", "./c=d"], ["a=1"], None),
    ],
)
def test_overrides_in_any_order(config, parser, typed, files, overrides, work_dir):
    Path("a=b").write_text("")
    args = parser.parse(typed.split())
    assert (args.config, args.files, args.overrides) == ("x.py", files, overrides)
    assert args.work_dir == work_dir and args.overwrite == ("--overwrite" in typed)


def test_the_last_override_wins(config, capsys):
    assert main(["print_config", "seed=1", "--origins", "good.py", "seed=3", "--origins", "seed=2"]) == 0
    assert "seed = 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "typed", "message"),
    [
        ("train", "", "name a config, or go on with a run by --resume --work-dir DIR\n"),
        ("test", "", "the following arguments are required: config\n"),
        ("check_config", "a=1", "the following arguments are required: CONFIG\n"),
        ("train", "good.py --workdir x", "--workdir x. Did you mean '--work-dir'?"),
        ("train", "good.py --workdir=x", "Did you mean '--work-dir'?"),
        ("upscale", "a b --confg x", "Did you mean '--config'?"),
        ("plot_log", "a --bicubik x", "Did you mean '--bicubic'?"),
        ("convert_lmdb", "a -o b --scael 3", "Did you mean '--scale'?"),
        ("train", "good.py more", "'more' is neither an option nor of the form key=value"),
    ],
)
def test_faults_of_typing(config, capsys, command, typed, message):
    with pytest.raises(SystemExit) as caught:
        main([command, *typed.split()])
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.startswith(f"usage: srtoolbox {command} ")


def test_usage_shows_what_was_typed():
    for words, usage in (
        (["tools/train.py", "--help"], "usage: train.py "),
        (["-m", "srtoolbox", "train", "--help"], "usage: srtoolbox train "),
    ):
        assert typed(*words, cwd=ROOT).stdout.startswith(usage)


def test_the_help_example_works_as_printed(monkeypatch, capsys):
    really, folders = check.check, set()

    def check_some(config, mode):  # tests/test_configs.py checks them all
        if Path(config.filename).parent not in folders and len(folders) < 6:
            folders.add(Path(config.filename).parent)
            really(config, mode=mode)

    monkeypatch.setattr(check, "check", check_some)
    monkeypatch.chdir(ROOT)
    [line] = [line for line in EXAMPLE.splitlines() if "*" in line]
    words = [sorted(glob.glob(word)) if "*" in word else [word] for word in line.split()[2:]]
    code = main(["check_config", *itertools.chain.from_iterable(words)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert len(folders) > 5 and captured.out.count(": ok (") > 2 * len(folders)
    assert "configs/_base_/runtime.py: skipped (a part of other configs)\n" in captured.out
    folders.clear()
    assert main(["check_config", "configs/_base_/runtime.py"]) == 2, "one that is asked for by itself is checked"


def test_overrides_follow_flags_of_the_real_commands():
    args = train.build_parser().parse(["--overwrite", "max_iters=2", "x.py"])
    assert (args.config, args.overrides, args.overwrite) == ("x.py", ["max_iters=2"], True)
    args = test.build_parser().parse(["--baseline", "data_root=d", "x.py", "--json", "k=v", "a.pth", "b.pth"])
    assert (args.config, args.checkpoints, args.overrides) == ("x.py", ["a.pth", "b.pth"], ["data_root=d"])
    assert args.baseline and args.json == "k=v"


def test_one_file_is_a_command(tmp_path, monkeypatch, capsys):
    source = 'SUMMARY = "greet"\n\n\ndef main(argv):\n    print("hello", *argv)\n    return 0\n'
    (tmp_path / "greet_all.py").write_text(source)
    (tmp_path / "shared.py").write_text("")
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    assert main(["greet-all", "you"]) == 0 and capsys.readouterr().out == "hello you\n"
    assert "greet_all" in commands() and "shared" not in commands() and main(["shared"]) == 2
    sys.modules.pop("srtoolbox.cli.greet_all")


def test_the_page_on_adding_a_command(tmp_path, monkeypatch, capsys, bicubic, espcn):
    [source] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/add_a_command.md").read_text(), re.S)
    (tmp_path / "count_weights.py").write_text(source)
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    assert main(["count-weights", bicubic]) == 0 and capsys.readouterr().out == "0\n"
    assert main(["count-weights", espcn]) == 0 and int(capsys.readouterr().out) > 100
    assert "count the weights of a network" in help_text()
    sys.modules.pop("srtoolbox.cli.count_weights")
