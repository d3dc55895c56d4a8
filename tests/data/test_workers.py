"""Parcels for worker processes: plugins first, then what was pickled; what cannot travel is named."""

import functools
import multiprocessing
import pickle
import runpy
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.loading import workers
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.data.loading.workers import Parcel, cause, refuse_second_import
from srtoolbox.data.transforms import Transform
from srtoolbox.errors import ConfigError, RunError
from srtoolbox.plugins import load_plugins
from srtoolbox.registry import TRANSFORMS

PLUGIN = """from srtoolbox.registry import TRANSFORMS

@TRANSFORMS.register
class {name}:
    def __init__(self, p: float = {p}) -> None:
        self.p = p
"""
OPEN = "import pickle, sys; parcel = pickle.load(sys.stdin.buffer); print([part.p for part in parcel.open()])"


@pytest.fixture
def plugins(tmp_path):
    """Two plugin files of one stem, each with a transform; loaded in an order that their paths do not have."""
    for folder, name, p in (("b", "PartOfB", 0.25), ("a", "PartOfA", 0.75)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "parts.py").write_text(PLUGIN.format(name=name, p=p))
        load_plugins(None, [tmp_path / folder / "parts.py"])
    return [TRANSFORMS.build({"type": "PartOfB"}), TRANSFORMS.build({"type": "PartOfA"})]


def in_new_python(code: str, data: bytes) -> str:
    """Return what a fresh interpreter prints, which is given `data` as its input."""
    return subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True).stdout.decode()


def test_plugins_of_one_stem_are_loaded_before_what_they_define_is_unpickled(plugins) -> None:
    assert [type(part).__module__ for part in plugins] == ["srtoolbox_plugin_parts", "srtoolbox_plugin_parts_"]
    assert in_new_python(OPEN, pickle.dumps(Parcel(plugins, "parts"))) == "[0.25, 0.75]\n"


def test_a_plugin_that_fails_in_the_new_process_is_named_with_its_line(plugins, tmp_path) -> None:
    parcel = pickle.dumps(Parcel(plugins, "parts"))
    file = tmp_path / "a/parts.py"
    file.write_text("x = 1\nraise ValueError('only in workers')\n")
    said = in_new_python(
        "import pickle, sys\nfrom srtoolbox.errors import ConfigError\n"
        "try:\n    pickle.load(sys.stdin.buffer).open()\nexcept ConfigError as error:\n    print(error)",
        parcel,
    )
    assert f"plugin {file}, loaded again in a worker process: {file}:2: ValueError: only in workers" in said


class Change(Transform):
    """A transform that holds any function."""

    def __init__(self, function, **more) -> None:
        self.function = function
        self.__dict__.update(more)

    def __call__(self, sample, rng):
        return sample


class Shared(list):
    """Counts how often it is pickled."""

    pickled = 0

    def __reduce__(self):
        Shared.pickled += 1
        return list, ()


def test_what_cannot_travel_is_named_by_attribute_class_and_line() -> None:
    line = sys._getframe().f_lineno + 1
    wrong = Change(lambda image: ~image)
    dataset = types.SimpleNamespace(scale=3, transforms=[Change(abs), Change(functools.partial(max, 1)), wrong])
    with pytest.raises(RunError) as caught:
        Parcel(dataset, "the training set")
    said = str(caught.value)
    assert said.startswith("the training set.transforms[2].function, an attribute of Change, cannot travel")
    assert f"a lambda of {__file__}:{line}" in said and "workers=0" in said and "\n" not in said


@pytest.mark.parametrize(
    ("part", "path", "what"),
    [
        (lambda file: {"log": file}, r"\['log'\]", "TextIOWrapper"),
        (lambda file: Change(functools.partial(print, file=file)), r"\.function\.keywords\['file'\]", "TextIOWrapper"),
        (lambda file: Change(Change(abs, inner=(1, file)).__call__), r"\.function\.__self__\.inner\[1\]", "TextIOW"),
        (lambda file: [type("Local", (), {})()], r"\[0\]", "Local"),
    ],
)
def test_the_innermost_part_is_found(tmp_path, part, path, what) -> None:
    with open(tmp_path / "log", "w") as file, pytest.raises(RunError, match=rf"data{path}[, ].*{what}"):
        Parcel(part(file), "data")


def test_the_search_pickles_what_parts_share_once_and_follows_no_circle() -> None:
    shared = Shared()
    parts = [types.SimpleNamespace(store=shared) for _ in range(50)]
    parts.append(types.SimpleNamespace(parts=parts, function=lambda: None))
    Shared.pickled = 0
    with pytest.raises(RunError, match=r"data\[50\]\.function"):
        Parcel(parts, "data")
    assert Shared.pickled < 5


CELL = """
from srtoolbox.data.transforms import Transform, map_images

class Negative(Transform):
    def __call__(self, sample, rng):
        return map_images(sample, lambda image: 255 - image)
"""


def test_a_transform_of_a_notebook_trains_without_workers_and_is_one_sentence_with_spawned_ones(
    monkeypatch, photo_folder
) -> None:
    notebook = types.ModuleType("__main__")
    exec(CELL, notebook.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=[notebook.Negative()])
    plain = GTOnlyDataset(str(photo_folder), 3, gt_size=24)
    batch, other = (next(build_train_loader(each, batch_size=2)) for each in (dataset, plain))
    assert torch.equal(batch["gt"], 255 - other["gt"])
    monkeypatch.setattr("srtoolbox.data.loading.loader.start_anew", lambda: True)
    with pytest.raises(RunError) as error:
        build_train_loader(dataset, batch_size=2, workers=1)
    assert "\n" not in str(error.value) and "Put it in a file of its own, or set workers=0" in str(error.value)
    assert "Negative is defined in __main__" in str(error.value)


def test_a_component_of_a_notebook_is_refused_with_what_to_do(monkeypatch, tmp_path) -> None:
    notebook = types.ModuleType("__main__")
    exec("class Mine:\n    pass\n", notebook.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    with pytest.raises(RunError, match=r"data\[0\]: Mine is defined in __main__.*[Pp]ut it in a file.*workers=0"):
        Parcel([notebook.Mine()], "data")
    notebook.__file__ = str(tmp_path / "script.py")  # a script's classes do travel: a new process imports it again
    with pytest.raises(RunError, match=r"script\.py: worker processes import the main program again.*no such file"):
        Parcel([], "data")
    (tmp_path / "script.py").touch()
    assert Parcel([notebook.Mine()], "data").open()


def test_what_a_script_defines_below_its_guard_is_told_by_the_worker(monkeypatch) -> None:
    script = types.ModuleType("__main__")
    script.__file__ = __file__
    exec("class Mine:\n    pass\n", script.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", script)
    parcel = Parcel([script.Mine()], "data")
    del script.Mine
    with pytest.raises(RunError, match=r"cannot be opened in a worker process: .*Mine.*a file of its own.*workers=0"):
        parcel.open()


class Broken:
    """Cannot be made from its pickle."""

    def __setstate__(self, state):
        raise ValueError("no such camera")

    def __getstate__(self):
        return {"camera": 1}


def test_an_error_in_unpickling_is_told_with_its_line() -> None:
    line = Broken.__setstate__.__code__.co_firstlineno + 1
    with pytest.raises(RunError, match=rf"{__file__}:{line}: ValueError: no such camera$"):
        Parcel(Broken(), "data").open()


def test_the_place_of_an_error_is_the_users_line_not_the_librarys() -> None:
    line = sys._getframe().f_lineno + 2
    try:
        np.linalg.inv(np.zeros((2, 3)))
    except ValueError as error:
        assert cause(error).startswith(f"{__file__}:{line}: LinAlgError: ")
    assert cause(ConfigError("a sentence")) == "a sentence"


def test_a_script_without_guard_is_told_what_to_write(monkeypatch, capsys) -> None:
    refuse_second_import()
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(RunError, match="if __name__ == '__main__'"):
        refuse_second_import()
    assert main(["train", "any.py"]) == 2
    assert "below `if __name__ == '__main__':`" in capsys.readouterr().err


def test_the_commands_files_are_safe_to_import_again(pytestconfig) -> None:
    """As a worker process does that is not forked: under the name `__mp_main__`."""
    tools = sorted(pytestconfig.rootpath.glob("tools/*.py"))
    assert len(tools) > 10
    for file in [*tools, pytestconfig.rootpath / "srtoolbox/__main__.py"]:
        runpy.run_path(str(file), run_name="__mp_main__")  # would end with SystemExit


def test_a_forkserver_imports_the_loader_once_for_all_workers(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(multiprocessing, "set_forkserver_preload", asked.append)
    for method in ("fork", "spawn", "forkserver"):
        monkeypatch.setattr(multiprocessing, "get_start_method", lambda method=method: method)
        workers.prepare_server()
    assert asked == [["__main__", "srtoolbox.data.loading.loader"]]
