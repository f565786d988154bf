"""Sparse and dense against float64 matrices, on columns of every awkward kind, drawn side by side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analogue as an
import oracles

KINDS = ("dead", "constant", "always", "one token", "sparse", "signed", "tied", "first half", "second half", "faint")


def column(rng, kind, n):
    """One column of n tokens."""
    sparse = rng.choice([0.5, 1.0, 3.0], n) * (rng.random(n) < 0.2)
    return {
        "dead": lambda: np.zeros(n),
        "constant": lambda: np.full(n, 0.3),
        "always": lambda: 5 + rng.random(n),
        "one token": lambda: 2.0 * (np.arange(n) == rng.integers(n)),
        "sparse": lambda: sparse * rng.random(n),
        "signed": lambda: sparse * rng.choice([-1, 1], n),
        "tied": lambda: 1.0 * (np.arange(n) % 3 == 0),
        "first half": lambda: sparse * (np.arange(n) < n // 2),
        "second half": lambda: sparse * (np.arange(n) >= n // 2),  # never fires together with the one before
        "faint": lambda: 1e-20 * sparse,
    }[kind]()


def matrix(x, y, metric):
    """Scores of all pairs in float64; -inf where one is no candidate."""
    if metric == "pearson":
        return np.nan_to_num(oracles.pearson_matrix(x, y), nan=-np.inf)
    if metric == "jaccard":
        x, y = (x != 0).astype(float), (y != 0).astype(float)
        both = x.T @ y
        with np.errstate(invalid="ignore"):
            found = both / (x.sum(0)[:, None] + y.sum(0) - both)
    else:
        with np.errstate(invalid="ignore"):
            found = (x / np.linalg.norm(x, axis=0)).T @ (y / np.linalg.norm(y, axis=0))
    found[~x.any(axis=0)], found[:, ~y.any(axis=0)] = -np.inf, -np.inf
    return found


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 7, 63, 257]),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=12),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=12),
    st.integers(1, 3),
    st.sampled_from(["pearson", "cosine", "jaccard"]),
    st.booleans(),
)
def test_every_kind_of_column(seed, n, kinds_a, kinds_b, top, metric, masked):
    rng = np.random.default_rng(seed)
    x, y = (np.stack([column(rng, kind, n) for kind in kinds], 1).astype(np.float32) for kinds in (kinds_a, kinds_b))
    kept = rng.random(n) < 0.7 if masked else np.ones(n, dtype=bool)  # masked tokens never get into activations
    x, y = x[kept].astype(np.float64), y[kept].astype(np.float64)
    a, b = an.FeatureActivations.from_dense(x), an.FeatureActivations.from_dense(y)
    scores = matrix(x, y, metric) if len(x) else np.full((len(kinds_a), len(kinds_b)), -np.inf)
    for backend in ("sparse", "dense"):
        found = an.match(a, b, top=top, backend=backend, metric=metric)
        for ids, values, table in ((found.best_a, found.corr_a, scores.T), (found.best_b, found.corr_b, scores)):
            ids, values = ids.reshape(len(table), top), values.reshape(len(table), top)
            best = -np.sort(-table, axis=1)[:, :top]
            best = np.pad(best, ((0, 0), (0, top - best.shape[1])), constant_values=-np.inf)
            np.testing.assert_array_equal(ids >= 0, np.isfinite(best), err_msg=backend)
            np.testing.assert_allclose(values, np.where(np.isfinite(best), best, 0.0), atol=1e-5, rtol=0)
            chosen = np.take_along_axis(table, np.maximum(ids, 0), axis=1)
            np.testing.assert_allclose(chosen[ids >= 0], values[ids >= 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("metric", ["pearson", "cosine", "jaccard"])
def test_no_feature_fires_together_with_another(metric):
    """Without co-firing the best partner is found all the same: the rarest for Pearson, the first for the others."""
    x, y = np.zeros((90, 7)), np.zeros((90, 9))
    for feature in range(7):
        x[feature * 6 : feature * 6 + 7 - feature, feature] = 1.0
    for feature in range(9):
        y[45 + feature * 5 : 45 + feature * 5 + 1 + feature % 5, feature] = 2.0
    a, b = an.FeatureActivations.from_dense(x), an.FeatureActivations.from_dense(y)
    for backend in ("sparse", "dense"):
        found = an.match(a, b, backend=backend, metric=metric)
        assert (found.best_a == (6 if metric == "pearson" else 0)).all()
        assert (found.best_b == 0).all()
        table = matrix(x, y, metric)
        np.testing.assert_allclose(found.corr_a, table.max(axis=0), atol=1e-9)
        np.testing.assert_allclose(found.corr_b, table.max(axis=1), atol=1e-9)
