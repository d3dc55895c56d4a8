"""The base of hooks that keep something to look at, beginning with the untrained network."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from srtoolbox import dist
from srtoolbox.engine.evaluate import uncompiled
from srtoolbox.engine.hooks.base import Hook, Phase
from srtoolbox.errors import MissingDataError, WriteError
from srtoolbox.image import encode_image
from srtoolbox.interfaces import facts_of
from srtoolbox.logger import LOGGER
from srtoolbox.plots import snapshots
from srtoolbox.plots.patches import Patch, box_fault, load_patch
from srtoolbox.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srtoolbox.engine.run import Run


class SnapshotHook(Hook):
    """Base: `_keep` runs on rank 0 at iteration 0, every `interval` iterations and after the last.

    A resumed run repeats what came after its checkpoint, so nothing is kept twice. The averaged
    weights are used if an EMAHook keeps some, as in evaluations. With a full or failing disk the
    training goes on: that is reported once, and tried again at the next snapshot.
    """

    phase = Phase.EVALUATE
    interval: int
    network: str
    folders: dict[Path, dict[str, bytes]]
    """The folders of snapshots, and the files beside them, by name, that say what they are of."""

    def before_train(self, run: Run) -> None:
        self._is_ready, self._is_failing, self._after = False, False, run.iter
        if not dist.is_main() or not self.folders:
            return
        with self._reporting():
            self._begin()
        if run.iter == 0:
            self._keep_now(run)

    def _begin(self) -> None:
        """Make the folders ready; where that failed as the run began, with its first snapshot."""
        for folder, about in self.folders.items() if not self._is_ready else ():
            dropped = snapshots.begin(folder, about, after=self._after)
            if dropped:
                count = counted(dropped, "earlier snapshot was", "earlier snapshots were")
                LOGGER.warning("%s: %s of another place, and deleted", folder, count)
        self._is_ready = True

    def after_iter(self, run: Run) -> None:
        if (run.iter % self.interval == 0 or run.iter == run.max_iters) and self.folders:
            with run.pausing("evaluate"):
                if dist.is_main():
                    self._keep_now(run)

    def _keep_now(self, run: Run) -> None:
        network = run.networks.get(f"{self.network}_ema", run.networks[self.network])
        with uncompiled(), self._reporting():
            self._begin()
            self._keep(network, run.iter)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Report what cannot be written, once until it can again."""
        try:
            yield
            self._is_failing = False
        except WriteError as error:
            if not self._is_failing:
                state = "The training goes on without this snapshot and tries again with the next"
                LOGGER.warning("%s %s", error, state)
            self._is_failing = True

    def _keep(self, network: nn.Module, iteration: int) -> None:
        """Write the snapshots of one iteration."""
        raise NotImplementedError


def patch_of(spec: str | Mapping[str, Any], network: nn.Module, *, middle: int | None = None) -> Patch | None:
    """Return the patch of a config's entry; None, with a warning, if its image is not there.

    Raises:
        SrtoolboxError: the image cannot be read, or the box does not fit it.
    """
    path, box = image_and_box(spec)
    try:
        if not Path(path).is_file():
            raise MissingDataError(f"{path}: no such image", path)
        facts = facts_of(network)
        radius = facts.receptive_field
        return load_patch(path, box, facts.scale, receptive_field=radius, middle=middle)
    except MissingDataError as error:
        LOGGER.warning("nothing is kept to be looked at of %s", error)
        return None


def image_and_box(spec: str | Mapping[str, Any]) -> tuple[str, Sequence[int] | None]:
    """Return the path and the box of 'x.png' or dict(picture='x.png', box=[...])."""
    return (spec, None) if isinstance(spec, str) else (spec["picture"], spec.get("box"))


def patch_fault(spec: object, context: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an entry, before anything is read; None: nothing."""
    if isinstance(spec, str):
        return None
    entry = spec if isinstance(spec, Mapping) else {}
    if not set(entry) <= {"picture", "box"} or not isinstance(entry.get("picture"), str):
        form = "an image's path, or dict(picture='x.png', box=[x, y, width, height])"
        return f"a patch is {form}, got {spec!r}"
    if entry.get("box") is None:
        return None
    scale = ((context.get("model") or {}).get("generator") or {}).get("scale")
    fault = box_fault(entry["box"], scale if isinstance(scale, int) else None)
    return f"{entry['picture']}: {fault}" if fault else None


def about(patch: Patch, **more: object) -> dict[str, bytes]:
    """Return the files that say what snapshots are of."""
    notes = json.dumps({"box": patch.box, "scale": patch.scale, **more}).encode()
    images = {"input.png": encode_image(patch.input), "truth.png": encode_image(patch.truth)}
    return {"about.json": notes, **images}
