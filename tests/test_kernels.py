"""The correlation kernel against the textbook, in Triton's interpreter or on a GPU where there is one."""

import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given
from hypothesis import strategies as st

from analogue.kernels import _config
from analogue.kernels._config import Config, shares
from analogue.kernels.correlation import _largest, correlation_argmax
from kernel_cases import DEVICE, PRODUCTS, assert_best, correlations, poison_empty, random, signs

EVERY_PRODUCT = pytest.mark.parametrize(("dtype", "precision", "tolerance"), PRODUCTS.values(), ids=PRODUCTS)
SMALL = Config(16, 16, 16)
FLOAT32 = PRODUCTS["float32"][2]


@pytest.fixture(autouse=True)
def _poisoned_empty(monkeypatch):
    poison_empty(monkeypatch)


@EVERY_PRODUCT
@pytest.mark.parametrize(
    ("n", "F_A", "F_B"),
    [(1, 7, 7), (2, 1, 7), (7, 63, 1), (7, 1, 257), (63, 7, 7), (63, 257, 63), (257, 63, 257), (257, 257, 257)],
)
def test_odd_shapes(n, F_A, F_B, dtype, precision, tolerance):
    x, y = random(n, F_A, dtype, 1), random(n, F_B, dtype, 2)
    for top in (1, 8):
        found = correlation_argmax(x, y, top=top, precision=precision)
        assert_best(found, correlations(x, y), top, tolerance)


@EVERY_PRODUCT
@pytest.mark.parametrize("top", [1, 2, 3, 5, 8])
def test_the_best_are_carried_across_many_blocks(top, dtype, precision, tolerance, monkeypatch):
    monkeypatch.setattr(_config, "SHARES", 1)
    x, y = random(31, 63, dtype, 3), random(31, 23, dtype, 4)
    found = correlation_argmax(x, y, config=SMALL, top=top, precision=precision)
    assert_best(found, correlations(x, y), top, tolerance)


@pytest.mark.parametrize("programs", [1, 2, 16])
def test_the_best_are_merged_over_programs(programs, monkeypatch):
    monkeypatch.setattr(_config, "SHARES", programs)
    x, y = random(15, 16 * 17 + 3, seed=5), random(15, 35, seed=6)
    assert shares(x.shape[1], SMALL) == {1: (18, 1), 2: (9, 2), 16: (2, 9)}[programs]
    assert_best(correlation_argmax(x, y, config=SMALL, top=8), correlations(x, y), 8, FLOAT32)


@given(st.integers(0, 5000), st.integers(1, 300))
def test_shares_cover_all_columns_and_none_is_idle(columns, block):
    share, parts = shares(columns, Config(block, 16, 16))
    assert share * parts * block >= columns
    assert share * (parts - 1) * block < max(columns, 1)
    assert parts <= 16


@EVERY_PRODUCT
@pytest.mark.parametrize("rows_of_x", [False, True])
def test_either_side_gives_the_rows_of_the_product(rows_of_x, dtype, precision, tolerance):
    x, y = random(20, 40, dtype, 7), random(20, 10, dtype, 8)
    found = correlation_argmax(x, y, config=Config(32, 16, 16, rows_of_x=rows_of_x), top=3, precision=precision)
    assert_best(found, correlations(x, y), 3, tolerance)


@EVERY_PRODUCT
@pytest.mark.parametrize("top", [1, 3])
def test_cosine(top, dtype, precision, tolerance):
    x, y = random(33, 47, dtype, 9, mean=0.5), random(33, 21, dtype, 10, mean=0.5)
    x[:, [1, 16]], y[:, 2], x[:, 3], y[:, 20] = 0, 0, 2.5, -1  # a constant has a cosine, zeros have none
    found = correlation_argmax(x, y, config=SMALL, top=top, metric="cosine", precision=precision)
    assert_best(found, correlations(x, y, "cosine"), top, tolerance)


@EVERY_PRODUCT
def test_a_mean_of_fifty_standard_deviations(dtype, precision, tolerance):
    x, y = random(257, 63, dtype, 5, mean=50.0), random(257, 63, dtype, 6, mean=-50.0)
    assert_best(correlation_argmax(x, y, precision=precision), correlations(x, y), 1, tolerance)


@EVERY_PRODUCT
def test_standardised_values_do_not_overflow_the_half_types(dtype, precision, tolerance):
    x, y = random(63, 7, seed=7), random(63, 7, seed=8)
    x, y = (x * 3e4).clamp(-6e4, 6e4).to(dtype), (y * 1e-4).to(dtype)
    assert_best(correlation_argmax(x, y, precision=precision), correlations(x, y), 1, tolerance)


def test_strides():
    wide_x, wide_y = random(126, 126, seed=9), random(126, 16, seed=10)
    x, y = wide_x[::2, 1::2], wide_y[1::2, ::2]
    expected = correlation_argmax(x.contiguous(), y.contiguous(), top=3)
    for a, b in [(x, y), (x.t().contiguous().t(), y), (x, y.t().contiguous().t())]:
        found = correlation_argmax(a, b, top=3)
        assert torch.equal(found[0], expected[0])
        torch.testing.assert_close(found[1], expected[1])
    assert_best(expected, correlations(x, y), 3, FLOAT32)


@given(
    n=st.integers(1, 6).map(lambda half: 2 * half),
    columns=st.tuples(st.integers(1, 40), st.integers(1, 20)),
    top=st.integers(1, 8),
    programs=st.sampled_from([1, 16]),
    seed=st.integers(0, 2**32),
)
def test_ties_go_to_the_lowest_column_within_and_across_blocks(n, columns, top, programs, seed):
    """Columns of few signs take few correlations, exact in float32: most are ties."""
    x, y = signs(n, columns[0], seed), signs(n, columns[1], seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_config, "SHARES", programs)
        best, corr = (side.cpu().reshape(-1, top) for side in correlation_argmax(x, y, config=SMALL, top=top))
    sums = (x.T @ y).long().cpu()
    for column, indices, values in zip(sums.T.tolist(), best.tolist(), corr.tolist(), strict=True):
        wanted = sorted(range(len(column)), key=lambda a, column=column: (-column[a], a))[:top]
        assert indices == wanted + [-1] * (top - len(wanted))
        assert values == pytest.approx([column[a] / n for a in wanted] + [0.0] * (top - len(wanted)), abs=1e-7)


@triton.jit
def _largest_of_two_rows(total_ptr, keys_ptr):
    rows = tl.arange(0, 2)
    key, _ = _largest(tl.load(total_ptr + rows[:, None] * 16 + tl.arange(0, 16)[None, :]), 32)
    tl.store(keys_ptr + rows, key)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_keys_order_as_correlations_do(values):
    total = torch.full((2, 16), -torch.inf, device=DEVICE)
    total[0, 3], total[1, 5] = torch.tensor(values)
    keys = torch.empty(2, dtype=torch.int64, device=DEVICE)
    _largest_of_two_rows[(1,)](total, keys)
    first, second = keys.tolist()
    assert (first > second) == (values[0] >= values[1])  # 0.0 and -0.0 tie; the lower column wins


def test_equal_columns_choose_the_first():
    column = signs(62, 1)
    best, corr = correlation_argmax(column.repeat(1, 40), column.repeat(1, 20), config=SMALL, top=8)
    assert best.tolist() == [list(range(8))] * 20
    assert corr.tolist() == [[1.0] * 8] * 20


@pytest.mark.parametrize("top", [1, 3, 8])
def test_fewer_candidates_than_top(top):
    x, y = random(63, 40, seed=20), random(63, 5, seed=21)
    allowed = torch.zeros(40, dtype=torch.bool, device=DEVICE)
    allowed[[3, 39]] = True
    found = correlation_argmax(x, y, allowed, config=SMALL, top=top)
    r = correlations(x, y)
    r[~allowed.cpu()] = torch.nan
    assert_best(found, r, top, FLOAT32)


def test_constant_columns_are_no_candidates():
    x, y = random(63, 33, seed=11), random(63, 20, seed=12)
    x[:, [0, 15, 16]], y[:, [3, 19]] = 0.1, 1e4
    x[:, 32] = 1e4 * (1 + 1e-7 * torch.randn(63, device=DEVICE))  # noise of the last bit
    best, corr = correlation_argmax(x, y, config=SMALL, top=8)
    assert_best((best, corr), correlations(x, y), 8, FLOAT32)
    assert (best[[3, 19]] == -1).all()


def test_masks():
    x, y = random(63, 33, seed=13), random(63, 20, seed=14)
    may_be_chosen, may_choose = torch.arange(33, device=DEVICE) % 3 == 1, torch.arange(20, device=DEVICE) != 4
    best, corr = correlation_argmax(x, y, may_be_chosen, may_choose, SMALL)
    only, among = correlation_argmax(x[:, may_be_chosen], y)
    assert best[4] == -1
    assert corr[4] == 0
    assert torch.equal(best[may_choose], (3 * only + 1)[may_choose])
    torch.testing.assert_close(corr[may_choose], among[may_choose])


@pytest.mark.parametrize("metric", ["pearson", "cosine"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, in the interpreter
def test_columns_with_nan_or_infinity_are_no_candidates_and_spoil_no_other(metric):
    x, y = random(63, 33, seed=15), random(63, 20, seed=16)
    x[5, 2], x[6, 17], y[7, 3], y[8, 9] = torch.nan, torch.inf, torch.nan, -torch.inf
    spoilt_x, spoilt_y = [2, 17], [3, 9]
    r = correlations(x.nan_to_num(0, 0, 0), y.nan_to_num(0, 0, 0), metric)
    r[spoilt_x], r[:, spoilt_y] = torch.nan, torch.nan
    assert_best(correlation_argmax(x, y, config=SMALL, top=8, metric=metric), r, 8, FLOAT32)


def test_the_only_partner_may_be_negative():
    x = random(63, 1, seed=17)
    best, corr = correlation_argmax(x, -x)
    assert best.item() == 0
    assert corr.item() == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("top", [1, 2])
@pytest.mark.parametrize(("n", "F_A", "F_B"), [(0, 3, 2), (5, 0, 2), (5, 3, 0)])
def test_nothing_to_correlate(n, F_A, F_B, top):
    best, corr = correlation_argmax(random(n, F_A), random(n, F_B), top=top)
    assert best.shape == corr.shape == ((F_B,) if top == 1 else (F_B, 2))
    assert (best == -1).all()
    assert (corr == 0).all()


PAIR = (torch.ones(3, 2),) * 2


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((PAIR[0], PAIR[0].half()), {}, TypeError, r"^x and y must both be .* and torch\.float16$"),
        ((PAIR[0].double(),) * 2, {}, TypeError, r"^x and y must both be .* got torch\.float64"),
        ((PAIR[0], torch.ones(4, 2)), {}, ValueError, r"^x and y must be matrices of one length, got shapes"),
        ((torch.ones(3), PAIR[0]), {}, ValueError, r"^x and y must be matrices of one length, got shapes"),
        ((torch.ones(2**24 + 1, 0),) * 2, {}, ValueError, r"^x and y must have at most 16777216 rows, .* 16777217$"),
        ((*PAIR, torch.ones(2)), {}, ValueError, r"^candidates_x must be 2 bools, got torch\.float32"),
        ((*PAIR, None, torch.ones(1).bool()), {}, ValueError, r"^candidates_y must be 2 bools"),
        ((PAIR[0], torch.ones(3, 2, device="meta")), {}, ValueError, r"^x and y must be on one device"),
        (PAIR, {"top": 0}, ValueError, r"^top must be 1 to 8, got 0$"),
        (PAIR, {"top": 9}, ValueError, r"^top must be 1 to 8, got 9$"),
        (PAIR, {"top": 1.0}, TypeError, r"^top must be an integer, got 1\.0$"),
        (PAIR, {"metric": "jaccard"}, ValueError, r"^metric must be pearson or cosine, got 'jaccard'$"),
        (PAIR, {"precision": "fp8"}, ValueError, r"^precision must be ieee, tf32 or bf16, got 'fp8'$"),
        ((PAIR[0].half(),) * 2, {"precision": "tf32"}, ValueError, r"^precision must be ieee for torch\.float16"),
    ],
)
def test_bad_input_is_named(arguments, options, error, sentence):
    with pytest.raises(error, match=sentence):
        correlation_argmax(*arguments, **options)
