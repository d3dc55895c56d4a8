"""The config of a run: kept in its work dir, compared with that of the run it continues."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain, count, takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from srtoolbox.config import Config
from srtoolbox.engine.defaults import runtime_values
from srtoolbox.errors import RunError, SrtoolboxError
from srtoolbox.io.files import write_fault, write_text
from srtoolbox.logger import LOGGER

CONFIG = "config.py"
EARLIER = "config_until_*.py"
"""Configs that a resumed run was given before."""
_KEPT_NAME = re.compile(r"config_until_(\d+)(-\d+)?\.py")
_MOST = 20  # differences that are listed
_WIDTH = 60  # characters of a value
_EFFECTS = {
    "max_iters": "the run ends there",
    "seed": "draws the samples to come; weights and random states are the checkpoint's",
    "load_from": "no effect: the weights are the checkpoint's",
    "accumulate": "from the next iteration on",
    "custom_imports": "from here on",
    "scale": "from here on",
    "model": "from here on, with the checkpoint's weights",
    "optim": "from here on as if it had always been so; the optimizer keeps its moments",
    "hooks": "from here on",
    "runtime": "from here on",
    "data": "from the next batch on",
    "data.train.workers": "changes no result",
    "data.train.on_device": "changes no result",
    "data.val": "from the next evaluation on; the best so far stays",
    "data.test": "not used in training",
}
"""The effect of a changed key in a resumed run, by the longest beginning of its path."""


class Change(NamedTuple):
    """A key of the config that differs; values are JSON, None where the key is not set."""

    path: str
    before: object
    now: object

    def __str__(self) -> str:
        """`optim.generator.optimizer.lr 0.0003 -> 0.001 (from here on ...)`."""
        path = f"{self.path}."
        effect = _EFFECTS[max((key for key in _EFFECTS if path.startswith(f"{key}.")), key=len)]
        match self.path.split("."):
            case ["optim", _, "clip" | "frozen", *_]:
                effect = "from the next iteration on"
        return f"{self.path} {' -> '.join(_cut(shown(self.before), shown(self.now)))} ({effect})"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return what differs between two configs, each deepest key for itself.

    Where a run goes (`work_dir`) and names that other entries are made from are no difference, and
    neither is a key that is not set in place of one that is None, nor a tuple in place of a list.
    Of `runtime` what 'auto' became is compared.
    """
    earlier, runtime = before.get("runtime") or {}, now.get("runtime") or {}
    old = {**before, "runtime": runtime_values(earlier)}
    new = {**now, "runtime": runtime_values(runtime, earlier)}
    differences = _differences(json.loads(json.dumps(old)), json.loads(json.dumps(new)), "")
    return [change for change in differences if change.path.partition(".")[0] in _EFFECTS]


def _differences(before: object, now: object, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif _are_dicts(before) and _are_dicts(now) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differences(old, new, f"{path}.{number}")
    elif before != now:
        yield Change(path, before, now)


def _are_dicts(value: object) -> TypeGuard[list[dict]]:
    """True for a list of dicts, which are compared one by one."""
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def shown(value: object) -> str:
    """Return a value of a config in one line, a component as `Adam(lr=0.001)`."""
    if value is None:
        return "(not set)"
    if isinstance(value, dict) and "type" in value:
        rest = ", ".join(f"{key}={shown(item)}" for key, item in value.items() if key != "type")
        return f"{value['type']}({rest})"
    return repr(value)


def _cut(*texts: str) -> Iterator[str]:
    """Yield texts of one line; long ones begin shortly before the place where they differ."""
    alike = sum(1 for _ in takewhile(lambda signs: len(set(signs)) == 1, zip(*texts, strict=False)))
    start = max(alike - 20, 0) if max(map(len, texts)) > _WIDTH else 0
    for text in texts:
        rest = text[start:]
        end = "..." if len(rest) > _WIDTH else ""
        yield ("..." if start else "") + rest[: _WIDTH - len(end)] + end


def report_changes(before: Mapping[str, Any], now: Mapping[str, Any], iteration: int) -> None:
    """Warn of what a resumed run's config has changed, key by key with its effect."""
    differences = changes(before, now)
    if not differences:
        return
    LOGGER.warning("this config is not the one of the run so far (iteration %d):", iteration)
    for change in differences[:_MOST]:
        LOGGER.warning("  %s", change)
    if len(differences) > _MOST:
        LOGGER.warning("  and %d more", len(differences) - _MOST)
    is_longer = now["max_iters"] > before["max_iters"]
    for path, value in _leaves(now["optim"], "optim") if is_longer else ():
        _, _, part, *rest = path.split(".")
        # nobody meant the rates beyond
        if part == "scheduler" and rest and value == before["max_iters"]:
            LOGGER.warning(
                "  %s is %d still, as max_iters was: the schedule ends there, and a cosine rises again. %s=%d "
                "stretches it", path, value, path, now["max_iters"],
            )  # fmt: skip


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield each deepest entry of dicts and lists, with its path."""
    if not isinstance(value, dict | list | tuple):
        yield path, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(item, f"{path}.{key}")


def comparable_from(work_dir: Path, config: Config) -> int:
    """Return the iteration after which the losses that a run logs are those of `config`.

    Before it the run had another model or other training images, as the configs kept beside its own
    say. Of one that cannot be read nothing is known, so its losses are none to compare with.
    """
    names = [(_KEPT_NAME.fullmatch(path.name), path) for path in work_dir.glob(EARLIER)]
    part = ("model.", "data.train.dataset.")
    ends = [int(name[1]) for name, path in names if name and _has_changed(path, config, part)]
    return max(ends, default=0)


def _has_changed(earlier: Path, config: Config, part: tuple[str, ...] = ("",)) -> bool:
    """True if a kept config asks for something else in a part; where it cannot be read, too."""
    try:
        differences = changes(Config.fromfile(earlier).to_dict(), config.to_dict())
    except SrtoolboxError:
        return True
    return any(change.path.startswith(part) for change in differences)


def config_of_run(work_dir: str | Path) -> str:
    """Return the config that the run in a work dir has saved, or raise RunError."""
    path = Path(work_dir) / CONFIG
    if not path.is_file():
        raise RunError(f"{work_dir} holds no {CONFIG}: name the config of the run that is to go on")
    return str(path)


def is_config_of(work_dir: Path, config: Config) -> bool:
    """True if a run's `config.py` can be read and asks for the same."""
    return not _has_changed(work_dir / CONFIG, config)


def save_config(work_dir: Path, text: str, iteration: int) -> None:
    """Write a run's `config.py`; another one that is there is kept as `config_until_000340.py`.

    `text` is the resolved config, `iteration` that up to which the earlier one held.
    """
    path = work_dir / CONFIG
    try:
        earlier = path.read_text(encoding="utf-8", errors="replace") if path.exists() else text
    except OSError as error:
        raise RunError(write_fault(path, error)) from error
    if earlier != text:
        name = f"config_until_{iteration:06d}"
        names = chain([f"{name}.py"], (f"{name}-{number}.py" for number in count(2)))
        for kept in (work_dir / name for name in names):
            if not kept.exists() or kept.read_text(encoding="utf-8", errors="replace") == earlier:
                break
        write_text(kept, earlier)
        LOGGER.info("the config of the run so far is kept as %s", kept.name)
    write_text(path, text)
