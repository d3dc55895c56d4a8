"""Networks in ONNX files, run by ONNX Runtime: networks like any other, of any size of image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox import dist
from srtoolbox.devices import tell_once
from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.inference.tiling.planner import Overlap, fixed_overlap
from srtoolbox.inference.tiling.source import Source
from srtoolbox.inference.tiling.stitch import CheckedRun, float_bands
from srtoolbox.interfaces import NetworkFacts, SRNetwork, facts_of
from srtoolbox.logger import LOGGER
from srtoolbox.text import first_line
from srtoolbox.weights.onnx_file import OnnxFile, package
from srtoolbox.weights.trial import fed

if TYPE_CHECKING:  # an extra, which may be missing
    from onnxruntime import InferenceSession

PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
}
"""Of ONNX Runtime, by the device, with the package that has it."""
USUAL = ("cuda", "directml", "cpu")
"""What is taken where no device is named, the first that is there. Core ML may round to float16."""
NUMBERS: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


class Door(NamedTuple):
    """The form of a session's input, and of its output."""

    name: str
    dtype: type[np.generic]
    layout: str
    """'nchw' or 'nhwc'."""
    channels: int
    batch: int | None = None
    """The only number of images that it takes; None: any."""
    size: tuple[int, int] | None = None
    """The only (height, width) that it takes; None: any."""


class Graph(nn.Module):
    """A session as it is: float32 (N, C, H, W) in the file's own numbers, to such of its scale.

    Args:
        path: the file, for messages.
        session: of ONNX Runtime.
        door: the form of its input.
    """

    def __init__(self, path: str, session: InferenceSession, door: Door) -> None:
        super().__init__()
        self.path, self.session, self.door = path, session, door

    def forward(self, lq: Tensor) -> Tensor:
        """Run on images of one of the sizes that the file takes.

        Where it takes and gives uint8, [0, 1] is 0 ... 255.

        Raises:
            SrtoolboxError: ONNX Runtime cannot run it on them.
        """
        batch = self.door.batch or lq.shape[0]
        images = lq.detach().to("cpu", torch.float32).numpy()
        results = [self._run(images[first : first + batch], batch) for first in range(0, len(images), batch)]
        return torch.from_numpy(results[0] if len(results) == 1 else np.concatenate(results)).to(lq.device)

    def _run(self, images: np.ndarray, batch: int) -> np.ndarray:
        """Run a batch, the last image repeated where it is too small a one."""
        count, door = len(images), self.door
        if count < batch:
            images = np.concatenate([images, np.repeat(images[-1:], batch - count, 0)])
        if door.dtype == np.uint8:
            images = (images * 255).round().clip(0, 255)
        images = images.transpose(0, 2, 3, 1) if door.layout == "nhwc" else images
        try:
            result = self.session.run(None, {door.name: np.ascontiguousarray(images, door.dtype)})[0]
        except Exception as error:  # its errors derive from Exception alone
            if "allocat" in str(error).lower():  # 'Failed to allocate memory', 'bad allocation'
                raise MemoryError(first_line(error)) from error
            shape = "x".join(map(str, images.shape))
            raise SrtoolboxError(f"{self.path}: ONNX Runtime cannot run it on {shape} ({first_line(error)})") from error
        result = result.transpose(0, 3, 1, 2) if door.layout == "nhwc" and result.ndim == 4 else result
        is_levels, result = result.dtype == np.uint8, result[:count].astype(np.float32, copy=False)
        return result / np.float32(255) if is_levels else result


class OnnxNetwork(SRNetwork):
    """A network in an ONNX file: (N, C, H, W) float in [0, 1] to (N, C, scale * H, scale * W).

    A file of one size is run in windows of just that: the last one of a row lies further in. They
    are exact where the file tells its receptive field and is large enough, else cross-faded. An
    image that is smaller is mirrored to that size, and the result is cut.

    Args:
        graph: what runs the file.
        facts: of the network.
        parameter_count: numbers in the file.
        hidden_bytes: what it takes for each pixel, see `Opaque`.
    """

    def __init__(self, graph: Graph, facts: NetworkFacts, parameter_count: int, hidden_bytes: float) -> None:
        super().__init__(facts.scale, facts.colour)
        self.size_multiple, self.parameter_count = facts.size_multiple, parameter_count
        self.path, self.graph = graph.path, graph
        self.core: nn.Module = graph
        self.tells = True
        """Whether it says that small images are mirrored, once."""
        self.receptive_field, self.input_size = facts.receptive_field, graph.door.size
        self.hidden_bytes = hidden_bytes
        if self.input_size is not None and any(side % self.size_multiple for side in self.input_size):
            # in every window the file mirrors what is missing
            self.size_multiple, self.receptive_field = 1, None

    def feed(self, way: Mapping[str, Any]) -> None:
        """Let the file have other numbers than RGB or luma in [0, 1]: an `Adapter`'s arguments."""
        for name, value in asdict(facts_of(self)).items():
            setattr(self.graph, name, value)
        self.core = fed(self.graph, way)

    def forward(self, lq: Tensor) -> Tensor:
        """Upscale images of any size, in the file's own precision whatever the caller's is."""
        if torch.is_autocast_enabled(lq.device.type):
            tell_once(f"{self.path}: an ONNX file computes in its own precision, whatever is asked for")
        overlap = fixed_overlap(self)
        if overlap is None or tuple(lq.shape[-2:]) == self.input_size:
            return self._checked(lq)
        return torch.cat([self._in_windows(image, overlap) for image in lq.split(1)])

    def _in_windows(self, lq: Tensor, overlap: Overlap) -> Tensor:
        device, (height, width) = lq.device, lq.shape[-2:]
        assert overlap.window is not None
        size = overlap.window
        missing = [max(0, side - length) for side, length in zip(size, (height, width), strict=True)]
        if any(missing):
            text = f"{self.path} takes {size[1]} x {size[0]} pixels alone: smaller images are mirrored to that, and cut"
            if self.tells:
                tell_once(text)
            around = [(0, 0), (0, 0), (0, missing[0]), (0, missing[1])]
            lq = torch.from_numpy(np.pad(lq.cpu().numpy(), around, "reflect" if min(height, width) > 1 else "edge"))
        grid = overlap.grid((lq.shape[-2], lq.shape[-1]), size)
        run = cast("CheckedRun", self._checked)  # of images on the CPU it is only called
        bands = float_bands(run, _Windows(lq.cpu()), self.scale, grid)
        return torch.cat(list(bands), 2)[..., : height * self.scale, : width * self.scale].to(device)

    def _checked(self, lq: Tensor) -> Tensor:
        result = self.core(lq)
        expected = (*lq.shape[:2], *(side * self.scale for side in lq.shape[-2:]))
        if tuple(result.shape) != expected:
            raise SrtoolboxError(f"{self.path}: gives {tuple(result.shape)} for {tuple(lq.shape)}, not {expected}")
        return result


class _Windows(Source):
    """An image that is a tensor already."""

    def __init__(self, lq: Tensor) -> None:
        self.lq, self.device = lq, lq.device
        self.height, self.width = lq.shape[-2:]

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """Return the pixels first ... end of both axes."""
        return self.lq[..., slice(*rows), slice(*columns)]


def open_session(file: OnnxFile, device: str | None) -> InferenceSession:
    """Return the session of a file on a device, with as many threads as torch has.

    Raises:
        CheckpointError: ONNX Runtime does not take the file.
        SrtoolboxError: onnxruntime is not installed, or has not this device.
    """
    runtime = package("onnxruntime")
    is_chosen = device not in (None, "auto")
    kind, settings = choose_provider(device, runtime.get_available_providers())
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what concerns a user is in the error
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # which never gives back what the largest image took
    if kind == "directml":
        options.enable_mem_pattern = False  # it asks for that
    wanted, cpu = PROVIDERS[kind][0], PROVIDERS["cpu"][0]
    providers: list[Any] = [(wanted, settings)] if kind == "cpu" else [(wanted, settings), cpu]
    try:
        session = runtime.InferenceSession(file.data, options, providers=providers)
    except Exception as error:  # its errors derive from Exception alone
        raise CheckpointError(f"{file.path}: ONNX Runtime does not take it ({first_line(error)})") from error
    if session.get_providers()[0] != wanted:
        text = f"{file.path}: {kind} cannot be used by ONNX Runtime here"
        if is_chosen:
            raise SrtoolboxError(f"{text}: its libraries are missing, or of another version; --device cpu goes")
        LOGGER.warning("%s: going on on the CPU", text)
    return session


def choose_provider(device: str | None, available: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    """Return a device of PROVIDERS and the settings of its provider.

    Args:
        device: 'cpu', 'cuda', 'cuda:1', 'directml', 'coreml'; None or 'auto': a GPU where there is
            one.
        available: the providers of the onnxruntime that is installed.

    Raises:
        SrtoolboxError: another device, or one that is not there.
    """
    if device in (None, "auto"):
        device = next(kind for kind in USUAL if PROVIDERS[kind][0] in available)
    kind, _, number = str(device).partition(":")
    if kind not in PROVIDERS or not (number.isdecimal() or not number):
        raise SrtoolboxError(f"device {str(device)!r}: an ONNX file runs on one of {', '.join(PROVIDERS)}")
    if kind == "cuda" and not number and dist.launched():
        number = str(dist.local_rank())  # each process takes its own
    provider, name = PROVIDERS[kind]
    if provider not in available:
        raise SrtoolboxError(f"device {str(device)!r}: this onnxruntime has no {provider}; install {name}")
    return kind, {"device_id": int(number)} if number and kind in ("cuda", "directml") else {}
