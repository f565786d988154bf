"""Scores from closed forms: what permutations say up to their error, and permutations where a form is not trusted."""

import numpy as np
import pytest
from scipy import stats

from analogue.nulls import Score, permutation_test
from analogue.nulls.analytic import closed_form, pearson3_isf, pearson3_sf
from analogue.similarity import MEASURES

CURVES = ("svcca", "svcca_capped", "rsa", "cka")
ONLY_Z = ("cca_r2", "cka_biased")
DRAWS = 20_000


def sides(n=80, dx=10, dy=12, shared=0.07, seed=0):
    """Rows of light tails: closed forms are trusted on them."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, dx))
    return x, shared * x @ rng.standard_normal((dx, dy)) + rng.uniform(-1, 1, (n, dy))


@pytest.fixture(scope="module")
def both():
    x, y = sides()
    names = (*CURVES, *ONLY_Z)
    analytic = permutation_test(x, y, names, "one-per-token", method="analytic")
    return analytic, permutation_test(x, y, names, "one-per-token", permutations=DRAWS)


@pytest.mark.parametrize("name", [*CURVES, *ONLY_Z])
def test_moments_are_those_of_many_permutations(both, name):
    analytic, drawn = both[0][name], both[1][name]
    assert (analytic.method, analytic.fallback, analytic.permutations, analytic.draws) == ("analytic", None, 0, None)
    assert (analytic.null, analytic.n, analytic.kx, analytic.ky) == (drawn.null, drawn.n, drawn.kx, drawn.ky)
    assert (analytic.forced_ones, analytic.saturated) == (drawn.forced_ones, drawn.saturated)
    assert analytic.observed == drawn.observed
    asymptotic = name.startswith("svcca")
    assert analytic.null_mean == pytest.approx(
        drawn.null_mean, abs=(0.065 if asymptotic else 4 / np.sqrt(DRAWS)) * drawn.null_std
    )
    assert analytic.null_std == pytest.approx(drawn.null_std, rel=0.05 if asymptotic else 0.025)
    assert analytic.z == (analytic.observed - analytic.null_mean) / analytic.null_std
    if name in ("rsa", "cka"):
        assert analytic.null_skewness == pytest.approx(drawn.null_skewness, abs=0.1)


@pytest.mark.parametrize("name", CURVES)
def test_tail_and_quantiles_are_those_of_many_permutations(both, name):
    analytic, drawn = both[0][name], both[1][name]
    assert 0.0005 < drawn.p_value < 0.5
    assert 0.5 < analytic.p_value / drawn.p_value < 2
    for quantile in ("null_q05", "null_median", "null_q95", "null_q99"):
        gap = abs(getattr(analytic, quantile) - getattr(drawn, quantile))
        assert gap < 0.15 * drawn.null_std
    assert analytic.calibrated == pytest.approx(
        max(0.0, (analytic.observed - analytic.null_q95) / (1 - analytic.null_q95)), abs=1e-12
    )
    assert analytic.calibrated == pytest.approx(drawn.calibrated, abs=0.2 * drawn.null_std)
    assert analytic.p_error is None
    assert analytic.p_display == f"{analytic.p_value:.2g}"


@pytest.mark.parametrize("name", ONLY_Z)
def test_a_measure_without_a_known_curve_has_only_z(both, name):
    score = both[0][name]
    assert score.z is not None
    assert (score.p_value, score.p_display, score.p_error, score.calibrated, score.null_q95) == (None,) * 5


@pytest.mark.parametrize("skewness", [-1.6, -0.3, 0.0, 1e-6, 1e-4, 0.5, 1.6])
def test_curve_and_quantile_are_pearsons_third(skewness):
    for p in (0.999, 0.95, 0.5, 0.05, 0.01, 1e-6):
        value = pearson3_isf(p, skewness)
        assert value == pytest.approx(stats.pearson3.isf(p, skewness), rel=1e-6, abs=1e-5)
        assert pearson3_sf(value, skewness) == pytest.approx(p, rel=1e-6)
    with pytest.raises(ValueError, match="p must be above 0 and below 1"):
        pearson3_isf(0.0, 0.5)


@pytest.mark.parametrize("name", CURVES)
def test_below_what_was_checked_p_says_no_more(name):
    score = permutation_test(*sides(shared=1.0), name, method="analytic")[name]
    assert score.z > 5
    assert (score.p_value, score.p_display) == (1e-4, "< 1e-4")
    # A draw that reached 1e-4 is a count, and is printed as one.
    assert Score("rsa", "pairing", "permutation", 30, p_value=1e-4).p_display == "0.0001"


def test_rates_are_regressed_out_first():
    x, y = sides()
    rng = np.random.default_rng(1)
    rates = rng.random(80), rng.random(80)
    score = permutation_test(x, y, "cka", method="analytic", rates=rates)["cka"]
    drawn = permutation_test(x, y, "cka", permutations=2000, rates=rates)["cka"]
    assert (score.method, score.null) == ("analytic", "pairing, rate-adjusted")
    assert score.observed == drawn.observed
    assert score.null_std == pytest.approx(drawn.null_std, rel=0.1)


def heavy(n=60):
    """Few rows carry both geometries: every row has a Student-t scale of its own."""
    rng = np.random.default_rng(0)
    return [rng.standard_t(1.5, (n, 1)) * rng.standard_normal((n, 10)) for _ in range(2)]


@pytest.mark.parametrize(
    ("name", "rows", "reason"),
    [
        ("cka", heavy(), "few rows carry the measure: skewness "),
        ("svcca", heavy(), "few rows carry the subspaces: leverage factor "),
        ("svcca", sides(dx=3), "3 free canonical correlations are too few"),
        ("svcca", sides(12, 40, 40), "saturated: 11 directions fill 11 dimensions"),
        ("mutual_knn", sides(), "there is no closed form"),
    ],
)
def test_where_a_closed_form_is_not_trusted_rows_are_permuted(name, rows, reason):
    score = permutation_test(*rows, name, method="analytic", permutations=99, seed=4)[name]
    plain = permutation_test(*rows, name, permutations=99, seed=4)[name]
    assert score.fallback.startswith(reason)
    assert score.to_dict() | {"fallback": None} == plain.to_dict()
    np.testing.assert_array_equal(score.draws, plain.draws)


def test_an_even_geometry_has_one_value_only():
    x = np.vstack([np.eye(6), np.eye(6)]) @ np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    assert closed_form(MEASURES["cca_r2"].prepare(x[:6], x[6:])).variance < 1e-14
    score = permutation_test(x[:6], x[6:], "cca_r2", method="analytic", min_pairs=6, permutations=19)["cca_r2"]
    assert score.method == "permutation"
    assert score.fallback == "all permutations give the same value"
    assert (score.z, score.p_value) == (None, 1.0)


def test_some_measures_are_permuted_and_some_are_not():
    seen = []
    scores = permutation_test(
        *sides(), ("cka", "mutual_knn", "rsa"), method="analytic", permutations=40, progress=lambda *s: seen.append(s)
    )
    assert [score.method for score in scores.values()] == ["analytic", "permutation", "analytic"]
    assert seen[-1] == (40, 40)
    seen.clear()
    permutation_test(*sides(), ("cka", "rsa"), method="analytic", progress=lambda *s: seen.append(s))
    assert seen == []


@pytest.mark.parametrize(
    ("null", "choice"), [("siblings", {"groups": np.arange(80)}), ("stratified", {"strata": np.zeros(80, dtype=int)})]
)
def test_closed_forms_are_for_nulls_that_permute_all_rows(null, choice):
    message = f"method='analytic' wants null to be one of pairing, one-per-token, got '{null}'"
    with pytest.raises(ValueError, match=message):
        permutation_test(*sides(), "cka", null, method="analytic", **choice)


def test_no_score_is_no_score_by_either_method():
    for score in permutation_test(*sides(8), ("cka", "svcca"), method="analytic").values():
        assert score.insufficient == "too few pairs: 8, at least 10 wanted"
        assert (score.method, score.p_value) == ("analytic", None)
