"""Objects for worker processes that start anew instead of being forked.

`spawn` (Windows, macOS) and `forkserver` (Linux from Python 3.14 on) start a fresh Python, which
imports the main module again and unpickles what it is given.
"""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import os
import pickle
import sys
from collections.abc import Iterator, Mapping
from multiprocessing import process
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from srtoolbox.compat import is_starting_process
from srtoolbox.errors import RunError, SrtoolboxError, line_at_fault
from srtoolbox.plugins import load_again, loaded_plugins

if TYPE_CHECKING:
    from typing_extensions import Buffer

_T = TypeVar("_T")
_ADVICE = "or set workers=0, which needs no worker processes"


class Parcel(Generic[_T]):
    """An object, pickled once, and the plugins to load before it is unpickled.

    Raises RunError where a part of it cannot travel, and names the attribute and its class.
    """

    def __init__(self, value: _T, name: str) -> None:
        self._name, self._plugins = name, loaded_plugins()
        _check_main_file()
        with io.BytesIO() as buffer:
            try:
                _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
            except Exception as error:  # a user's __getstate__ may raise anything
                raise RunError(_why_not(value, name, error)) from error
            self._bytes = buffer.getvalue()

    def open(self) -> _T:
        """Load the plugins (or raise ConfigError), then unpickle the object (or raise RunError)."""
        load_again(self._plugins)
        try:
            return pickle.loads(self._bytes)  # noqa: S301 - made by the parent process
        except Exception as error:
            reason = cause(error)
            if isinstance(error, AttributeError) and "__main__" in str(error):
                advice = f"put what it is made of in a file of its own, loaded by custom_imports or --plugin, {_ADVICE}"
                reason = f"{error}; {advice}"
            raise RunError(f"{self._name}: cannot be opened in a worker process: {reason}") from error


def cause(error: BaseException) -> str:
    """Return type, message and place (FILE:LINE) of an error in a worker process, on one line."""
    if isinstance(error, SrtoolboxError):
        return str(error)
    place, frame = line_at_fault(error), error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if place is None and frame is not None:
        place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
    message = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return f"{place}: {message}" if place else message


def start_anew() -> bool:
    """True if new processes start by spawn or forkserver, so that their arguments must pickle."""
    return multiprocessing.get_start_method() != "fork"


def refuse_second_import() -> None:
    """Raise RunError in a worker process that imports a main module which begins its work again."""
    if is_starting_process():
        main = sys.argv[0] if sys.argv and sys.argv[0] else "the main script"
        raise RunError(
            f"{main}: a worker process imports this file and must not start its work again: put "
            "what it does below `if __name__ == '__main__':`"
        )


def prepare_server() -> None:
    """Let forkserver's one server import PyTorch, for which each worker would need seconds."""
    if multiprocessing.get_start_method() == "forkserver":
        multiprocessing.set_forkserver_preload(["__main__", "srtoolbox.data.loading.loader"])


class _Pickler(pickle.Pickler):
    """Refuses what only the main module of this process has: a new process would not find it."""

    def reducer_override(self, value: object) -> Any:  # noqa: ANN401 - as pickle has it
        if isinstance(value, type | FunctionType) and _in_main(value):
            raise pickle.PicklingError("defined in __main__")
        return NotImplemented


def _in_main(part: object) -> bool:
    """True if a part is of the main module, and that has no file: a notebook, or `python -c`."""
    main, kind = sys.modules["__main__"], _kind_of(part)
    has_file = getattr(main, "__spec__", None) is not None or getattr(main, "__file__", None) is not None
    return kind.__module__ == "__main__" and not has_file


def _kind_of(part: object) -> type | FunctionType:
    return part if isinstance(part, type | FunctionType) else type(part)


def _check_main_file() -> None:
    main, folder = sys.modules["__main__"], getattr(process, "ORIGINAL_DIR", None) or ""
    path = None if getattr(main, "__spec__", None) is not None else getattr(main, "__file__", None)
    if path is not None and not os.path.exists(os.path.join(folder, path)):
        raise RunError(
            f"{path}: worker processes import the main program again, and there is no such file "
            f"(was it read from standard input?). Put it in a file, {_ADVICE}"
        )


class _Nowhere(io.RawIOBase):
    """A file that keeps nothing."""

    def write(self, data: Buffer) -> int:
        return memoryview(data).nbytes


def _why_not(value: object, name: str, error: Exception) -> str:
    whole = _Culprit(name, value, "")
    path, part, owner = _culprit(whole) or whole
    if _in_main(part):
        what = f"{_kind_of(part).__qualname__} is defined in __main__, which has no file here"
        advice = f"worker processes cannot import it. Put it in a file of its own, {_ADVICE}"
        return f"{path}: {what} (a notebook, or python -c): {advice}"
    attribute = f", an attribute of {owner}," if owner else ""
    return (
        f"{path}{attribute} cannot travel to a worker process: it is {_described(part)} "
        f"({error}). Worker processes start anew here ({multiprocessing.get_start_method()}): use "
        f"a function or class at the top of a module, open files at their first use, {_ADVICE}"
    )


class _Culprit(NamedTuple):
    """A part that does not pickle, the path to it, and the class that has it as an attribute."""

    path: str
    part: object
    owner: str


def _culprit(at: _Culprit, outer: frozenset[int] = frozenset()) -> _Culprit | None:
    """Return the innermost part of `at` that does not pickle; None if all such are `outer`."""
    pickler = _Pickler(_Nowhere(), pickle.HIGHEST_PROTOCOL)  # one for all parts
    outer, circular = outer | {id(at.part)}, False
    for suffix, part in _parts(at.part):
        if id(part) in outer:
            circular = True
            continue
        try:
            pickler.dump(part)
        except Exception:
            owner = type(at.part).__qualname__ if suffix.startswith(".") else at.owner
            inner = _culprit(_Culprit(at.path + suffix, part, owner), outer)
            if inner is not None:
                return inner
            circular = True
    return None if circular else at


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{number}]", part) for number, part in enumerate(value))
    elif isinstance(value, functools.partial):
        yield from ((f".{name}", getattr(value, name)) for name in ("func", "args", "keywords"))
    elif isinstance(value, MethodType):
        yield ".__self__", value.__self__
    elif not isinstance(value, type | FunctionType):
        state: object = None
        with contextlib.suppress(Exception):  # what fails here is itself what cannot travel
            state = value.__getstate__()
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, Mapping):
                yield from ((f".{key}", item) for key, item in part.items())


def _described(part: object) -> str:
    if isinstance(part, FunctionType):
        code = part.__code__
        kind = "a lambda" if part.__name__ == "<lambda>" else f"the function {part.__qualname__}"
        return f"{kind} of {code.co_filename}:{code.co_firstlineno}"
    if isinstance(part, type):
        return f"the class {part.__qualname__}"
    return f"of class {type(part).__qualname__}"
