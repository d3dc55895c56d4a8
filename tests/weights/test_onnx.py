"""ONNX files as networks: what is read of them, found out by runs, refused, and that windows cannot be seen."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.image import to_tensor
from srtoolbox.inference.restore import restore
from srtoolbox.inference.tiling import receptive_field
from srtoolbox.inference.tiling.memory import memory_model_of
from srtoolbox.inference.tiling.receptive_field import receptive_field_of
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import facts_of
from srtoolbox.resize import imresize
from srtoolbox.weights import onnx_network
from srtoolbox.weights.load import load_network, read_network
from srtoolbox.weights.onnx_file import bytes_per_pixel, read_onnx
from srtoolbox.weights.onnx_network import choose_provider, open_session

onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
from onnx import helper  # noqa: E402

from tests.weights.onnx_maker import enlarge, external, write  # noqa: E402

FLOAT_TO_UINT8 = [
    helper.make_node("Cast", ["input"], ["a"], to=1),
    helper.make_node("Transpose", ["a"], ["b"], perm=[0, 3, 1, 2]),
    *enlarge("b", "c", 2),
    helper.make_node("Transpose", ["c"], ["d"], perm=[0, 2, 3, 1]),
    helper.make_node("Round", ["d"], ["e"]),
    helper.make_node("Cast", ["e"], ["output"], to=2),
]
BY_PAIRS = [  # pixel pairs become channels, and back: an odd side is impossible
    helper.make_node("SpaceToDepth", ["input"], ["a"], blocksize=2),
    helper.make_node("DepthToSpace", ["a"], ["b"], blocksize=2),
    *enlarge("b", "output", 2),
]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "srtoolbox")
    return caplog


def bilinear(image: np.ndarray, scale: int = 2) -> np.ndarray:
    lq = to_tensor(image)
    return torch.nn.functional.interpolate(lq, scale_factor=scale, mode="bilinear")[0].permute(1, 2, 0).numpy() * 255


@pytest.mark.parametrize(
    ("nodes", "options", "facts"),
    [
        (enlarge("input", "output", 2), {}, (2, "rgb", 1, None)),
        (enlarge("input", "output", 3), {"shape": [None] * 4}, (3, "rgb", 1, None)),
        (enlarge("input", "output", 2), {"shape": [2, 3, None, None]}, (2, "rgb", 1, None)),
        (FLOAT_TO_UINT8, {"shape": [None] * 4, "kind": "uint8"}, (2, "rgb", 1, None)),
        (FLOAT_TO_UINT8, {"shape": [1, None, None, 3], "kind": "uint8"}, (2, "rgb", 1, None)),
        (BY_PAIRS, {}, (2, "rgb", 2, None)),
        (enlarge("input", "output", 4), {"shape": [1, 1, None, None]}, (4, "y", 1, None)),
        (enlarge("input", "output", 2), {"shape": [1, 3, 48, 64]}, (2, "rgb", 1, (48, 64))),
    ],
    ids=["usual", "no-shape", "batch-of-2", "uint8-nhwc", "uint8-channels", "multiple", "luma", "one-size"],
)
def test_facts_of_files_of_others(nodes, options, facts, tmp_path: Path, photo: np.ndarray) -> None:
    network = load_network(write(tmp_path / "m.onnx", nodes, **options))
    own = facts_of(network)
    assert (own.scale, own.colour, own.size_multiple, own.input_size) == facts
    assert receptive_field_of(network) is None
    image = photo[:61, :83]
    result = Upscaler(network, tile=32)(image)
    assert result.shape == (61 * own.scale, 83 * own.scale, 3)
    border = slice(own.scale, -own.scale)  # at the edges chroma of a luma network goes on otherwise
    error = np.abs(result - bilinear(image, own.scale))[border, border]
    assert error.max() < 0.51 if own.colour == "rgb" else error.mean() < 1.5


@pytest.mark.parametrize("side", [3, 5, 6, 7, 12, 22])
def test_sides_of_multiples_that_are_no_power_of_two(side: int, tmp_path: Path) -> None:
    blocks = [
        helper.make_node("SpaceToDepth", ["input"], ["a"], blocksize=side),
        helper.make_node("DepthToSpace", ["a"], ["b"], blocksize=side),
    ]
    path = write(tmp_path / "m.onnx", [*blocks, *enlarge("b", "output", 2)])
    assert facts_of(load_network(path, trial=False)).size_multiple == side


def test_an_output_of_no_told_shape(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", enlarge("input", "output", 2))
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    assert facts_of(load_network(path)).scale == 2


def test_half_precision(tmp_path: Path, photo: np.ndarray) -> None:
    nodes = [
        helper.make_node("Cast", ["input"], ["a"], to=1),
        *enlarge("a", "b", 2),
        helper.make_node("Cast", ["b"], ["output"], to=10),
    ]
    network = load_network(write(tmp_path / "m.onnx", nodes, kind="float16"))
    assert np.abs(Upscaler(network)(photo[:40, :50]) - bilinear(photo[:40, :50])).max() < 0.7


def test_the_trial_finds_the_range(tmp_path: Path, photo: np.ndarray, log) -> None:
    """A file that rounds its result works on levels."""
    nodes = [*enlarge("input", "a", 2), helper.make_node("Round", ["a"], ["output"])]
    write(tmp_path / "m.onnx", nodes)
    network = load_network(tmp_path / "m.onnx")
    assert "m.onnx: an ONNX file that upscales x2, images in 0 ... 255" in log.text
    image = photo[:40, :50]
    assert np.abs(Upscaler(network)(image) - bilinear(image)).max() < 1.01
    assert "on a photograph" in log.text
    log.clear()
    untried = load_network(tmp_path / "m.onnx", trial=False)
    assert log.text == "" and set(np.unique(Upscaler(untried)(image))) <= {0, 255}


def test_a_file_that_makes_no_image_of_its_input(tmp_path: Path) -> None:
    nodes = [*enlarge("input", "a", 2), helper.make_node("Sub", ["a", "a"], ["output"])]
    write(tmp_path / "m.onnx", nodes)
    with pytest.raises(
        CheckpointError, match=r"m\.onnx: an ONNX file that upscales x2, but what it makes of a photo.* other numbers"
    ):
        load_network(tmp_path / "m.onnx")
    assert facts_of(load_network(tmp_path / "m.onnx", trial=False)).scale == 2


# ---- one size


class Recorded(torch.nn.Module):
    """Stands before a graph, and notes the sizes that it is given."""

    def __init__(self, graph: torch.nn.Module) -> None:
        super().__init__()
        self.graph, self.sizes = graph, set()

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        self.sizes.add(tuple(lq.shape[-2:]))
        return self.graph(lq)


OURS = {"producer": "srtoolbox 1", "scale": "2", "colour": "rgb", "smallest_side": "1", "size_multiple": "1"}


@pytest.mark.parametrize("field", ["1", "unknown"])
@pytest.mark.parametrize("tile", ["auto", None, 20])
def test_windows_of_a_fixed_size_are_all_of_it(field: str, tile, tmp_path: Path, photo: np.ndarray, log) -> None:
    path = write(
        tmp_path / "m.onnx",
        enlarge("input", "output", 2),
        shape=[1, 3, 32, 40],
        metadata=OURS | {"receptive_field": field},
    )
    network: Any = load_network(path)
    network.core = Recorded(network.core)
    image = photo[:101, :93]
    result = Upscaler(network, tile=tile)(image)
    assert np.abs(result - bilinear(image)).max() < 0.51
    whole = restore(network, to_tensor(image)).rgb  # as evaluation runs it
    assert np.abs(whole[0].permute(1, 2, 0).numpy() * 255 - bilinear(image)).max() < 1e-3
    assert network.core.sizes == {(32, 40)} and "mirrored" not in log.text
    small = Upscaler(network, tile=tile)(photo[:9, :50])
    assert small.shape == (18, 100, 3) and network.core.sizes == {(32, 40)}
    Upscaler(network)(photo[:8, :8])
    assert log.text.count("takes 40 x 32 pixels alone: smaller images are mirrored to that, and cut") == 1


def test_a_file_of_ours_says_its_facts(tmp_path: Path) -> None:
    shape = [None, 3, None, None]
    path = write(
        tmp_path / "m.onnx", BY_PAIRS, shape=shape, metadata=OURS | {"size_multiple": "2", "receptive_field": "7"}
    )
    facts = facts_of(load_network(path))
    assert (facts.scale, facts.size_multiple, facts.receptive_field, facts.input_size) == (2, 2, 7, None)
    old = {key: value for key, value in OURS.items() if key != "size_multiple"} | {"smallest_side": "3"}
    facts = facts_of(load_network(write(tmp_path / "m.onnx", BY_PAIRS, shape=shape, metadata=old)))
    assert (facts.size_multiple, facts.receptive_field) == (2, None)
    for wrong in ({"scale": "two"}, {"colour": "cmyk"}, {"colour": "y"}, {"receptive_field": "-1"}):
        write(tmp_path / "m.onnx", BY_PAIRS, shape=shape, metadata=OURS | wrong)
        with pytest.raises(CheckpointError, match="says about itself"):
            load_network(tmp_path / "m.onnx")
    lying = load_network(write(tmp_path / "m.onnx", BY_PAIRS, shape=shape, metadata=OURS | {"scale": "3"}))
    with pytest.raises(SrtoolboxError, match=r"m\.onnx: gives \(1, 3, 64, 64\) for \(1, 3, 32, 32\), not"):
        lying(torch.zeros(1, 3, 32, 32))


# ---- what is refused


def refused(tmp_path: Path, match: str, nodes, **options) -> None:
    write(tmp_path / "m.onnx", nodes, **options)
    with pytest.raises(CheckpointError, match=r"m\.onnx: " + match):
        load_network(tmp_path / "m.onnx")


def test_what_would_run_code_is_refused(tmp_path: Path) -> None:
    custom = helper.make_node("Sharpen", ["input"], ["output"], domain="com.example")
    refused(
        tmp_path,
        "its operator com.example.Sharpen needs a library of its maker's",
        [custom],
        domains=("", "com.example"),
    )
    inner = helper.make_graph([custom], "branch", [], [helper.make_tensor_value_info("output", 1, None)])
    branch = helper.make_node("If", ["condition"], ["output"], then_branch=inner, else_branch=inner)
    arrays = {"condition": np.array(True)}
    refused(tmp_path, "its operator com.example.Sharpen", [branch], domains=("", "com.example"), arrays=arrays)
    engine = helper.make_node("EPContext", ["input"], ["output"], domain="com.microsoft", embed_mode=0)
    refused(tmp_path, "its operator com.microsoft.EPContext runs a program", [engine], domains=("", "com.microsoft"))


def test_weights_in_another_file_lie_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    values = np.array([0, 1, 1, 2, 2], np.float32).tobytes()
    (folder / "m.data").write_bytes(values)
    (tmp_path / "secret.data").write_bytes(values)
    external(folder / "m.onnx", "m.data", offset=4)
    assert facts_of(load_network(folder / "m.onnx")).scale == 2
    for location in ("../secret.data", str(tmp_path / "secret.data"), "..", "", "a\\b", "deep/m.data"):
        external(folder / "m.onnx", location)
        with pytest.raises(CheckpointError, match=r"m\.onnx: keeps weights in .* a file beside it alone"):
            load_network(folder / "m.onnx")
    external(folder / "m.onnx", "m.data", offset=8)
    with pytest.raises(CheckpointError, match=r"m\.data beside it is cut short"):
        load_network(folder / "m.onnx")
    external(folder / "m.onnx", "absent.data")
    with pytest.raises(CheckpointError, match=r"the weights beside it, absent\.data, cannot be read"):
        load_network(folder / "m.onnx")


def test_what_is_no_network_of_images(tmp_path: Path) -> None:
    two = enlarge("input", "output", 2)
    refused(tmp_path, "takes 1 and gives 2 tensors", [*two, *enlarge("input", "b", 2)], outputs=("output", "b"))
    for shape in ([1, 4, 8, 8], [1, 4, None, None]):
        refused(tmp_path, r"takes \[1, 4, .*\]; images of 3 channels, or 1", two, shape=shape)
    refused(tmp_path, "takes .* of 4 axes", [helper.make_node("Identity", ["input"], ["output"])], shape=[None, 3])
    refused(tmp_path, "takes images of 40 x None; both sides fixed", two, shape=[1, 3, None, 40])
    shrunk = helper.make_node("AveragePool", ["input"], ["output"], kernel_shape=[3, 3])
    refused(tmp_path, "no run of it shows a network that upscales: it gives 1 x 3 x 31 x 33", [shrunk])
    for data in (b"no model" * 50, b""):
        (tmp_path / "m.onnx").write_bytes(data)
        with pytest.raises(CheckpointError, match="damaged, cut short, or no ONNX file"):
            load_network(tmp_path / "m.onnx")
    with pytest.raises(CheckpointError, match="no such file"):
        load_network(tmp_path / "n.onnx")
    write(tmp_path / "m.onnx", two)
    with pytest.raises(CheckpointError, match="upscales x2, as a run shows, not x3"):
        load_network(tmp_path / "m.onnx", scale=3)
    with pytest.raises(CheckpointError, match=r"m\.onnx: an ONNX file upscales and is scored as it is"):
        read_network(tmp_path / "m.onnx")


def test_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "m.onnx", enlarge("input", "output", 2))
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(SrtoolboxError, match=r"needs the package onnxruntime: pip install 'srtoolbox\[onnx\]'"):
        load_network(tmp_path / "m.onnx")


# ---- how it runs


def test_threads_are_those_of_torch(tmp_path: Path) -> None:
    session = open_session(read_onnx(write(tmp_path / "m.onnx", enlarge("input", "output", 2))), "cpu")
    assert session.get_session_options().intra_op_num_threads == torch.get_num_threads()


CPU, CUDA, DML = "CPUExecutionProvider", "CUDAExecutionProvider", "DmlExecutionProvider"


@pytest.mark.parametrize(
    ("device", "available", "result"),
    [
        (None, [CPU], ("cpu", {})),
        ("auto", [CUDA, CPU], ("cuda", {})),
        (None, ["CoreMLExecutionProvider", CPU], ("cpu", {})),
        (None, [DML, CPU], ("directml", {})),
        ("cpu", [CUDA, CPU], ("cpu", {})),
        ("cuda:1", [CUDA, CPU], ("cuda", {"device_id": 1})),
        ("coreml", ["CoreMLExecutionProvider", CPU], ("coreml", {})),
        ("cuda", [CPU], "device 'cuda': this onnxruntime has no CUDAExecutionProvider; install onnxruntime-gpu"),
        ("tpu", [CPU], "device 'tpu': an ONNX file runs on one of cuda, directml, coreml, cpu"),
        ("cuda:x", [CUDA], "device 'cuda:x': an ONNX file runs on"),
    ],
)
def test_devices(device, available, result) -> None:
    if isinstance(result, tuple):
        assert choose_provider(device, available) == result
        return
    with pytest.raises(SrtoolboxError, match=result):
        choose_provider(device, available)


@pytest.mark.parametrize("device", [None, "cuda"])
def test_each_process_of_a_launch_takes_its_own_gpu(device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_network.dist, "launched", lambda: True)
    monkeypatch.setattr(onnx_network.dist, "local_rank", lambda: 3)
    assert choose_provider(device, [CUDA, CPU]) == ("cuda", {"device_id": 3})
    assert choose_provider(device and "cuda:1", [CUDA, CPU])[1] == {"device_id": 1 if device else 3}


def test_a_provider_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log) -> None:
    """ONNX Runtime lists what it was built with, and goes on on the CPU where a library is missing."""
    file = read_onnx(write(tmp_path / "m.onnx", enlarge("input", "output", 2)))
    asked = []

    def start(data: bytes, options: object, providers: list) -> SimpleNamespace:
        asked.append(providers)
        return SimpleNamespace(get_providers=lambda: [CPU])

    stand_in = SimpleNamespace(
        get_available_providers=lambda: [CUDA, CPU], SessionOptions=SimpleNamespace, InferenceSession=start
    )
    monkeypatch.setattr(onnx_network, "package", lambda name: stand_in)
    assert open_session(file, None).get_providers() == [CPU]
    assert "m.onnx: cuda cannot be used by ONNX Runtime here: going on on the CPU" in log.text
    with pytest.raises(SrtoolboxError, match="cuda cannot be used by ONNX Runtime here: its libraries are missing"):
        open_session(file, "cuda:1")
    assert asked[1] == [(CUDA, {"device_id": 1}), CPU]


def test_its_own_precision_is_told_once(tmp_path: Path, photo: np.ndarray, log) -> None:
    network = load_network(write(tmp_path / "m.onnx", enlarge("input", "output", 2)))
    image = photo[:40, :50]
    assert np.array_equal(Upscaler(network, dtype="bf16")(image), Upscaler(network)(image))
    Upscaler(network, dtype="bf16")(image)
    assert log.text.count("computes in its own precision") == 1


def test_memory_is_counted_and_the_field_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Input and result of `Resize` are alive at once: 12 bytes and 4 times 12; torch holds the result once more."""
    path = write(tmp_path / "m.onnx", enlarge("input", "output", 2))
    assert bytes_per_pixel(read_onnx(path), [1, 3, None, None]) == 12 + 48
    network: Any = load_network(path)
    assert network.hidden_bytes >= 60 and network.parameter_count == 4
    network.core = None  # it is not run
    assert memory_model_of(network, "fp32").network >= 60 + 48
    monkeypatch.setattr(receptive_field, "measure_receptive_field", lambda network: 3)  # torch sees nothing inside
    assert receptive_field_of(network) is None


def test_memory_that_does_not_suffice_is_the_planners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = load_network(write(tmp_path / "m.onnx", enlarge("input", "output", 2)))

    def run(names: object, feed: object) -> None:
        raise Exception("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer")

    monkeypatch.setattr(network.graph, "session", SimpleNamespace(run=run))
    with pytest.raises(MemoryError, match="Failed to allocate"):
        network(torch.zeros(1, 3, 8, 8))


def test_bicubic_by_a_file(photo: np.ndarray, tmp_path: Path) -> None:
    """Our `imresize` and ONNX's `Resize` agree inside: what a file computes is what comes out."""
    node = helper.make_node("Resize", ["input", "", "x2"], ["output"], mode="cubic", cubic_coeff_a=-0.5)
    network = load_network(write(tmp_path / "m.onnx", [node]))
    lq = to_tensor(photo[:40, :50])
    difference = restore(network, lq).rgb - imresize(lq, 2)
    assert difference[..., 4:-4, 4:-4].abs().max() < 1e-5
