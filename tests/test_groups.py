import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles_nulls
from analogue.nulls import Movable, movable, one_per_token, permutation_test, sibling_groups
from analogue.nulls.groups import exchangeable
from analogue.nulls.permutations import draw_permutations

NONE = -1


@st.composite
def labelled_pairs(draw):
    n = draw(st.integers(0, 14))

    def column(low, high):
        return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))

    return column(0, 12), column(0, 12), column(NONE, 9), column(NONE, 9)


@given(labelled_pairs())
def test_sibling_groups_are_the_connected_components(pairs):
    groups = sibling_groups(*pairs)
    assert groups.dtype == np.int64
    assert groups.tolist() == oracles_nulls.sibling_groups(*pairs)


def test_siblings_chain_over_both_sides_and_no_token_is_no_tie():
    # 0-1 share a feature of A, 1-2 the token of B, 3 shares with nobody though it and 0 lack a token, 4-5 one of A.
    groups = sibling_groups([7, 7, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5], [NONE, 5, 6, NONE, 4, 4], [3, 8, 8, NONE, 1, 2])
    assert groups.tolist() == [0, 0, 0, 1, 2, 2]
    # A token of A is another thing than the same number on side B, and so is a feature.
    assert sibling_groups([0, 1], [1, 0], [4, 5], [5, 4]).tolist() == [0, 1]


def test_large_and_negative_numbers_are_labels_like_others():
    assert sibling_groups([2**62, -(2**62), 2**62], [0, 1, 2], [2**40, 1, 2], [0, 1, 2]).tolist() == [0, 1, 0]


@given(labelled_pairs(), st.data())
def test_one_per_token_keeps_the_best_of_b_then_of_a(pairs, data):
    n = len(pairs[0])
    correlation = data.draw(st.lists(st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.9]), min_size=n, max_size=n))
    kept = one_per_token(pairs[2], pairs[3], correlation)
    assert kept.dtype == np.int64
    assert kept.tolist() == oracles_nulls.one_per_token(pairs[2], pairs[3], correlation)
    for tokens in pairs[2:]:
        named = [tokens[i] for i in kept if tokens[i] != NONE]
        assert len(set(named)) == len(named)


def test_pairs_without_a_token_are_each_kept():
    assert one_per_token([NONE] * 3, [NONE] * 3, [0.1, 0.3, 0.2]).tolist() == [0, 1, 2]
    assert one_per_token([5, 5, 5], [NONE, NONE, 2], [0.1, 0.3, 0.3]).tolist() == [1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=20))
def test_movable_rows_have_a_group_to_change_places_with(rows):
    groups, strata = [row[0] for row in rows], [row[1] for row in rows]
    assert movable(groups) == Movable(*oracles_nulls.movable(groups))
    assert movable(groups, strata) == Movable(*oracles_nulls.movable(groups, strata))
    members = [place for members in exchangeable(groups, strata) for place in members.ravel().tolist()]
    assert sorted(members) == list(range(len(rows)))


@pytest.mark.parametrize(
    ("groups", "strata", "arrangements"),
    [
        ([0, 1, 2, 3], None, 24),
        ([0, 1, 0, 2, 1, 3, 4], None, 2 * 6),
        ([0, 1, 0, 1, 0, 1], None, 2),
        ([0, 0, 0, 1, 2, 1, 2], None, 2),
        ([3, 3, 3, 3], None, 1),
        ([0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 0, 2], 6 * 2),
        ([0, 0, 1, 1, 2, 2], [0, 1, 1, 0, 0, 0], 2),  # members of the second group change their order: strata first
        ([0, 0, 1, 1, 2, 3], [0, 0, 0, 1, 1, 1], 2),
    ],
)
def test_every_admissible_arrangement_is_equally_likely(groups, strata, arrangements):
    expected = oracles_nulls.admissible(groups, strata)
    assert len(expected) == arrangements
    count = 1000 * arrangements
    drawn = draw_permutations(np.random.default_rng(0), exchangeable(groups, strata), len(groups), count)
    assert drawn.dtype == np.int64
    orders, times = np.unique(drawn, axis=0, return_counts=True)
    assert {tuple(order) for order in orders.tolist()} == expected
    from scipy.stats import chi2

    assert ((times - 1000) ** 2 / 1000).sum() <= chi2.isf(1e-3, max(1, arrangements - 1))


def test_the_order_of_the_labels_changes_nothing():
    groups = np.array([4, 4, 9, 1, 1, 9, 0, 7])
    drawn = [
        draw_permutations(np.random.default_rng(1), exchangeable(labels), 8, 50)
        for labels in (groups, 10 - groups, np.unique(groups, return_inverse=True)[1])
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sibling_groups([0], [0], [0], [-2]), "token_b must be token numbers from 0, or -1 for none, got -2"),
        (
            lambda: sibling_groups([0, 1], [0, 1], [0], [0, 1]),
            "token_a must have one entry a pair as feature_a has, 2, got 1",
        ),
        (lambda: sibling_groups([[0]], [0], [0], [0]), r"feature_a must have 1 dimension, got shape \(1, 1\)"),
        (
            lambda: one_per_token([0], [0], [0.1, 0.2]),
            "correlation must have one entry a pair as token_a has, 1, got 2",
        ),
        (lambda: one_per_token([0], [0], [np.nan]), "correlation must be finite, got 1 NaN or infinite values"),
        (lambda: movable([0, 1], [0]), "strata must have one entry a pair as groups has, 2, got 1"),
    ],
)
def test_bad_labels_are_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_are_integers():
    with pytest.raises(TypeError, match="groups must be convertible to int64, got dtype float64"):
        movable([0.5, 1.0])
    with pytest.raises(TypeError, match="token_a must be convertible to int64, got dtype float64"):
        sibling_groups([0], [0], [np.nan], [0])


def siblings_in_both_models(rng, groups, dims=(5, 6), strength=2.0):
    """Rows that are alike within groups, in either model for itself: the sides share nothing else."""
    count = groups.max() + 1
    return [rng.standard_normal((len(groups), d)) + strength * rng.standard_normal((count, d))[groups] for d in dims]


def test_siblings_hold_where_pairing_does_not():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), [1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3])
    trials, p = 500, {"pairing": [], "siblings": []}
    for trial in range(trials):
        x, y = siblings_in_both_models(rng, groups)
        for null, choice in (("pairing", {}), ("siblings", {"groups": groups})):
            score = permutation_test(x, y, "rsa", null, permutations=39, seed=trial, **choice)["rsa"]
            p[null].append(score.p_value)
    p = {null: np.array(values) for null, values in p.items()}
    assert (p["pairing"] <= 0.05).mean() > 0.3
    steps = np.arange(1, 41) / 40
    gap = np.abs((p["siblings"][:, None] <= steps + 1e-12).mean(axis=0) - steps).max()
    assert gap < 1.95 / np.sqrt(trials)  # Kolmogorov-Smirnov at 0.1 %
    assert abs((p["siblings"] <= 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / trials)
