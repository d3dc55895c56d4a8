"""The private names of other libraries that srtoolbox uses: each test fails when a release has dropped its name."""

import argparse
import importlib
import inspect
import multiprocessing
import multiprocessing.spawn
import subprocess
import sys

import pytest

from srtoolbox import compat

GONE = "this release of {} has no {}; srtoolbox.{} needs another way"


def require(owner: object, name: str, library: str, ours: str) -> None:
    """Fail with a clear sentence where a private name is gone."""
    if not hasattr(owner, name):
        pytest.fail(GONE.format(library, name, ours))


PYTORCH = [
    ("torch._ops", "OpOverload", "OpOverload"),
    ("torch.fx.experimental._config", "backed_size_oblivious", "no_special_sizes"),
    ("torch.nn.modules.batchnorm", "_NormBase", "NormBase"),
    ("torch.utils._python_dispatch", "TorchDispatchMode", "DispatchMode"),
    ("torch.utils._python_dispatch:TorchDispatchMode", "_should_skip_dynamo", "DispatchMode"),
    ("torch.utils._python_dispatch", "_disable_current_modes", "disable_current_modes"),
    ("torch.utils._pytree", "tree_leaves", "tree_leaves"),
    ("torch.utils._pytree", "tree_map", "tree_map"),
    ("torch", "_foreach_add_", "foreach_add_"),
    ("torch", "_foreach_copy_", "foreach_copy_"),
    ("torch", "_foreach_lerp_", "foreach_lerp_"),
    ("torch", "_amp_foreach_non_finite_check_and_unscale_", "find_non_finite_"),
    ("torch:Tensor", "_is_view", "is_view"),
    ("torch:Tensor", "_backward_hooks", "has_gradient_hooks"),
    ("torch:Tensor", "_post_accumulate_grad_hooks", "has_gradient_hooks"),
    ("torch.utils.data._utils.signal_handling", "_remove_worker_pids", "WorkerBatches"),
    ("torch.utils.data.dataloader", "_MultiProcessingDataLoaderIter", "WorkerBatches"),
    ("torch.utils.data.dataloader:_MultiProcessingDataLoaderIter", "_try_get_data", "WorkerBatches"),
    ("torch.utils.data.dataloader:_MultiProcessingDataLoaderIter", "_shutdown_workers", "WorkerBatches"),
]
"""Where it is, the name, and what of ours is made of it."""
MODULE = [
    ("_parameters", "own_parameters"),
    ("_parameters", "tables"),
    ("_buffers", "own_buffers"),
    ("_buffers", "tables"),
    ("_modules", "tables"),
    ("_non_persistent_buffers_set", "is_persistent"),
]
"""The attribute of a module, and what of ours reads it."""


@pytest.mark.parametrize(("place", "name", "ours"), PYTORCH, ids=[row[1] for row in PYTORCH])
def test_pytorch_has_the_name(place, name, ours):
    module, _, owner = place.partition(":")
    try:
        found = importlib.import_module(module)
    except ImportError:
        pytest.fail(GONE.format("torch", module, f"compat.pytorch.{ours}"))
    require(getattr(found, owner) if owner else found, name, "torch", f"compat.pytorch.{ours}")
    assert ours in importlib.import_module("srtoolbox.compat.pytorch").__dict__


def test_pytorch_has_the_attributes_of_modules_operators_and_workers():
    import torch
    from torch import nn, ops
    from torch.utils.data import DataLoader

    for name, ours in MODULE:
        require(nn.Module(), name, "torch", f"compat.pytorch.{ours}")
    for name in ("_scale", "_growth_tracker"):
        require(torch.amp.GradScaler("cpu"), name, "torch", "compat.pytorch.scaler_tensors")
    require(ops.aten, "_scaled_dot_product_flash_attention_for_cpu", "torch", "compat.pytorch.attention_on_cpu")
    require(ops.aten.relu_.default, "_schema", "torch", "compat.pytorch.is_mutable")
    from srtoolbox.compat import pytorch

    assert pytorch.is_mutable(ops.aten.relu_.default) and not pytorch.is_mutable(ops.aten.relu.default)
    given = pytorch.named_arguments(ops.aten.group_norm.default, ("image", 2), {"eps": 0.5})
    assert given == {"input": "image", "num_groups": 2, "weight": None, "bias": None, "eps": 0.5, "cudnn_enabled": True}
    batches = pytorch.WorkerBatches(DataLoader([1, 2], num_workers=1), lambda: None, patience=1.0)
    try:
        for name in ("_workers", "_worker_pids_set"):
            require(batches, name, "torch", "compat.pytorch.WorkerBatches")
        assert [int(batch) for batch in batches] == [1, 2] and len(batches.processes) == 1
    finally:
        batches.shut_down()


def test_the_tensors_of_a_gradient_scaler_and_a_module_are_its_own():
    import torch

    from srtoolbox.compat import pytorch

    scaler, loss = torch.amp.GradScaler("cpu", init_scale=8.0), torch.ones(1)
    assert pytorch.scaler_tensors(scaler) == []  # made by the first loss
    scaler.scale(loss)
    assert [tensor.item() for tensor in pytorch.scaler_tensors(scaler)] == [8, 0]
    assert pytorch.scaler_tensors(torch.amp.GradScaler("cpu", enabled=False)) == []
    module = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    assert not pytorch.own_parameters(module) and not pytorch.own_buffers(module)
    parameters, buffers, children = pytorch.tables(module[0])
    assert parameters["weight"] is pytorch.own_parameters(module[0])["weight"] is module[0].weight
    assert buffers["running_mean"] is pytorch.own_buffers(module[0])["running_mean"] is module[0].running_mean
    assert not children and pytorch.tables(module)[2]["0"] is module[0]
    assert pytorch.is_persistent(module[0], "running_mean")
    module[0].register_buffer("other", None, persistent=False)
    assert not pytorch.is_persistent(module[0], "other")


def test_spandrel_has_what_runs_a_module():
    from srtoolbox.compat.spandrel import call_of
    from srtoolbox.features.torchvision import torchvision_models
    from srtoolbox.models.networks.spandrel import is_installed

    if not is_installed():
        pytest.skip("needs the extra 'spandrel'")
    torchvision_models()
    import spandrel
    import torch

    if "_call_fn" not in inspect.getsource(spandrel.ImageModelDescriptor.__init__):
        pytest.fail(GONE.format("spandrel", "_call_fn", "compat.spandrel.call_of"))
    size = spandrel.SizeRequirements()
    module, image = torch.nn.Conv2d(3, 3, 1), torch.rand(1, 3, 4, 4)
    kinds = dict(purpose="SR", tags=[], supports_half=True, supports_bfloat16=True, scale=1, input_channels=3)
    descriptor = spandrel.ImageModelDescriptor(
        module, module.state_dict(), None, output_channels=3, size_requirements=size, **kinds
    )
    assert torch.equal(call_of(descriptor)(module, image), module(image))


def test_a_capture_that_broke_off_is_ended_in_the_allocator(monkeypatch):
    import torch

    from srtoolbox.compat import pytorch

    calls = []
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        require(torch._C, name, "torch", "compat.pytorch.end_captures_in")
        monkeypatch.setattr(torch._C, name, lambda *arguments, name=name: calls.append((name, *arguments)))
    pytorch.end_captures_in((0, 3), torch.device("cuda", 1))
    assert calls == [("_cuda_endAllocateToPool", 1, (0, 3)), ("_cuda_releasePool", 1, (0, 3))]


def test_a_dispatch_mode_imports_no_compiler():
    code = """
import sys, torch
from srtoolbox.compat.pytorch import DispatchMode, is_compiler_imported
class Mode(DispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))
with Mode():
    torch.ones(2) + 1
assert not is_compiler_imported()
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_it_imports_no_torch():
    code = "import sys, srtoolbox.compat\nassert not {'torch', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_argparse_has_the_class_of_parsers_and_groups():
    require(argparse, "_ActionsContainer", "argparse", "compat.OptionContainer")
    parser = argparse.ArgumentParser()
    assert isinstance(parser, compat.OptionContainer)
    assert isinstance(parser.add_argument_group("results"), compat.OptionContainer)


def test_argparse_lists_the_options_of_a_parser_and_its_groups():
    parser = argparse.ArgumentParser()
    require(parser, "_option_string_actions", "argparse", "compat.options_of")
    parser.add_argument("-o", "--out")
    parser.add_argument_group("results").add_argument("--force", action="store_true")
    options = compat.options_of(parser)
    assert options["-o"] is options["--out"] and options["--force"].nargs == 0


def test_a_process_that_starts_is_known_by_its_attribute(monkeypatch):
    """multiprocessing sets it while it imports the main module: `spawn._main` and `popen_spawn` do so by this name."""
    assert "_inheriting" in inspect.getsource(multiprocessing.spawn), GONE.format(
        "Python", "_inheriting", "compat.is_starting_process"
    )
    assert not compat.is_starting_process()
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    assert compat.is_starting_process()


def test_optuna_has_the_names():
    optuna = pytest.importorskip("optuna")
    require(optuna.trial.create_trial(value=1.0), "_trial_id", "Optuna", "compat.optuna.live_trial")
    assert [*inspect.signature(optuna.Trial).parameters][:2] == ["study", "trial_id"]
