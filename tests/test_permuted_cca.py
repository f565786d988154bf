"""Permuted cross products: the kernel against the textbook, in Triton's interpreter or on a GPU; then the op."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import oracles_kernels as oracles
from analogue import ops
from analogue.kernels._config import Config
from analogue.kernels.permuted_cca import permuted_products, permuted_products_kernel
from kernel_cases import (
    DEVICE,
    PERMUTED_PRODUCTS,
    assert_products,
    bases,
    permutations,
    poison_empty,
)

EVERY_PRODUCT = pytest.mark.parametrize(
    ("dtype", "precision", "tolerance"), PERMUTED_PRODUCTS.values(), ids=PERMUTED_PRODUCTS
)
SMALL = Config(16, 32, 16)


@pytest.fixture(autouse=True)
def _poisoned_empty(monkeypatch):
    poison_empty(monkeypatch)


@EVERY_PRODUCT
@pytest.mark.parametrize(
    ("n", "kx", "ky", "R"),
    [(1, 1, 1, 1), (7, 1, 7, 1), (7, 7, 1, 7), (63, 7, 63, 2), (63, 63, 7, 1), (257, 63, 7, 3), (257, 257, 63, 1)],
)
def test_odd_shapes(n, kx, ky, R, dtype, precision, tolerance):
    x, y = bases(n, kx, ky, dtype)
    orders = permutations(n, R)
    assert_products(permuted_products(x, y, orders, precision=precision), x, y, orders, precision, tolerance)


@EVERY_PRODUCT
@pytest.mark.parametrize(("kx", "ky"), [(40, 70), (70, 40), (16, 32)])
def test_many_tiles_of_many_permutations(kx, ky, dtype, precision, tolerance):
    """Every tile of each permutation is another program; sizes that fill the last tile, and that do not."""
    x, y = bases(71, kx, ky, dtype)
    orders = permutations(71, 3)
    found = permuted_products(x, y, orders, SMALL, precision=precision)
    assert_products(found, x, y, orders, precision, tolerance)


def test_strides():
    wide_x, wide_y = bases(63, 40, 30, torch.float32)
    orders = permutations(63, 5)
    x, y = wide_x[:, 1::2], wide_y[:, ::3]
    expected = permuted_products(x.contiguous(), y.contiguous(), orders[::2].contiguous())
    assert torch.equal(permuted_products(x, y.T.contiguous().T, orders[::2]), expected)
    assert torch.equal(permuted_products(x, y, orders.T.contiguous().T[::2]), expected)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, in the interpreter: 0 times infinity
def test_a_row_beyond_the_last_adds_nothing():
    """Rows of a tile beyond the last would be gathered as row 0, whose infinity 0 would make a NaN of."""
    x, y = torch.zeros(5, 3, device=DEVICE), torch.zeros(5, 2, device=DEVICE)
    x[:, 0], y[:, 0] = 1.0, 1.0
    y[0, 1] = torch.inf
    found = permuted_products(x[:, :1], y, torch.arange(5, device=DEVICE)[None])
    assert found.tolist() == [[[5.0, torch.inf]]]


@EVERY_PRODUCT
@pytest.mark.parametrize(("n", "kx", "ky", "R"), [(0, 3, 2, 2), (5, 0, 2, 2), (5, 3, 0, 2), (5, 3, 2, 0)])
def test_nothing_to_multiply(n, kx, ky, R, dtype, precision, tolerance):
    x, y = torch.ones(n, kx, dtype=dtype, device=DEVICE), torch.ones(n, ky, dtype=dtype, device=DEVICE)
    found = permuted_products(x, y, permutations(n, R), precision=precision)
    assert found.shape == (R, kx, ky)
    assert n or (found == 0).all()


class Largest(TorchDispatchMode):
    """The largest tensor, in elements, that any operation of torch returns."""

    elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_no_permuted_copy_is_made(monkeypatch):
    """The kernel is given both bases and the indices, and all that is made for it is far below (R, n, k) in size."""
    n, kx, ky, R = 257, 7, 16, 8
    x, y = bases(n, kx, ky, torch.float32)
    orders = permutations(n, R)
    pointers = [name for name in inspect.signature(permuted_products_kernel.fn).parameters if name.endswith("_ptr")]
    assert pointers == ["x_ptr", "y_ptr", "permutations_ptr", "products_ptr"]
    given = []
    monkeypatch.setattr(
        permuted_products_kernel, "run", lambda *arguments, **options: given.extend(arguments), raising=True
    )
    with Largest() as made:
        permuted_products(x, y, orders)
    assert [tuple(argument.shape) for argument in given[:4]] == [(n, 16), (n, ky), (R, n), (R, 16, 16)]
    assert made.elements <= n * 16 < R * n * kx


ONES = torch.ones(3, 2)
ORDER = torch.arange(3)[None]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((ONES, ONES.half(), ORDER), {}, TypeError, r"^x and y must both be .* and torch\.float16$"),
        ((ONES.int(), ONES.int(), ORDER), {}, TypeError, r"^x and y must both be .* got torch\.int32"),
        ((ONES, torch.ones(4, 2), ORDER), {}, ValueError, r"^x and y must be matrices of one length, got shapes"),
        ((ONES[0], ONES, ORDER), {}, ValueError, r"^x and y must be matrices of one length, got shapes"),
        ((ONES, ONES, ORDER.int()), {}, TypeError, r"^permutations must be int64, got torch\.int32$"),
        ((ONES, ONES, ORDER[0]), {}, ValueError, r"^permutations must have 3 columns, got shape \(3,\)$"),
        ((ONES, ONES, ORDER[:, :2]), {}, ValueError, r"^permutations must have 3 columns, got shape \(1, 2\)$"),
        ((ONES, ONES, ORDER + 1), {}, ValueError, r"^permutations must be rows from 0 to 2, got 1 to 3$"),
        ((ONES, ONES, ORDER - 1), {}, ValueError, r"^permutations must be rows from 0 to 2, got -1 to 1$"),
        (
            (ONES, ONES.to("meta"), ORDER),
            {},
            ValueError,
            r"^x, y and permutations must be on one device, got cpu, meta",
        ),
        ((ONES, ONES, ORDER), {"precision": "fp8"}, ValueError, r"^precision must be ieee, tf32 or bf16, got 'fp8'$"),
        ((ONES.double(),) * 2 + (ORDER,), {"precision": "tf32"}, ValueError, r"^precision must be ieee for .*float64"),
    ],
)
def test_bad_input_of_the_kernel_is_named(arguments, options, error, sentence):
    with pytest.raises(error, match=sentence):
        permuted_products(*arguments, **options)


@pytest.fixture(params=["reference", "kernel"])
def op(request, monkeypatch):
    """`permuted_cca` on the CPU with its torch reference, and with the kernel in its place."""
    if request.param == "kernel":
        if DEVICE == "cuda":
            return lambda *arguments, **options: ops.permuted_cca(*arguments, device="cuda", **options)
        monkeypatch.setattr(ops, "_permuted_products", permuted_products)
    return lambda *arguments, **options: ops.permuted_cca(*arguments, device="cpu", **options)


def orthonormal(n, k, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, k)))[0]


def orders(n, R, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(n) for _ in range(R)])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("singular_values", ["gram", "svd"])
@pytest.mark.parametrize(
    ("n", "kx", "ky", "R"),
    [(1, 1, 1, 1), (7, 1, 7, 1), (7, 3, 2, 9), (63, 7, 31, 1), (63, 31, 7, 2), (257, 63, 1, 2), (257, 63, 131, 2)],
)
def test_sums_of_canonical_correlations(op, n, kx, ky, R, singular_values, dtype, tolerance):
    x, y, moves = orthonormal(n, kx, 1), orthonormal(n, ky, 2), orders(n, R)
    found = op(x.astype(dtype), y.astype(dtype), moves, singular_values=singular_values)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, oracles.canonical_sums(x, y, moves), atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "singular_values", "error"),
    [(np.float64, "svd", 1e-15), (np.float64, "gram", 1e-8), (np.float32, "svd", 1e-7), (np.float32, "gram", 1e-7)],
)
def test_the_error_that_is_stated_where_half_the_canonical_correlations_are_0(op, dtype, singular_values, error):
    """The worst case for roots of eigenvalues; taken in float32 they would move the mean by 1e-4."""
    whole = orthonormal(500, 120, 3)
    x, y = whole[:, :80], whole[:, 40:]
    found = op(x.astype(dtype), y.astype(dtype), np.arange(500)[None], singular_values=singular_values)
    assert abs(found.item() - 40) / 80 <= error

    single = torch.from_numpy((x.T @ y).astype(np.float32))
    by_float32 = torch.linalg.eigvalsh(single @ single.mT).clamp(min=0).sqrt().sum()
    assert abs(by_float32.item() - 40) / 80 > 2e-5


@pytest.mark.parametrize(("precision", "rounding"), [("tf32", 2**-11), ("bf16", 2**-8)])
@pytest.mark.parametrize(("kx", "ky"), [(1, 1), (7, 40), (40, 7), (30, 30)])
def test_rounded_bases_move_the_mean_by_no_more_than_is_stated(kx, ky, precision, rounding):
    """Rounding a basis by a share u adds to the product a matrix of nuclear norm u sqrt(k min(kx, ky)) at most."""
    x, y = bases(63, kx, ky, torch.float32)
    moves = permutations(63, 4)
    exact = oracles.canonical_sums(x.double().cpu().numpy(), y.double().cpu().numpy(), moves.cpu().numpy())
    found = ops._nuclear_norms(permuted_products(x, y, moves, precision=precision), "svd").cpu().numpy()
    narrow = min(kx, ky)
    assert np.abs(found - exact).max() / narrow <= rounding * (kx**0.5 + ky**0.5) / narrow**0.5 + 1e-6


@given(
    n=st.integers(1, 9),
    columns=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    R=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_laws_of_the_sum(n, columns, R, seed):
    """A basis with itself gives its width; sides may be exchanged with the inverse; nothing leaves [0, k]."""
    x, y = (orthonormal(n, min(n, k), seed + side) for side, k in enumerate(columns))
    moves = orders(n, R, seed) if R else np.empty((0, n), dtype=np.int64)
    found = ops.permuted_cca(x, y, moves, device="cpu")
    assert found.shape == (R,)
    assert ((found >= 0) & (found <= min(x.shape[1], y.shape[1]) + 1e-9)).all()
    exchanged = ops.permuted_cca(y, x, np.argsort(moves, axis=1), device="cpu")
    np.testing.assert_allclose(exchanged, found, atol=1e-7)
    assert ops.permuted_cca(x, x, np.arange(n)[None], device="cpu").item() == pytest.approx(x.shape[1], abs=1e-9)


def test_permutations_are_taken_in_parts(op, monkeypatch):
    x, y, moves = orthonormal(20, 3, 4), orthonormal(20, 5, 5), orders(20, 7)
    whole = op(x, y, moves)
    for cells in (1, 2 * 15, 7 * 15):
        monkeypatch.setattr(ops, "_PRODUCT_CELLS", cells)
        np.testing.assert_array_equal(op(x, y, moves), whole)


def test_one_basis_in_float64_is_enough_for_a_product_in_float64():
    x, y, moves = orthonormal(50, 3, 6), orthonormal(50, 5, 7), orders(50, 2)
    exact = oracles.canonical_sums(x.astype(np.float32).astype(float), y, moves)
    np.testing.assert_allclose(ops.permuted_cca(x.astype(np.float32), y, moves, device="cpu"), exact, atol=1e-12)


BASIS = np.eye(3, 2)
IDENTITY = np.arange(3)[None]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((BASIS[0], BASIS, IDENTITY), {}, ValueError, r"^qx must have 2 dimensions, got shape \(2,\)$"),
        ((BASIS, BASIS * np.nan, IDENTITY), {}, ValueError, r"^qy must be finite, got 6 NaN"),
        ((BASIS, BASIS.astype(str), IDENTITY), {}, TypeError, r"^qy must be convertible to float64, got dtype <U"),
        ((BASIS, np.eye(4, 2), IDENTITY), {}, ValueError, r"^qx and qy must have one number of rows, got 3 and 4$"),
        (
            (BASIS, BASIS, IDENTITY + 0.5),
            {},
            TypeError,
            r"^permutations must be convertible to int64, got dtype float64$",
        ),
        ((BASIS, BASIS, IDENTITY[0]), {}, ValueError, r"^permutations must have 2 dimensions, got shape \(3,\)$"),
        ((BASIS, BASIS, IDENTITY[:, 1:]), {}, ValueError, r"^permutations must have one entry a row \(3\), got shape"),
        (
            (BASIS, BASIS, [[0, 1, 2], [0, 1, 1]]),
            {},
            ValueError,
            r"^permutations must hold every row from 0 to 2 once, .* 1",
        ),
        ((BASIS, BASIS, [[0, 1, 3]]), {}, ValueError, r"^permutations must hold every row from 0 to 2 once, .* row 0"),
        ((BASIS, BASIS, [[-1, 1, 2]]), {}, ValueError, r"^permutations must hold every row from 0 to 2 once, .* row 0"),
        ((BASIS, BASIS, IDENTITY), {"singular_values": "qr"}, ValueError, r"^singular_values must be one of gram, svd"),
        ((BASIS, BASIS, IDENTITY), {"device": "tpu"}, ValueError, r"^device must be auto, cpu"),
    ],
)
def test_bad_input_of_the_op_is_named(arguments, options, error, sentence):
    with pytest.raises(error, match=sentence):
        ops.permuted_cca(*arguments, **options)
