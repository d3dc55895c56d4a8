"""docs/networks.md and the network of docs/add_a_component.md are true: configs build, tables are complete."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch

from srtoolbox.interfaces import network_kind
from srtoolbox.registry import NETWORKS
from srtoolbox.weights import recognise
from srtoolbox.weights.formats import rename
from tests.models.networks import test_all
from tests.models.networks.small import small_config

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/networks.md").read_text(encoding="utf-8")
CONFIGS = re.findall(r"^\w+ = (dict\(.*?\))$", "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.S)), re.S | re.M)


def named(section: str) -> set[str]:
    part = TEXT.split(f"## {section}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", part, re.M))


@pytest.mark.parametrize(
    ("section", "kind"), [("Networks that upscale", "generator"), ("Discriminators", "discriminator")]
)
def test_the_tables_are_complete(section, kind):
    assert named(section) == {name for name in NETWORKS if network_kind(NETWORKS.get(name)) == kind}


@pytest.mark.parametrize("config", CONFIGS)
def test_the_configs_build(config):
    with torch.device("meta"):
        network = NETWORKS.build(eval(config))
        side = getattr(network, "input_size", None) or 128
        assert network(torch.rand(2, 3, side, side)).shape[0] == 2


def test_all_configs_were_found():
    assert len(CONFIGS) == len(re.findall(r"^(?:generator|discriminator) = ", TEXT, re.M)) > 0


def test_scales_are_as_told():
    rows = re.findall(r"^\| `(\w+)` \| [^|]+\| ([^|]+) \| (y|rgb) \|", TEXT, re.M)
    assert {name for name, *_ in rows} == named("Networks that upscale") - {"Adapter", "Spandrel"}
    for name, told, colour in rows:
        for scale in (int(word) for word in re.findall(r"\d+", told) or (1, 2, 3, 5)):
            with torch.device("meta"):
                network = NETWORKS.build(small_config(name, scale))
            assert (network.scale, network.colour) == (scale, colour)


def test_networks_of_several_steps_and_of_interpolations_by_3_are_told():
    page = (ROOT / "docs/large_images.md").read_text(encoding="utf-8")
    generators = [name for name in NETWORKS if network_kind(NETWORKS.get(name)) == "generator"]
    splittable = [name for name in generators if hasattr(NETWORKS.get(name), "extract")]
    several = re.search(r"several upsampling steps \((.*?)\)", page, re.S)
    assert set(re.findall(r"\w+", several[1])) == set(splittable) - {"Adapter"}
    classes = {name: inspect.getsource(NETWORKS.get(name)) for name in generators}
    enlarging = {name for name, text in classes.items() if re.search(r'interpolate\(lq, .*mode="bilinear"', text)}
    by_3 = re.search(r"^At x3 (.*?) have tiles that differ by more than 1e-6", page, re.M)
    assert set(re.findall(r"`?(\w+)`?(?:, | and |$)", re.sub(r" \(.*?\)", "", by_3[1]))) == enlarging


TESTS = {name: test for name, test in vars(test_all).items() if name.startswith("test_")}


@pytest.fixture
def tiny_resnet(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register the network of docs/add_a_component.md for one test."""
    monkeypatch.setattr(NETWORKS, "_entries", dict(NETWORKS._entries))
    page = (ROOT / "docs/add_a_component.md").read_text(encoding="utf-8")
    exec(
        page.split("### A network in the tree")[1].split("```python\n")[1].split("```")[0], {"__name__": "tiny_resnet"}
    )
    return "TinyResNet"


@pytest.mark.parametrize("test", TESTS)
def test_the_network_of_the_docs_passes_all_automatic_tests(tiny_resnet: str, test: str) -> None:
    arguments = inspect.signature(TESTS[test]).parameters
    values = {"test_a_wrong_scale_is_refused": (0, -2, 2.5, "2", True)}.get(test, (2, 3, 4))
    for scale in values if "scale" in arguments else (None,):
        TESTS[test](*(tiny_resnet, scale)[: len(arguments)])


def test_the_layouts_of_the_docs_recognise_its_files(tiny_resnet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page, parts = (ROOT / "docs/add_a_component.md").read_text(encoding="utf-8"), {}
    exec(page.split("### Files of other projects")[1].split("```python\n")[1].split("```")[0], parts)
    monkeypatch.setattr(recognise, "LAYOUTS", (*recognise.LAYOUTS, *parts["LAYOUTS"]))
    config = {"type": tiny_resnet, "scale": 3, "colour": "rgb", "num_features": 8, "num_blocks": 2}
    state = NETWORKS.build(config).state_dict()
    theirs = rename(state, {ours: theirs for theirs, ours in parts["AUTHORS"].items()})
    assert theirs.keys() != state.keys()
    for tensors, sentence in ((state, "TinyResNet, x3"), (theirs, "TinyResNet, its authors' names, x3")):
        network = recognise.recognise({"state_dict": tensors}, "x.pth")
        assert network.config == config and network.tensors.keys() == state.keys()
        assert network.sentence == f"{sentence}, 2 blocks, 8 features"
