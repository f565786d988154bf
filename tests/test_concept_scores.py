"""Concept scores on simulated dictionaries whose words are known: against the nulls called by hand, and how often."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

import analogue as an
import trials
import worlds
from analogue.compare import compare_spaces
from analogue.concept_comparison import QUESTIONS, STAGES
from analogue.concept_nulls import beside
from analogue.labels import Labels
from analogue.nulls import sibling_groups
from analogue.pairs import Pairs
from analogue.report.concepts import concept_schema, concept_tables
from analogue.spaces import FeatureSpace

MEASURES = ("rsa", "cka")
WORD = [f"w{chr(97 + token // 10)}{chr(97 + token % 10)}" for token in range(worlds.TYPES)]  # numerals are no words
LOW = an.Concept("low", tuple(WORD[:14]))
HIGH = an.Concept("high", tuple(WORD[14:30]), removed={WORD[30]: "two meanings"})
RARE = an.Concept("rare", (WORD[39],))
NOTHING = an.Concept("nothing", ("nowhere",))
CONCEPTS = an.Concepts((LOW, HIGH, RARE, NOTHING))
SETTINGS = an.Settings(
    measures=MEASURES, permutations=39, min_correlation=0.05, junk="off", min_activations=5, pairs="mutual"
)


@pytest.fixture(scope="module")
def sides():
    return worlds.draw(worlds.WORLDS["h1"], np.random.default_rng(3))


@pytest.fixture(scope="module")
def comparison(sides):
    return compared(sides, SETTINGS)


def compared(sides, settings):
    spaces = []
    for name, side in zip("ab", sides, strict=True):
        tokens = worlds.top_tokens(side)
        texts = [WORD[token] for token in tokens]
        blank, zeros = [""] * len(texts), np.zeros(len(texts), np.int64)
        labels = Labels(
            np.arange(len(texts) + 1), np.ones(len(texts), np.float32), texts, blank, blank, zeros, zeros, texts
        )
        acts = an.FeatureActivations.from_dense(side.activations, token_ids=sides[0].stream)
        spaces.append(FeatureSpace(f"site_{name}", labels, acts, side.decoder.astype(np.float32)))
    return compare_spaces(*spaces, settings)


@pytest.fixture(scope="module")
def scores(comparison):
    controls = ("pooled", "unrelated", "random-keywords", "random-features", "drop-one-word")
    return an.compare_concepts(comparison, CONCEPTS, controls=controls, draws=39, with_removed=True, seed=5)


def homes(side, concept):
    """Features whose top token is a word of the concept."""
    return np.flatnonzero([WORD[token] in concept.words for token in worlds.top_tokens(side)])


def test_features_and_pairs_are_those_of_the_words(scores, sides):
    a, b = (side.activations.astype(np.float64) for side in sides)
    for concept in CONCEPTS:
        ids = [homes(side, concept) for side in sides]
        result = scores[concept.name]
        for side, own in zip("ab", ids, strict=True):
            np.testing.assert_array_equal(result.features[side], own)
        live = [own[(side.activations[:, own] > 0).sum(axis=0) >= 5] for own, side in zip(ids, sides, strict=True)]
        if not min(map(len, live)):
            assert len(result.before.pairs) == len(result.after.pairs) == 0
            continue
        found = worlds.pair(a[:, live[0]], b[:, live[1]])
        kept = found.correlation >= 0.05
        expected = set(zip(live[0][found.a[kept]].tolist(), live[1][found.b[kept]].tolist(), strict=True))
        pairs = result.after.pairs
        assert set(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True)) == expected
        best = worlds.correlations(a[:, live[0]], b[:, live[1]]).max(axis=0)
        assert len(result.before.pairs) == len(live[1])
        assert result.before.mean_correlation == pytest.approx(best.mean(), abs=1e-6)
        if len(expected):
            assert result.after.mean_correlation == pytest.approx(found.correlation[kept].mean(), abs=1e-6)


def test_rows_are_scored_as_by_hand(scores, sides):
    result = scores["high"]
    pairs = result.after.pairs
    tokens = [worlds.top_tokens(side)[ids] for side, ids in zip(sides, ids_of(pairs), strict=True)]
    groups = sibling_groups(*ids_of(pairs), *tokens)
    x, y = (side.decoder.astype(np.float32)[ids] for side, ids in zip(sides, ids_of(pairs), strict=True))
    null = result.after.scores["rows"]["rsa"].null
    assert null == "siblings"
    expected = an.permutation_test(x, y, MEASURES, null, groups=groups, permutations=39, seed=5)
    assert result.after.scores["rows"] == expected
    assert result.before.scores["rows"]["rsa"].null == "one-per-token"


def ids_of(pairs):
    return pairs.feature_a, pairs.feature_b


def test_other_pairs_and_candidates_are_scored_without_siblings(scores, sides):
    for question in ("pair-subset", "rematched"):
        for stage in STAGES:
            scored = getattr(scores["high"], stage)
            score = scored.scores[question]["cka"]
            tokens = [worlds.top_tokens(side)[ids] for side, ids in zip(sides, ids_of(scored.pairs), strict=True)]
            assert score.n <= min(len(set(own.tolist())) for own in tokens)
            if score.insufficient is None:
                assert (score.null, score.observed is None) == (question, False)
    assert scores["high"].after.scores["pair-subset"]["rsa"].permutations == 39
    assert scores["high"].before.reached is not None


def test_the_concepts_pairs_stand_among_the_others():
    """No two of what is left share a feature or a top token, and the concept's are all there."""
    rng = np.random.default_rng(0)
    empty = np.empty(0, np.int64)
    token = {f"{side}{feature}": f"t{feature % 30}" for side in "ab" for feature in range(60)}  # two features a token

    def labels(side):
        own = [token[f"{side}{feature}"] for feature in range(60)]
        return Labels(np.zeros(61, np.int64), np.empty(0, np.float32), [], [], [], empty, empty, own)

    def drawn(n):
        a, b = (rng.permutation(30)[:n] + 30 * rng.integers(0, 2, n) for _ in range(2))
        return Pairs(a, b, rng.random(n))

    chosen, others = drawn(8), drawn(25)
    everything, positions = beside(chosen, others, (labels("a"), labels("b")))
    ids = list(zip(*map(np.ndarray.tolist, ids_of(everything)), strict=True))
    assert ids[:8] == list(zip(*map(np.ndarray.tolist, ids_of(chosen)), strict=True))
    np.testing.assert_array_equal(positions, np.arange(8))
    taken_a, taken_b = ({feature % 30 for feature in own.tolist()} for own in ids_of(chosen))
    listed = zip(*map(np.ndarray.tolist, ids_of(others)), others.correlation.tolist(), strict=True)
    expected = [(a, b, r) for a, b, r in listed if a % 30 not in taken_a and b % 30 not in taken_b]
    assert 0 < len(expected) < 25
    assert ids[8:] == [(a, b) for a, b, _ in expected]
    np.testing.assert_array_equal(everything.correlation[8:], [r for _, _, r in expected])


def test_p_is_adjusted_for_the_concepts_alone(scores):
    for stage in STAGES:
        for question in QUESTIONS:
            for measure in MEASURES:
                p = {
                    result.name: getattr(result, stage).scores[question][measure].p_value
                    for result in scores
                    if result.role == "concept"
                }
                tested = {name: value for name, value in p.items() if value is not None}
                expected = dict(
                    zip(tested, scipy.stats.false_discovery_control(list(tested.values())), strict=True)
                    if tested
                    else ()
                )
                for result in scores:
                    own = scores.p_adjusted(result.name, measure, question, stage)
                    assert own == (pytest.approx(expected[result.name]) if result.name in expected else None)


def test_too_few_pairs_are_a_reason_and_no_crash(scores):
    for name, said in (("nothing", "too few pairs: 0, at least 10 wanted"), ("rare", "too few pairs: ")):
        result = scores[name]
        assert result.reason.startswith(said)
        for stage in STAGES:
            for question, own in getattr(result, stage).scores.items():
                for score in own.values():
                    assert (score.observed, score.z, score.p_value) == (None, None, None), (stage, question)
                    assert score.insufficient
    assert scores["nothing"].after.mean_correlation is None
    assert scores["high"].reason is None


@pytest.mark.parametrize("least", [1, 2])
def test_one_pair_or_two_are_no_crash_whatever_the_least(comparison, least):
    found = an.compare_concepts(
        comparison, [RARE, an.Concept("few", ("w20", "w21")), NOTHING], min_pairs=least, draws=9, controls=()
    )
    for record in found.records():
        assert (record["observed"] is None) == (record["insufficient"] is not None)


def test_controls_have_roles_and_sizes(scores, comparison, sides):
    names = [result.name for result in scores]
    assert names[:4] == list(CONCEPTS.names)
    assert names[4] == "control: pooled"
    union = [np.unique(np.concatenate([homes(side, own) for own in CONCEPTS])) for side in sides]
    for side, own in zip("ab", union, strict=True):
        np.testing.assert_array_equal(scores["control: pooled"].features[side], own)
    words = scores["control: random-keywords"].words
    assert not {*words} & {word for own in CONCEPTS for word in (*own.words, *own.removed)}
    live = [np.flatnonzero((side.activations > 0).sum(axis=0) >= 5) for side in sides]
    alone = scores["control: random features for high"]
    assert (alone.role, alone.of) == ("control", "high")
    for side, own in zip("ab", live, strict=True):
        assert len(alone.features[side]) == np.isin(scores["high"].features[side], own).sum()
        assert np.isin(alone.features[side], own).all()
    assert set(alone.after.scores) == {"rows"}
    put_back = scores["high with removed words"]
    assert (put_back.role, put_back.of, put_back.words[-1]) == ("with removed", "high", WORD[30])
    assert "low with removed words" not in names
    assert [result.role for result in scores if result.role == "with removed"] == ["with removed"]
    assert scores["control: unrelated"].role == "control"


def test_words_are_counted_over_the_pairs_of_the_concept(scores, comparison):
    for concept in CONCEPTS:
        result = scores[concept.name]
        for stage in STAGES:
            own = getattr(result, stage)
            expected = an.same_keyword(own.pairs, *comparison.labels, concept)
            found = own.same_keyword
            assert (found.pairs, found.both, found.same) == (expected.pairs, expected.both, expected.same)
            assert found.disagreeing.to_pylist() == expected.disagreeing.to_pylist()
        table = an.keyword_table(result.after.pairs, *comparison.labels, concept).to_pylist()
        assert result.keywords.to_pylist() == table
        assert result.words_with_features("a") == [row["word"] for row in table if row["features_a"]]
    assert scores["high"].after.same_keyword.same > 0
    assert scores["control: pooled"].keywords is scores["control: pooled"].after.same_keyword is None
    every = [row for concept in CONCEPTS for row in scores[concept.name].keywords.to_pylist()]
    assert an.concept_keywords(comparison, CONCEPTS).to_pylist() == every
    few = an.concept_keywords(comparison, HIGH, approach="best-partner", max_per_keyword=1).to_pylist()
    assert max(row[f"features_{side}"] for row in few for side in "ab") == 1


def test_controls_that_cannot_be_drawn_are_named(comparison):
    every = an.Concept("every", tuple(WORD))
    found = an.compare_concepts(comparison, every, controls=("pooled", "random-keywords"), draws=1)
    assert [result.name for result in found] == ["every"]
    assert found.settings["left_out"] == {
        "random-keywords": "no feature of B fires on a word that no concept has",
        "pooled": "there is one concept alone",
    }
    said = next(concept_tables(found)).caption
    assert "random-keywords: left out, no feature of B fires on a word that no concept has" in said


def test_a_dropped_word_leaves_what_the_other_words_have(scores, comparison):
    result = scores["high"]
    assert [left.word for left in result.without_word] == [
        word for word in HIGH.words if any(word in labels.top_token for labels in comparison.labels)
    ]
    assert scores["nothing"].without_word == ()
    for left in result.without_word[:3]:
        fewer = an.Concept("fewer", tuple(word for word in HIGH.words if word != left.word))
        alone = an.compare_concepts(comparison, fewer, controls=(), draws=1, seed=5)["fewer"]
        assert (left.features_a, left.features_b) == tuple(len(alone.features[side]) for side in "ab")
        assert left.pairs == len(alone.after.pairs)
        assert left.mean_correlation == alone.after.mean_correlation
        assert left.observed == {name: score.observed for name, score in alone.after.scores["rows"].items()}


def test_a_word_has_no_more_features_than_asked(comparison):
    for approach in ("both-sides", "best-partner"):
        found = an.compare_concepts(comparison, HIGH, approach=approach, max_per_keyword=1, controls=(), draws=1)[
            "high"
        ]
        for side, labels in zip("ab", comparison.labels, strict=True):
            tokens = [labels.top_token[feature] for feature in found.features[side].tolist()]
            assert len(tokens) == len(set(tokens)) > 5


@pytest.mark.parametrize("side", ["a", "b", "either", "both"])
def test_best_partners_are_pairs_of_the_comparison(comparison, side):
    found = an.compare_concepts(comparison, HIGH, approach="best-partner", side=side, controls=(), draws=9)["high"]
    own = set(zip(*map(np.ndarray.tolist, ids_of(comparison.pairs)), strict=True))
    assert {*zip(*map(np.ndarray.tolist, ids_of(found.after.pairs)), strict=True)} <= own
    assert found.after.new_pairs in (0, None)


def test_pairs_that_only_a_concept_has_are_counted():
    """On streams of their own any feature may be the best partner, and the concept leaves others than all features."""
    comparison = compared(
        worlds.draw(worlds.WORLDS["c0"], np.random.default_rng(0)), replace(SETTINGS, min_correlation=None)
    )
    own = set(zip(*map(np.ndarray.tolist, ids_of(comparison.pairs)), strict=True))
    inside = an.compare_concepts(comparison, LOW, controls=(), draws=1, min_pairs=2)["low"].after
    scored = one_per_token(inside.pairs, comparison.labels)
    assert inside.new_pairs == len([pair for pair in scored if pair not in own]) > 0


def one_per_token(pairs, labels):
    """Best pairs first, a pair whose top token of B is taken goes; then likewise by the top token of A."""
    listed = sorted(zip(-pairs.correlation, *map(np.ndarray.tolist, ids_of(pairs)), strict=True))
    for side in (1, 0):
        seen, left = set(), []
        for row in listed:
            token = labels[side].top_token[row[1 + side]]
            left += [] if token in seen else [row]
            seen.add(token)
        listed = left
    return [(a, b) for _, a, b in listed]


def test_original_draws_by_the_number_of_pairs(comparison):
    found = an.compare_concepts(comparison, HIGH, permutations="original", controls=(), measures="rsa")["high"]
    assert found.after.scores["rows"]["rsa"].permutations == 1000
    assert found.after.scores["pair-subset"]["rsa"].permutations == 1000
    fewer = an.compare_concepts(comparison, HIGH, permutations="original", draws=7, controls=(), measures="rsa")["high"]
    assert fewer.after.scores["pair-subset"]["rsa"].permutations == 7


def test_draws_that_rarely_have_the_pairs_are_no_score(sides):
    """Features of one word are found again on the other side far more often than random ones."""
    tight = compared(sides, replace(SETTINGS, min_correlation=0.35))
    result = an.compare_concepts(tight, LOW, controls=(), draws=39, min_pairs=5)["low"].after
    assert len(result.pairs) >= 5
    assert result.reached < 0.5
    score = result.scores["rematched"]["rsa"]
    assert score.observed is None
    assert "of the draws of random features made" in score.insufficient


def test_records_and_json_are_plain_and_whole(scores, comparison):
    records = scores.records()
    json.dumps(scores.to_dict(), allow_nan=False)
    assert pa.Table.from_pylist(records, concept_schema()).to_pylist() == records
    asked = {"concept": 3, "pooled": 3, "with removed": 3, "control": 2}
    questions = [1 if own.name.startswith("control: random features") else asked[own.role] for own in scores]
    assert len(records) == 2 * len(MEASURES) * sum(questions)
    again = an.compare_concepts(
        comparison,
        CONCEPTS,
        controls=("pooled", "unrelated", "random-keywords", "random-features", "drop-one-word"),
        draws=39,
        with_removed=True,
        seed=5,
    )
    assert again.to_dict() == scores.to_dict()


def test_progress_counts_the_concepts(comparison):
    seen = []
    an.compare_concepts(
        comparison,
        [RARE, NOTHING],
        controls=(),
        draws=1,
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert seen == [("concepts", 0, 2), ("concepts", 1, 2), ("concepts", 2, 2)]


def test_rows_of_activations_have_no_scores(sides):
    comparison = compared(sides, SETTINGS)
    spaces = {key: replace(space, directions=None, has_decoder=False) for key, space in comparison.spaces.items()}
    found = an.compare_concepts(
        replace(comparison, spaces=spaces, rows="activations"), HIGH, controls=("drop-one-word",)
    )
    result = found["high"]
    assert len(result.after.pairs) > 5
    assert result.reason == "pairs were matched by the correlation of the very rows that are scored"
    assert set(result.without_word[0].observed.values()) == {None}


def test_bad_input_is_one_sentence(comparison):
    with pytest.raises(TypeError, match="comparison must be a Comparison, such as a grid's cell, got dict"):
        an.compare_concepts({}, CONCEPTS)
    with pytest.raises(TypeError, match=r"concepts must be Concepts \(see Concepts.load\), got the string 'time'"):
        an.compare_concepts(comparison, "time")
    with pytest.raises(ValueError, match="concepts must be at least one, got none"):
        an.compare_concepts(comparison, [])
    with pytest.raises(ValueError, match=r"controls must be one of pooled, unrelated, .*, got 'all'"):
        an.compare_concepts(comparison, CONCEPTS, controls=("all",))
    with pytest.raises(TypeError, match="controls must be a list of names, got the string 'pooled'"):
        an.compare_concepts(comparison, CONCEPTS, controls="pooled")
    with pytest.raises(ValueError, match="max_per_keyword must be at least 1, got 0"):
        an.compare_concepts(comparison, CONCEPTS, max_per_keyword=0)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        an.compare_concepts(comparison, CONCEPTS, draws=0)
    with pytest.raises(ValueError, match="side goes with approach=best-partner only, got a with both-sides"):
        an.compare_concepts(comparison, CONCEPTS, side="a")
    with pytest.raises(ValueError, match="approach must be one of"):
        an.compare_concepts(comparison, CONCEPTS, approach="two")
    by_directions = replace(comparison, settings=an.Settings(by="directions"))
    with pytest.raises(ValueError, match="comparison must be matched by activations"):
        an.compare_concepts(by_directions, CONCEPTS)
    with pytest.raises(ValueError, match="concept must be one of low, high, rare, nothing"):
        an.compare_concepts(comparison, CONCEPTS, controls=(), draws=1)["time"]


# How often at 0.05: trials in which two models share nothing beyond the text; see `trials.concept_world`.


@pytest.fixture(scope="module")
def pool():
    with trials.workers() as pool:
        yield pool


def rejected(pool, counts, **options):
    """The share of every measure, by question."""
    trial = partial(trials.concept_in_world, "d1", counts, **options)
    shares = trials.rejected(pool, trial, max(counts.values())).reshape(len(counts), -1)
    print(f"\n{options}: {shares}")
    return dict(zip(counts, shares, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("approach", ["both-sides", "best-partner"])
def test_concepts_of_models_that_share_nothing_are_called_at_most_one_time_in_twenty(pool, approach):
    counts = {"rows": 1000, "pair-subset": 400, "rematched": 200}  # as many as a few seconds have
    for question, shares in rejected(pool, counts, approach=approach).items():
        allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / counts[question])  # three standard errors
        assert (shares <= allowed).all(), question


@pytest.mark.slow
def test_with_their_siblings_concepts_would_be_called_far_too_often(pool):
    for question in ("pair-subset", "rematched"):
        assert trials.rejected(pool, partial(trials.siblings_in_world, "d1", question), 200).mean() >= 0.1


@pytest.mark.slow
def test_a_planted_concept_is_found(pool):
    """RSA finds it whatever is asked; the other pairs are of the 20 words that are not planted, and of these."""
    for question, shares in rejected(pool, dict.fromkeys(QUESTIONS, 60), planted=3.0).items():
        assert shares[trials.MEASURES.index("rsa")] >= 0.35
        if question == "rows":
            assert (shares >= 0.35).all()
