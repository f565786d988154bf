"""Closed forms against all permutations of few rows, and against shuffles of many."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm, pearson3

from analogue.nulls.analytic import (
    CLOSED_MEASURES,
    cca_r2_moments,
    closed_form,
    distrust,
    kernel_moments,
    mantel_moments,
    pearson3_sf,
    svcca_moments,
    tail,
)
from analogue.similarity import MEASURES
from analogue.similarity.cca import SquaredSubspaces, Subspaces

EXACT = ["rsa", "cka", "cka_biased", "cca_r2"]
SHUFFLES = 10_000


def every(n):
    return np.array(list(itertools.permutations(range(n))), dtype=np.int64)


def shuffles(n, count, seed=0):
    return np.random.default_rng(seed).permuted(np.tile(np.arange(n), (count, 1)), axis=1)


def rows(n, d, seed, tail=math.inf):
    """Gaussian rows; with a finite ``tail``, multivariate t: a few are far longer than the others."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((n, d))
    return drawn if math.isinf(tail) else drawn * np.sqrt(tail / rng.chisquare(tail, size=(n, 1)))


def basis(n, k, seed, tail=math.inf):
    drawn = rows(n, k, seed, tail)
    return np.linalg.qr(drawn - drawn.mean(axis=0))[0]


def symmetric(n, seed, whole=False):
    """A symmetric matrix without diagonal, neither centred nor normal; ``whole`` numbers have many ties."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-2, 4, (n, n)).astype(float) if whole else rng.exponential(size=(n, n)) - 0.4
    return np.tril(drawn, -1) + np.tril(drawn, -1).T


def skewness(draws):
    return ((draws - draws.mean()) ** 3).mean() / draws.std() ** 3


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", range(2, 8))
def test_mantel_moments_are_those_of_all_permutations(n, whole):
    a, b = symmetric(n, 1, whole), symmetric(n, 2, whole)
    draws = np.array([np.tril(a * b[np.ix_(order, order)]).sum() for order in every(n)])
    moments = mantel_moments(a, b)
    assert len(draws) == math.factorial(n)
    assert moments.mean == pytest.approx(draws.mean(), rel=1e-12, abs=1e-12)
    assert moments.variance == pytest.approx(draws.var(), rel=1e-12, abs=1e-12)
    if n > 2:
        assert moments.skewness == pytest.approx(skewness(draws), rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("n", range(2, 8))
def test_kernel_moments_are_those_of_all_permutations(n):
    centred = [side - side.mean(axis=0) for side in (rows(n, 3, 1), rows(n, 4, 2, tail=3))]
    k, l = (side @ side.T for side in centred)  # noqa: E741
    draws = np.array([(k * l[np.ix_(order, order)]).sum() for order in every(n)])
    moments = kernel_moments(k, l)
    assert moments.mean == pytest.approx(draws.mean(), rel=1e-12)
    assert moments.variance == pytest.approx(draws.var(), rel=1e-12, abs=1e-12 * draws.mean() ** 2)
    assert moments.skewness is None


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("tails", [math.inf, 2])
def test_moments_of_measures_are_those_of_all_5040_permutations(name, tails):
    prepared = MEASURES[name].prepare(rows(7, 3, 1, tails), rows(7, 4, 2, tails))
    draws = prepared.draws(every(7))
    moments = closed_form(prepared)
    assert moments.mean == pytest.approx(draws.mean(), abs=1e-12)
    assert moments.variance == pytest.approx(draws.var(), abs=1e-12)
    assert moments.std == pytest.approx(draws.std(), abs=1e-12)
    if moments.skewness is not None:
        assert moments.skewness == pytest.approx(skewness(draws), abs=1e-12)


@pytest.mark.parametrize(
    "shape", [(7, 1, 1), (7, 1, 5), (7, 2, 6), (6, 5, 5), (5, 3, 2), (3, 1, 2), (2, 1, 1)], ids=str
)
def test_squared_correlations_have_the_moments_of_all_permutations(shape):
    n, kx, ky = shape
    prepared = SquaredSubspaces(basis(n, kx, 1), basis(n, ky, 2))
    draws = prepared.draws(every(n))
    moments = cca_r2_moments(prepared.qx, prepared.qy)
    assert moments.mean == pytest.approx(draws.mean(), abs=1e-12)
    assert moments.variance == pytest.approx(draws.var(), abs=1e-12)


@given(n=st.integers(4, 40), seed=st.integers(0, 999), scale=st.sampled_from([1e-30, 1e-3, 50.0, 1e30]))
def test_laws_of_mantel_moments(n, seed, scale):
    a, b = symmetric(n, seed), symmetric(n, seed + 1)
    order = np.random.default_rng(seed).permutation(n)
    moments = mantel_moments(a, b)
    wanted = (moments.mean, moments.variance, moments.skewness, moments.concentration)
    for other, factor in (
        (mantel_moments(b, a), 1.0),
        (mantel_moments(a, b[np.ix_(order, order)]), 1.0),
        (mantel_moments(scale * a, b), scale),
    ):
        found = (other.mean / factor, other.variance / factor**2, other.skewness, other.concentration)
        assert found == pytest.approx(wanted, rel=1e-7, abs=1e-10)


def test_blocks_of_the_triangle_sum_leave_nothing_out(monkeypatch):
    a, b = symmetric(63, 1), symmetric(63, 2)
    whole = mantel_moments(a, b)
    monkeypatch.setattr("analogue.nulls.moments._BLOCK", 10)
    assert mantel_moments(a, b).skewness == pytest.approx(whole.skewness, rel=1e-10)


def test_a_constant_matrix_has_no_spread():
    moments = mantel_moments(np.ones((9, 9)) - np.eye(9), np.ones((9, 9)) - np.eye(9))
    assert (moments.mean, moments.variance, moments.skewness, moments.concentration) == (36.0, 0.0, None, 0.0)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(
    ("n", "d", "tails"), [(20, 3, math.inf), (20, 30, 3), (63, 8, math.inf), (63, 100, math.inf), (63, 8, 3)]
)
def test_exact_moments_meet_ten_thousand_shuffles(name, n, d, tails):
    x, y = rows(n, d, 1, tails), rows(n, d + 2, 2, tails)
    x[1], y[2] = x[0], y[0]  # ties
    prepared = MEASURES[name].prepare(x, y)
    draws, moments = prepared.draws(shuffles(n, SHUFFLES)), closed_form(prepared)
    z = (draws - moments.mean) / moments.std
    assert abs(z.mean()) < 4 / math.sqrt(SHUFFLES)
    assert abs((z**2).mean() - 1) < 4 * (z**2).std() / math.sqrt(SHUFFLES)
    if moments.skewness is not None:
        assert abs((z**3).mean() - moments.skewness) < 4 * (z**3).std() / math.sqrt(SHUFFLES)


def bare_wachter_mean(n, kx, ky):
    """Wachter's integral of rho itself, by adaptive quadrature, with the correlations that are forced to 1."""
    dimensions = n - 1
    (p, s), k = np.sort([kx, ky]) / dimensions, min(kx, ky)
    low, high = ((math.sqrt(p * (1 - s)) + sign * math.sqrt(s * (1 - p))) ** 2 for sign in (-1, 1))

    def density(t):
        return math.sqrt(t) * math.sqrt((t - low) * (high - t)) / (2 * math.pi * p * t * (1 - t))

    return (max(0, kx + ky - dimensions) + k * quad(density, low, high, limit=200)[0]) / k


WACHTER = [(50, 8, 8), (50, 8, 30), (50, 30, 35), (100, 16, 40), (100, 24, 25), (40, 18, 19), (60, 53, 20)]


@pytest.mark.parametrize("tails", [math.inf, 9])
@pytest.mark.parametrize(("n", "kx", "ky"), WACHTER)
def test_wachter_with_edge_term_meets_ten_thousand_shuffles(n, kx, ky, tails):
    prepared = Subspaces(basis(n, kx, 1, tails), basis(n, ky, 2, tails))
    draws, moments = prepared.draws(shuffles(n, SHUFFLES)), closed_form(prepared)
    assert moments.leverage_factor < 1.25
    assert distrust(prepared, moments) is None
    assert abs(moments.mean - draws.mean()) / draws.std() < 0.065
    # 2.5 % for rows of like leverage, 4 % where a few have more, and three standard errors
    assert abs(moments.std / draws.std() - 1) < (0.025 if math.isinf(tails) else 0.04) + 3 / math.sqrt(2 * SHUFFLES)
    if abs(kx - ky) <= 1:  # what the edge term is for; it grows as the lower edge nears 0
        assert 0.1 < (bare_wachter_mean(n, kx, ky) - draws.mean()) / draws.std() < 0.3


def test_heavy_rows_shift_the_mean_of_wachter_and_say_so():
    prepared = Subspaces(basis(100, 20, 1, tail=1.5), basis(100, 20, 2, tail=1.5))
    draws, moments = prepared.draws(shuffles(100, 2000)), closed_form(prepared)
    assert moments.leverage_factor > 1.25
    assert distrust(prepared, moments).startswith("few rows carry the subspaces: leverage factor ")
    assert (moments.mean - draws.mean()) / draws.std() > 0.2


@pytest.mark.parametrize(("kx", "ky", "free"), [(1, 1, 1), (2, 2, 2), (20, 58, 1)])
def test_few_free_correlations_are_too_few_for_a_limit(kx, ky, free):
    prepared = Subspaces(basis(60, kx, 1), basis(60, ky, 2))
    moments = closed_form(prepared)
    assert distrust(prepared, moments) == (
        f"{free} free canonical correlations are too few for the limit law (at least 5)"
    )
    draws = prepared.draws(shuffles(60, SHUFFLES))
    reported = norm.sf((np.quantile(draws, 0.95) - moments.mean) / moments.std)
    assert not 0.042 < reported < 0.058  # of a true .05


@pytest.mark.parametrize(("n", "kx", "ky"), [(12, 11, 11), (12, 11, 3), (7, 2, 6), (2, 1, 1)])
def test_a_saturated_side_has_no_spread(n, kx, ky):
    prepared = Subspaces(basis(n, kx, 1), basis(n, ky, 2))
    moments = svcca_moments(prepared.qx, prepared.qy)
    assert (moments.mean, moments.variance, moments.leverage_factor) == (1.0, 0.0, None)
    np.testing.assert_allclose(prepared.draws(shuffles(n, 20)), 1.0, atol=1e-7)
    assert distrust(prepared, moments).startswith(f"saturated: {max(kx, ky)} directions fill {n - 1} dimensions")
    assert tail(prepared, moments) is None


@pytest.mark.parametrize("name", ["rsa", "cka"])
@pytest.mark.parametrize(("n", "d"), [(30, 3), (60, 3), (60, 20)])
def test_pearson_tails_hold_at_one_in_a_thousand(name, n, d):
    prepared = MEASURES[name].prepare(rows(n, d, 3), rows(n, d, 4))
    draws, moments = prepared.draws(shuffles(n, 40_000)), closed_form(prepared)
    assert distrust(prepared, moments) is None
    z = (np.quantile(draws, [0.95, 0.99, 0.999]) - moments.mean) / moments.std
    reported = [pearson3_sf(value, moments.skewness) for value in z]
    assert 0.046 < reported[0] < 0.054
    assert 0.0085 < reported[1] < 0.0115
    assert 0.0006 < reported[2] < 0.0015
    if moments.skewness > 0.5:
        assert norm.sf(z[2]) < 0.0002  # a normal tail is not


def test_cka_of_a_few_long_rows_is_distrusted_though_hardly_skewed():
    """Rows that are long on both sides meet in few permutations: the tail is not the one that three moments imply."""
    prepared = MEASURES["cka"].prepare(rows(40, 30, 3, tail=2.5), rows(40, 30, 4, tail=2.5))
    draws, moments = prepared.draws(shuffles(40, 40_000)), closed_form(prepared)
    assert abs(moments.skewness) < 1.6
    assert distrust(prepared, moments).startswith("few rows carry the measure: concentration ")
    assert pearson3_sf((np.quantile(draws, 0.999) - moments.mean) / moments.std, moments.skewness) < 0.0003


def test_one_long_row_on_both_sides_is_skewed_and_distrusted():
    x, y = rows(40, 6, 1), rows(40, 6, 2)
    x[0] *= 30
    y[5] *= 30
    prepared = MEASURES["cka"].prepare(x, y)
    assert distrust(prepared, closed_form(prepared)).startswith("few rows carry the measure: ")


def test_concentration_is_the_variation_of_the_variance_that_rows_carry():
    a, b = symmetric(6, 1), symmetric(6, 2)
    q, other = (a**2).sum(axis=1), (b**2).sum(axis=1)
    carried = np.array([q @ other[order] for order in every(6)])
    assert mantel_moments(a, b).concentration == pytest.approx(carried.var() / carried.mean() ** 2, rel=1e-10)


@pytest.mark.parametrize("skew", [-2.5, -1.0, -0.1, 1e-3, 0.3, 1.6, 4.0])
def test_pearson_curve_is_scipys(skew):
    z = np.linspace(-6, 8, 57)
    np.testing.assert_allclose([pearson3_sf(value, skew) for value in z], pearson3.sf(z, skew), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("skew", [0.0, 1e-6, -1e-6, 9e-6, 1.1e-5])
def test_pearson_curve_becomes_the_normal_one(skew):
    z = np.linspace(-5, 5, 21)
    np.testing.assert_allclose([pearson3_sf(value, skew) for value in z], norm.sf(z), rtol=1e-3)


@pytest.mark.parametrize("name", ["rsa", "cka", "svcca"])
@pytest.mark.parametrize("shared", [0.0, 0.04, 0.07])
def test_tail_agrees_with_permutations(name, shared):
    x = rows(80, 8, 1)
    y = shared * x @ rows(8, 12, 2) + rows(80, 12, 3)
    prepared = MEASURES[name].prepare(x, y)
    draws, moments = prepared.draws(shuffles(80, SHUFFLES)), closed_form(prepared)
    p = (draws >= prepared.observed).mean()
    assert tail(prepared, moments) == pytest.approx(p, rel=0.15, abs=0.001 + 3 * math.sqrt(p * (1 - p) / SHUFFLES))


def test_only_z_is_given_where_no_curve_was_checked():
    x, y = rows(40, 6, 1), rows(40, 6, 2)
    for name in ("cka_biased", "cca_r2"):
        prepared = MEASURES[name].prepare(x, y)
        assert tail(prepared, closed_form(prepared)) is None
    assert closed_form(MEASURES["pc1_corr"].prepare(x, y)) is None


Q = basis(9, 2, 0)
S = symmetric(9, 0)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (mantel_moments, (S[:8], S), r"a must be a square matrix of at least 2 rows, got shape \(8, 9\)"),
        (mantel_moments, (S, S[:8, :8]), r"a and b must be of one size, got shapes \(9, 9\) and \(8, 8\)"),
        (mantel_moments, (S, np.triu(S)), "b must be symmetric"),
        (mantel_moments, (S + np.eye(9), S), "a must be zero on its diagonal, got values up to 1.0"),
        (mantel_moments, (S, S * np.nan), "b must be finite"),
        (kernel_moments, (Q @ Q.T, S), "l must be double-centred, got a row that sums to"),
        (cca_r2_moments, (Q, Q[:8]), r"qx and qy must have one row a pair, got shapes \(9, 2\) and \(8, 2\)"),
        (cca_r2_moments, (Q[:, :0], Q), r"qx must have between 1 and n - 1 columns, got shape \(9, 0\)"),
        (svcca_moments, (Q, np.eye(9)), r"qy must have between 1 and n - 1 columns, got shape \(9, 9\)"),
        (pearson3_sf, (math.nan, 1.0), "z and skewness must be numbers, got nan and 1.0"),
        (pearson3_sf, (1.0, math.inf), "z and skewness must be numbers, got 1.0 and inf"),
    ],
)
def test_bad_input_is_one_sentence(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_the_measures_that_are_said_to_have_a_closed_form_are_those_that_have_one():
    x, y = np.random.default_rng(0).standard_normal((2, 40, 5))
    having = {name for name, measure in MEASURES.items() if closed_form(measure.prepare(x, y)) is not None}
    assert set(CLOSED_MEASURES) == having
