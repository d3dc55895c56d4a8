"""A short training timed part by part: parts add up, a trace opens, nothing else is written, advice fits."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from srtoolbox.apps import profile as module
from srtoolbox.apps.profile import Profile, Spans, advise, profile_run
from srtoolbox.cli import main
from srtoolbox.data.stores.folder import DecodingStore
from srtoolbox.engine.step import graph
from srtoolbox.optim.wrapper import OptimWrapper
from tests.engine.recorded import RecordedGraphs

IN_LOOP = {"read", "crop", "collate", "waiting", "copy", "forward", "backward", "optimizer", "the rest"}


def test_a_real_run_is_timed_and_leaves_nothing_but_the_trace(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    functions = vars(DecodingStore)["read_at"], vars(OptimWrapper)["update"]
    assert main(["profile_run", str(tiny_config), "-o", "out/trace.json", "--iters", "3", "hooks.ema.decay=0.5"]) == 0
    assert [path.name for path in here.rglob("*")] == ["out", "trace.json"]
    names = {event.get("name") for event in json.loads(Path("out/trace.json").read_text())["traceEvents"]}
    assert IN_LOOP - {"the rest"} <= names and any("conv" in str(name) for name in names)
    printed = capsys.readouterr().out
    for name in (*IN_LOOP, "hook ema", "hook scheduler", "hook logger"):
        assert f"  {name:<16}" in printed, name
    assert not any(word in printed for word in ("hook checkpoint", "hook evaluate"))
    assert printed.splitlines()[-1].startswith("- ")
    assert (vars(DecodingStore)["read_at"], vars(OptimWrapper)["update"]) == functions


def test_parts_add_up_and_batches_of_workers_are_timed_apart(tiny_config: Path) -> None:
    profile = profile_run(tiny_config, iters=2, overrides=["data.train.workers=1", "hooks.logger=None"])
    assert sum(profile.parts.values()) == pytest.approx(profile.total)
    assert profile.parts.keys() == IN_LOOP - {"read", "crop", "collate"} | {"hook ema", "hook scheduler"}
    assert profile.beside.keys() == {"read", "crop", "collate"} and min(profile.beside.values()) > 0
    assert profile.busy is None and profile.waits == {} and profile.settings["workers"] == 1


def test_a_step_that_is_a_graph_is_one_part(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "graphs_for", lambda device: RecordedGraphs())
    profile = profile_run(tiny_config, iters=2, overrides=["runtime.graph=True"])
    assert profile.parts["graph"] > 0 and not {"forward", "backward", "optimizer"} & profile.parts.keys()


def test_train_profiles_too(tiny_config: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    profile = Profile("cpu, fp32", 2.0, {"forward": 2.0})

    def stand_in(*args: object, **options: object) -> Profile:
        asked.append((args, options))
        return profile

    monkeypatch.setattr(module, "profile_run", stand_in)
    assert main(["train", str(tiny_config), "--profile", "--device", "cpu", "seed=3"]) == 0
    assert asked == [((str(tiny_config),), {"device": "cpu", "overrides": ["seed=3"], "plugins": []})]
    assert "2.00 ms per iteration on cpu, fp32" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", str(tiny_config), "--profile", "--resume"])
    assert "--profile goes with" in capsys.readouterr().err


def test_time_inside_a_part_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 7.0, 10.0, 11.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    spans = Spans()
    spans.begin("outer")
    spans.begin("inner")
    spans.end()
    spans.end()
    assert spans.seconds == {"inner": 2.0, "outer": 5.0}

    def elsewhere() -> None:
        spans.begin("read")
        spans.end()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert spans.beside == {"read": 1.0} and spans.seconds == {"inner": 2.0, "outer": 5.0}


FAST = {"amp": "bf16", "workers": 0}
ADVICE = {
    "files are decoded": (
        Profile("cpu", 10.0, {"read": 6.0, "crop": 1.0, "forward": 3.0}, settings=FAST),
        ["Batches are the wall, 70 % of the time: most of it is reading files. Convert the images with convert_lmdb"],
    ),
    "crops are degraded": (
        Profile("cpu", 10.0, {"crop": 7.0, "forward": 3.0}, settings=FAST),
        ["one is made in 7.00 ms, mostly crop, and a step without it takes 3.00 ms. data.train.workers=3"],
    ),
    "workers are too few": (
        Profile("cuda", 9.0, {"waiting": 6.0}, {"crop": 12.0}, busy=2.9, settings={**FAST, "workers": 2}),
        ["data.train.workers=4"],
    ),
    "the device is idle": (
        Profile("cuda", 10.0, {"forward": 4.0}, busy=1.0, settings=FAST, waits={(".item()", "loss.py:7"): 2.0}),
        ["loss.py:7: .item() makes Python wait for the device 2 times", "The device is idle for 90 %: it waits"],
    ),
    "a hook is slow": (
        Profile("cpu", 10.0, {"hook ema": 2.0}, settings=FAST),
        ["hooks.ema takes 20 %"],
    ),
    "full precision": (
        Profile("cuda", 10.0, {"forward": 1.0}, busy=9.9, settings={"amp": None, "workers": 0}),
        ["The network is most of it: runtime.amp='bf16'"],
    ),
    "all is well": (
        Profile("cuda", 10.0, {"forward": 1.0}, busy=9.9, settings=FAST),
        ["Nothing stands out"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ADVICE)
def test_advice(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: 16)
    profile, expected = ADVICE[case]
    given = advise(profile)
    assert len(given) == len(expected)
    assert all(part in text for part, text in zip(expected, given, strict=True)), given
