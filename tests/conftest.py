"""Shared by all tests: where real data is, small images from real photographs, a tiny run that trains in a second."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from srtoolbox import logger, plugins
from srtoolbox.image import write_image
from srtoolbox.logger import LOGGER
from srtoolbox.registry import Registry, registries
from srtoolbox.system import garbage_left_alone

torch.set_num_threads(1)
if not torch.accelerator.is_available():
    # A process's first backward() decides on autograd's device threads, after which no child of it can go backward.
    # A CUDA build that finds no GPU counts one as soon as any test has used fake tensors (torch.export), not before.
    torch.ones((), requires_grad=True).backward()
# tests fork, too, by other ways than the toolbox's, beside what earlier ones have left to the garbage collector
FORKS = garbage_left_alone()
FORKS.__enter__()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as after `pytest &` in a script: processes would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
START_METHOD = os.environ.get("SRTOOLBOX_TEST_START_METHOD")
"""How tests start worker processes: fork, forkserver (the default from Python 3.14 on) or spawn; unset: as Python does.
"""
if START_METHOD:
    multiprocessing.set_start_method(START_METHOD, force=True)
if START_METHOD == "forkserver":  # tests fork, too: the parent's server is not a child's, who starts its own
    from multiprocessing import forkserver  # not on Windows

    def forget_server() -> None:
        server = forkserver._forkserver
        server._forkserver_pid = server._forkserver_address = server._forkserver_alive_fd = None

    os.register_at_fork(after_in_child=forget_server)


@pytest.fixture(autouse=True)
def _log_set_up() -> Iterator[None]:
    """The toolbox's log set-up is one for the process, and commands change it: each test begins and ends with none."""
    _forget_log_set_up()
    yield
    _forget_log_set_up()


def _forget_log_set_up() -> None:
    for handler in list(LOGGER.handlers):
        LOGGER.removeHandler(handler)
        handler.close()
    logger._handlers.clear()
    LOGGER.propagate = True
    LOGGER.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with Set5, Set14, T91, ...; skips where SRTOOLBOX_DATA is not set."""
    root = os.environ.get("SRTOOLBOX_DATA")
    if not root or not Path(root, "Set5").is_dir():
        pytest.skip("needs SRTOOLBOX_DATA, a folder with Set5, Set14, ...")
    return Path(root)


@pytest.fixture(scope="session")
def weights_root() -> Path:
    """The folder with other projects' small weights; skips where SRTOOLBOX_WEIGHTS is not set."""
    root = os.environ.get("SRTOOLBOX_WEIGHTS")
    if not root or not Path(root).is_dir():
        pytest.skip("needs SRTOOLBOX_WEIGHTS, a folder of public weights")
    return Path(root)


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A real photograph, HWC uint8 RGB, 300 x 451."""
    return np.ascontiguousarray(skimage.data.chelsea())


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """Six 60 x 72 pieces of real photographs as PNG."""
    folder = tmp_path_factory.mktemp("photos")
    for source, image in (("cat", photo), ("woman", skimage.data.astronaut())):
        for number, (top, left) in enumerate([(0, 0), (90, 120), (180, 240)]):
            write_image(folder / f"{source}{number}.png", image[top : top + 60, left : left + 72])
    return folder


TINY = """
scale = 3
seed = 0
max_iters = 20
model = dict(type='Restorer', generator=dict(type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4]),
             losses=dict(pixel=dict(type='MSELoss')))
optim = dict(generator=dict(optimizer=dict(type='Adam', lr=1e-2),
                            scheduler=[dict(type='LinearLR', start_factor=0.1, total_iters=4),
                                       dict(type='CosineAnnealingLR', T_max=16)], milestones=[4]))
data = dict(
    train=dict(
        dataset=dict(type='GTOnlyDataset', gt={folder!r}, scale=scale, gt_size=24,
                     transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')]),
        batch_size=4),
    val=dict(
        datasets=dict(photos=dict(type='GTOnlyDataset', gt={folder!r}, scale=scale)),
        metrics=dict(psnr=dict(type='PSNR', crop_border=scale), mae=dict(type='MAE', crop_border=scale)),
        interval=5))
runtime = dict(device='cpu', threads=1)
hooks = dict(
    scheduler=dict(type='SchedulerHook'),
    ema=dict(type='EMAHook', decay=0.9),
    checkpoint=dict(type='CheckpointHook', interval=5, keep_last=None, best=['photos/psnr', 'photos/mae']),
    evaluate=dict(type='EvaluateHook'),
    logger=dict(type='LoggerHook', interval=3, tensorboard=False))
"""


@pytest.fixture
def tiny_config(tmp_path: Path, photo_folder: Path) -> Path:
    """A config file of a 20-iteration ESPCN run on `photo_folder`, with EMA, schedules, evaluation and best scores."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY.format(folder=str(photo_folder)))
    return path


@pytest.fixture
def register() -> Iterator[Callable[[Registry, Any], Any]]:
    """Registers small classes for one test: `register(NETWORKS, MyNetwork)`."""
    added = []

    def add(where: Registry, entry: Any) -> Any:
        where.names()
        where.register(entry)
        added.append((where, entry.__name__))
        return entry

    yield add
    for where, name in added:
        del where._entries[name]


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Verdicts of trials go to a folder of the tests, in processes that they start, too, never to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRTOOLBOX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def forking() -> Iterator[None]:
    """Worker processes of this test are forked: they inherit what it has patched."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system forks no processes")
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("fork", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.fixture(autouse=True)
def forget_plugins() -> Iterator[None]:
    """Leave no plugin of a test behind, in the registries nor among the modules."""
    for registry in registries().values():
        registry.names()  # imports what the package has: only what is registered after that is a plugin's
    loaded, modules = dict(plugins._loaded), set(sys.modules)
    entries = {kind: dict(registry._entries) for kind, registry in registries().items()}
    yield
    plugins._loaded.clear()
    plugins._loaded.update(loaded)
    for kind, registry in registries().items():
        registry._entries.clear()
        registry._entries.update(entries[kind])
    for name in sys.modules.keys() - modules:
        if name.startswith("srtoolbox_plugin_"):
            del sys.modules[name]
