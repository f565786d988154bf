"""match and its pairing rules against textbook correlations."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from analogue import FeatureActivations, cost, match
from analogue.correlations import pair_correlations


def codes(rng, tokens, features, density=0.15, signed=False):
    values = rng.choice([0.5, 1.0, 1.5, 3.0], (tokens, features)) * (rng.random((tokens, features)) < density)
    return values * rng.choice([-1, 1], values.shape) if signed else values


def padded(found, top):
    """Ids and correlations as arrays, -1 and 0.0 where there are fewer than ``top``."""
    rows = [(row + [(-1, 0.0)] * top)[:top] for row in found]
    return np.array([[i for i, _ in row] for row in rows]), np.array([[r for _, r in row] for row in rows])


sizes = st.sampled_from([1, 7, 63])


@given(st.integers(0, 2**32 - 1), sizes, sizes, st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_both_backends_equal_the_oracle(seed, features_a, features_b, top, min_activations, signed):
    rng = np.random.default_rng(seed)
    x = codes(rng, 40, features_a, signed=signed)
    y = codes(rng, 40, features_b, signed=signed)
    y[:, : min(features_a, features_b) // 2] = x[:, : min(features_a, features_b) // 2]
    a, b = FeatureActivations.from_dense(x), FeatureActivations.from_dense(y)
    enough_x, enough_y = ((side != 0).sum(axis=0) >= min_activations for side in (x, y))
    to_a = padded(oracles.best_partners_by_fractions(x, y, top, enough_x, enough_y), top)
    to_b = padded(oracles.best_partners_by_fractions(y, x, top, enough_y, enough_x), top)
    for backend in ("sparse", "dense"):
        found = match(a, b, top=top, backend=backend, min_activations=min_activations)
        for name, want in zip(("best_a", "corr_a", "best_b", "corr_b"), to_a + to_b, strict=True):
            got = getattr(found, name)
            want = want[:, 0] if top == 1 else want
            assert got.shape == want.shape
            if name.startswith("best"):
                np.testing.assert_array_equal(got, want, err_msg=f"{backend} {name}")
            else:
                np.testing.assert_allclose(got, want, atol=1e-9, err_msg=f"{backend} {name}")


@given(st.integers(0, 2**32 - 1))
def test_rules(seed):
    rng = np.random.default_rng(seed)
    x, y = codes(rng, 60, 20), codes(rng, 60, 15)
    found = match(FeatureActivations.from_dense(x), FeatureActivations.from_dense(y))
    r = oracles.pearson_matrix(x, y)
    for rule in ("b_to_a", "a_to_b", "mutual"):
        pairs = found.pairs(rule)
        np.testing.assert_allclose(pairs.correlation, r[pairs.feature_a, pairs.feature_b], atol=1e-9)
        assert [stage.name for stage in pairs.stages] == ["candidates", rule]
        assert pairs.stages[-1].counts == pairs.counts
        assert pairs.counts.pairs == len(pairs)
    b_to_a, a_to_b, mutual = (
        set(zip(p.feature_a.tolist(), p.feature_b.tolist(), strict=True))
        for p in map(found.pairs, ("b_to_a", "a_to_b", "mutual"))
    )
    assert mutual == b_to_a & a_to_b


def test_a_permuted_copy_is_recovered_whole():
    rng = np.random.default_rng(0)
    x = codes(rng, 500, 63)
    order = rng.permutation(63)
    pairs = match(FeatureActivations.from_dense(x), FeatureActivations.from_dense(x[:, order])).pairs("mutual")
    np.testing.assert_array_equal(pairs.feature_a, order[pairs.feature_b])
    assert len(pairs) == 63
    np.testing.assert_allclose(pairs.correlation, 1.0, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_correlation_given_token(seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 8, 60)
    x, y = codes(rng, 60, 12), codes(rng, 60, 9)
    x[:, 0] = tokens  # a feature of the token's identity alone: nothing is left of it within a token id
    a = FeatureActivations.from_dense(x, token_ids=tokens)
    b = FeatureActivations.from_dense(y, token_ids=tokens)
    pairs = match(a, b).pairs("b_to_a")
    expected = oracles.within_group_correlation(x, y, tokens)[pairs.feature_a, pairs.feature_b]
    np.testing.assert_allclose(pairs.correlation_given_token, expected, atol=1e-9)
    everything = np.divmod(np.arange(12 * 9), 9)
    all_pairs = pair_correlations(a, b, *everything, given=tokens).reshape(12, 9)
    np.testing.assert_allclose(all_pairs, oracles.within_group_correlation(x, y, tokens), atol=1e-9)
    assert not all_pairs[0].any()


def test_without_token_ids_there_is_no_correlation_given_token():
    x = codes(np.random.default_rng(0), 30, 5)
    acts = FeatureActivations.from_dense(x)
    assert match(acts, acts).pairs().correlation_given_token is None


@pytest.mark.parametrize(("tokens", "features"), [(0, 3), (1, 1), (5, 1)])
def test_nothing_to_match(tokens, features):
    acts = FeatureActivations.from_dense(np.zeros((tokens, features)))
    found = match(acts, acts)
    np.testing.assert_array_equal(found.best_a, -1)
    np.testing.assert_array_equal(found.corr_b, 0.0)
    pairs = found.pairs("mutual")
    assert pairs.counts == (0, 0, 0, 0, None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"top": 0}, "top must be at least 1, got 0"),
        ({"min_activations": 0}, "min_activations must be at least 1"),
        ({"backend": "gpu"}, "backend must be one of auto, sparse, dense, got 'gpu'"),
    ],
)
def test_bad_arguments(arguments, sentence):
    acts = FeatureActivations.from_dense(np.eye(3))
    with pytest.raises(ValueError, match=sentence):
        match(acts, acts, **arguments)
    with pytest.raises(ValueError, match=r"rule must be one of mutual, .*, assignment, got 'best'"):
        match(acts, acts).pairs("best")


def test_matches_and_activations_in_a_line():
    a, b = FeatureActivations.from_dense(np.eye(3, 4)), FeatureActivations.from_dense(np.eye(3))
    assert repr(a) == "FeatureActivations(3 tokens, 4 features, 3 entries)"
    assert repr(match(a, b)) == "Matches(4 x 3 features, 3 tokens, top 1, by pearson)"
    given = match(a, b, top=2, given=[0, 0, 1])
    assert repr(given) == "Matches(4 x 3 features, 3 tokens, top 2, by pearson given groups)"


def test_different_tokens_are_refused():
    acts = FeatureActivations.from_dense(np.eye(3), token_ids=[1, 2, 3])
    with pytest.raises(ValueError, match="must hold the same tokens, got 3 and 4"):
        match(acts, FeatureActivations.from_dense(np.eye(4)))
    with pytest.raises(ValueError, match="their token_ids differ"):
        match(acts, FeatureActivations.from_dense(np.eye(3), token_ids=[1, 2, 4]))


def test_auto_goes_by_cost(monkeypatch):
    from analogue import matching

    rng = np.random.default_rng(0)
    neurons = FeatureActivations.from_dense(rng.standard_normal((300, 200)))
    latents = FeatureActivations.from_dense(codes(rng, 300, 200, density=0.02))
    spies = {name: mock.Mock(wraps=getattr(matching, name)) for name in ("correlation_best", "sparse_best")}
    for name, spy in spies.items():
        monkeypatch.setattr(matching, name, spy)
    found = match(neurons, neurons)
    assert [spy.call_count for spy in spies.values()] == [1, 0]
    np.testing.assert_array_equal(found.best_a, match(neurons, neurons, backend="sparse").best_a)
    match(latents, latents)
    assert [spy.call_count for spy in spies.values()] == [1, 2]


@pytest.mark.parametrize("metric", ["pearson", "cosine", "jaccard"])
def test_metrics_agree_between_backends(metric):
    rng = np.random.default_rng(2)
    a, b = (FeatureActivations.from_dense(codes(rng, 80, features, density=0.3)) for features in (33, 20))
    found = {backend: match(a, b, top=3, metric=metric, backend=backend) for backend in ("sparse", "dense")}
    for name in ("best_a", "best_b", "corr_a", "corr_b"):
        sparse, dense = (getattr(found[backend], name) for backend in ("sparse", "dense"))
        np.testing.assert_allclose(sparse, dense, atol=1e-12, err_msg=name)


def test_costs_count_updates_pairs_products_and_passes():
    rng = np.random.default_rng(1)
    x, y = codes(rng, 60, 20), codes(rng, 60, 15)
    x[:, 3] = y[:, :2] = 0
    a, b = FeatureActivations.from_dense(x), FeatureActivations.from_dense(y)
    updates = ((x[:, :, None] != 0) & (y[:, None] != 0)).sum()
    assert cost.sparse_cost(a, b) == pytest.approx(updates + 9.0 * 19 * 13)
    assert cost.dense_cost(a, b) == pytest.approx(0.048 * 60 * 19 * 13 + 6.0 * 60 * 4 * (20 + 15))
    assert cost.dense_cost(a, b, min_activations=61) == pytest.approx(6.0 * 60 * 3 * (20 + 15))
