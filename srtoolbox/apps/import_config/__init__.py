"""Option files of other projects as configs of ours: read, told key by key, written."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from srtoolbox.apps.import_config.draft import Draft
from srtoolbox.apps.import_config.family.project import Project
from srtoolbox.apps.import_config.family.read import read
from srtoolbox.apps.import_config.mm.read import read as read_mm
from srtoolbox.apps.import_config.options import Options
from srtoolbox.apps.import_config.projects.basicsr import BASICSR, REALESRGAN
from srtoolbox.apps.import_config.projects.neosr import NEOSR
from srtoolbox.apps.import_config.projects.redux import REDUX
from srtoolbox.apps.import_config.record import Fate, Record
from srtoolbox.apps.import_config.source import SUFFIXES, Origin, OtherFileError, open_source, recognise
from srtoolbox.check import check, mode_of
from srtoolbox.config import Config, ConfigDict
from srtoolbox.errors import ConfigError, OptionError
from srtoolbox.io.files import write_text

__all__ = ["Attempt", "Imported", "import_config", "import_folder"]

FAMILY: dict[str, Project] = {"basicsr": BASICSR, "realesrgan": REALESRGAN, "redux": REDUX, "neosr": NEOSR}
NAMES = {
    "basicsr": "BasicSR",
    "realesrgan": "Real-ESRGAN",
    "redux": "traiNNer-redux",
    "neosr": "neosr",
    "mmediting": "MMEditing",
    "mmagic": "MMagic",
}
REPORT = ".import.txt"


@dataclass(frozen=True)
class Imported:
    """A config made of another project's option file.

    Attributes:
        source: the option file.
        origin: who wrote it, and what says so.
        text: the config.
        report: what became of each key, line by line.
        record: the same as entries.
        faults: what `check` finds in the config; empty where it passes.
    """

    source: str
    origin: Origin
    text: str
    report: str
    record: Record
    faults: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """True if nothing was lost and the config passes the check."""
        return not self.record.of(Fate.LOST) and not self.faults


def import_config(
    path: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *, overwrite: bool = False
) -> Imported:
    """Turn an option file of another project into a config of ours.

    Nothing in the file is executed. Data and weights that it names are not looked for.

    Args:
        path: a YAML, TOML or Python file of BasicSR, Real-ESRGAN, traiNNer-redux, neosr,
            MMEditing or MMagic.
        out: the .py to write; what became of each key is written beside it, as `NAME.import.txt`.
            None: nothing is written.
        overwrite: replace files that are there.

    Raises:
        ConfigError: the file is none of these, is refused, or has no counterpart here as a whole.
        OptionError: `out` is no .py, or is there already.
    """
    target = None if out is None else _free(Path(out), overwrite)
    values, used = open_source(path)
    return _imported(path, values, used, recognise(values, path), target)


def _imported(
    path: str | os.PathLike[str], values: ConfigDict, used: frozenset[str], origin: Origin, target: Path | None
) -> Imported:
    record = Record(os.fspath(path))
    name, options = NAMES[origin.project], Options(values, record)
    try:
        draft = read(FAMILY[origin.project], options) if origin.project in FAMILY else read_mm(options, used)
    except (TypeError, ValueError, AttributeError, LookupError) as error:  # a value of another form than theirs
        raise ConfigError(f"{record.reading}: its value is not of the form that {name} gives it ({error})") from error
    _comment(draft, record)
    text = draft.text(_title(path, f"{name} {origin.version}", values.get("name")))
    faults = _faults(text, "config.py" if target is None else target.name)
    head = [f"{path}: {name} {origin.version} ({origin.why})", record.counts()]
    head += [f"check: {fault}" for fault in faults]
    report = record.report(head)
    if target is not None:  # both are whole by now, and written one after the other
        write_text(target.with_suffix(REPORT), report)
        write_text(target, text)
    return Imported(os.fspath(path), origin, text, report, record, faults)


@dataclass(frozen=True)
class Attempt:
    """A file of a folder and what came of it.

    Attributes:
        source: the file.
        project: who wrote it, as users know them; '' where that could not be told.
        imported: the result; None where the file is refused.
        refusal: why, in a sentence.
    """

    source: str
    project: str
    imported: Imported | None
    refusal: str = ""


def import_folder(
    folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *, overwrite: bool = False
) -> Iterator[Attempt]:
    """Import all option files below a folder, one after the other; other files are passed over.

    Args:
        folder: with option files of any of these projects. What lies in a `_base_` is a part of others.
        out: the folder to write to, each config where its file stands in `folder` ('a.py', of 'a.yml'
            beside 'a.toml' 'a_yml.py'); None: nothing is written.
        overwrite: replace files that are there.

    Raises:
        OptionError: it is no folder, or a file to write is there.
    """
    root = Path(folder)
    if not root.is_dir():
        raise OptionError(f"folder {folder}: there is no such folder")
    paths = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    paths = [path for path in paths if not {"_base_", "__base__"} & {*path.relative_to(root).parts}]
    stems = Counter(path.with_suffix("") for path in paths)
    targets: list[Path | None] = [None] * len(paths)
    if out is not None:  # all of them first: nothing is written if one is there
        for number, path in enumerate(paths):
            name = path.stem if stems[path.with_suffix("")] == 1 else path.name.replace(".", "_")
            targets[number] = _free(Path(out, path.relative_to(root)).with_name(f"{name}.py"), overwrite)
    for path, target in zip(paths, targets, strict=True):
        attempt = _attempt(path, target)
        if attempt is not None:
            yield attempt


def _attempt(path: Path, target: Path | None) -> Attempt | None:
    """Return what came of a file; None for one that holds something else."""
    project = ""
    try:
        values, used = open_source(path)
        origin = recognise(values, path)
        project = NAMES[origin.project]
        return Attempt(str(path), project, _imported(path, values, used, origin, target))
    except OtherFileError:
        return None
    except ConfigError as error:
        return Attempt(str(path), project, None, str(error).splitlines()[0])


def _free(out: Path, overwrite: bool) -> Path:
    """Return `out`, if it and its report may be written.

    Raises:
        OptionError: it is no .py, or one of the two is there.
    """
    if out.suffix != ".py":
        raise OptionError(f"out {out}: the suffix of a config is .py")
    there = next((path for path in (out, out.with_suffix(REPORT)) if path.exists()), None)
    if there is not None and not overwrite:
        raise OptionError(f"out {there}: the file is there; give another name, or overwrite")
    return out


def _title(path: str | os.PathLike[str], project: str, name: object) -> str:
    """Return the docstring of a config: where it comes from."""
    source = Path(path).name.replace("\\", "/").replace('"', "'")
    called = "" if not isinstance(name, str) or name == Path(path).stem else f"\n\nIts name there: {name}.\n"
    return (f"From {source} of {project}." + called).replace("\\", "/").replace('"', "'")


def _comment(draft: Draft, record: Record) -> None:
    """Put what is different and what is lost beside the keys that it is about."""
    for entry in record.of(Fate.LOST):
        draft.comment(entry.target, f"No counterpart: {entry.key}: {entry.text}")
    for entry in record.of(Fate.DIFFERENT):
        draft.comment(entry.target, f"{entry.key}: {entry.text}")


def _faults(text: str, name: str) -> tuple[str, ...]:
    """Return what `check` finds in a config of this name, which is written elsewhere for the moment."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, name)
        write_text(place, text)
        try:
            config = Config.fromfile(place)
            check(config, mode_of(config))
        except ConfigError as error:
            return tuple(str(fault).replace(str(place), place.name) for fault in error.faults)
    return ()
