"""What `runtime` leaves to the toolbox by 'auto': chosen by device and networks, kept, and gone on with."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from srtoolbox.config import Config
from srtoolbox.engine import defaults
from srtoolbox.engine.defaults import PLAIN, DeviceFacts, choose, resolve, runtime_values
from srtoolbox.engine.device import compile_network
from srtoolbox.engine.job.job import train
from srtoolbox.engine.job.report import describe
from srtoolbox.engine.job.run_config import changes
from srtoolbox.errors import RunError
from srtoolbox.interfaces import repeated_blocks
from srtoolbox.registry import NETWORKS
from tests.engine.runs import build, final_state, load, run

CPU = DeviceFacts("cpu", has_bf16=True, has_compiler=True)
CARD = DeviceFacts("cuda", has_bf16=True, has_compiler=True)
EVERY = dict.fromkeys(PLAIN, "auto")
ASKED = [f"runtime.{key}='auto'" for key in PLAIN]


@pytest.mark.parametrize(
    ("asked", "device", "blocks", "values"),
    [
        (EVERY, CPU, 23, (None, False, False, False)),
        (EVERY, CARD, 23, ("bf16", True, "blocks", True)),
        (EVERY, CARD, 0, ("bf16", True, False, True)),
        (EVERY, CARD._replace(has_bf16=False), 23, (None, True, "blocks", True)),
        (EVERY, CARD._replace(has_compiler=False), 23, ("bf16", True, False, True)),
        ({**EVERY, "amp": None}, CARD, 0, (True, False, True)),
        ({**EVERY, "amp": None, "graph": False}, CARD, 0, (False, False)),
        ({**EVERY, "amp": "fp16"}, CARD, 0, (True, False, True)),
        ({"amp": "bf16", "compile": True}, CARD, 23, ()),
    ],
)
def test_the_choice(asked: dict, device: DeviceFacts, blocks: int, values: tuple) -> None:
    choices = choose(asked, device, blocks)
    assert tuple(choice.value for choice in choices.values()) == values
    assert all(choice.reason for choice in choices.values())


def test_networks_name_their_blocks() -> None:
    counts = {"RRDBNet": 23, "MSRResNet": 16, "SRResNet": 16, "ESPCN": 0}
    for name, count in counts.items():
        with torch.device("meta"):
            network = NETWORKS.build(dict(type=name, scale=3 if name == "ESPCN" else 4))
        assert len(repeated_blocks(network)) == count, name


def test_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    network = NETWORKS.build(dict(type="MSRResNet", scale=2, num_features=4, num_blocks=3))
    compile_network(network, False)
    assert [module for module in network.modules() if module._compiled_call_impl] == []
    compile_network(network, "blocks")
    assert [module for module in network.modules() if module._compiled_call_impl] == list(network.body)
    compile_network(network, True)
    assert network._compiled_call_impl


@pytest.mark.slow
def test_equal_blocks_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, compile_ = [], torch.compile

    def watching(graph: torch.fx.GraphModule, inputs: object) -> Callable:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, **options: compile_(function, backend=watching, **options))
    network = NETWORKS.build(dict(type="RRDBNet", scale=4, num_features=8, growth_channels=4, num_blocks=12))
    image = torch.rand(1, 3, 8, 8)
    plain = network(image)
    compile_network(network, "blocks")
    torch.testing.assert_close(network(image), plain)
    assert len(compiled) == 1


def test_on_the_cpu_auto_is_the_run_as_it_was(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "plain")
    runner = run(tiny_config, tmp_path / "auto", *ASKED)
    assert final_state(tmp_path / "auto") == final_state(tmp_path / "plain")
    assert runner.config["runtime"]["resolved"] == PLAIN
    assert "resolved" not in run(tiny_config, tmp_path / "plain_again", "max_iters=1").config["runtime"]


@pytest.mark.parametrize(
    ("lacks", "is_windows", "can"),
    [
        ("", False, True),
        ("triton", False, False),
        ("gcc", False, False),
        ("Python.h", False, False),
        ("gcc", True, True),
    ],
)
def test_triton_compiles_by_a_compiler_and_headers(
    lacks: str, is_windows: bool, can: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacks != "Python.h":
        (tmp_path / "Python.h").touch()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(defaults.system, "IS_WINDOWS", is_windows)
    monkeypatch.setattr(defaults.sysconfig, "get_config_var", {"INCLUDEPY": str(tmp_path)}.get)
    monkeypatch.setattr(defaults.shutil, "which", lambda name: name if name == "gcc" != lacks else None)
    monkeypatch.setattr(defaults.importlib.util, "find_spec", lambda name: None if name == lacks else name)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert defaults.facts_of_device(torch.device("cuda", 0)).has_compiler is can


def test_the_log_tells_the_choice_in_one_line(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defaults, "facts_of_device", lambda device: CARD._replace(has_compiler=False))
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    describe(build(tiny_config, tmp_path, *ASKED))
    lines = [line for line in caplog.messages if "auto" in line]
    assert lines == [
        "runtime 'auto': amp='bf16' (the card computes in it), channels_last=True (convolutions run in it), "
        "compile=False (Triton, or what it needs, is not installed), graph=True (a step is launched as one)"
    ]


def test_a_resumed_run_goes_on_as_it_began(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as card:
        card.setattr(defaults, "facts_of_device", lambda device: CARD._replace(has_compiler=False))
        run(tiny_config, tmp_path, *ASKED, "max_iters=10", "hooks.checkpoint.interval=10")
    kept = json.loads(load(tmp_path, "iter_000010")["config"])["runtime"]
    assert kept["resolved"] == {"amp": "bf16", "channels_last": True, "compile": False, "graph": True}
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    runner = build(tiny_config, tmp_path, *ASKED, "max_iters=10", resume=True)
    assert runner.optims["generator"].amp_dtype is torch.bfloat16
    assert "as this run began" in runner.choices
    assert not [line for line in caplog.messages if "runtime" in line], "nothing has changed"
    build(tiny_config, tmp_path, *ASKED, "max_iters=10", "runtime.amp=None", resume=True)
    assert [line for line in caplog.messages if "runtime.amp 'bf16' -> (not set) (from here on)" in line]


def test_a_machine_that_cannot_go_on_says_so(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.fromfile(str(tiny_config), ASKED)
    before = {"runtime": {**EVERY, "resolved": {"amp": "bf16", "channels_last": True, "compile": "blocks"}}}
    old = CARD._replace(has_bf16=False)
    monkeypatch.setattr(defaults, "facts_of_device", lambda device: old)
    with pytest.raises(RunError, match=r"began with runtime\.amp='bf16'.* this card has no bf16.* runtime\.amp=None"):
        resolve(config, torch.device("cpu"), [], before)
    told = Config.fromfile(str(tiny_config), [*ASKED, "runtime.amp=None"])
    assert runtime_values(resolve(told, torch.device("cpu"), [], before)[0]["runtime"])["compile"] == "blocks"
    monkeypatch.setattr(defaults, "facts_of_device", lambda device: old._replace(has_compiler=False))
    with pytest.raises(RunError, match=r"runtime\.compile='blocks'.* no compiler is installed here"):
        resolve(told, torch.device("cpu"), [], before)


@pytest.mark.parametrize("before", [{}, {"runtime": dict(amp=None, channels_last=False)}])
def test_a_run_begun_before_there_were_choices_goes_on_plain(
    before: dict, tiny_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defaults, "facts_of_device", lambda device: CARD)
    asked = Config.fromfile(str(tiny_config), ASKED)
    config, _ = resolve(asked, torch.device("cpu"), [], before)
    assert "resolved" not in asked["runtime"], "it stays as it is"
    assert config["runtime"]["resolved"] == PLAIN
    now = {key: config["runtime"][key] for key in (*PLAIN, "resolved")}
    assert changes({"runtime": {}, **before}, {"runtime": now}) == []


def test_a_config_that_asks_the_same_has_not_changed() -> None:
    kept = {"runtime": {"amp": "auto", "resolved": {"amp": "bf16"}}}
    assert changes(kept, {"runtime": {"amp": "auto"}}) == []
    assert [change.path for change in changes(kept, {"runtime": {"amp": "fp16"}})] == ["runtime.amp"]


def test_a_fresh_run_chooses_anew(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = Config.fromfile(str(tiny_config), [*ASKED, "runtime.resolved=dict(amp='bf16', compile=True)"])
    assert resolve(stale, torch.device("cpu"), [])[0]["runtime"]["resolved"] == PLAIN
    stale = Config.fromfile(str(tiny_config), ["runtime.resolved=dict(amp='bf16')"])
    config, sentence = resolve(stale, torch.device("cpu"), [])
    assert "resolved" not in config["runtime"] and not sentence


def test_the_config_of_a_run_keeps_both(tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = Config.fromfile(str(tiny_config), [*ASKED, "max_iters=4"])
    train(config, work_dir=tmp_path / "run")
    kept = Config.fromfile(tmp_path / "run" / "config.py")
    assert kept["runtime"]["amp"] == "auto" and kept["runtime"]["resolved"] == PLAIN
    assert "resolved" not in config["runtime"], "what the caller has stays as it is"
    assert train(config, work_dir=tmp_path / "run", resume=True).ending == "nothing left to do"
    train(kept, work_dir=tmp_path / "again")
