import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

import oracles
import oracles_similarity as textbook
from analogue import similarity
from analogue.similarity import MEASURES, UndefinedError

FUNCTIONS = {name: getattr(similarity, name) for name in MEASURES}
ORACLES = {name: getattr(textbook, name) for name in MEASURES if hasattr(textbook, name)}
ORACLES |= {"svcca": oracles.svcca, "rsa": oracles.rsa, "cka": oracles.debiased_cka}
SHAPES = [(7, 2, 2), (7, 9, 3), (13, 5, 40), (63, 7, 3), (63, 100, 64), (257, 40, 31), (257, 1, 2)]
NEIGHBOURS = ("mutual_knn", "jaccard_knn")
FEWEST = dict.fromkeys(MEASURES, 2) | {"rsa": 3, "cka": 4, "heldout_cca": 6, "heldout_r2": 6, "paired_cosine": 1}
FEWEST |= dict.fromkeys(NEIGHBOURS, 11)

# What leaves a measure as it is: any rotation of x's columns, any shift of x's rows, one permutation of both sides'
# rows (the held-out measures divide the rows by their place), exchanging x and y. Each scores 1 for equal sides unless
# it says no copy. All are free of scale. The neighbours count a row permutation where no cosines tie.
ROTATION, SHIFT, ROWS, EXCHANGE, COPY = "rotation", "shift", "rows", "exchange", "copy"
INVARIANCES = {
    "svcca": {ROTATION, SHIFT, ROWS, EXCHANGE, COPY},
    "svcca_capped": {ROTATION, SHIFT, ROWS, EXCHANGE, COPY},
    "pc1_corr": {ROTATION, SHIFT, ROWS, EXCHANGE, COPY},
    "cca_r2": {ROTATION, SHIFT, ROWS, EXCHANGE, COPY},
    "pwcca": {SHIFT, ROWS, COPY},
    "heldout_cca": {ROTATION, SHIFT, EXCHANGE, COPY},
    "heldout_r2": {ROTATION, SHIFT},
    "rsa": {ROWS, EXCHANGE, COPY},
    "cka": {ROTATION, SHIFT, ROWS, EXCHANGE, COPY},
    "cka_biased": {ROTATION, SHIFT, ROWS, EXCHANGE, COPY},
    "procrustes": {ROTATION, SHIFT, ROWS, EXCHANGE, COPY},
    "mutual_knn": {ROTATION, ROWS, EXCHANGE, COPY},
    "jaccard_knn": {ROTATION, ROWS, EXCHANGE, COPY},
    "paired_cosine": {ROWS, EXCHANGE, COPY},
}


def related(n, dx, dy, seed=0, noise=1.0):
    """Two sides that share part of their geometry, their variance spread unevenly over the columns."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dx)) * np.linspace(2.0, 0.1, dx)
    return x, x @ rng.standard_normal((dx, dy)) + noise * rng.standard_normal((n, dy))


def rotation(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def sides(name, n, dx, dy, seed=0):
    """Related sides, of one width where the measure asks for it."""
    return related(n, dx, dx if name == "paired_cosine" else dy, seed)


def defined(name, n, dx, dy):
    if name == "pwcca" and (n, dx, dy) in [(13, 5, 40), (63, 100, 64)]:
        return False  # weights that the data do not determine, see below
    return n >= FEWEST[name] and (name != "rsa" or min(dx, dy) > 1)


def test_registry_names_every_measure():
    assert set(MEASURES) == set(ORACLES) == set(INVARIANCES)
    assert all(name == measure.name and measure.invariant for name, measure in MEASURES.items())


@pytest.mark.parametrize(
    ("name", "shape"), [(name, shape) for name in MEASURES for shape in SHAPES if defined(name, *shape)]
)
def test_equals_textbook(name, shape):
    x, y = sides(name, *shape)
    assert FUNCTIONS[name](x, y) == pytest.approx(ORACLES[name](x, y), abs=1e-8 if name == "procrustes" else 1e-9)


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


def changes(name, n, dx, dy, seed):
    """How much each change that may leave a measure as it is moves it."""
    measure = FUNCTIONS[name]
    x, y = sides(name, n, dx, dy, seed)
    value = measure(x, y)
    order = np.random.default_rng(seed).permutation(n)
    return value, {
        ROTATION: measure(x @ rotation(dx, seed), y) - value,
        SHIFT: measure(x + np.arange(dx), y) - value,
        ROWS: measure(x[order], y[order]) - value,
        EXCHANGE: measure(y, x) - value,
        COPY: measure(x, x) - 1.0,
    }


@pytest.mark.parametrize("name", MEASURES)
@given(
    n=st.integers(12, 40),
    dx=st.integers(2, 12),
    dy=st.integers(2, 12),
    seed=st.integers(0, 999),
    scale=st.sampled_from([1e-200, 1e-3, 7.0, 1e200]),
)
def test_laws(name, n, dx, dy, seed, scale):
    x, y = sides(name, n, dx, dy, seed)
    try:
        value, moved = changes(name, n, dx, dy, seed)
    except UndefinedError:
        assert name == "pwcca"  # too many directions for so few rows
        return
    assert value <= 1.0
    assert FUNCTIONS[name](x * scale, y) == pytest.approx(value, abs=1e-9)
    assert FUNCTIONS[name](x, y * scale) == pytest.approx(value, abs=1e-9)
    assert {law: moved[law] for law in INVARIANCES[name]} == pytest.approx(
        dict.fromkeys(INVARIANCES[name], 0), abs=1e-8
    )


@pytest.mark.parametrize("name", MEASURES)
def test_laws_that_are_not_claimed_do_not_hold(name):
    dx, dy = {"heldout_r2": (40, 5), "pwcca": (5, 4)}.get(name, (5, 5))  # a wide x; as many directions of either side
    moved = changes(name, 60, dx, dy, 1)[1]
    assert {law for law, change in moved.items() if abs(change) < 1e-6} == INVARIANCES[name]


@given(n=st.integers(5, 30), d=st.integers(2, 12), seed=st.integers(0, 999))
def test_laws_of_the_other_distances(n, d, seed):
    x, y = related(n, d, d, seed)
    turned = x @ rotation(d, seed)
    for inner in ("cosine", "euclidean"):
        assert similarity.rsa(turned, y, inner, "pearson") == pytest.approx(
            similarity.rsa(x, y, inner, "pearson"), abs=1e-9
        )
    assert similarity.rsa(turned + 2.0, turned, "euclidean") == pytest.approx(1.0, abs=1e-9)


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
    x, y = sides(name, 40, 5, 6)
    x, y = x[np.arange(40) // 2], y[np.arange(40) // 2]
    x[:, 2] = 0.3
    assert FUNCTIONS[name](x, y) == pytest.approx(ORACLES[name](x, y), abs=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_undefined_inputs_say_why(name):
    measure = FUNCTIONS[name]
    x, y = sides(name, 20, 3, 4)
    fewest = FEWEST[name]
    assert np.isfinite(measure(x[: fewest + 1], y[: fewest + 1]))
    with pytest.raises(UndefinedError, match=rf"needs at least {fewest} rows?, got {fewest - 1}"):
        measure(x[: fewest - 1], y[: fewest - 1])
    with pytest.raises(UndefinedError, match=rf"needs at least {fewest} rows?, got 0"):
        measure(x[:0], y[:0])
    if name == "paired_cosine":  # equal rows have a direction, and rows of zeros have none
        with pytest.raises(UndefinedError, match="y must have a row that is not zero, got 20 rows of zeros"):
            measure(x, np.zeros_like(y))
        with pytest.raises(UndefinedError, match="x and y must have the same dimensions, got 3 and 2"):
            measure(x, y[:, :2])
        return
    with pytest.raises(UndefinedError, match="y must vary between rows, got 20 equal rows"):
        measure(x, np.full((20, 4), 0.1))
    with pytest.raises(UndefinedError, match="x must vary between rows"):
        measure(np.empty((20, 0)), y)


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
    x, y = related(9, 4, 4)
    with pytest.raises(ValueError, match=r"x and y must have one row a pair, got shapes \(9, 4\) and \(8, 4\)"):
        measure(x, y[:8])
    with pytest.raises(ValueError, match="y must be finite, got 1 NaN or infinite"):
        measure(x, np.where(np.arange(36).reshape(9, 4) == 5, np.nan, y))
    with pytest.raises(ValueError, match=r"x must have 2 dimensions, got shape \(9,\)"):
        measure(x[:, 0], y)
    with pytest.raises(TypeError, match="x must be convertible to float64"):
        measure(x.astype(str), y)


@pytest.mark.parametrize("variance", [0.0, -1, 1.01, np.nan])
def test_variance_is_a_share(variance):
    for measure in ("svcca", "svcca_capped", "cca_r2", "pwcca", "heldout_cca"):
        with pytest.raises(ValueError, match="variance must be a share above 0 and at most 1"):
            FUNCTIONS[measure](*related(9, 3, 4), variance=variance)


def test_unknown_distances_are_listed():
    x, y = related(9, 3, 4)
    with pytest.raises(ValueError, match="inner must be one of correlation, cosine, euclidean, got 'l1'"):
        similarity.rsa(x, y, inner="l1")
    with pytest.raises(ValueError, match="outer must be one of spearman, pearson, got 'kendall'"):
        similarity.rsa(x, y, outer="kendall")
