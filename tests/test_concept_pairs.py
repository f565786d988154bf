"""The pairs of concepts against plain loops on dense arrays; ids are those of the full dictionaries."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import worlds
from analogue import Concept, ConceptPairing, Concepts, FeatureActivations, Procedure, filters
from analogue.concept_pairs import WordHits, most_per_word, union_hits, word_hits
from analogue.labels import Labels

FEATURES = 30
WORDS = ("day", "night", "king", "queen", "red")


def dense(seed=0, tokens=160):
    """Activations of both sides: every feature has a home token and fires there, more or less as its twin does."""
    rng = np.random.default_rng(seed)
    here = rng.integers(0, 6, tokens)[:, None] == rng.integers(0, 6, FEATURES)
    mixed = np.where(rng.random((2, tokens, FEATURES)) < 0.6, rng.random((tokens, FEATURES)), rng.random((tokens, 1)))
    a, b = np.where(here & (mixed < 0.6), rng.exponential(1.0, mixed.shape) + 0.1, 0).astype(np.float32)
    return a, b


def pairing(approach="both-sides", side="b", seed=0, **options):
    a, b = dense(seed)
    rows = np.zeros((FEATURES, 1))
    acts = (FeatureActivations.from_dense(own, token_ids=np.arange(len(own)) % 7) for own in (a, b))
    return ConceptPairing(Procedure(*acts, rows, rows, **options), approach, side)


def labels_of(words):
    """Labels from a list of words for every feature, each the whole word that it fires on."""
    rows = [word for own in words for word in own]
    blank, zeros = [""] * len(rows), np.zeros(len(rows), np.int64)
    offsets = np.cumsum([0, *map(len, words)])
    return Labels(offsets, np.ones(len(rows), np.float32), rows, blank, blank, zeros, zeros, [None] * len(words))


def mutual(a, b, ids_a, ids_b):
    """Mutual pairs among some columns, by ids of all columns: a dense correlation matrix and two argmaxes."""
    found = worlds.pair(a[:, ids_a].astype(np.float64), b[:, ids_b].astype(np.float64))
    return {(int(ids_a[i]), int(ids_b[j])): r for i, j, r in zip(found.a, found.b, found.correlation, strict=True)}


def listed(pairs):
    ids = zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True)
    return dict(zip(ids, pairs.correlation.tolist(), strict=True))


SOME_A, SOME_B = np.array([1, 4, 5, 9, 20, 22, 27]), np.array([0, 5, 6, 8, 9, 21, 22, 25, 29])


# Both sides


@pytest.mark.parametrize("seed", range(4))
def test_both_sides_are_paired_as_if_there_were_no_others(seed):
    found = listed(pairing(seed=seed).among(SOME_A, SOME_B))
    expected = mutual(*dense(seed), SOME_A, SOME_B)
    assert set(found) == set(expected)
    assert found == pytest.approx(expected, abs=1e-6)


def check_ids(feature_a, feature_b, correlation):
    """The ids name columns of the full activations that correlate as the pairs say."""
    a, b = dense()
    own = [np.corrcoef(a[:, i], b[:, j])[0, 1] for i, j in zip(feature_a, feature_b, strict=True)]
    np.testing.assert_allclose(own, correlation, atol=1e-5)


def test_ids_are_those_of_the_full_dictionaries():
    pairs = pairing().among(SOME_A, SOME_B)
    assert len(pairs) > 3
    assert set(pairs.feature_a) <= set(SOME_A)
    assert set(pairs.feature_b) <= set(SOME_B)
    check_ids(pairs.feature_a, pairs.feature_b, pairs.correlation)


def test_ids_within_the_subset_would_be_caught():
    """The mistake of the original: places in the subset taken for ids of the dictionary."""
    pairs = pairing().among(SOME_A, SOME_B)
    with pytest.raises(AssertionError):
        check_ids(np.searchsorted(SOME_A, pairs.feature_a), np.searchsorted(SOME_B, pairs.feature_b), pairs.correlation)


def test_before_the_filters_every_b_has_its_best_a():
    a, b = dense()
    own = pairing(filters=[filters.correlation(0.3, None), filters.one_to_one("strict")])
    r = worlds.correlations(a[:, SOME_A].astype(np.float64), b[:, SOME_B].astype(np.float64))
    candidates = own.candidates(SOME_A, SOME_B)
    np.testing.assert_array_equal(candidates.feature_b, SOME_B)
    np.testing.assert_array_equal(candidates.feature_a, SOME_A[r.argmax(axis=0)])
    after = own.among(SOME_A, SOME_B)
    assert [stage.name for stage in after.stages] == ["candidates", "mutual", "0.3 <= r", "one_to_one strict"]
    assert set(listed(after)) == {pair for pair, r in mutual(a, b, SOME_A, SOME_B).items() if r >= 0.3}


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({"rule": "b_to_a"}, "feature_b"),
        ({"rule": "a_to_b"}, "feature_a"),
        ({"rule": "capacity", "k": 1, "direction": "a_to_b"}, "feature_a"),
    ],
)
def test_candidates_are_chosen_by_the_side_that_chooses(options, ids):
    candidates = pairing(**options).candidates(SOME_A, SOME_B)
    expected = SOME_B if ids == "feature_b" else SOME_A
    np.testing.assert_array_equal(np.sort(getattr(candidates, ids)), expected)


# Best partners


@pytest.mark.parametrize("side", ["a", "b", "either", "both"])
@pytest.mark.parametrize("rule", ["mutual", "b_to_a"])
def test_best_partners_are_those_of_all_features(side, rule):
    a, b = dense()
    found = pairing("best-partner", side, rule=rule).among(SOME_A, SOME_B)
    every = worlds.pair(a.astype(np.float64), b.astype(np.float64), "many" if rule == "b_to_a" else rule)
    hits = {
        "a": lambda i, j: i in SOME_A,
        "b": lambda i, j: j in SOME_B,
        "either": lambda i, j: i in SOME_A or j in SOME_B,
        "both": lambda i, j: i in SOME_A and j in SOME_B,
    }[side]
    assert set(listed(found)) == {(i, j) for i, j in zip(every.a.tolist(), every.b.tolist(), strict=True) if hits(i, j)}
    check_ids(found.feature_a, found.feature_b, found.correlation)
    assert f"concept on {side}" in [stage.name for stage in found.stages]


def test_one_to_one_acts_on_the_pairs_of_the_concept_alone():
    strict = filters.one_to_one("strict")
    own = pairing("best-partner", rule="b_to_a", filters=strict)
    times = Counter(own.candidates(SOME_A, SOME_B).feature_a.tolist())
    kept = own.among(SOME_A, SOME_B)
    assert sorted(kept.feature_a) == sorted(feature for feature, n in times.items() if n == 1)
    everywhere = pairing(rule="b_to_a", filters=strict).procedure.pairs()
    assert not set(listed(kept)) <= set(listed(everywhere))  # among all features these have rivals


@pytest.mark.parametrize("approach", ["both-sides", "best-partner"])
def test_without_tokens_the_pairs_are_the_same(approach):
    own = pairing(approach, matching={"given": "token"})
    bare = own.without_tokens()
    for make in ("among", "candidates"):
        one, other = (getattr(each, make)(SOME_A, SOME_B) for each in (own, bare))
        assert listed(one) == listed(other)
        assert one.correlation_given_token is not None
        assert other.correlation_given_token is None


@pytest.mark.parametrize("approach", ["both-sides", "best-partner"])
def test_no_features_are_no_pairs(approach):
    none = np.array([], dtype=np.int64)
    own = pairing(approach)
    for a, b in ((none, none), (SOME_A, none)):
        assert len(own.among(a, b)) == len(own.candidates(a, b)) == 0


def test_best_correlations_are_those_of_the_features_that_take_part():
    a, b = dense()
    r = worlds.correlations(a[:, SOME_A].astype(np.float64), b[:, SOME_B].astype(np.float64))
    best_a, best_b = pairing().best_correlation(SOME_A, SOME_B)
    np.testing.assert_allclose(best_a[SOME_A], r.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(best_b[SOME_B], r.max(axis=0), atol=1e-6)
    assert np.isneginf(np.delete(best_a, SOME_A)).all()


def test_a_pairing_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="approach must be one of both-sides, best-partner, got 'both'"):
        pairing("both")
    with pytest.raises(ValueError, match="side must be one of b, a, either, both, got 'c'"):
        pairing("best-partner", "c")
    with pytest.raises(ValueError, match="side goes with approach=best-partner only, got a with both-sides"):
        pairing(side="a")


# Some features of the activations


@pytest.mark.parametrize("ids", [[], [0], [29], [3, 3, 1], list(range(30))])
def test_only_keeps_ids_and_tokens(ids):
    a, _ = dense()
    acts = FeatureActivations.from_dense(a, token_ids=np.arange(len(a)))
    only = acts.only(np.array(ids, dtype=np.int64))
    expected = np.zeros_like(a)
    expected[:, ids] = a[:, ids]
    np.testing.assert_array_equal(only.to_dense(), expected)
    assert only.n_features == FEATURES
    np.testing.assert_array_equal(only.token_ids, acts.token_ids)


def test_only_refuses_other_ids():
    acts = FeatureActivations.from_dense(dense()[0])
    with pytest.raises(ValueError, match=r"features must lie in 0\.\.29, got -1\.\.3"):
        acts.only([3, -1])
    with pytest.raises(ValueError, match=r"features must lie in 0\.\.29, got 30\.\.30"):
        acts.only([30])


# Words


HITS = st.lists(st.lists(st.sampled_from([*WORDS, "x"]), max_size=3), min_size=1, max_size=12)


@given(HITS)
def test_word_hits_are_those_of_a_loop(words):
    concepts = [Concept("time", ("day", "night")), Concept("people", ("king", "queen", "night"))]
    for concept, hits in zip(concepts, word_hits(labels_of(words), concepts), strict=True):
        expected = [
            (feature, place)
            for feature, own in enumerate(words)
            for place, word in enumerate(concept.words)
            if word in own
        ]
        assert list(zip(hits.feature.tolist(), hits.word.tolist(), strict=True)) == expected
        found = Concepts((concept,)).features(labels_of(words))[concept.name]
        np.testing.assert_array_equal(hits.features, found)
        for place, word in enumerate(concept.words):
            left = [feature for feature, own in enumerate(words) if {*own} & ({*concept.words} - {word})]
            np.testing.assert_array_equal(hits.without(place).features, left)


@given(HITS)
def test_a_union_of_hits_has_the_features_of_all(words):
    concepts = [Concept("time", ("day", "night")), Concept("people", ("king",)), Concept("nothing", ("none",))]
    hits = word_hits(labels_of(words), concepts)
    joined = union_hits(hits)
    assert set(joined.features) == {feature for own in hits for feature in own.features.tolist()}
    assert len(joined.feature) == sum(len(own.feature) for own in hits)
    assert len(set(joined.word)) == sum(len(set(own.word)) for own in hits)


@given(HITS, st.integers(1, 3), st.integers(0, 99))
def test_no_word_has_more_features_than_asked(words, most, seed):
    concept = Concept("all", WORDS)
    (hits,) = word_hits(labels_of(words), [concept])
    weight = np.round(np.random.default_rng(seed).random(len(words)), 1)  # with ties
    kept = most_per_word(hits, weight, most)
    own = {feature: {*words[feature]} & {*WORDS} for feature in hits.features.tolist()}
    taken, expected = Counter(), []
    for feature in sorted(own, key=lambda feature: (-weight[feature], feature)):
        if max(taken[word] for word in own[feature]) < most:
            expected.append(feature)
            taken.update(own[feature])
    assert kept.features.tolist() == sorted(expected)
    assert max(Counter(kept.word.tolist()).values(), default=0) <= most


def test_the_best_features_of_a_word_are_kept():
    hits = WordHits(np.array([2, 5, 7]), np.array([0, 0, 0]))
    weight = np.zeros(8)
    weight[[2, 5, 7]] = 0.1, 0.9, 0.5
    assert most_per_word(hits, weight, 2).features.tolist() == [5, 7]
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        most_per_word(hits, weight, 0)
