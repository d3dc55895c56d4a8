"""Files that try to run code or to eat the machine: each is refused at once, with the line named."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from srtoolbox.config import Config
from srtoolbox.config.evaluator import budget
from srtoolbox.errors import ConfigError

pytestmark = pytest.mark.timeout(60)  # for what is slow within one call of C, which is not counted
STEPS, CALLS = 20_000, 300_000
"""A tenth of the steps a config may cost, and how many calls of and in Python these may take."""
PRELUDE = "first = 1\n"  # so that line 2 must be named, not line 1 by default
ONE_LINERS = {
    "import": "import os",
    "from import": "from os import system",
    "builtin import": "x = __import__('os').system('true')",
    "dunder of a literal": "x = ().__class__.__bases__",
    "dunder of a base": "x = _base_.__class__",
    "dunder call": "x = _base_.__init__()",
    "dunder by format": "x = '{0.__class__}'.format(1)",
    "dunder by format, nested": "x = '{a[b].__class__}'.format(a=dict(b=1))",
    "eval": "x = eval('1')",
    "exec": "exec('x = 1')",
    "open": "x = open('/etc/passwd').read()",
    "getattr": "x = getattr(1, 'real')",
    "function as value": "x = len",
    "lambda": "x = (lambda: 1)()",
    "def": "def f(): return 1",
    "class": "class A: pass",
    "while": "while True: pass",
    "try": "try: x = 1\nexcept Exception: pass",
    "with": "with open('x') as f: pass",
    "walrus": "x = (y := 1)",
    "global": "global x",
    "ellipsis": "x = ...",
    "complex": "x = (-8) ** 0.5",
    "method of a bound method": "x = [].append.__self__",
    "huge power": "x = 9**9**9",
    "huge negative power": "x = 2 ** -10**9",
    "huge string": "x = 'a' * 10**10",
    "huge list": "x = [0] * 10**9",
    "huge list the other way": "x = 10**9 * [0]",
    "nested multiplication": "x = [[[0] * 1000] * 1000] * 1000",
    "huge shift": "x = 1 << 10**10",
    "comprehension bomb": "x = [0 for a in range(10**6) for b in range(10**6)]",
    "dict comprehension bomb": "x = {i: i for i in range(10**9)}",
    "long loop": "for i in range(10**12): pass",
    "endless loop": "a = [1]\nfor b in a: a.append(b)",
    "list of a range": "x = list(range(10**12))",
    "starred range": "x = [*range(10**9)]",
    "sum of a range": "x = sum(range(10**12))",
    "member of a range": "x = 'a' in range(10**12)",
    "doubling string": "x = 'a'\nfor i in range(100): x += x",
    "doubling list": "x = [1]\nfor i in range(100): x += x",
    "growing number": "x = 1\nfor i in range(10**6): x *= 10**1000",
    "format width": "x = '{:1000000000}'.format(1)",
    "f-string width": "x = f'{1:1000000000}'",
    "f-string computed width": "x = f'{1:{10**9}}'",
    "f-string precision": "x = f'{1.0:.1000000000f}'",
    "percent width": "x = '%1000000000d' % 1",
    "percent star": "x = '%*d' % (10**9, 1)",
    "percent growth": "x = '%(a)s' * 5000 % {'a': 'b' * 90000}",
    "replace": "x = ('a' * 90000).replace('a', 'b' * 90000)",
    "join": "x = ('a' * 90000).join(['b'] * 90000)",
    "center": "x = 'a'.center(10**10)",
    "round": "x = round(5, -10**9)",
    "long integer text": "x = int('9' * 99999)",
    "colliding keys": "x = {i * (2**61 - 1): 0 for i in range(50000)}",
    "shared doubling": "a = [0]\nfor i in range(60): a = [a, a]\nb = str(a)",
    "shared doubling as value": "a = [0]\nfor i in range(60): a = [a, a]",
    "shared doubling compared": "a = b = [0]\nfor i in range(60): a, b = [a, a], [b, b]\nx = a == b",
    "shared doubling hashed": "t = (1,)\nfor i in range(90): t = (t, t)\nd = {t: 1}",
    "shared doubling looked up": "d = {1: 1}\nt = (1,)\nfor i in range(90): t = (t, t)\nx = d.get(t)",
    "shared doubling popped": "d = {1: 1}\nt = (1,)\nfor i in range(90): t = (t, t)\nx = d.pop(t, 0)",
    "shared doubling deleted": "d = {1: 1}\nt = (1,)\nfor i in range(90): t = (t, t)\ndel d[t]",
    "shared doubling as default": "d = {1: 1}\nt = (1,)\nfor i in range(90): t = (t, t)\nd.setdefault(t)",
    "differences of sets": "s = set(range(60000))\nfor i in range(20000): s - s",
    "unions of dicts": "d = {i: 1 for i in range(30000)}\nfor i in range(20000): d | {}",
    "stripping": "a = 'a' * 99999\nb = 'b' * 99998 + 'a'\nfor i in range(9): a.strip(b)",
    "bytes": "x = b'a' * 10**9",
    "templates": "x = 1\ny = '" + "{{$a:" * 25_000 + "'",
    "list in itself": "a = []\na.append(a)",
    "dict in itself": "a = {}\na['a'] = a",
    "memory by many strings": "x = ['a' * 99999 + str(i % 10) for i in range(10**6)]",
    "deep brackets": "x = " + "[" * 50_000 + "]" * 50_000,
    "deep signs": "x = " + "-" * 100_000 + "1",
    "deep nots": "x = " + "not " * 25_000 + "1",
    "deep attributes": "x = first" + ".b" * 50_000,
    "deep sums": "x = 1" + "+1" * 50_000,
    "deep values": "x = []\nfor i in range(500): x = [x]",
    "syntax": "x = = 1",
    "null byte": "x = '\0'",
    "unknown name": "x = undefined_name",
    "division": "x = 1 / 0",
    "missing key": "x = dict(a=1)['b']",
    "unpacking": "a, b = [1]",
}


@contextmanager
def few_calls() -> Iterator[None]:
    """Count what is called inside, which does not depend on the machine: more than `CALLS` is a failure."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")
        if calls > CALLS:
            sys.setprofile(None)
            pytest.fail(f"more than {CALLS:,} calls")

    before = sys.getprofile()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "STEPS", STEPS)
        sys.setprofile(count)
        try:
            yield
        finally:
            sys.setprofile(before)


@pytest.mark.parametrize("code", ONE_LINERS.values(), ids=ONE_LINERS)
def test_refused_at_once_with_the_line(code, tmp_path):
    path = tmp_path / "hostile.py"
    path.write_text(PRELUDE + code + "\n", encoding="utf-8")
    with few_calls(), pytest.raises(ConfigError) as caught:
        Config.fromfile(path)
    prefix = f"{path}:"
    assert str(caught.value).startswith(prefix)
    line = int(str(caught.value)[len(prefix) :].split(":")[0])
    assert 2 <= line <= 1 + len(code.splitlines()) or "\0" in code


def test_nothing_was_run(tmp_path):
    """The tricks above fail because they are refused; this one would leave a trace if it were run."""
    trace = tmp_path / "trace"
    (tmp_path / "x.py").write_text(
        f"x = [c for c in ().__class__.__base__.__subclasses__()][0]\nopen({str(trace)!r}, 'w')"
    )
    with pytest.raises(ConfigError):
        Config.fromfile(tmp_path / "x.py")
    assert not trace.exists()


def test_deep_elif_chain_and_deep_lines_name_a_line(tmp_path):
    for name, text in (("a.py", "if 0:\n pass\n" + "elif 0:\n pass\n" * 8000), ("b.py", "x = 1\n" + "[\n" * 50_000)):
        (tmp_path / name).write_text(text)
        with few_calls(), pytest.raises(ConfigError, match=rf"{name}:\d+: "):
            Config.fromfile(tmp_path / name)


def test_large_file(tmp_path):
    (tmp_path / "x.py").write_text("x = 1\n" + "y = " + "[" * 10**5 + "]" * 10**5)
    with pytest.raises(ConfigError, match=r"x\.py:2: here the file grows larger than 128 KiB"):
        Config.fromfile(tmp_path / "x.py")


def laughs(item: str, times: int = 10) -> str:
    levels = (f"a{i}: &a{i} {item.format(', '.join([f'*a{i - 1}'] * 10))}" for i in range(1, times))
    return "a0: &a0 {x: 1}\n" + "\n".join(levels)


HOSTILE_DATA = {
    "tag.yaml": "a: !!python/object/apply:os.system ['true']",
    "laughs.yaml": laughs("[{}]"),
    "merges.yaml": laughs("{{<<: [{}]}}"),
    "cycle.yaml": "a: &a [*a]",
    "deep.yaml": "a: " + "[" * 50_000,
    "dashes.yaml": "- " * 30_000 + "1",
    "list.yaml": "- 1",
    "date.yaml": "a: 2024-01-01",
    "syntax.yaml": "a: [1\nb: 2",
    "large.yaml": "a: [1, 2, 3]\n" * 10_000,
    "deep.json": '{"a": ' + "[" * 100_000,
    "syntax.json": '{"a": 1,\n b}',
    "list.json": "[1]",
    "number.json": '{"a": ' + "9" * 10_000 + "}",
}


@pytest.mark.parametrize("name", HOSTILE_DATA)
def test_hostile_yaml_and_json(name, tmp_path):
    path = tmp_path / name
    path.write_text(HOSTILE_DATA[name], encoding="utf-8")
    with few_calls(), pytest.raises(ConfigError, match=rf"{name}:\d+: "):
        Config.fromfile(path)


def test_base_cycle_names_file_and_line(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n_base_ = 'b.py'\n")
    (tmp_path / "b.py").write_text("_base_ = ['./a.py']\n")
    with pytest.raises(ConfigError, match=r"b\.py:1: _base_ '\./a\.py' leads back to a file that is being read"):
        Config.fromfile(tmp_path / "a.py")


def test_base_bomb(tmp_path):
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "a.py").write_text("_base_ = ['empty.py'] * 1000\n")
    with pytest.raises(ConfigError, match="more than 100 files"):
        Config.fromfile(tmp_path / "a.py")


def test_new_style_mmengine_config_is_explained(tmp_path):
    text = "from mmengine.config import read_base\nwith read_base():\n    from .base import *\n"
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.py:1: imports are refused.*_base_ = \['file\.py'\]"):
        Config.fromfile(tmp_path / "a.py")
    (tmp_path / "a.py").write_text(text.split("\n", 1)[1])
    with pytest.raises(ConfigError, match=r"a\.py:1: this is a new-style MMEngine config"):
        Config.fromfile(tmp_path / "a.py")
