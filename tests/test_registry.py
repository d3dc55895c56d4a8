"""Registries: registration, look-up, building, and what holds for every registered component."""

import functools
import inspect
import sys
import types

import pytest
import torch

from srtoolbox import registry
from srtoolbox.check.schema import hints_of
from srtoolbox.errors import RegistryError
from srtoolbox.registry import OPTIMIZERS, Registry, argument_faults, parameters_of, registries
from srtoolbox.text import did_you_mean


@pytest.fixture
def kinds(monkeypatch):
    """Two empty registries that know of each other and of no others."""
    monkeypatch.setattr(registry, "_ALL", {})
    return Registry("loss"), Registry("metric")


def test_register_get_build(kinds):
    losses, _ = kinds

    @losses.register
    class L1Loss:
        def __init__(self, weight: float = 1.0) -> None:
            self.weight = weight

    @losses.register(name="Other")
    class Two:
        pass

    assert losses.names() == ["L1Loss", "Other"] and "L1Loss" in losses and "Two" not in losses
    assert losses.get("L1Loss") is L1Loss and list(losses) == losses.names()
    assert losses.build({"type": "L1Loss", "weight": 2}).weight == 2
    cfg = {"type": "L1Loss"}
    losses.build(cfg)
    assert cfg == {"type": "L1Loss"}, "the config is read, never popped from"


def test_unknown_names_and_wrong_kinds(kinds):
    losses, metrics = kinds
    losses.register(type("L1Loss", (), {}))
    metrics.register(type("PSNR", (), {}))
    with pytest.raises(RegistryError, match=r"no loss named 'L1Los'\. Did you mean 'L1Loss'\?"):
        losses.get("L1Los")
    with pytest.raises(RegistryError, match="'PSNR' is a metric, a loss is expected here"):
        losses.get("PSNR")
    with pytest.raises(RegistryError, match=r"no loss named 'qqq'\. Known: L1Loss"):
        losses.get("qqq")
    for wrong in ({}, "L1Loss", {"weight": 1}):
        with pytest.raises(RegistryError, match=r"a loss is written as dict\(type='\.\.\.'"):
            losses.build(wrong)


def test_wrong_arguments(kinds):
    losses, _ = kinds

    @losses.register
    class Loss:
        def __init__(self, target: str, weight: float = 1.0) -> None: ...

    with pytest.raises(RegistryError, match=r"Loss takes no 'wieght'\. Did you mean 'weight'\?; Loss needs 'target'"):
        losses.build({"type": "Loss", "wieght": 1})


def test_injected_arguments():
    class Adam:
        def __init__(self, params: list, lr: float = 1e-3) -> None: ...

    assert argument_faults(Adam, "Adam", ["lr"], injected=["params"]) == []
    [fault] = argument_faults(Adam, "Adam", ["params"], injected=["params"])
    assert fault.key == "params" and "given 'params' by the toolbox" in fault.message


def test_two_owners_of_a_name(kinds):
    losses, metrics = kinds
    losses.register(type("Same", (), {"__module__": "one"}))
    with pytest.raises(RegistryError, match="two registers metric 'Same', but one has registered a loss of that name"):
        metrics.register(type("Same", (), {"__module__": "two"}))
    with pytest.raises(RegistryError, match="two registers loss 'Same', but one has registered"):
        losses.register(type("Same", (), {"__module__": "two"}))


def test_an_owner_without_a_qualified_name(kinds):
    losses, metrics = kinds
    losses.register(type("Same", (), {"__module__": "one"}))
    for registry_of_two in (metrics, losses):
        with pytest.raises(RegistryError, match=r"registers (metric|loss) 'Same', but one has registered a loss"):
            registry_of_two.register(functools.partial(dict), name="Same")


def test_a_reloaded_module_may_register_again(kinds):
    losses, _ = kinds
    losses.register(type("Same", (), {"__module__": "one"}))
    again = losses.register(type("Same", (), {"__module__": "one"}))
    assert losses.get("Same") is again


def test_free_keywords_are_refused(kinds):
    class Loose:
        def __init__(self, **kwargs: float) -> None: ...

    with pytest.raises(RegistryError, match=r"Loose takes \*\*kwargs"):
        kinds[0].register(Loose)


def test_a_module_without_a_constructor_is_told_to_have_one(kinds):
    class Plain(torch.nn.Module):
        pass

    with pytest.raises(RegistryError, match=r"Plain has no __init__ of its own.*add one.*super\(\)\.__init__\(\)"):
        kinds[0].register(Plain)


def test_package_is_imported_at_first_look_up(tmp_path, monkeypatch):
    package = tmp_path / "lazy_losses_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "deep").mkdir()
    (package / "deep/__init__.py").write_text("")
    (package / "deep/mine.py").write_text("import lazy_registry_of_a_test as r\n\n@r.R.register\nclass Mine: ...\n")
    (tmp_path / "lazy_registry_of_a_test.py").write_text(
        "from srtoolbox.registry import Registry\nR = Registry('lazy', 'lazy_losses_of_a_test')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_ALL", {})
    import lazy_registry_of_a_test

    assert not lazy_registry_of_a_test.R._entries
    assert lazy_registry_of_a_test.R.names() == ["Mine"]


def test_did_you_mean():
    assert did_you_mean("modle", ["model", "data"]) == " Did you mean 'model'?"
    assert did_you_mean("PSRN", ["psnr"]) == " Did you mean 'psnr'?"
    assert did_you_mean("xyz", ["model"]) == ""
    assert did_you_mean("xyz", ["model"], else_list=True) == " Known: model."


KINDS = {"model", "network", "loss", "dataset", "transform", "metric", "hook", "optimizer", "scheduler"}
ALL = [(kind, name) for kind, reg in registries().items() if kind in KINDS for name in reg]


def test_every_registry_has_entries():
    assert {kind for kind, _ in ALL} == KINDS


@pytest.mark.parametrize(("kind", "name"), ALL, ids=lambda value: value)
def test_every_component_can_be_checked(kind, name):
    entry = registries()[kind].get(name)
    parameters = inspect.signature(entry).parameters.values()
    assert not any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters), "the signature is the schema"
    assert "type" not in inspect.signature(entry).parameters
    if entry.__module__.startswith("srtoolbox."):
        assert inspect.getdoc(entry), "a public component says what it is"
        mutable = [p.name for p in parameters if isinstance(p.default, list | dict | set)]
        assert not mutable, f"mutable defaults: {mutable}"


def test_names_are_unique_over_all_registries():
    names = [name for _, name in ALL]
    assert len(names) == len(set(names))


def test_a_constructor_of_the_users_that_fails_is_told_with_its_line(kinds):
    losses, _ = kinds

    @losses.register
    class Failing:
        def __init__(self, name: str) -> None:
            {}[name]

    line = Failing.__init__.__code__.co_firstlineno + 1
    with pytest.raises(RegistryError, match=rf"^loss Failing cannot be built: {__file__}:{line}: KeyError: 'camera'$"):
        losses.build({"type": "Failing", "name": "camera"})


def test_what_fails_in_our_own_constructors_stays_as_it_is():
    with pytest.raises(ValueError, match="Invalid learning rate"):
        OPTIMIZERS.build({"type": "Adam", "lr": -1}, params=[torch.zeros(1)])


def test_annotations_that_cannot_be_evaluated_are_left_alone():
    """From Python 3.14 on a plugin may name, without quotes, what it imports for type checkers only."""

    class Lazy:
        def __init__(self, frames, count: int = 3) -> None:
            self.count = count

    if sys.version_info >= (3, 14):
        exec(
            "class Lazy:\n    def __init__(self, frames: Surely[not_there], count: int = 3): self.count = count",
            scope := {},
        )
        Lazy = scope["Lazy"]
    else:
        Lazy.__init__.__annotations__["frames"] = "Surely[not_there]"
    assert [*parameters_of(Lazy)] == ["frames", "count"] and hints_of(Lazy) == {"count": int}
    assert [fault.key for fault in argument_faults(Lazy, "Lazy", ["frame"])] == ["frame", None]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python has it")
def test_deferred_annotations_are_asked_for_as_forward_references(monkeypatch):
    asked = []
    formats = types.SimpleNamespace(Format=types.SimpleNamespace(FORWARDREF="forward references"))
    monkeypatch.setattr(registry, "annotationlib", formats)
    monkeypatch.setattr(registry.inspect, "signature", lambda entry, **more: asked.append(more) or inspect.Signature())
    assert parameters_of(print) == {} and asked == [{"annotation_format": "forward references"}]


@pytest.mark.parametrize("kind", sorted(registries()))
def test_a_file_in_the_folder_of_a_kind_is_found(kind, tmp_path, monkeypatch):
    table = registries()[kind]
    table.names()
    source = f"from srtoolbox.registry import registries\nclass New: pass\nregistries()[{kind!r}].register(New)\n"
    (tmp_path / "new_component.py").write_text(source)
    package = sys.modules[table.package]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(table, "_entries", dict(table._entries))
    monkeypatch.setattr(table, "_is_imported", False)
    try:
        assert table.get("New").__module__ == f"{table.package}.new_component"
    finally:
        sys.modules.pop(f"{table.package}.new_component", None)
