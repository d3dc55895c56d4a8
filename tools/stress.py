"""Kills training runs and checks that, resumed, they end exactly like runs nobody killed.

    OMP_NUM_THREADS=1 python tools/stress.py --kills 200 --seed 1          # prints a JSON summary

Each trial starts a tiny run, kills it with SIGKILL (alone, or with its loader workers), resumes it, and compares the
last checkpoint, the best ones, the logs and the snapshots with the unbroken run's, bit for bit. Kills come at three
kinds of moments: 'operation': before, or half-way through, one drawn system call that changes the disk; 'save': within
a save's usual time after the writing of a drawn one began, in a thread, while the training goes on; 'anywhere': at a
drawn time. PyTorch is imported once, each run is forked. SIGKILL does not lose what the kernel holds: power losses are
the subject of tests/engine/test_crash_power.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import skimage.data
import torch

from srtoolbox.check import check
from srtoolbox.cli import main as srtoolbox
from srtoolbox.config import Config
from srtoolbox.engine.hooks import checkpoint as saving
from srtoolbox.image import write_image
from srtoolbox.weights.checkpoint import verify_checkpoint
from tests.engine.runs import differing, events, final_state, flatten, records, snapshot
from tests.faults.disk import Disk
from tests.faults.stress_configs import ITERATIONS, VARIANTS

AIMS = {"operation": 0.3, "save": 0.5, "anywhere": 0.2}
LIMIT = 120.0
"""Seconds after which a run counts as hanging."""


class Kill(NamedTuple):
    """One drawn kill."""

    aim: str
    operation: int
    """For 'operation': which system call."""
    save: int
    """For 'save': which save of the run."""
    wait: float
    """For 'save' and 'anywhere': seconds to wait, from the save's or the run's beginning."""
    whole_job: bool
    """Whether the loader workers are killed with the run, as a scheduler does, or left behind."""


class Facts(NamedTuple):
    """Measured on an unbroken run: what kills are drawn from, and what resumed runs must end like."""

    work_dir: Path
    seconds: float
    operations: int
    saves: int
    save_seconds: float
    """Of one save, on average."""
    first_save: float
    """Seconds from the start to the first save; a resumed run, too, needs most of them to begin."""


class Shared:
    """Memory that a killed process leaves to its parent: whether it was saving, how many saves began, their seconds,
    and when the first one began (of the monotonic clock).
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 24)

    def reset(self) -> None:
        self._memory[:24] = bytes(24)

    saving = property(lambda self: self._memory[0] > 0)
    saves = property(lambda self: self._memory[1])
    seconds = property(lambda self: struct.unpack_from("d", self._memory, 8)[0])
    first = property(lambda self: struct.unpack_from("d", self._memory, 16)[0])

    @contextlib.contextmanager
    def window(self) -> Iterator[None]:
        """While active, a save is under way: the writer's thread has one at a time."""
        start = time.monotonic()
        if not self.saves:
            struct.pack_into("d", self._memory, 16, start)
        self._memory[1] += 1
        self._memory[0] = 1
        yield
        self._memory[0] = 0
        struct.pack_into("d", self._memory, 8, self.seconds + time.monotonic() - start)

    def mark(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` within the window."""

        def marked(*args: Any, **rest: Any) -> Any:  # noqa: ANN401 - whatever `function` takes
            with self.window():
                return function(*args, **rest)

        return marked


class Stress:
    """The trials of one seed, in one folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed, self.shared = folder, seed, Shared()
        photo = skimage.data.chelsea()
        for number in range(6):
            write_image(folder / f"photos/{number}.png", photo[40 * number : 40 * number + 60, :72])
        for name, text in VARIANTS.items():
            (folder / f"{name}.py").write_text(text.format(folder=str(folder / "photos")))
            check(Config.fromfile(str(folder / f"{name}.py")))  # imports what each forked run would import again
        self.facts = {name: self._measure(name) for name in VARIANTS}

    def _measure(self, name: str) -> Facts:
        work_dir, disk = self.folder / f"whole_{name}", Disk(self.folder)
        count = self.folder / "operations"
        start = time.monotonic()
        code = self._finish(
            self._start(name, work_dir, disk, after=lambda: count.write_text(str(len(disk.operations))))
        )
        if code != 0:
            raise SystemExit(f"the unbroken run {name} fails:\n{(self.folder / 'log').read_text()[-3000:]}")
        seconds, saves = time.monotonic() - start, self.shared.saves
        first = self.shared.first - start
        return Facts(work_dir, seconds, int(count.read_text()), saves, self.shared.seconds / saves, first)

    def draw(self, trial: int) -> tuple[str, random.Random]:
        """The variant of a trial and its own random numbers."""
        rng = random.Random(f"{self.seed}/{trial}")  # noqa: S311 - to be repeatable
        return ("gan" if trial % 2 == 0 else rng.choice([name for name in VARIANTS if name != "gan"])), rng

    def trial(self, trial: int, kills: int) -> tuple[list[tuple[str, bool]], str]:
        """Kill a run up to `kills` times, then let it end. Returns (aim, inside a save) of each kill, and any fault."""
        name, rng = self.draw(trial)
        work_dir, hits = self.folder / f"trial_{trial}", []
        for _ in range(kills):
            kill = self._draw_kill(rng, self.facts[name], kills)
            code = self._killed(name, work_dir, kill)
            if code == -signal.SIGKILL:
                hits.append((kill.aim, self.shared.saving))
            elif code != 0:
                return hits, self._told(f"the run to be killed ended with {code}")
        code = self._finish(self._start(name, work_dir))
        fault = self._told(f"the resumed run ended with {code}") if code else self._compare(name, work_dir)
        if not fault:
            shutil.rmtree(work_dir)
        return hits, fault

    def _draw_kill(self, rng: random.Random, facts: Facts, kills: int) -> Kill:
        """A kill in the first of as many parts as there are kills: a resumed run begins where the last part ended."""
        aim = rng.choices(list(AIMS), list(AIMS.values()))[0]
        part = facts.first_save + (facts.seconds - facts.first_save) / kills
        wait = rng.uniform(0, facts.save_seconds if aim == "save" else part)
        operation, save = rng.randrange(max(facts.operations // kills, 1)), rng.randint(1, max(facts.saves // kills, 1))
        return Kill(aim, operation, save, wait, rng.random() < 0.5)

    def _killed(self, name: str, work_dir: Path, kill: Kill) -> int:
        disk = Disk(work_dir, kill.operation) if kill.aim == "operation" else None
        child = self._start(name, work_dir, disk)
        if kill.aim == "operation":
            return self._finish(child)
        while kill.aim == "save" and not (self.shared.saves >= kill.save):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.0002)
        time.sleep(kill.wait)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL) if kill.whole_job else os.kill(child, signal.SIGKILL)
        return self._finish(child)

    def _start(
        self, name: str, work_dir: Path, disk: Disk | None = None, after: Callable[[], object] = lambda: None
    ) -> int:
        """Fork a training run (always with --resume); returns its process id, which is that of its group too."""
        self.shared.reset()
        child = os.fork()
        if child:
            return child
        code = 70
        try:
            os.setsid()
            log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(log, 1), os.dup2(log, 2)
            hook = saving.CheckpointHook
            hook._write, hook._write_best = self.shared.mark(hook._write), self.shared.mark(hook._write_best)
            with disk.active() if disk else contextlib.nullcontext():
                code = srtoolbox(["train", str(self.folder / f"{name}.py"), "--work-dir", str(work_dir), "--resume"])
            after()
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(code)

    def _finish(self, child: int) -> int:
        """Wait for a run. Returns its exit code, -9 where it was killed; a hanging one is ended and gives 99."""
        end = time.monotonic() + LIMIT
        while not (done := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return 99
            time.sleep(0.002)
        return os.waitstatus_to_exitcode(done[1])

    def _compare(self, name: str, work_dir: Path) -> str:
        """What differs from the unbroken run; '' where nothing does."""
        whole = self.facts[name].work_dir
        faults = differing(final_state(whole, ITERATIONS), final_state(work_dir, ITERATIONS))[:5]
        if records(whole) != records(work_dir):
            faults.append("scores.jsonl")
        if _events(whole) != _events(work_dir):
            faults.append("TensorBoard")
        if _snapshots(whole) != _snapshots(work_dir):
            faults.append("snapshots")
        for best in whole.glob("checkpoints/best_*.pth"):
            found = work_dir / "checkpoints" / best.name
            if verify_checkpoint(found) or _networks(found) != _networks(best):
                faults.append(best.name)
        faults += [path.name for path in work_dir.rglob(".*.tmp")]
        return f"differs from the unbroken run in {', '.join(faults)}" if faults else ""

    def _told(self, fault: str) -> str:
        return f"{fault}: {(self.folder / 'log').read_text(errors='replace')[-1500:]}"


def _networks(path: Path) -> dict[str, bytes]:
    return flatten(torch.load(path, weights_only=True)["networks"])


def _events(work_dir: Path) -> dict[str, list[tuple[int, float]]]:
    return events(work_dir) if any(work_dir.glob("events.*")) else {}


def _snapshots(work_dir: Path) -> dict[str, bytes]:
    return snapshot(work_dir / "snapshots")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills in all (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills-per-run", type=int, default=1, help="how often one run is killed (default: 1)")
    parser.add_argument("--trial", type=int, help="repeat this trial alone, and keep its files")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # else it tells of each resumed run it reads
    folder, start = Path(tempfile.mkdtemp(prefix="srtoolbox_stress_")), time.monotonic()
    stress = Stress(folder, args.seed)
    trials, hits, failures, variants, killed = 0, [], [], Counter(), Counter()
    while (args.trial is not None and not trials) or (args.trial is None and len(hits) < args.kills):
        number, left = (trials, args.kills - len(hits)) if args.trial is None else (args.trial, args.kills_per_run)
        kills = min(args.kills_per_run, left)
        found, fault = stress.trial(number, kills)
        trials, hits = trials + 1, hits + found
        variants[stress.draw(number)[0]] += 1
        killed[len(found)] += 1
        if fault:
            replay = f"python tools/stress.py --seed {args.seed} --kills-per-run {args.kills_per_run} --trial {number}"
            failures.append({"trial": number, "fault": fault, "replay": replay})
            print(json.dumps(failures[-1]), file=sys.stderr, flush=True)
    aims = {aim: {"kills": sum(a == aim for a, _ in hits), "inside_save": hits.count((aim, True))} for aim in AIMS}
    summary = {
        "seed": args.seed, "kills": len(hits), "inside_save": sum(inside for _, inside in hits), "aims": aims,
        "runs": trials, "identical": trials - len(failures), "variants": dict(variants),
        "runs_by_kills": dict(sorted(killed.items())),
        "seconds": round(time.monotonic() - start, 1), "failures": failures,
    }  # fmt: skip
    print(json.dumps(summary, indent=2))
    if not failures and args.trial is None:
        shutil.rmtree(folder)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
