"""Best partners by blocked products: the answer of exact arithmetic, whatever the block."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse import csr_array

import oracles
from analogue import blocks, columns, ops
from analogue.ops import correlation_best, infer_device

ORACLES = {
    "pearson": oracles.best_partners_by_fractions,
    "cosine": oracles.best_partners_by_cosine,
    "jaccard": oracles.best_partners_by_jaccard,
}
SIZES = ((blocks, "BLOCK"), (blocks, "_TOKENS"), (blocks, "_ROWS"), (blocks, "_PENDING"), (columns, "_CELLS"))


def with_blocks(size, x, y, **options):
    """Search on the CPU with every block of the given size (None: as it is)."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in SIZES if size else ():
            patch.setattr(module, name, size)
        return correlation_best(x, y, device="cpu", **options)


def assert_partners(found, expected, top):
    index, corr = found
    assert index.dtype == np.int64
    assert corr.dtype == np.float64
    assert index.shape == corr.shape == (len(expected), top)
    for i, c, partners in zip(index, corr, expected, strict=True):
        missing = top - len(partners)
        assert i.tolist() == [a for a, _ in partners] + [-1] * missing
        np.testing.assert_allclose(c, [r for _, r in partners] + [0.0] * missing, atol=1e-12)


@st.composite
def problems(draw):
    """Small whole numbers, where correlations tie often, and masks."""
    n, fx, fy = (draw(st.integers(0, high)) for high in (9, 6, 6))
    values = st.sampled_from([-2, 0, 0, 1, 3])
    x, y = (draw(arrays.arrays(np.float32, (n, f), elements=values)) for f in (fx, fy))
    masks = [draw(st.none() | arrays.arrays(bool, f)) for f in (fx, fy)]
    return x, y, *masks, draw(st.integers(1, 4)), draw(st.sampled_from([None, 1, 2, 3]))


@given(problems())
@example((np.zeros((0, 3), np.float32), np.zeros((0, 2), np.float32), None, None, 1, None))
@example((np.zeros((4, 0), np.float32), np.eye(4, 2, dtype=np.float32), None, None, 2, None))
def test_both_directions_are_those_of_rational_arithmetic(problem):
    x, y, candidates_x, candidates_y, top, size = problem
    for metric, oracle in ORACLES.items():
        masks = {"candidates_x": candidates_x, "candidates_y": candidates_y}
        found = with_blocks(size, x, y, top=top, metric=metric, **masks)
        assert_partners(found[:2], oracle(x, y, top, candidates_x, candidates_y), top)
        assert_partners(found[2:], oracle(y, x, top, candidates_y, candidates_x), top)
        of_sparse = with_blocks(size, csr_array(x), csr_array(y), top=top, metric=metric, **masks)
        assert all(np.array_equal(a, b) for a, b in zip(of_sparse, found, strict=True))


@pytest.mark.parametrize(("top", "size"), [(1, 100), (3, None)])
@pytest.mark.parametrize(("n", "fx", "fy"), [(257, 63, 257), (257, 257, 7), (63, 1, 63), (7, 257, 63), (1, 7, 7)])
@pytest.mark.parametrize("mean", [0.0, 50.0, 1e4])
def test_odd_shapes_and_large_means(n, fx, fy, top, size, mean):
    rng = np.random.default_rng(n + fx + fy)
    x, y = ((rng.normal(size=(n, f)) + mean).astype(np.float32) for f in (fx, fy))
    best_x, corr_x, best_y, corr_y = with_blocks(size, x, y, top=top)
    r = oracles.pearson_matrix(x, y)
    for index, corr, table in ((best_x, corr_x, r.T), (best_y, corr_y, r)):
        expected = np.argsort(-table, axis=1, kind="stable")[:, :top]
        kept = expected.shape[1]
        if n == 1:
            expected[:] = -1
        assert np.array_equal(index[:, :kept], expected)
        assert (index[:, kept:] == -1).all()
        values = np.nan_to_num(np.take_along_axis(table, np.maximum(expected, 0), axis=1))
        np.testing.assert_allclose(corr[:, :kept], values, atol=1e-11)


@pytest.mark.parametrize("size", [None, 16])
@pytest.mark.parametrize("top", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_what_float32_cannot_order_is_settled_in_float64(seed, top, size):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(1000, 1)).astype(np.float32)
    x = (y + rng.normal(scale=3e-4, size=(1000, 40))).astype(np.float32)  # 1 - r is some 5e-8 for every column
    r = oracles.pearson_matrix(x, y)[:, 0]
    assert np.ptp(r) < 2.0**-24
    assert np.diff(np.sort(r)[-top - 1 :]).min() > 1e-12
    expected = [np.argsort(-r)[:top].tolist()]
    assert with_blocks(size, x, y, top=top)[0].tolist() == expected
    assert with_blocks(size, y, x, top=top)[2].tolist() == expected


@pytest.mark.parametrize("size", [None, 16])
def test_copies_of_a_column_tie_whatever_their_scale(size):
    rng = np.random.default_rng(1)
    base, y = rng.normal(size=(101, 20)).astype(np.float32), rng.normal(size=(101, 30)).astype(np.float32)
    x = np.hstack([base, 4 * base, base])  # exact multiples
    best, corr, _, _ = with_blocks(size, x, y, top=3)
    first = with_blocks(size, base, y)[0][:, 0]
    assert np.array_equal(best, first[:, None] + [0, 20, 40])
    np.testing.assert_allclose(corr, corr[:, :1].repeat(3, axis=1), atol=1e-12)
    assert np.array_equal(with_blocks(size, y, x, top=3)[2], best)


@pytest.mark.parametrize("metric", ["pearson", "cosine"])
@pytest.mark.parametrize("scales", [(1e30, 1e30), (1e-38, 1e30), (1e-38, 1e-38)])
def test_scales_at_the_ends_of_float32(metric, scales):
    rng = np.random.default_rng(5)
    x, y = (rng.random((257, 20)) * scale for scale in scales)
    x, y = x.astype(np.float32), y.astype(np.float32)  # subnormal at 1e-38: few digits, the same for both
    r = oracles.pearson_matrix(x, y)
    if metric == "cosine":
        u, v = (side / np.linalg.norm(side.astype(np.float64), axis=0) for side in (x, y))
        r = u.T @ v
    best_x, value_x, best_y, _ = correlation_best(x, y, metric=metric, device="cpu")
    assert np.array_equal(best_x[:, 0], r.argmax(0))
    assert np.array_equal(best_y[:, 0], r.argmax(1))
    np.testing.assert_allclose(value_x[:, 0], r.max(0), atol=1e-11)


def test_cosine_and_jaccard_take_constant_columns_and_no_zeros():
    x = np.array([[1, 0, 2], [1, 0, 0], [1, 0, 0]], dtype=np.float32)
    y = np.array([[5, 0], [0, 0], [0, 0]], dtype=np.float32)
    for metric, value in (("cosine", 1 / np.sqrt(3)), ("jaccard", 1 / 3)):
        best_x, value_x, best_y, value_y = correlation_best(x, y, top=3, metric=metric, device="cpu")
        assert best_x.tolist() == [[2, 0, -1], [-1, -1, -1]]
        assert best_y.tolist() == [[0, -1, -1], [-1, -1, -1], [0, -1, -1]]
        np.testing.assert_allclose(value_x[0], [1.0, value, 0.0], atol=1e-12)
        np.testing.assert_allclose(value_y[:, 0], [value, 0.0, 1.0], atol=1e-12)


def test_jaccard_needs_no_margin():
    """1 / 1 000 003 and 1 / 1 000 002 differ by 1e-12: the larger is better, whatever its index."""
    n = 1_000_003
    x, y = np.zeros((n, 2), dtype=np.float32), np.zeros((n, 1), dtype=np.float32)
    x[:, 0] = x[1:, 1] = 1
    y[5] = 3
    best, value, _, _ = correlation_best(x, y, metric="jaccard", device="cpu")
    assert best.tolist() == [[1]]
    assert value[0, 0] == 1 / (n - 1)


def test_correlations_never_pass_one():
    x = np.random.default_rng(2).normal(size=(63, 257)).astype(np.float32)
    best, corr, _, _ = correlation_best(x, 3 * x)
    assert np.array_equal(best[:, 0], np.arange(257))
    assert corr.max() <= 1
    assert corr.min() > 1 - 1e-9


def test_a_constant_column_is_no_candidate():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(63, 5)), rng.normal(size=(63, 4))
    x[:, 1], y[:, 2] = 0.1, -7.0
    x[:, 3] = 1e4 * (1 + 1e-7 * x[:, 3])  # in float32, noise of the last bit
    best_x, corr_x, best_y, corr_y = correlation_best(x, y, top=4)
    assert best_x[2].tolist() == best_y[1].tolist() == [-1] * 4
    assert corr_x[2].tolist() == corr_y[1].tolist() == [0.0] * 4
    assert not np.isin([1, 3], best_x).any()
    assert (best_x[0] >= 0).sum() == 3


def test_the_answer_does_not_hang_on_what_the_caller_allows_torch():
    rng = np.random.default_rng(4)
    x, y = (rng.normal(size=(600, 65)).astype(np.float32) for _ in range(2))
    expected = correlation_best(x, y)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = correlation_best(x, y)
        with blocks._full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("metric", ["pearson", "cosine"])
@pytest.mark.parametrize(("n", "fx", "fy", "top"), [(63, 7, 33, 1), (257, 63, 20, 1), (63, 20, 33, 3), (63, 7, 20, 8)])
def test_the_kernel_path_gives_the_same_partners(n, fx, fy, top, metric):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, fx)).astype(np.float32), rng.normal(size=(n, fy)).astype(np.float32)
    x[:, 2], allowed = 1.5, np.arange(fy) % 5 != 0
    place = infer_device("auto")
    side_x = columns.Columns.of("x", torch.from_numpy(x).to(place), np.ones(fx, dtype=bool), metric, place)
    side_y = columns.Columns.of("y", torch.from_numpy(y).to(place), allowed, metric, place)
    expected = correlation_best(x, y, top=top, metric=metric, candidates_y=allowed, device="cpu")
    for own, other, (index, corr) in ((side_y, side_x, expected[:2]), (side_x, side_y, expected[2:])):
        best = blocks.Best(own, other, top)
        ops._fill_by_kernel(best)
        found = best.arrays()
        assert np.array_equal(found[0], index)
        np.testing.assert_allclose(found[1], corr, atol=1e-12)


MATRIX = np.ones((3, 2))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((MATRIX[0], MATRIX), {}, ValueError, "^x must have 2 dimensions, got shape"),
        ((MATRIX, MATRIX[:2]), {}, ValueError, "^x and y must have one number of rows, got 3 and 2$"),
        ((MATRIX, MATRIX * np.nan), {}, ValueError, "^y must be finite, got 6 NaN"),
        ((MATRIX, np.float32(np.inf) * MATRIX.astype(np.float32)), {}, ValueError, "^y must be finite, got 6 NaN"),
        ((csr_array(MATRIX * np.nan), MATRIX), {}, ValueError, "^x must be finite, got 6 NaN"),
        ((MATRIX * 1e39, MATRIX), {}, ValueError, "^x must be finite in float32"),
        ((MATRIX.astype(str), MATRIX), {}, TypeError, "^x must be convertible to float32"),
        ((MATRIX, MATRIX), {"top": 0}, ValueError, "^top must be at least 1, got 0$"),
        ((MATRIX, MATRIX), {"top": 1.5}, TypeError, "^top must be an integer, got 1.5$"),
        (
            (MATRIX, MATRIX),
            {"metric": "dot"},
            ValueError,
            "^metric must be one of pearson, cosine, jaccard",
        ),
        ((MATRIX, MATRIX), {"candidates_x": [1, 0]}, TypeError, "^candidates_x must be bool, got dtype int64$"),
        ((MATRIX, MATRIX), {"candidates_y": [True]}, ValueError, r"^candidates_y must have one entry a column \(2\)"),
        ((MATRIX, MATRIX), {"device": "tpu"}, ValueError, "^device must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_bad_input_is_named(arguments, options, error, sentence):
    with pytest.raises(error, match=sentence):
        correlation_best(*arguments, **options)


def test_infer_device():
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    assert infer_device() == infer_device("auto") == ("cuda" if found else "cpu")
    assert infer_device("cpu") == "cpu"
    assert [infer_device(f"cuda:{i}") for i in range(found)] == [f"cuda:{i}" for i in range(found)]
    for bad in (f"cuda:{found}", "cuda:", "cuda:-1", "cpu:0", "CPU", "", "cuda:1x", "cuda:\u00b2"):
        with pytest.raises(ValueError, match=r"^device must be auto, cpu, cuda or cuda:N with N below \d+ here, got"):
            infer_device(bad)
