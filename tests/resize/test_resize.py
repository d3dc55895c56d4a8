"""imresize against MATLAB's own LR images, a slow and obvious version of its rule, and torch's gradient checker."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import srtoolbox.resize as integers
from srtoolbox.image import read_image
from srtoolbox.resize import Part, floats, imresize, imresize_part, output_length, resize_integers
from srtoolbox.resize.matrix import adjoint_of, matrix_of


def cubic(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def source(index: int, length: int, border: str) -> int:
    if border == "replicate":
        return min(max(index, 0), length - 1)
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


def slow_axis(values: np.ndarray, length: int, scale: float, border: str, antialias: bool) -> np.ndarray:
    """One output after the other along axis 0, in Python floats."""
    shrink = min(scale, 1.0) if antialias else 1.0
    out = np.zeros((length, *values.shape[1:]))
    for i in range(length):
        centre = (i + 0.5) / scale - 0.5
        taps = range(int(np.floor(centre - 2 / shrink)), int(np.ceil(centre + 2 / shrink)) + 1)
        weights = [cubic(shrink * (centre - tap)) for tap in taps]
        for tap, weight in zip(taps, weights, strict=True):
            out[i] += weight / sum(weights) * values[source(tap, values.shape[0], border)]
    return out


def slow_float(image: np.ndarray, lengths: tuple, scales: tuple, border: str = "replicate", antialias: bool = True):
    rows = slow_axis(image, lengths[0], scales[0], border, antialias)
    return slow_axis(rows.swapaxes(0, 1), lengths[1], scales[1], border, antialias).swapaxes(0, 1)


def random_image(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def as_tensor(image: np.ndarray, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None].to(dtype)


def as_array(tensor: torch.Tensor) -> np.ndarray:
    return tensor[0].permute(1, 2, 0).double().numpy()


@pytest.mark.data
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "count"), [("Set5", 5), ("Set14", 14)])
def test_matlab_lr_sets_bit_for_bit(data_root: Path, name: str, count: int, scale: int) -> None:
    files = sorted((data_root / name / f"HR/X{scale}").iterdir())
    assert len(files) == count
    for file in files:
        hr = read_image(file)
        lr = read_image(data_root / name / f"LR_bicubic/X{scale}" / file.name)
        assert np.count_nonzero(imresize(hr, 1 / scale) != lr) == 0, file
        assert np.count_nonzero(imresize(hr, 1 / scale, border="symmetric") != lr) > 0  # not what made these files


CASES = [
    ((9, 13, 3), 1 / 3),
    ((12, 10, 3), 0.25),
    ((11, 7, 1), 0.5),
    ((10, 9, 3), 0.37),
    ((5, 4, 3), 2),
    ((5, 6, 3), 3),
    ((4, 7, 1), 2.6),
    ((1, 1, 3), 4),
    ((2, 3, 3), 0.25),
    ((150, 3, 1), 0.5),
    ((40, 141, 2), 1.5),
]


@pytest.mark.parametrize("border", ["replicate", "symmetric"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("shape", "scale"), CASES)
def test_tensor_path_equals_slow_version(shape: tuple, scale: float, antialias: bool, border: str) -> None:
    image = random_image(*shape)
    lengths = (int(np.ceil(round(shape[0] * scale, 9))), int(np.ceil(round(shape[1] * scale, 9))))
    expected = slow_float(image.astype(float), lengths, (scale, scale), border, antialias)
    given = imresize(as_tensor(image), scale, border=border, antialias=antialias)
    assert np.abs(as_array(given) - expected).max() < 1e-10
    single = imresize(as_tensor(image, torch.float32) / 255, scale, border=border, antialias=antialias)
    assert single.dtype == torch.float32
    assert np.abs(as_array(single) - expected / 255).max() < 1e-6


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("shape", "scale"), CASES)
def test_integer_path_rounds_after_each_pass(shape: tuple, scale: float, dtype: type) -> None:
    image = random_image(*shape, dtype=dtype)
    given = imresize(image, scale)
    vertical = resize_integers(image, 0, (shape[0], given.shape[0], scale, False, True))
    assert_rounded(vertical, slow_axis(image.astype(float), given.shape[0], scale, "replicate", True))
    turned = vertical.swapaxes(0, 1).astype(float)  # what the pass before gave: a half of it may have gone either way
    assert_rounded(given, slow_axis(turned, given.shape[1], scale, "replicate", True).swapaxes(0, 1))
    assert given.dtype == dtype
    assert np.array_equal(imresize(image[..., 0], scale), given[..., 0])


def assert_rounded(given: np.ndarray, exact: np.ndarray) -> None:
    """One pass, but where it is half way: there the order of summation decides."""
    expected = np.clip(np.floor(exact + 0.5), 0, np.iinfo(given.dtype).max)
    near_half = np.abs(exact - np.floor(exact) - 0.5) < 1e-6
    assert np.array_equal(given[~near_half], expected[~near_half])
    assert np.abs(given - expected).max() <= 1


def test_half_values_round_up_exactly() -> None:
    """At x1/2 and x1/4 many sums are exactly half way: compare with integer arithmetic."""
    image = random_image(64, 48, 3, seed=3)
    for factor, denominator in ((2, 256), (4, 4096)):
        values = image.astype(np.int64)
        halves = 0
        for _ in range(2):
            matrix = matrix_of(values.shape[0], values.shape[0] // factor, 1 / factor, False, True).csr64
            whole = np.rint(matrix.toarray() * denominator).astype(np.int64)
            sums = np.tensordot(whole, values, axes=1)
            halves += np.count_nonzero(sums % denominator == denominator // 2)
            values = np.clip((sums + denominator // 2) // denominator, 0, 255).swapaxes(0, 1)
        assert halves > 0
        assert np.array_equal(imresize(image, 1 / factor), values)


@pytest.mark.parametrize("shape", [(64, 48, 3), (41, 57, 1), (33, 31), (3, 2, 3), (1, 1, 1), (50, 17, 4), (9, 200, 2)])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_torch_kernel_and_sparse_products_agree(factor: int, shape: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast path of x1/2, x1/4, x1/8 is the same map, and is left where a torch build does not keep the promise."""
    for image in (random_image(*shape, seed=factor), random_image(*shape, seed=factor) // 128 * 255):
        fast = imresize(image, 1 / factor)
        calls = []
        with monkeypatch.context() as patch:
            patch.setattr(integers, "_torch_is_exact", calls.append)
            assert np.array_equal(imresize(image, 1 / factor), fast)
        assert calls == [factor] * 2
    assert integers._torch_is_exact(factor)


def test_a_torch_build_with_other_roundings_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        integers,
        "_by_torch",
        lambda image, axis, outputs, factor: integers._by_csr(
            image, axis, matrix_of(image.shape[axis], outputs, 1 / factor, True, True)
        ),
    )
    assert not integers._torch_is_exact.__wrapped__(2)


def test_axis_with_smaller_factor_goes_first() -> None:
    image = random_image(16, 30, 3, seed=1)
    horizontal = imresize(image, size=(16, 10))
    assert np.array_equal(imresize(image, size=(8, 10)), imresize(horizontal, size=(8, 10)))
    vertical = imresize(image, size=(8, 30))
    assert not np.array_equal(imresize(image, size=(8, 10)), imresize(vertical, size=(8, 10)))


def test_each_axis_has_its_own_factor_with_size() -> None:
    image = random_image(10, 12, 3)
    expected = slow_float(image.astype(float), (17, 5), (1.7, 5 / 12))
    assert np.abs(as_array(imresize(as_tensor(image), size=(17, 5))) - expected).max() < 1e-10


@pytest.mark.parametrize(
    ("length", "scale", "expected"),
    [
        (9, 1 / 3, 3),
        (30, 0.1, 3),
        (10, 1 / 3, 4),
        (7, 0.5, 4),
        (1, 0.1, 1),
        (49, 1 / 49, 1),
        (5, 1.1, 6),
        (100, 1.1, 110),
    ],
)
def test_output_length(length: int, scale: float, expected: int) -> None:
    assert output_length(length, scale) == expected
    assert imresize(random_image(length, 1), scale).shape[0] == expected


def test_every_whole_factor_gives_whole_sizes() -> None:
    assert all(output_length(n * s, 1 / s) == n for s in range(1, 17) for n in range(1, 400))


@pytest.mark.parametrize(
    "kwargs", [{"scale": 3}, {"scale": 0.37}, {"size": (5, 40)}, {"scale": 0.4, "antialias": False}]
)
def test_gradients(kwargs: dict) -> None:
    x = torch.rand(2, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: imresize(t, **kwargs), (x,))
    assert torch.autograd.gradgradcheck(lambda t: imresize(t, **kwargs), (x,))


@pytest.mark.parametrize("scale", [0.25, 0.4, 3.0])
@pytest.mark.parametrize("length", [20, 300])
def test_gradient_is_the_transposed_map(scale: float, length: int) -> None:
    """<A x, y> = <x, A^T y>, also for lengths where shrinking goes through CSR and the gradient through blocks."""
    x = torch.rand(1, 2, length, 9, dtype=torch.float64, requires_grad=True)
    out = imresize(x, scale)
    y = torch.rand_like(out)
    (gradient,) = torch.autograd.grad((out * y).sum(), x)
    assert torch.isclose((gradient * x).sum(), (out * y).sum(), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.25, 0.37, 3.0])
def test_gather_form_used_on_accelerators_equals_the_others(scale: float) -> None:
    x = torch.rand(2, 3, 150, 20, dtype=torch.float64)
    for make in (matrix_of, adjoint_of):
        matrix = make(150, output_length(150, scale), scale, False, True)
        values = x if make is matrix_of else imresize(x, scale)
        expected = torch.einsum("ij,ncjw->nciw", torch.from_numpy(matrix.csr64.toarray()), values)
        for form in (floats._apply_taps, floats._apply_csr, floats._apply_blocks):
            assert torch.allclose(form(values, 2, matrix), expected, atol=1e-12)
            turned = form(values.transpose(2, 3).contiguous(), 3, matrix)
            assert torch.allclose(turned.transpose(2, 3), expected, atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("scale", [0.25, 3.0])
def test_gpu_equals_cpu_even_with_tf32(scale: float) -> None:
    x = torch.rand(2, 3, 200, 150)
    torch.set_float32_matmul_precision("high")
    try:
        on_gpu = [imresize(x.cuda(), scale).cpu() for _ in range(2)]
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(*on_gpu)
    assert (on_gpu[0] - imresize(x, scale)).abs().max() < 1e-6


def test_low_precision_and_autocast_are_summed_in_float32() -> None:
    x = torch.rand(1, 3, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(imresize(x, 2), imresize(x, 2).float())
        assert (imresize(x, 2) - imresize(x.double(), 2)).abs().max() < 1e-6
    low = imresize(x.bfloat16(), 2)
    assert low.dtype == torch.bfloat16
    assert torch.equal(low, imresize(x.bfloat16().float(), 2).bfloat16())


def test_layouts_views_and_inference_mode() -> None:
    x = torch.rand(2, 3, 40, 30)
    expected = imresize(x, 2)
    assert torch.equal(imresize(x.to(memory_format=torch.channels_last), 2), expected)
    assert torch.equal(imresize(x.transpose(2, 3), 2), imresize(x.transpose(2, 3).contiguous(), 2))
    with torch.inference_mode():
        assert torch.equal(imresize(x, 2), expected)
    y = torch.rand(1, 1, 40, 30, requires_grad=True)
    imresize(y, 2).sum().backward()  # the matrices cached in inference mode serve training too
    image = random_image(40, 30, 3)
    locked = image.copy()
    locked.flags.writeable = False  # a view of a memory map
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(imresize(locked, size=(40, 15)), imresize(image, size=(40, 15)))
    assert np.array_equal(
        imresize(image[::-1, :, ::-1], 0.5), imresize(np.ascontiguousarray(image[::-1, :, ::-1]), 0.5)
    )
    assert torch.equal(imresize(x, 1), x)
    assert imresize(x, 1).data_ptr() != x.data_ptr()


def test_operator_contract_with_compile_and_export() -> None:
    x = torch.rand(1, 2, 9, 7, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(floats.resize_floats, (x, 9, 7, 18, 14, 2.0, False, True, False))


def test_cache_is_bounded() -> None:
    for length in range(1, 300):
        imresize(random_image(length, 1), 0.5)
    assert matrix_of.cache_info().currsize <= 128


@pytest.mark.parametrize(
    ("image", "kwargs", "words"),
    [
        (np.zeros((4, 4), np.uint8), {}, "either a scale or a size"),
        (np.zeros((4, 4), np.uint8), {"scale": 2, "size": (3, 3)}, "either a scale or a size"),
        (np.zeros((4, 4), np.uint8), {"scale": 0}, "above 0"),
        (np.zeros((4, 4), np.uint8), {"scale": float("nan")}, "above 0"),
        (np.zeros((4, 4), np.uint8), {"size": (0, 3)}, "size is"),
        (np.zeros((4, 4), np.uint8), {"scale": 2, "border": "wrap"}, "border is"),
        (np.zeros((4, 4), np.float32), {"scale": 2}, "uint8 or uint16"),
        (np.zeros((0, 4), np.uint8), {"scale": 2}, "uint8 or uint16"),
        (torch.zeros(3, 4, 4), {"scale": 2}, r"\(N, C, H, W\)"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), {"scale": 2}, "float"),
        ([[1]], {"scale": 2}, "list"),
    ],
)
def test_misuse_is_named(image: object, kwargs: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        imresize(image, **kwargs)


@pytest.mark.parametrize("outputs", [228, 171, 78, 57, 38, 11])
def test_a_part_of_an_axis_that_wraps_is_that_of_its_repetitions(outputs):
    x = torch.rand(1, 2, 57, 8, generator=torch.Generator().manual_seed(0))
    whole = imresize(x.repeat(1, 1, 5, 1), size=(5 * outputs, 8))
    for low, high in ((0, outputs), (-outputs - 3, 2), (outputs // 3, outputs // 2 + 1), (-1, outputs + 4)):
        rows, columns = Part(57, outputs / 57, low, high, wraps=True), Part(8, 1, 0, 8)
        needs = np.arange(rows.needs.start, rows.needs.stop) % 57
        part = imresize_part(x[:, :, needs], rows, columns)
        torch.testing.assert_close(part, whole[:, :, 2 * outputs + low : 2 * outputs + high], rtol=0, atol=1e-5)
    assert Part(57, outputs / 57, 0, outputs, wraps=True).possible(57 + 20) == outputs


@pytest.mark.parametrize("scale", [4, 3, 1.37, 1, 2 / 3, 0.2])
def test_a_part_is_that_of_the_whole(scale):
    x = torch.rand(1, 2, 57, 83, generator=torch.Generator().manual_seed(0))
    whole = imresize(x, scale)
    height, width = whole.shape[2:]
    for low, high in ((0, height), (0, height // 2), (height // 3, height), (height // 3, height // 2 + 1)):
        rows, columns = Part(57, scale, low, high), Part(83, scale, width // 4, width // 2 + 1)
        part = imresize_part(x[..., rows.needs, columns.needs], rows, columns)
        expected = whole[..., low:high, width // 4 : width // 2 + 1]
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-6)
        assert rows.possible(rows.needs.stop) >= high > rows.possible(rows.needs.stop - 1)
