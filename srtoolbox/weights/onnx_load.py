"""The facts of ONNX files: those of ours say them, those of others are found out by runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.interfaces import CHANNELS, NetworkFacts
from srtoolbox.logger import LOGGER
from srtoolbox.weights.onnx_file import OnnxFile, bytes_per_pixel, read_onnx
from srtoolbox.weights.onnx_network import NUMBERS, Door, Graph, OnnxNetwork, open_session
from srtoolbox.weights.plausibility import examine_ways

if TYPE_CHECKING:  # an extra, which may be missing
    from onnxruntime import InferenceSession, NodeArg

MULTIPLES = (
    *(1, 2, 4, 8, 16, 32, 64),
    *(3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 18, 20, 22, 24, 28, 30, 36, 40, 44, 48, 56, 60),
)
"""The numbers whose multiples the sides of images may have to be, in the order of the runs.

The first that fits is the least that does: no power of two is a multiple of one of the others.
"""
_SIDE = 33  # pixels of images to try, at least
# the most that ONNX Runtime takes to what can be counted, KERNEL_FACTOR apart, of three networks
_RUNTIME = 1.6
_UNCOUNTED = 4096.0  # bytes for a pixel of a graph whose shapes onnx cannot infer


def load_onnx(
    path: str | Path, *, scale: int | None = None, trial: bool = True, device: str | None = None
) -> OnnxNetwork:
    """Return the network in an ONNX file.

    Args:
        path: the file. Of ours, its metadata tell scale, colour, multiple and receptive field.
            Others are run to find out scale, layout and multiple, and the field is unknown.
        scale: what it must be, where it is given.
        trial: find out by a photograph how a file of others is fed (0 ... 1, 0 ... 255, RGB, BGR).
        device: 'cpu', 'cuda', 'cuda:1', 'directml' or 'coreml'; None or 'auto': a GPU where there
            is one that this onnxruntime runs on.

    Raises:
        CheckpointError: no such file, a damaged one, or none of a network that upscales.
        SrtoolboxError: onnx or onnxruntime is not installed, or it has not this device.
    """
    file = read_onnx(path)
    session = open_session(file, device)
    is_ours = file.metadata.get("producer", "").startswith("srtoolbox ")
    graph, facts = _own(file, session) if is_ours else _probed(file, session)
    if scale not in (None, facts.scale):
        raise CheckpointError(f"{path}: upscales x{facts.scale}, as a run shows, not x{scale}")
    network = OnnxNetwork(graph, facts, file.parameter_count, _hidden_bytes(file, graph.door))
    network.requires_grad_(False).eval()
    if trial and not is_ours:
        network.tells = False
        way = examine_ways(file.path, f"an ONNX file that upscales x{facts.scale}", network)
        network.tells = True
        if way:
            network.feed(way)
    return network


def _own(file: OnnxFile, session: InferenceSession) -> tuple[Graph, NetworkFacts]:
    """Return what a file of ours says; one of an earlier release does not say all."""
    notes = file.metadata
    try:
        colour, field = notes["colour"], notes.get("receptive_field", "unknown")
        multiple = int(notes.get("size_multiple") or max(1, int(notes["smallest_side"]) - 1))
        radius = None if field == "unknown" else int(field)
        facts = NetworkFacts(int(notes["scale"]), CHANNELS[colour], colour, multiple, radius)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{file.path}: what it says about itself is damaged ({error!r}); export it again"
        ) from error
    layout = notes.get("layout", "nchw")
    doors = [door for door in _doors(file, session) if (door.layout, door.channels) == (layout, facts.in_channels)]
    if not doors or multiple < 1 or facts.scale < 1 or (radius or 0) < 0:
        raise CheckpointError(f"{file.path}: is not what it says about itself; export it again")
    return Graph(file.path, session, doors[0]), facts


def _probed(file: OnnxFile, session: InferenceSession) -> tuple[Graph, NetworkFacts]:
    """Return a file of others with the facts that a run shows."""
    faults = []
    for door in _doors(file, session):
        graph = Graph(file.path, session, door)
        for multiple in MULTIPLES if door.size is None else (1,):
            try:
                scale = _scale_of(graph, multiple)
            except SrtoolboxError as error:
                faults.append(str(error))
                continue
            colour = next(name for name, count in CHANNELS.items() if count == door.channels)
            return graph, NetworkFacts(scale, door.channels, colour, multiple)
    raise CheckpointError(f"{file.path}: no run of it shows a network that upscales: {faults[0]}")


def _doors(file: OnnxFile, session: InferenceSession) -> Iterator[Door]:
    """Yield the forms that the input may have, of which a run has to show the right one."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise CheckpointError(
            f"{file.path}: takes {len(inputs)} and gives {len(outputs)} tensors; one of each is wanted"
        )
    (given,) = inputs
    if given.type not in NUMBERS or outputs[0].type not in NUMBERS or len(given.shape) != 4:
        form = f"{given.type} {given.shape} to {outputs[0].type}"
        raise CheckpointError(
            f"{file.path}: takes {form}; batches of images are wanted: {', '.join(NUMBERS)} of 4 axes"
        )
    places = (("nchw", 1, (2, 3)), ("nhwc", 3, (1, 2)))  # channels; height and width
    forms = [(channels, *place) for channels in (3, 1) for place in places]
    fitting = [form for form in forms if given.shape[form[2]] == form[0]]
    if not fitting:  # the channels may be free, beside sides that are both free or both fixed
        is_free = [not isinstance(length, int) for length in given.shape]
        fitting = [form for form in forms if is_free[form[2]] and len({is_free[side] for side in form[3]}) == 1]
    if not fitting:
        raise CheckpointError(f"{file.path}: takes {given.shape}; images of 3 channels, or 1, are wanted")
    for channels, layout, _, sides in fitting:
        yield _door(file, given, layout, channels, sides)


def _door(file: OnnxFile, given: NodeArg, layout: str, channels: int, sides: tuple[int, int]) -> Door:
    height, width = (given.shape[axis] for axis in sides)
    batch = given.shape[0] if isinstance(given.shape[0], int) else None
    fixed = [side for side in (height, width) if isinstance(side, int)]
    if len(fixed) == 1:
        raise CheckpointError(f"{file.path}: takes images of {width} x {height}; both sides fixed or none are wanted")
    return Door(given.name, NUMBERS[given.type], layout, channels, batch, (height, width) if fixed else None)


def _scale_of(graph: Graph, multiple: int) -> int:
    """Return the scale of what a run gives for sides that are no multiples of more than that.

    Raises:
        SrtoolboxError: it cannot be run, or gives no image of a whole number of times the size.
    """
    odd = -(-_SIDE // multiple) // 2 * 2 + 1
    height, width = graph.door.size or (multiple * odd, multiple * (odd + 2))
    noise = torch.rand(1, graph.door.channels, height, width, generator=torch.Generator().manual_seed(0))
    result = graph(noise)
    scale = result.shape[-1] // width
    if scale < 1 or tuple(result.shape) != (1, graph.door.channels, scale * height, scale * width):
        raise SrtoolboxError(f"it gives {_product(result.shape)} for {_product(noise.shape)}")
    return scale


def _product(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _hidden_bytes(file: OnnxFile, door: Door) -> float:
    """Return the memory for a pixel; a guess where onnx does not infer the shapes."""
    if door.size is not None:
        return 0.0
    batch = door.batch or 1
    shape = [batch, None, None, door.channels] if door.layout == "nhwc" else [batch, door.channels, None, None]
    try:
        return _RUNTIME * bytes_per_pixel(file, shape)
    except Exception as error:  # of onnx, for operators that it does not know
        LOGGER.debug("%s: its memory cannot be counted: %r", file.path, error)
        return _UNCOUNTED
