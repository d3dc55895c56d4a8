"""Words that the shell offers behind Tab: commands, options, configs, runs, networks, keys of a config, files.

The shell starts `srtoolbox` with the line in its environment; argcomplete, an extra, prints the
words. Nothing here imports PyTorch, so that Tab answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from srtoolbox.cli import COMPLETING, commands, find_command
from srtoolbox.errors import SrtoolboxError

RUN_FILES = ("train.log", "scores.jsonl")
WORK_DIRS = "work_dirs"
DEVICES = ("cpu", "cuda", "cuda:0", "mps", "directml", "coreml")


def complete_line() -> int:
    """Print the words that the shell's line can go on with; returns the exit code."""
    try:
        import argcomplete
    except ImportError:  # the shell offers files, as for any program
        return 0
    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    skipped = int(os.environ[COMPLETING]) - 1
    words = argcomplete.split_line(line, point)[3][skipped:]
    if len(words) < 2:
        _complete_name(commands(), skipped + 1)
    command = words[1].replace("-", "_")
    if command == "visualize":
        from srtoolbox.cli.visualize import parts

        if len(words) == 2:
            _complete_name(parts(), skipped + 2)
        module = parts().get(words[2])
        skipped += 1
    else:
        module = find_command(command)
    if module is not None:
        os.environ[COMPLETING] = str(skipped + 2)
        module.main([])  # whose parser completes and ends, see `CommandParser.parse`
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Print the words that go on with the options of a parser, and end."""
    import argcomplete

    argcomplete.autocomplete(
        parser,
        always_complete_options=False,
        exit_method=sys.exit,
        default_completer=values,  # type: ignore[arg-type]
    )


def _complete_name(modules: Mapping[str, object], at: int) -> None:
    """Complete the name of a command, or of a part of one, that is the `at`-th word behind the first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=list(modules))
    os.environ[COMPLETING] = str(at)
    complete(parser)


def values(action: argparse.Action, **context: object) -> Iterable[str]:
    """Return the values of an option or argument, by its name in the help."""
    names = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or action.dest,)
    return COMPLETERS.get(names[-1], nothing)(**context)


def nothing(**_: object) -> list[str]:
    """Return no words, for numbers and free text."""
    return []


def paths(prefix: str = "", **_: object) -> Iterator[str]:
    """Yield the files and folders that a path can go on with."""
    folder, _sign, start = prefix.rpartition("/")
    place = os.path.expanduser(folder + "/") if _sign else "."
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith(".")):
            yield f"{folder}{_sign}{entry.name}" + ("/" if entry.is_dir() else "")


def configs(prefix: str = "", **_: object) -> Iterator[str]:
    """Yield the folders and names of packaged configs, then files."""
    from srtoolbox.config.loader import packaged_names

    names = [name for name in packaged_names() if not name.startswith("_base_")]
    if "/" in prefix:
        yield from (name for name in names if name.startswith(prefix))
    else:
        yield from sorted({name.partition("/")[0] + "/" for name in names})
        if prefix:
            yield from (name.rpartition("/")[2] for name in names)
    yield from (path for path in paths(prefix) if path.endswith(("/", ".py", ".yaml", ".yml", ".json")))


def configs_or_files(prefix: str = "", **_: object) -> Iterator[str]:
    """Yield packaged configs, then all files."""
    yield from configs(prefix)
    yield from paths(prefix)


def runs(prefix: str = "", **_: object) -> Iterator[str]:
    """Yield the folders of runs below `work_dirs`, then all files."""
    if os.path.isdir(WORK_DIRS) and not prefix.startswith((".", "/", "~")):
        for entry in sorted(os.scandir(WORK_DIRS), key=lambda entry: entry.name):
            if any(os.path.exists(os.path.join(entry.path, file)) for file in RUN_FILES):
                yield f"{WORK_DIRS}/{entry.name}"
    yield from paths(prefix)


def networks(prefix: str = "", **_: object) -> list[str]:
    """Return the names of families and variants of networks, in small letters where one begins so."""
    from srtoolbox.apps.zoo import families

    names = [name for family in families().values() for name in family.names]
    return [name.lower() for name in names] if prefix.islower() else names


def keys(prefix: str = "", parsed_args: argparse.Namespace | None = None, **_: object) -> list[str]:
    """Return the keys of the config on the line, as `key=`."""
    from srtoolbox.config import Config

    name = getattr(parsed_args, "config", None) or getattr(parsed_args, "source", None)
    if not isinstance(name, str) or "=" in prefix:
        return []
    try:
        return [f"{path}=" for path, _value in Config.fromfile(name).entries()]
    except (SrtoolboxError, OSError):
        return []


COMPLETERS: Mapping[str, Callable[..., Iterable[str]]] = {
    **dict.fromkeys(("config", "CONFIG"), configs),
    **dict.fromkeys(("CONFIG_OR_CKPT", "STORE_OR_CONFIG"), configs_or_files),
    **dict.fromkeys(("work_dir", "WORK_DIR", "RUN", "CKPT_OR_WORK_DIR", "dump"), runs),
    **dict.fromkeys(("CKPT", "FILE", "PATH", "DIR", "DIR|FILE|-", "OUT", "FOLDER", "STORE", "IMAGE", "INPUT"), paths),
    **dict.fromkeys(("CONFIG.py", "VIDEO", "JSON", "X.bin", "FILE.onnx", "FILE.pt2"), paths),
    "NETWORK": networks,
    "key=value": keys,
    "device": lambda **_: DEVICES,
}
"""By the name of a value in the help, or of the argument."""
