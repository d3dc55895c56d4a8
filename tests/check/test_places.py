"""check(config): each fault is reported at the line of the key that it is about, whatever its words mention."""

from __future__ import annotations

import pickle

import pytest
from torch import nn

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.engine.hooks import Hook
from srtoolbox.errors import ConfigError, Fault
from srtoolbox.plugins import load_plugins
from srtoolbox.registry import HOOKS, NETWORKS
from tests.check.test_check import GOOD, faults

__all__ = ["faults"]  # a fixture

SENTENCE = "each interval needs a window that is shorter, got window=5"
WINDOWED = """hooks['mine'] = dict(
    type='{}',
    interval=10,
    window=5,
)
"""
FIRST = GOOD.count("\n") + 1


class KeyedHook(Hook):
    """Names the key of its fault."""

    def __init__(self, interval: int, window: int) -> None: ...

    @classmethod
    def check(cls, cfg, context):
        return [Fault("window", SENTENCE)] if cfg["window"] >= cfg["interval"] / 2 else []


class PlainHook(KeyedHook):
    """Returns a plain sentence, as plugins have always done."""

    @classmethod
    def check(cls, cfg, context):
        return [SENTENCE]


class RaisingHook(KeyedHook):
    """Raises in its check what names the key."""

    @classmethod
    def check(cls, cfg, context):
        raise ConfigError(SENTENCE, key="window")


class StrictHook(Hook):
    """Refuses its values in the constructor, and names the key."""

    def __init__(self, interval: int, window: int) -> None:
        raise ConfigError(SENTENCE, key="window")


class SpeechlessHook(Hook):
    """Refuses its values with an error of Python."""

    def __init__(self, interval: int, window: int) -> None:
        raise ValueError(SENTENCE)


@pytest.mark.parametrize(
    ("hook", "line"),
    [(KeyedHook, 3), (RaisingHook, 3), (StrictHook, 3), (PlainHook, 0), (SpeechlessHook, 0)],
)
def test_a_fault_stands_at_its_key_else_at_the_component(faults, register, hook, line):
    register(HOOKS, hook)
    [fault] = faults(GOOD + WINDOWED.format(hook.__name__))
    assert fault.startswith(f"{FIRST + line}: hooks.mine: ") and fault.endswith(SENTENCE)


def test_two_keys_at_fault_in_a_constructor_are_two_faults(faults, register):
    class Twice(Hook):
        def __init__(self, interval: int, window: int) -> None:
            raise ConfigError([Fault(key, f"{key} is not for me") for key in ("interval", "window")])

    register(HOOKS, Twice)
    found = faults(GOOD + WINDOWED.format("Twice"))
    places = [(FIRST + 2, "interval"), (FIRST + 3, "window")]
    assert found == [f"{line}: hooks.mine: cannot be built: {key} is not for me" for line, key in places]


PLUGIN = f'''
from srtoolbox.engine.hooks import Hook
from srtoolbox.errors import Fault
from srtoolbox.registry import HOOKS

@HOOKS.register
class HookOfAFile(Hook):
    def __init__(self, interval: int, window: int, is_keyed: bool) -> None: ...

    @classmethod
    def check(cls, cfg, context):
        return [Fault("window", "{SENTENCE}") if cfg["is_keyed"] else "{SENTENCE}"]
'''


def test_faults_of_a_plugin(tmp_path):
    (tmp_path / "my_hook.py").write_text(PLUGIN)
    path = tmp_path / "config.py"
    hook = WINDOWED.format("HookOfAFile").replace("window", "is_keyed={},\n    window")
    lines = {"True": FIRST + 4, "False": FIRST}
    for is_keyed, line in lines.items():
        path.write_text(GOOD + hook.format(is_keyed) + "custom_imports = ['./my_hook.py']\n")
        config = Config.fromfile(path)
        load_plugins(config)
        with pytest.raises(ConfigError) as caught:
            check(config)
        assert caught.value.faults == [f"{path}:{line}: hooks.mine: {SENTENCE}"]
    HOOKS._entries.pop("HookOfAFile")


def test_an_inner_network_is_reported_once_at_its_own_line(faults, register):
    class Outer(nn.Module):
        def __init__(self, network: dict, scale: int = 3) -> None:
            super().__init__()
            self.inner = NETWORKS.build(network)

    register(NETWORKS, Outer)
    old = "type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4]"
    new = "type='Outer', scale=3,\n    network=dict(type='ESPCN',\n    scale=-1)"
    assert GOOD.count(old) == 1
    [fault] = faults(GOOD.replace(old, new))
    assert fault.startswith("6: model.generator.network: cannot be built: ESPCN: scale=-1 is not possible")


@pytest.mark.parametrize(
    ("entry", "line", "message"),
    [
        ("hooks['a'] = dict(|type='PatchesHook',|patches=[|'a.png',|dict(box=1)])", 4, "patches: a patch"),
        ("hooks['a'] = dict(|type='EMAHook',|network='generator',|decay=2.0)", 3, "decay is a share"),
        ("model['targets'] = dict(|pixel='gt',|other='gt')", 2, "targets names loss 'other'"),
        ("data['val']['metrics'].update(|a=dict(type='PSNR',|protocol='y_direct',|y_channel=False))", 3, "contradicts"),
    ],
)
def test_components_of_the_toolbox_name_their_keys(faults, entry, line, message):
    found = faults(GOOD + entry.replace("|", "\n    ") + "\n")
    assert any(fault.startswith(f"{FIRST + line}: ") and message in fault for fault in found), found


@pytest.mark.parametrize(
    ("colour", "size_multiple", "line", "message"),
    [("bgr", 1, 5, "colour is 'y' or 'rgb', got 'bgr'"), ("y", 0, 6, "size_multiple is a whole number above 0, got 0")],
)
def test_a_wrong_fact_of_a_network_stands_at_its_argument(faults, register, colour, size_multiple, line, message):
    class Own(nn.Module):
        def __init__(self, colour: str, size_multiple: int) -> None:
            super().__init__()
            self.scale, self.in_channels, self.receptive_field = 3, 1, None
            self.colour, self.size_multiple = colour, size_multiple

    register(NETWORKS, Own)
    old = "type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4]"
    new = f"type='Own',\n        colour={colour!r},\n        size_multiple={size_multiple}"
    found = faults(GOOD.replace(old, new).replace("        param_groups={'conv3': dict(lr=1e-4)},\n", ""))
    assert f"{line}: model.generator: Own: {message}" in found


def test_a_restorer_with_an_adversarial_loss_needs_no_other(faults):
    text = GOOD.replace("type='Restorer'", "type='GANRestorer', gan_loss=dict(type='GANLoss')")
    text = text.replace("losses=dict(pixel=dict(type='L1Loss'))", "losses={'': dict(type='L1Loss')}")
    text += "model['discriminator'] = dict(type='PatchDiscriminator')\n"
    found = faults(text + "optim['discriminator'] = dict(optimizer=dict(type='Adam'))\n")
    assert any("5: model: losses.: a loss's name is a string" in fault for fault in found), found


def test_a_fault_is_its_text_and_travels():
    fault = Fault("window", "too long", path="hooks.mine", place="a.py:3")
    assert fault == "a.py:3: hooks.mine: too long"
    again = pickle.loads(pickle.dumps(fault))
    assert (again, again.key, again.message, again.path) == (fault, "window", "too long", "hooks.mine")
    assert fault.of("MyHook").message == "MyHook: too long"
