"""A stand-in on the CPU for CUDA graphs: it records the operators of a step and runs them again.

As on a GPU, what is replayed works at the addresses of the capture, Python's values are constants, random operators
draw anew, and a capture breaks off where something would wait for the device. Unlike there, what is captured is done.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from srtoolbox.compat.pytorch import DispatchMode, OpOverload, tree_leaves

WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero", "aten::unique2"}
"""Operators that ask the device for values."""

Call = tuple[OpOverload, tuple, Mapping[str, object], list[object]]


class Strict(DispatchMode):
    """Refuses what would wait for the device, as CUDA's sync-debug mode "error" does.

    What ranks tell each other as objects lies on the CPU there, too.
    """

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        if func.name().partition(".")[0] in WAITING and not _is_gathering():
            raise RuntimeError(f"{func.name()}: operation not permitted when stream is capturing")
        return super().run(func, args, kwargs)


def _is_gathering() -> bool:
    names = (frame.f_code.co_name for frame, _ in traceback.walk_stack(None))
    return "all_gather_object" in names


class Recorder(Strict):
    """Keeps all calls, with their tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        result = super().run(func, args, kwargs)
        self.calls.append((func, args, kwargs, tree_leaves(result)))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Run all calls again, and leave the results where those of the capture are."""
        for func, args, kwargs, kept in self.calls:
            for old, new in zip(kept, tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and isinstance(new, Tensor) and new.data_ptr() != old.data_ptr():
                    old.detach().copy_(new)


class RecordedGraphs:
    """Captures graphs on the CPU; counts captures and replays."""

    def __init__(self, warm_ups: int = 1) -> None:
        self.warm_ups, self.captures, self.replays = warm_ups, 0, 0
        self._recorder: Recorder | None = None

    def aside(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def strict(self) -> Iterator[None]:
        with Strict():
            yield

    def begin(self) -> None:
        self._recorder = Recorder()
        self._recorder.__enter__()

    def end(self) -> Callable[[], None]:
        recorder, self._recorder = self._recorder, None
        assert recorder is not None
        recorder.__exit__(None, None, None)
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            recorder.replay()

        return replay

    def break_off(self) -> None:
        if self._recorder is not None:
            self._recorder.__exit__(None, None, None)
            self._recorder = None

    def renew(self) -> None:
        """There is no pool."""
