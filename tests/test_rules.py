"""Pairing rules: every rule against loops, and the assignment against a dense solver."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from analogue import FeatureActivations, Matches, match, rules, soft_match
from analogue.assignment import Graph, Optimum, assign, optimum
from analogue.rules import Candidates

GRID = [-0.5, 0.0, 0.25, 0.5, 0.5, 1.0]
seeds = st.integers(0, 2**32 - 1)
sizes = st.sampled_from([1, 2, 7, 12])
tops = st.sampled_from([1, 2, 3, 20])


def weights_of(seed, n_a, n_b, ties=True):
    rng = np.random.default_rng(seed)
    return rng.choice(GRID, (n_a, n_b)) if ties else rng.uniform(-0.5, 1.0, (n_a, n_b))


def matches_of(weights, top, acts=None, metric="pearson"):
    """Matches of a matrix of weights, A x B, on activations that are zero unless given."""
    a, b = acts or (FeatureActivations.from_dense(np.zeros((3, n))) for n in weights.shape)
    return Matches(*oracles.ranked(weights.T, top), *oracles.ranked(weights, top), a, b, metric=metric)


def listed(pairs):
    return list(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True))


def choices(weights):
    """(a, b, r) of every B's best A, and of every A's best B."""
    to_a = [(int(a[0]), b, weights[a[0], b]) for b, a in enumerate(oracles.ranked(weights.T, 1)[0])]
    to_b = [(a, int(b[0]), weights[a, b[0]]) for a, b in enumerate(oracles.ranked(weights, 1)[0])]
    return to_a, to_b


@given(seeds, sizes, sizes, tops)
def test_rules_equal_loops(seed, n_a, n_b, top):
    weights = weights_of(seed, n_a, n_b)
    matches = matches_of(weights, top)
    to_a, to_b = ({row[:2] for row in rows} for rows in choices(weights))
    assert set(listed(matches.pairs("b_to_a"))) == to_a
    assert set(listed(matches.pairs("a_to_b"))) == to_b
    assert set(listed(matches.pairs("mutual"))) == to_a & to_b
    union = matches.pairs("union")
    assert listed(union) == sorted(to_a | to_b)
    np.testing.assert_array_equal(union.correlation, weights[union.feature_a, union.feature_b])


@given(seeds, sizes, sizes, st.sampled_from([1, 2, 5, 10, 100, 1000]))
def test_capacity_keeps_the_best_of_every_hub(seed, n_a, n_b, k):
    weights = weights_of(seed, n_a, n_b)
    matches = matches_of(weights, 1)
    to_a, to_b = choices(weights)
    pairs = matches.pairs("capacity", k=k)
    assert set(listed(pairs)) == oracles.capped(to_a, k)
    assert pairs.counts.unique_b == len(pairs)
    assert [stage.name for stage in pairs.stages] == ["candidates", f"capacity {k} b_to_a"]
    assert pairs.stages[0].counts.pairs == n_b
    mirrored = matches.pairs("capacity", k=k, direction="a_to_b")
    assert {(b, a) for a, b in listed(mirrored)} == oracles.capped([(b, a, r) for a, b, r in to_b], k)
    for found, rule in ((pairs, "b_to_a"), (mirrored, "a_to_b")):
        if k >= max(n_a, n_b):
            assert listed(found) == listed(matches.pairs(rule))


@given(seeds, sizes, sizes, tops, st.booleans())
def test_assignment_is_the_largest_on_its_graph_and_the_bound_holds(seed, n_a, n_b, top, ties):
    weights = weights_of(seed, n_a, n_b, ties)
    matches = matches_of(weights, top)
    pairs = matches.pairs("assignment")
    assert pairs.counts.highest_multiplicity <= 1
    np.testing.assert_array_equal(pairs.correlation, weights[pairs.feature_a, pairs.feature_b])
    assert (pairs.correlation > 0).all()
    graph = np.zeros_like(weights)
    for row, columns in enumerate(matches.candidates.best_b):
        graph[row, columns[columns >= 0]] = weights[row, columns[columns >= 0]]
    for column, rows in enumerate(matches.candidates.best_a):
        graph[rows[rows >= 0], column] = weights[rows[rows >= 0], column]
    found = pairs.stages[-1].optimum
    assert found.total == pytest.approx(pairs.correlation.sum(), abs=1e-12)
    assert found.total == pytest.approx(oracles.largest_assignment(graph), abs=1e-9)
    full = oracles.largest_assignment(weights)
    assert found.upper_bound >= full - 1e-9
    useful = np.maximum(weights, 0.0)
    assert found.upper_bound <= min(useful.max(axis=0).sum(), useful.max(axis=1).sum()) + 1e-9
    if top >= min(n_a, n_b):  # one side lists everything
        assert found.gap == pytest.approx(0.0, abs=1e-9)


@given(seeds, sizes, sizes)
def test_more_candidates_never_weigh_less(seed, n_a, n_b):
    weights = weights_of(seed, n_a, n_b, ties=False)
    totals = [matches_of(weights, top).pairs("assignment").stages[-1].optimum.total for top in (1, 2, 4, 20)]
    assert (np.diff(totals) >= -1e-9).all()


def test_the_bound_is_tight_where_the_noise_is_flat():
    """Random weights, 8 of 200 candidates: what is not listed could add 0.2 % at most."""
    weights = np.random.default_rng(0).random((200, 200))
    found = matches_of(weights, 8).pairs("assignment").stages[-1].optimum
    assert 0 <= oracles.largest_assignment(weights) - found.total <= found.gap <= 2e-3 * found.total


def test_no_bad_pair_is_forced():
    """One good pair and features that only dislike or ignore each other: a perfect matching would pair them all."""
    weights = np.full((6, 6), -0.2)
    weights[:, 5] = 0.0
    weights[2, 3] = 0.919
    weights[2, 0] = weights[1, 3] = 0.9
    pairs = matches_of(weights, 3).pairs("assignment")
    assert sorted(listed(pairs)) == [(1, 3), (2, 0)]
    alone = weights.copy()
    alone[2, 0] = alone[1, 3] = 0.372
    pairs = matches_of(alone, 3).pairs("assignment")
    assert listed(pairs) == [(2, 3)]
    assert pairs.stages[-1].optimum == Optimum(0.919, pytest.approx(0.919))
    assert len(matches_of(np.full((4, 5), -0.1), 2).pairs("assignment")) == 0


def test_prices_settle_on_long_alternating_paths():
    """A ladder where every A lists its own and the next B: the prices depend on each other all along it."""
    n = 300
    a, b = np.repeat(np.arange(n), 2)[:-1], np.repeat(np.arange(n), 2)[1:]
    weight = np.where(a == b, 0.5, 0.6) + np.linspace(0, 0.1, len(a))
    graph = Graph(a, b, weight, np.zeros(n), np.zeros(n))
    matched = assign(graph)
    dense = np.zeros((n, n))
    dense[a, b] = weight
    assert weight[matched].sum() == pytest.approx(oracles.largest_assignment(dense), abs=1e-9)
    assert optimum(graph, matched).gap == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("n_a", "n_b"), [(0, 3), (3, 0)])
def test_an_empty_side(n_a, n_b):
    best = [np.full((n, 2), -1) for n in (n_b, n_a)]
    weight = [np.zeros((n, 2)) for n in (n_b, n_a)]
    candidates = Candidates(best[0], weight[0], best[1], weight[1])
    for choose in (rules.b_to_a, rules.a_to_b, rules.union, rules.edges):
        assert len(choose(candidates).weight) == 0


def test_features_that_are_no_candidates_stay_out_of_every_rule():
    x = np.zeros((8, 4))
    x[[0, 1, 2], 1] = [1, 2, 1]
    x[[3, 4], 3] = [1, 3]
    acts = FeatureActivations.from_dense(x)
    matches = match(acts, acts, top=3)
    for rule, k in (("mutual", None), ("union", None), ("capacity", 2), ("assignment", None)):
        assert listed(matches.pairs(rule, k=k)) == [(1, 1), (3, 3)], rule


@given(seeds)
def test_pairs_matched_by_something_else_carry_both(seed):
    """Weights of another metric choose; the correlation of the pairs is plain Pearson all the same."""
    rng = np.random.default_rng(seed)
    x, y = (rng.random((40, n)) * (rng.random((40, n)) < 0.4) for n in (7, 9))
    weights = rng.uniform(-0.5, 1.0, (7, 9))
    tokens = rng.integers(0, 5, 40)
    acts = tuple(FeatureActivations.from_dense(side, token_ids=tokens) for side in (x, y))
    r, given_token = oracles.pearson_matrix(x, y), oracles.within_group_correlation(x, y, tokens)
    matches = matches_of(weights, 3, acts, metric="cosine")
    for rule in ("mutual", "union", "assignment"):
        pairs = matches.pairs(rule)
        ids = (pairs.feature_a, pairs.feature_b)
        np.testing.assert_array_equal(pairs.value, weights[ids])
        np.testing.assert_array_equal(pairs.weight, pairs.value)
        np.testing.assert_allclose(pairs.correlation, r[ids], atol=1e-6)
        np.testing.assert_allclose(pairs.correlation_given_token, given_token[ids], atol=1e-6)
        assert pairs.metric == "cosine"
        again = type(pairs).from_arrow(pairs.to_arrow(), pairs.stages, pairs.metric)
        np.testing.assert_array_equal(again.value, pairs.value)
    partial = Matches(*matches.candidates, *acts, given=tokens).pairs("b_to_a")
    np.testing.assert_array_equal(partial.value, matches.candidates.weight_a[:, 0])
    real = match(*acts, given="token").pairs("b_to_a")
    np.testing.assert_allclose(real.value, real.correlation_given_token, atol=1e-9)
    plain = match(*acts).pairs("b_to_a")
    assert plain.value is None
    np.testing.assert_array_equal(plain.weight, plain.correlation)


def test_a_permuted_copy_is_assigned_and_transported_whole():
    pytest.importorskip("ot")
    rng = np.random.default_rng(0)
    x = rng.random((400, 63)) * (rng.random((400, 63)) < 0.15)
    order = rng.permutation(63)
    matches = match(FeatureActivations.from_dense(x), FeatureActivations.from_dense(x[:, order]), top=4)
    pairs, plan = matches.pairs("assignment"), soft_match(matches)
    assert listed(pairs) == listed(plan)
    np.testing.assert_array_equal(pairs.feature_a, order[pairs.feature_b])
    assert pairs.stages[-1].optimum.gap == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(plan.mass, 1 / 63)
    assert plan.moved == pytest.approx(1.0)


@pytest.mark.parametrize("mass", [0.25, 0.5, 1.0])
def test_soft_plans_are_optimal(mass):
    """Against a linear program over all pairs: mass at most 1 / n a feature, as much in all as is asked for."""
    from scipy.optimize import linprog

    pytest.importorskip("ot")
    n_a, n_b = 5, 8
    weights = np.random.default_rng(1).uniform(0.01, 1.0, (n_a, n_b))
    plan = soft_match(matches_of(weights, 8), mass)
    sums = np.vstack([np.kron(np.eye(n_a), np.ones(n_b)), np.kron(np.ones(n_a), np.eye(n_b))])
    limits = np.repeat([1 / n_a, 1 / n_b], [n_a, n_b])
    whole = np.ones((1, n_a * n_b))
    best = linprog(-weights.ravel(), A_ub=sums, b_ub=limits, A_eq=whole, b_eq=[mass])
    assert (plan.mass * weights[plan.feature_a, plan.feature_b]).sum() == pytest.approx(-best.fun, abs=1e-9)
    assert plan.moved == pytest.approx(mass)
    assert (np.bincount(plan.feature_a, plan.mass) <= 1 / n_a + 1e-9).all()
    assert (np.bincount(plan.feature_b, plan.mass) <= 1 / n_b + 1e-9).all()
    assert (plan.mass > 0).all()


def test_soft_matching_says_no(monkeypatch):
    matches = matches_of(np.full((3, 4), 0.5), 2)
    with pytest.raises(TypeError, match="matches must be Matches, got Pairs"):
        soft_match(matches.pairs())
    for mass in (0.0, 1.5, None):
        with pytest.raises(ValueError, match="mass must be above 0 and at most 1"):
            soft_match(matches, mass)
    assert soft_match(matches_of(np.full((3, 4), -0.5), 2)).moved == 0
    monkeypatch.setattr("analogue.soft.CELLS", 5)
    with pytest.raises(ValueError, match="at most 5 features of A x features of B, got 3 x 4"):
        soft_match(matches)
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "ot.partial", None)
    with pytest.raises(ModuleNotFoundError, match=r"soft matching needs POT: pip install 'analogue\[soft\]'"):
        soft_match(matches)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"rule": "capacity"}, TypeError, "k must be an integer, got None"),
        ({"rule": "capacity", "k": 0}, ValueError, "k must be at least 1, got 0"),
        ({"rule": "mutual", "k": 3}, ValueError, "k goes with the rule capacity only, got k=3 and the rule mutual"),
        ({"rule": "capacity", "k": 1, "direction": "up"}, ValueError, "direction must be one of b_to_a, a_to_b"),
    ],
)
def test_bad_arguments(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        matches_of(np.eye(3), 1).pairs(**arguments)
