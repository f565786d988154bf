import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

import oracles
from analogue import similarity
from analogue.similarity import MEASURES, UndefinedError
from analogue.similarity.cca import Subspaces

FUNCTIONS = {"svcca": similarity.svcca, "rsa": similarity.rsa, "cka": similarity.cka}
ORACLES = {"svcca": oracles.svcca, "rsa": oracles.rsa, "cka": oracles.debiased_cka}
SHAPES = [(4, 2, 3), (7, 2, 2), (7, 9, 3), (13, 5, 40), (63, 7, 3), (63, 100, 64), (257, 40, 31), (257, 1, 2)]


def related(n, dx, dy, seed=0, noise=1.0):
    """Two sides that share part of their geometry, their variance spread unevenly over the columns."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dx)) * np.linspace(2.0, 0.1, dx)
    return x, x @ rng.standard_normal((dx, dy)) + noise * rng.standard_normal((n, dy))


def rotation(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def test_registry_names_every_measure():
    assert list(MEASURES) == list(FUNCTIONS)
    assert all(name == measure.name and measure.invariant for name, measure in MEASURES.items())


@pytest.mark.parametrize(
    ("name", "shape"), [(name, shape) for name in MEASURES for shape in SHAPES if name != "rsa" or min(shape) > 1]
)
def test_equals_textbook(name, shape):
    x, y = related(*shape)
    assert FUNCTIONS[name](x, y) == pytest.approx(ORACLES[name](x, y), abs=1e-9)


@pytest.mark.parametrize("inner", ["correlation", "cosine", "euclidean"])
@pytest.mark.parametrize("outer", ["spearman", "pearson"])
@pytest.mark.parametrize("ties", [False, True])
def test_rsa_equals_scipy(inner, outer, ties):
    x, y = related(37, 6, 5)
    if ties:
        x, y = np.sign(x).round() + np.eye(37, 6), y.round()
        x, y = x[np.arange(37) // 2], y[np.arange(37) // 3]
        x[:, 0] += 3.0
        y[:, 1] -= 4.0
    assert similarity.rsa(x, y, inner, outer) == pytest.approx(oracles.rsa(x, y, inner, outer), abs=1e-9)


@pytest.mark.parametrize("variance", [1e-6, 0.5, 0.9, 0.99, 1.0])
def test_svcca_keeps_a_share_of_the_variance(variance):
    x, y = related(50, 12, 9)
    assert similarity.svcca(x, y, variance) == pytest.approx(oracles.svcca(x, y, variance), abs=1e-9)


def test_svcca_keeps_the_fewest_directions_that_reach_the_share():
    # Orthogonal columns of variance 98, 1, 1: the first two hold exactly 99 %.
    x = np.sqrt([98.0, 1.0, 1.0]) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    prepared = MEASURES["svcca"].prepare(x, x + 5.0)
    assert (prepared.kx, prepared.ky) == (2, 2)


def test_svcca_of_single_columns_is_the_absolute_correlation():
    x, y = related(30, 1, 1)
    assert similarity.svcca(x, -y) == pytest.approx(abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1]), abs=1e-12)


def test_cka_of_unrelated_rows_is_centred_where_the_biased_form_is_not():
    rng = np.random.default_rng(3)
    values = [similarity.cka(rng.standard_normal((30, 200)), rng.standard_normal((30, 200))) for _ in range(50)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(50)


@pytest.mark.parametrize("name", MEASURES)
@given(
    n=st.integers(5, 30),
    dx=st.integers(2, 12),
    dy=st.integers(2, 12),
    seed=st.integers(0, 999),
    scale=st.sampled_from([1e-200, 1e-3, 7.0, 1e200]),
)
def test_laws(name, n, dx, dy, seed, scale):
    measure = FUNCTIONS[name]
    x, y = related(n, dx, dy, seed)
    value = measure(x, y)
    order = np.random.default_rng(seed).permutation(n)
    assert value <= 1.0
    assert measure(x, x) == pytest.approx(1.0, abs=1e-9)
    assert measure(y, x) == pytest.approx(value, abs=1e-9)
    assert measure(x * scale, y) == pytest.approx(value, abs=1e-9)
    assert measure(x[order], y[order]) == pytest.approx(value, abs=1e-9)
    if name != "rsa":  # the correlation distance looks at the coordinates of a row
        assert measure(x @ rotation(dx, seed), y) == pytest.approx(value, abs=1e-9)
        assert measure(x + np.arange(dx), y) == pytest.approx(value, abs=1e-9)


@given(n=st.integers(5, 30), d=st.integers(2, 12), seed=st.integers(0, 999))
def test_laws_of_the_other_distances(n, d, seed):
    x, y = related(n, d, d, seed)
    turned = x @ rotation(d, seed)
    for inner in ("cosine", "euclidean"):
        assert similarity.rsa(turned, y, inner, "pearson") == pytest.approx(
            similarity.rsa(x, y, inner, "pearson"), abs=1e-9
        )
    assert similarity.rsa(turned + 2.0, turned, "euclidean") == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("shape", [(10, 3, 4), (10, 30, 4), (63, 40, 35), (200, 90, 130)], ids=str)
def test_draws_are_the_measure_on_permuted_rows(name, shape):
    x, y = related(*shape)
    rng = np.random.default_rng(1)
    orders = np.stack([np.arange(len(x)), *(rng.permutation(len(x)) for _ in range(6))])
    prepared = MEASURES[name].prepare(x, y)
    recomputed = [FUNCTIONS[name](x, y[order]) for order in orders]
    np.testing.assert_allclose(prepared.draws(orders), recomputed, atol=1e-9, rtol=0)
    assert prepared.observed == recomputed[0]


def test_large_svcca_draws_are_within_their_rounding():
    rng = np.random.default_rng(0)
    qx, qy = (np.linalg.qr(rng.standard_normal((3000, k)))[0] for k in (290, 310))  # large enough for float32
    order = rng.permutation(3000)
    for other in (qy, np.linalg.qr(np.hstack([qx, qy]))[0][:, :310]):  # unrelated; containing qx
        prepared = Subspaces(qx, other)
        exact = [np.linalg.svd(qx.T @ side, compute_uv=False).mean() for side in (other, other[order])]
        errors = np.abs(prepared.draws(np.stack([np.arange(3000), order])) - exact)
        assert 0 < errors.max() < 2e-8 < prepared.rounding


@pytest.mark.parametrize("name", ["rsa", "cka"])
def test_moments_over_all_permutations_have_their_closed_form(name):
    x, y = related(7, 3, 4)
    prepared = MEASURES[name].prepare(x, y)
    draws = prepared.draws(np.array(list(itertools.permutations(range(7))), dtype=np.int64))
    mean, variance = oracles.mantel_moments(prepared.a, prepared.b)
    assert len(draws) == 5040
    assert draws.mean() == pytest.approx(mean / 2, abs=1e-13) == pytest.approx(0.0, abs=1e-13)
    assert draws.var() == pytest.approx(variance / 4, rel=1e-10)


def test_rows_without_direction_are_at_distance_one():
    x, y = related(12, 4, 5)
    x[3] = 0.1
    x[8] = 0.0
    distances = 1.0 - np.corrcoef(np.delete(x, [3, 8], axis=0))
    full = np.ones((12, 12))
    kept = np.delete(np.arange(12), [3, 8])
    full[np.ix_(kept, kept)] = distances
    expected = spearmanr(full[np.triu_indices(12, 1)].round(12), pdist(y, "correlation")).statistic
    assert similarity.rsa(x, y) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", MEASURES)
def test_constant_columns_and_repeated_rows_change_nothing_else(name):
    x, y = related(20, 5, 6)
    x, y = x[np.arange(20) // 2], y[np.arange(20) // 2]
    x[:, 2] = 0.3
    assert FUNCTIONS[name](x, y) == pytest.approx(ORACLES[name](x, y), abs=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_undefined_inputs_say_why(name):
    measure = FUNCTIONS[name]
    x, y = related(9, 3, 4)
    with pytest.raises(UndefinedError, match="y must vary between rows, got 9 equal rows"):
        measure(x, np.full((9, 4), 0.1))
    with pytest.raises(UndefinedError, match="x must vary between rows"):
        measure(np.empty((9, 0)), y)
    with pytest.raises(UndefinedError, match=r"needs at least [234] rows, got 1"):
        measure(x[:1], y[:1])
    with pytest.raises(UndefinedError, match=r"needs at least [234] rows, got 0"):
        measure(x[:0], y[:0])


def test_one_column_has_no_correlation_distance():
    x, y = related(30, 1, 2)
    with pytest.raises(UndefinedError, match="x must have rows at different distances, got 30 rows"):
        similarity.rsa(x, y)
    assert similarity.rsa(x, y, "euclidean") == pytest.approx(oracles.rsa(x, y, "euclidean"), abs=1e-9)


def test_equally_distant_rows_have_no_rsa_and_no_cka():
    x, y = np.eye(9), related(9, 3, 4)[1]
    with pytest.raises(UndefinedError, match="x must have rows at different distances, got 9 rows"):
        similarity.rsa(x, y)
    with pytest.raises(UndefinedError, match="y must have rows at different distances"):
        similarity.rsa(y, np.arange(9.0)[:, None] * np.ones((9, 3)))
    with pytest.raises(UndefinedError, match="x must have rows that differ in similarity, got 9 rows"):
        similarity.cka(x, y)


@pytest.mark.parametrize("name", MEASURES)
def test_bad_input_is_one_sentence(name):
    measure = FUNCTIONS[name]
    x, y = related(9, 3, 4)
    with pytest.raises(ValueError, match=r"x and y must have one row a pair, got shapes \(9, 3\) and \(8, 4\)"):
        measure(x, y[:8])
    with pytest.raises(ValueError, match="y must be finite, got 1 NaN or infinite"):
        measure(x, np.where(np.arange(36).reshape(9, 4) == 5, np.nan, y))
    with pytest.raises(ValueError, match=r"x must have 2 dimensions, got shape \(9,\)"):
        measure(x[:, 0], y)
    with pytest.raises(TypeError, match="x must be convertible to float64"):
        measure(x.astype(str), y)


@pytest.mark.parametrize("variance", [0.0, -1, 1.01, np.nan])
def test_variance_is_a_share(variance):
    with pytest.raises(ValueError, match="variance must be a share above 0 and at most 1"):
        similarity.svcca(*related(9, 3, 4), variance=variance)


def test_unknown_distances_are_listed():
    x, y = related(9, 3, 4)
    with pytest.raises(ValueError, match="inner must be one of correlation, cosine, euclidean, got 'l1'"):
        similarity.rsa(x, y, inner="l1")
    with pytest.raises(ValueError, match="outer must be one of spearman, pearson, got 'kendall'"):
        similarity.rsa(x, y, outer="kendall")
