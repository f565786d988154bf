"""Leverage: fast forms against recomputation, and copies that leave-one-out does not see."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analogue as an
from analogue.leverage import leverage, near_copies, repeats
from analogue.similarity import MEASURES, UndefinedError
from analogue.similarity.left_out import subspaces_left_out

FAST = ["cka", "rsa", "svcca", "svcca_capped"]


def related(n, dx, dy, seed=0, shared=6, noise=1.0):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, shared))
    x = common @ rng.standard_normal((shared, dx)) + noise * rng.standard_normal((n, dx))
    return x, common @ rng.standard_normal((shared, dy)) + noise * rng.standard_normal((n, dy))


def unit(n, d, rng):
    drawn = rng.standard_normal((n, d))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def copied(side, copies):
    """The first row, ``copies`` more times at the end."""
    return np.vstack([side, np.repeat(side[:1], copies, axis=0)])


def without(name, x, y, rows):
    return getattr(an.similarity, name)(np.delete(x, rows, axis=0), np.delete(y, rows, axis=0))


def ranks(values):
    return np.argsort(np.argsort(values))


@pytest.mark.parametrize("shape", [(7, 3, 2), (20, 3, 4), (63, 100, 40)], ids=str)
def test_cka_leverage_equals_recomputation_for_pairs_and_groups(shape):
    x, y = related(*shape)
    n = len(x)
    labels = np.random.default_rng(1).integers(0, n // 3, n)
    found = leverage(x, y, "cka", {"own": labels})
    assert found.observed == an.similarity.cka(x, y)
    np.testing.assert_allclose(found.without, [without("cka", x, y, [i]) for i in range(n)], atol=1e-11)
    np.testing.assert_allclose(found.influence, found.observed - found.without, atol=0)
    assert found.exact.all()
    sets = [np.flatnonzero(labels == label) for label in range(n // 3)]
    assert sorted(group.rows.tolist() for group in found.groups) == sorted(s.tolist() for s in sets if len(s) > 1)
    for group in found.groups:
        assert group.exact
        if n - len(group.rows) < 4:
            assert group.without is None
        else:
            assert group.without == pytest.approx(without("cka", x, y, group.rows), abs=1e-11)
            assert group.influence == pytest.approx(found.observed - group.without, abs=1e-15)


def spearman_of_kept_ranks(x, y, rows):
    """Correlation of the ranks that all distances have, over the distances that stay."""
    from scipy.spatial.distance import pdist, squareform
    from scipy.stats import rankdata

    kept = np.delete(np.arange(len(x)), rows)
    ranked = [squareform(rankdata(pdist(side, "correlation").round(12)))[np.ix_(kept, kept)] for side in (x, y)]
    below = np.tril_indices(len(kept), -1)
    return np.corrcoef(ranked[0][below], ranked[1][below])[0, 1]


@pytest.mark.parametrize("shape", [(7, 3, 4), (63, 40, 30)], ids=str)
def test_rsa_leverage_keeps_the_ranks_and_orders_pairs_as_recomputation_does(shape):
    x, y = related(*shape)
    n = len(x)
    found = leverage(x, y, "rsa", {"own": np.arange(n) // 3})
    np.testing.assert_allclose(found.without, [spearman_of_kept_ranks(x, y, [i]) for i in range(n)], atol=1e-11)
    for group in found.groups:
        assert group.without == pytest.approx(spearman_of_kept_ranks(x, y, group.rows), abs=1e-11)
        assert not group.exact
    assert not found.exact.any()
    if n > 7:
        again = np.array([without("rsa", x, y, [i]) for i in range(n)])
        assert np.corrcoef(ranks(found.without), ranks(again))[0, 1] > 0.99
        assert np.abs(found.without - again).max() < 0.05 * np.ptp(again)


def correlations_in_kept_directions(x, y, rows, variance=0.99):
    """SVCCA on the rows that stay, projected on the principal directions of all rows: QR of what is left."""
    kept = []
    for side in (x, y):
        centred = side - side.mean(axis=0)
        _, values, axes = np.linalg.svd(centred, full_matrices=False)
        k = np.argmax(np.cumsum(values**2) >= (variance - 1e-12) * (values**2).sum()) + 1
        scores = np.delete(centred @ axes[:k].T, rows, axis=0)
        u, s, _ = np.linalg.svd(scores - scores.mean(axis=0), full_matrices=False)
        kept.append(u[:, s > 1e-8 * s[0]])
    cosines = np.linalg.svd(kept[0].T @ kept[1], compute_uv=False)
    return cosines.sum() / min(kept[0].shape[1], kept[1].shape[1])


@pytest.mark.parametrize("shape", [(9, 3, 2), (30, 4, 6), (63, 100, 40), (40, 60, 8)], ids=str)
def test_svcca_fast_form_is_svcca_in_the_directions_of_all_pairs(shape):
    x, y = related(*shape)
    n = len(x)
    found = leverage(x, y, "svcca", {"own": np.arange(n) // 4}, recomputed=0)
    expected = [correlations_in_kept_directions(x, y, [i]) for i in range(n)]
    np.testing.assert_allclose(found.without, expected, atol=1e-7)
    for group in found.groups:
        assert group.without == pytest.approx(correlations_in_kept_directions(x, y, group.rows), abs=1e-7)
    assert not found.exact.any()


def test_a_direction_that_one_pair_holds_alone_leaves_with_it():
    x, y = related(30, 4, 5, shared=3)
    x, y = np.hstack([x, np.zeros((30, 1))]), np.hstack([y, np.zeros((30, 1))])
    x[7, 4], y[7, 5] = 40.0, 60.0
    found = leverage(
        x, y, "svcca", {"with": np.where(np.isin(np.arange(30), [7, 9]), 0, np.arange(30) + 1)}, recomputed=0
    )
    assert found.order[0] == 7
    assert found.without[7] == pytest.approx(correlations_in_kept_directions(x, y, [7]), abs=1e-9)
    assert found.groups[0].without == pytest.approx(correlations_in_kept_directions(x, y, [7, 9]), abs=1e-9)


@pytest.mark.parametrize("name", ["svcca", "svcca_capped"])
def test_pairs_of_largest_influence_are_computed_again(name):
    x, y = related(60, 30, 20, shared=4)
    x[[3, 11]] *= 6
    y[[3, 20]] *= 6
    ranked = leverage(x, y, name, recomputed=0)
    found = leverage(x, y, name, {"own": np.arange(60) // 3}, recomputed=5)
    assert set(np.flatnonzero(found.exact)) == set(ranked.order[:5])
    for row in np.flatnonzero(found.exact):
        assert found.without[row] == without(name, x, y, [row])
    np.testing.assert_array_equal(found.without[~found.exact], ranked.without[~found.exact])
    assert sum(group.exact for group in found.groups) == 5
    for group in found.groups:
        if group.exact:
            assert group.without == without(name, x, y, group.rows)


def test_the_fast_form_of_svcca_finds_the_pairs_that_matter():
    x, y = related(120, 40, 30, shared=4)
    x[:6] *= np.linspace(6, 3, 6)[:, None]
    y[:6] *= np.linspace(6, 3, 6)[:, None]
    everything = np.array([without("svcca", x, y, [i]) for i in range(120)])
    largest = np.argsort(-np.abs(an.similarity.svcca(x, y) - everything))[:3]
    assert set(largest) <= set(leverage(x, y, "svcca").order[:20])


def test_every_other_measure_is_computed_again():
    x, y = related(16, 4, 4)
    for name in sorted(set(MEASURES) - set(FAST)):
        found = leverage(x, y, name, {"own": np.arange(16) // 4})
        again = [MEASURES[name].prepare(np.delete(x, i, 0), np.delete(y, i, 0)).observed for i in range(16)]
        np.testing.assert_array_equal(found.without, again)
        assert found.exact.all()
        assert len(found.groups) == 4
        assert all(group.exact for group in found.groups)


def test_two_copies_lift_the_originals_score_from_nothing_to_almost_all():
    rng = np.random.default_rng(1)
    x, y = unit(100, 256, rng), unit(100, 300, rng)
    assert an.similarity.pc1_corr(x, y) < 0.1
    found = leverage(copied(x, 2), copied(y, 2), "pc1_corr")
    assert found.observed > 0.75
    assert [group.rows.tolist() for group in found.groups] == [[0, 100, 101]]
    assert found.groups[0].kinds == ("near-copies",)
    assert found.groups[0].influence > 0.65
    assert set(found.order[:3]) == {0, 100, 101}


def test_leave_one_out_does_not_see_nine_copies_and_leave_group_out_does():
    rng = np.random.default_rng(0)
    x, y = unit(227, 128, rng), unit(227, 160, rng)
    alone = an.similarity.cka(x, y)
    assert abs(alone) < 0.02
    found = leverage(copied(x, 8), copied(y, 8), "cka")
    assert len(found.influence) == 235
    assert found.observed > 0.1
    assert np.nanmax(found.influence) < 0.3 * found.observed
    (group,) = found.groups
    assert group.rows.tolist() == [0, *range(227, 235)]
    assert abs(group.without) < 0.02
    assert group.influence > 0.95 * found.observed
    for name in ("rsa", "svcca"):  # which the copies hardly move
        kept, all_pairs = MEASURES[name].prepare(x, y).observed, leverage(copied(x, 8), copied(y, 8), name).observed
        assert abs(all_pairs - kept) < 0.05


def test_kinds_that_agree_on_a_group_are_one_group():
    rng = np.random.default_rng(0)
    x, y = copied(unit(30, 8, rng), 2), copied(unit(30, 9, rng), 2)
    repeated = repeats(np.r_[np.arange(30), 0, 0], np.r_[np.arange(30), 0, 0])
    token = np.r_[np.arange(30) // 10, 5, 5]
    found = leverage(x, y, "cka", {"repeats": repeated, "siblings": token})
    named = {group.kinds: group.rows.tolist() for group in found.groups}
    assert named[("near-copies", "repeats")] == [0, 30, 31]
    assert len(found.groups) == 5
    sizes = [abs(group.influence) for group in found.groups]
    assert sizes == sorted(sizes, reverse=True)
    assert np.abs(found.influence)[found.order].tolist() == sorted(np.abs(found.influence), reverse=True)


def test_near_copies_agree_on_both_sides_and_chain():
    angles = np.deg2rad([0, 5, 10, 90, 90, 180])
    x = np.column_stack([np.cos(angles), np.sin(angles)]) * np.arange(1, 7)[:, None]
    y = np.eye(6)[[0, 0, 0, 1, 2, 0]]
    assert near_copies(x, y).tolist() == [0, 0, 0, 1, 2, 3]
    assert near_copies(x, x).tolist() == [0, 0, 0, 1, 1, 2]
    assert near_copies(x, x, near_cosine=0.999).tolist() == [0, 1, 2, 3, 3, 4]
    assert near_copies(np.zeros((3, 2)), np.ones((3, 2))).tolist() == [0, 1, 2]
    assert near_copies(np.ones((0, 2)), np.ones((0, 2))).tolist() == []


@given(n=st.integers(1, 40), seed=st.integers(0, 999))
def test_near_copies_are_the_components_of_all_pairs_of_rows(n, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, 2)), rng.standard_normal((n, 2))
    cosines = [
        np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a in side] for b in side]) for side in (x, y)
    ]
    label = list(range(n))
    for _ in range(n):
        for i in range(n):
            for j in range(n):
                if cosines[0][i, j] > 0.7 and cosines[1][i, j] > 0.7:
                    label[i] = label[j] = min(label[i], label[j])
    expected = {label: new for new, label in enumerate(dict.fromkeys(label))}
    assert near_copies(x, y, 0.7).tolist() == [expected[own] for own in label]


def test_near_copies_are_found_across_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = copied(unit(30, 8, rng), 3), copied(unit(30, 9, rng), 3)
    whole = near_copies(x, y)
    monkeypatch.setattr(sys.modules["analogue.leverage"], "_BLOCK", 7)  # the name is also a function
    assert near_copies(x, y).tolist() == whole.tolist() == [*range(30), 0, 0, 0]


def test_repeats_share_a_feature_of_either_side():
    assert repeats([5, 6, 5, 7, 8], [1, 2, 3, 2, 9]).tolist() == [0, 1, 0, 1, 2]
    assert repeats([1, 1, 2, 2], [5, 6, 6, 5]).tolist() == [0, 0, 0, 0]
    assert repeats([], []).tolist() == []


@pytest.mark.parametrize("name", FAST)
def test_what_cannot_be_scored_without_a_group_is_undefined_and_last(name):
    x, y = related(8, 3, 4)
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    found = leverage(x, y, name, {"most": labels, "two": np.array([0, 0, 1, 2, 3, 4, 5, 6])})
    assert [group.kinds for group in found.groups] == [("two",), ("most",)]
    assert (found.groups[-1].without, found.groups[-1].influence) == (None, None)
    everything = leverage(x, y, name, {"all": np.zeros(8, dtype=int)}).groups
    assert [group.without for group in everything] == [None]


def test_a_side_that_varies_through_one_pair_only_is_undefined_without_it():
    x, y = related(20, 3, 4)
    x = np.zeros((20, 3))
    x[4] = [1.0, 2.0, -1.0]
    for name in ("svcca", "svcca_capped", "pc1_corr"):
        found = leverage(x, y, name)
        assert np.flatnonzero(np.isnan(found.without)).tolist() == [4]
        assert found.order[-1] == 4


def test_four_pairs_are_the_fewest_for_cka():
    x, y = related(4, 3, 3)
    assert np.isnan(leverage(x, y, "cka").without).all()
    with pytest.raises(UndefinedError, match="at least 4 rows, got 3"):
        leverage(x[:3], y[:3], "cka")


def test_fast_forms_take_what_they_were_made_for():
    x, y = related(9, 3, 3)
    with pytest.raises(TypeError, match="prepared must be Subspaces, got Mantel"):
        subspaces_left_out(MEASURES["cka"].prepare(x, y), [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "cca"}, "measure must be one of svcca, "),
        ({"groups": {"own": np.zeros(8, dtype=int)}}, r"groups\['own'\] must have one label a pair, 9, got 8"),
        ({"near_cosine": 1.5}, "near_cosine must be between -1 and 1, got 1.5"),
        ({"near_cosine": np.nan}, "near_cosine must be between -1 and 1, got nan"),
        ({"recomputed": -1}, "recomputed must be at least 0, got -1"),
        ({"y": np.ones((8, 3))}, r"x and y must have one row a pair, got shapes \(9, 3\) and \(8, 3\)"),
        ({"x": np.full((9, 3), np.nan)}, "x must be finite, got 27 NaN"),
        ({"x": np.ones((9, 3))}, "x must vary between rows, got 9 equal rows"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    x, y = related(9, 3, 3)
    with pytest.raises(ValueError, match=message):
        leverage(**{"x": x, "y": y} | arguments)


def test_labels_are_integers_and_features_come_in_pairs():
    x, y = related(9, 3, 3)
    with pytest.raises(TypeError, match=r"groups\['own'\] must be convertible to int64"):
        leverage(x, y, groups={"own": np.linspace(0, 1, 9)})
    with pytest.raises(TypeError, match="groups must map the name of every kind to its labels, got ndarray"):
        leverage(x, y, groups=np.zeros(9, dtype=int))
    with pytest.raises(ValueError, match="groups must leave the name 'near-copies' to the groups"):
        leverage(x, y, groups={"near-copies": np.zeros(9, dtype=int)})
    with pytest.raises(ValueError, match="feature_b must have one entry a pair as feature_a has, 3, got 2"):
        repeats([1, 2, 3], [1, 2])
