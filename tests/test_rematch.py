from itertools import permutations, product

import numpy as np
import pytest

import worlds
from analogue import FeatureActivations, Procedure, filters, match, rematch, token_conditional
from analogue.nulls import TooFewError

FEATURES = 30


def ids_as_rows(count, width):
    """Rows that name their feature in the first column."""
    rows = np.random.default_rng(count).standard_normal((count, width))
    rows[:, 0] = np.arange(count)
    return rows


def dense_sides(tokens=120, seed=0, shared=0.6):
    """Activations of both sides on three types of token: features fire on one type each, together as `shared` says."""
    rng = np.random.default_rng(seed)
    types = rng.integers(0, 3, tokens)
    home = rng.integers(0, 3, FEATURES)
    here = types[:, None] == home
    common = rng.random((tokens, FEATURES))
    own = rng.random((2, tokens, FEATURES))
    mixed = np.where(rng.random((2, tokens, FEATURES)) < shared, common, own)
    a, b = np.where(here & (mixed < 0.6), rng.exponential(1.0, mixed.shape) + 0.1, 0).astype(np.float32)
    return a, b, types


def procedure(tokens=120, seed=0, shared=0.6, documents=None, **options):
    a, b, types = dense_sides(tokens, seed, shared)
    per_token = {"token_ids": types}
    if documents is not None:
        per_token |= {"document_ids": documents, "positions": np.arange(tokens)}
    acts = [FeatureActivations.from_dense(dense, **per_token) for dense in (a, b)]
    return Procedure(*acts, ids_as_rows(FEATURES, 3), ids_as_rows(FEATURES, 4), **options)


def mutual(a, b):
    """Mutual pairs of dense activations, as a set of ids."""
    found = worlds.pair(a.astype(np.float64), b.astype(np.float64))
    return set(zip(found.a.tolist(), found.b.tolist(), strict=True))


def named(x, y):
    return set(zip(x[:, 0].astype(int).tolist(), y[:, 0].astype(int).tolist(), strict=True))


def test_the_procedure_matches_pairs_and_filters():
    band = filters.correlation(0.3, None)
    again = procedure(rule="b_to_a", filters=band, matching={"min_activations": 5})
    expected = match(again.acts_a, again.acts_b, min_activations=5).pairs("b_to_a").filter(band)
    assert again.pairs().to_arrow().equals(expected.to_arrow())
    x, y = again.rows(expected)
    assert named(x, y) == set(zip(expected.feature_a.tolist(), expected.feature_b.tolist(), strict=True))


@pytest.mark.parametrize("window", [1, 7, 40, 119])
def test_shifts_by_windows_equal_rolled_activations(window):
    a, b, _ = dense_sides()
    shift = rematch.shift(procedure(), window=window)
    left = {frozenset(mutual(a, np.roll(b, offset, axis=0))): offset for offset in range(window, 120, window)}
    assert shift.most == len(range(window, 120, window))
    rng, seen = np.random.default_rng(0), set()
    for done in range(min(shift.most, 12)):
        pairs = named(*shift(rng))
        seen.add(left[frozenset(pairs)])
        assert shift.pairs[done] == len(pairs)
    assert len(seen) == min(shift.most, 12) == len(shift.mean_correlation)


def test_shifts_by_documents_begin_where_one_begins():
    documents = np.repeat([4, 2, 9], [50, 30, 40])
    a, b, _ = dense_sides()
    shift = rematch.shift(procedure(documents=documents))
    rng = np.random.default_rng(0)
    found = [frozenset(named(*shift(rng))) for _ in range(2)]
    assert shift.most == 2
    assert set(found) == {frozenset(mutual(a, np.concatenate([b[start:], b[:start]]))) for start in (50, 80)}
    with pytest.raises(ValueError, match="shift has 2 distinct draws, and all of them were made"):
        shift(rng)


def test_a_new_generator_begins_a_new_series():
    shift = rematch.shift(procedure(), window=10)
    first, second = ([shift(rng)[0] for _ in range(5)] for rng in (np.random.default_rng(0), np.random.default_rng(0)))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(shift.pairs) == 5


def test_shifted_draws_are_cut_to_n_at_random():
    shift = rematch.shift(procedure(), window=10, n=6)
    whole = rematch.shift(procedure(), window=10)
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    assert named(*shift(rng)) < named(*whole(same))
    assert (shift.reached, shift.pairs) == (1.0, whole.pairs)
    with pytest.raises(TooFewError, match=r"too few pairs: \d+, 31 wanted"):
        rematch.shift(procedure(), window=10, n=31)(rng)


def test_shift_goes_through_given_and_refuses_what_cannot_be():
    given = procedure(matching={"given": "token"})
    assert len(rematch.shift(given, window=30)(np.random.default_rng(0))[0]) > 0
    with pytest.raises(ValueError, match="draws must be at most 3, the distinct draws of shift, got 200"):
        rematch.shift(procedure(), window=30).test(*given.rows(given.pairs()))
    with pytest.raises(ValueError, match="window must leave at least 2 windows of 120 tokens, got 120"):
        rematch.shift(procedure(), window=120)
    with pytest.raises(ValueError, match="window must be a number of tokens for activations without document ids"):
        rematch.shift(procedure())
    with pytest.raises(ValueError, match="window must be a number of tokens where there is one document only"):
        rematch.shift(procedure(documents=np.zeros(120, dtype=int)))


def test_shift_scores_under_its_name():
    again = procedure()
    scores = rematch.shift(again, window=5).test(*again.rows(again.pairs()), "cka", draws=19, studentised=True)
    assert (scores["cka"].null, scores["cka"].permutations) == ("shift, studentised", 19)


def test_rematched_pairs_are_those_of_random_candidates():
    again = procedure()
    a, b, _ = dense_sides()
    whole = rematch.rematched(again, FEATURES, FEATURES, 5)
    assert named(*whole(np.random.default_rng(0))) < mutual(a, b)
    few = rematch.rematched(again, 12, 9, 3)
    rng = np.random.default_rng(1)
    drawn = [few(rng) for _ in range(40)]
    assert few.reached == 1.0
    assert {len(x) for x, _ in drawn} == {3}
    assert max(few.pairs) <= 9
    assert len({feature for x, y in drawn for feature, _ in named(x, y)}) > 20  # other candidates in every draw
    # Every pair is mutual among 12 x 9 candidates: fewer rivals than all, so pairs that all together do not make.
    assert any(not named(x, y) <= mutual(a, b) for x, y in drawn)


def test_rematched_draws_that_do_not_reach_n_are_counted():
    again = procedure()
    redraw = rematch.rematched(again, 12, 9, 6)
    score = redraw.test(*again.rows(again.pairs()), "cka", draws=40, min_pairs=4)["cka"]
    missed = sum(pairs < 6 for pairs in redraw.pairs)
    assert 0 < missed < 40
    assert redraw.reached == 1 - missed / 40
    assert score.permutations == 40 - missed
    assert score.note == f"draws of 6 rows; not counted: {missed} of 40 draws with too few pairs"


def test_subset_takes_live_features_unpaired():
    again = procedure(matching={"min_activations": 20})
    live = [set(np.flatnonzero(acts.firing_counts >= 20).tolist()) for acts in (again.acts_a, again.acts_b)]
    assert 5 < len(live[0]) < FEATURES
    redraw, rng = rematch.subset(again, 5), np.random.default_rng(0)
    seen = [set(), set()]
    for _ in range(200):
        x, y = redraw(rng)
        for side, rows in enumerate((x, y)):
            ids = rows[:, 0].astype(int).tolist()
            assert len(set(ids)) == 5
            seen[side] |= set(ids)
    assert seen == live
    with pytest.raises(ValueError, match=r"n must be at most the \d+ live features of a side, got 31"):
        rematch.subset(again, 31)


def test_pair_subset_keeps_the_numbers_in_every_cell_of_r_and_rate():
    again = procedure(rule="b_to_a")
    pairs = again.pairs()
    chosen = np.array([1, 4, 5, 9, 20, 22])
    rate = np.sqrt(
        (again.acts_a.firing_counts[pairs.feature_a] + 1.0) * (again.acts_b.firing_counts[pairs.feature_b] + 1.0)
    )
    cells = [
        (
            sum(r >= np.quantile(pairs.correlation, q / 5) for q in range(1, 5)),
            sum(w >= np.quantile(rate, [1 / 3, 2 / 3])),
        )
        for r, w in zip(pairs.correlation, rate, strict=True)
    ]
    where = {int(b): row for row, b in enumerate(pairs.feature_b)}
    wanted = sorted(cells[row] for row in chosen)
    redraw, rng = rematch.pair_subset(again, pairs, chosen), np.random.default_rng(0)
    times = np.zeros(len(pairs))
    for _ in range(600):
        x, y = redraw(rng)
        rows = [where[int(b)] for b in y[:, 0]]
        assert len(set(rows)) == len(chosen)
        assert sorted(cells[row] for row in rows) == wanted
        np.testing.assert_array_equal(x[:, 0], pairs.feature_a[rows])
        times[rows] += 1
    for cell in set(wanted):
        own = [row for row in range(len(pairs)) if cells[row] == cell]
        share = wanted.count(cell) / len(own)
        assert (np.abs(times[own] / 600 - share) < 4 * np.sqrt(share * (1 - share) / 600) + 1e-9).all()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([3, 7, 7], "chosen must hold every position once, got 7 more than once"),
        ([30], r"chosen must lie in 0\.\.30, got 30 to 30"),
        ([-1], r"chosen must lie in 0\.\.30, got -1 to -1"),
        ([], "chosen must hold the position of at least one pair, got none"),
        (range(30), "chosen must leave other pairs of the same quality to draw, got all 30 of them"),
    ],
)
def test_pair_subset_refuses_what_it_cannot_draw(chosen, message):
    again = procedure(rule="b_to_a")
    with pytest.raises(ValueError, match=message):
        rematch.pair_subset(again, again.pairs(), list(chosen))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((31, 5, 3), "candidates_a must be at most the 30 features that fire often enough, got 31"),
        ((5, 0, 3), "candidates_b must be at least 1, got 0"),
        ((5, 5, 0), "n must be at least 1, got 0"),
    ],
)
def test_rematched_refuses_what_it_cannot_draw(counts, message):
    with pytest.raises(ValueError, match=message):
        rematch.rematched(procedure(), *counts)


def test_token_conditional_is_the_mean_over_exchanges_within_tokens():
    types = np.array([0, 0, 0, 1, 1, 1])
    rng = np.random.default_rng(2)
    a, b = rng.exponential(1.0, (2, 6, 4)).astype(np.float32)
    acts = [FeatureActivations.from_dense(dense, token_ids=types) for dense in (a, b)]
    found = token_conditional(Procedure(*acts, ids_as_rows(4, 2), ids_as_rows(4, 2)), draws=3000)
    every = []
    for first, second in product(permutations(range(3)), permutations(range(3, 6))):
        moved = b[[*first, *second]].astype(np.float64)
        every.append(worlds.pair(a.astype(np.float64), moved).correlation.mean())
    observed = worlds.pair(a.astype(np.float64), b.astype(np.float64)).correlation.mean()
    assert found.mean_correlation == pytest.approx(observed)
    assert set(np.round(found.draws, 6)) == set(np.round(every, 6))
    assert abs(found.null_mean - np.mean(every)) < 4 * np.std(every) / np.sqrt(3000)
    assert found.null_std == pytest.approx(np.std(every), rel=0.1)
    assert found.p_value == pytest.approx(np.mean(np.array(every) >= observed - 1e-9), abs=0.04)
    assert found.z == pytest.approx((observed - found.null_mean) / found.null_std)


def test_token_conditional_tells_context_from_token():
    alone, together = (token_conditional(procedure(600, shared=shared), draws=99, seed=1) for shared in (0.0, 0.9))
    assert alone.mean_correlation > 0.3  # by the tokens alone
    assert alone.p_value > 0.05
    assert together.p_value == 0.01
    assert together.z > 5
    assert together.mean_given_token > 0.25 > 0.2 > alone.mean_given_token
    assert abs(alone.null_mean_given_token - alone.mean_given_token) < 0.1
    assert together.tokens_movable == 1.0


def test_token_conditional_rejects_as_often_as_promised():
    p = np.array([token_conditional(procedure(60, seed, 0.0), draws=19, seed=seed).p_value for seed in range(200)])
    assert abs((p <= 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 200)


def test_token_conditional_without_pairs_has_no_numbers():
    found = token_conditional(procedure(filters=filters.correlation(2.0, None)), draws=3)
    numbers = (found.mean_correlation, found.mean_given_token, found.null_mean, found.null_std, found.z, found.p_value)
    assert (found.pairs, found.permutations, found.null_pairs, numbers) == (0, 0, 0.0, (None,) * 6)


def test_token_conditional_counts_its_draws_and_refuses_what_cannot_move():
    seen = []
    token_conditional(procedure(), draws=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    with pytest.raises(
        ValueError, match="given must have tokens that occur twice, got 120 tokens that are all different"
    ):
        token_conditional(procedure(), given=np.arange(120))
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        token_conditional(procedure(), draws=0)


def test_a_procedure_refuses_sides_that_do_not_fit():
    again = procedure()
    with pytest.raises(ValueError, match=r"rows_b must have one row for each of 30 features, got \(29, 4\)"):
        Procedure(again.acts_a, again.acts_b, again.rows_a, again.rows_b[:29])
    with pytest.raises(ValueError, match="must hold the same tokens"):
        Procedure(again.acts_a.rows(0, 50), again.acts_b, again.rows_a, again.rows_b)
    with pytest.raises(TypeError, match=r"filters must be made by analogue\.filters"):
        Procedure(again.acts_a, again.acts_b, again.rows_a, again.rows_b, filters="strict")
