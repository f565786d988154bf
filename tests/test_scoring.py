"""Which null a set of pairs is scored under, what of them is scored, and that the scores are those of the engine."""

from dataclasses import replace

import numpy as np
import pytest

import analogue as an
from analogue.labels import Labels
from analogue.nulls import one_per_token, sibling_groups
from analogue.pairs import Pairs
from analogue.scoring import choose_null, groups_of, score_pairs, score_redrawn, scored_rows
from analogue.scoring_result import ChosenNull, Scoring
from analogue.settings import Settings

MEASURES = ("rsa", "cka")
ONE_TO_ONE = Settings(measures=MEASURES, permutations=19)


def labels_of(words):
    empty = np.empty(0, dtype=np.int64)
    offsets = np.zeros(len(words) + 1, dtype=np.int64)
    return Labels(offsets, np.empty(0, np.float32), [], [], [], empty, empty, list(words))


def pairs_of(a, b, r=None):
    a, b = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    return Pairs(a, b, np.linspace(0.9, 0.2, len(a)) if r is None else np.asarray(r, dtype=np.float64))


def world(n=40, words=20, seed=0):
    """n one-to-one pairs whose features have ``words`` top tokens, rows of both sides, and firing rates."""
    rng = np.random.default_rng(seed)
    own = [f"w{i % words}" for i in range(n)]
    rows = {"a": rng.standard_normal((n, 5)).astype(np.float32), "b": rng.standard_normal((n, 4)).astype(np.float32)}
    rates = {side: rng.uniform(0.001, 0.3, n) for side in "ab"}
    order = rng.permutation(n)
    pairs = pairs_of(np.arange(n), order)
    labels = (labels_of(own), labels_of([own[i] for i in np.argsort(order)]))
    return pairs, labels, rows, rates


def test_mutual_pairs_that_can_move_have_the_siblings_null():
    pairs, labels, rows, rates = world()
    chosen = choose_null(pairs, labels, ONE_TO_ONE)
    assert (chosen.name, chosen.pairs, chosen.scored) == ("siblings", 40, 40)
    assert (chosen.groups, chosen.largest_group, chosen.with_siblings, chosen.rows_movable) == (20, 2, 40, 1.0)
    assert chosen.caveat is None
    found = score_pairs(pairs, labels, rows, ONE_TO_ONE, rates)
    groups = groups_of(pairs, labels)
    own = {"measures": MEASURES, "permutations": 19, "groups": groups, "null": "siblings"}
    for name, score in an.permutation_test(rows["a"], rows["b"], **own).items():
        assert found.scores[name].to_dict() == score.to_dict()
        np.testing.assert_array_equal(found.scores[name].draws, score.draws)
    of_pairs = (rates["a"][pairs.feature_a], rates["b"][pairs.feature_b])
    for name, score in an.permutation_test(rows["a"], rows["b"], **own, rates=of_pairs).items():
        assert found.rate_adjusted[name].to_dict() == score.to_dict()
        assert score.null == "siblings, rate-adjusted"
    assert found.scores["rsa"].observed != found.rate_adjusted["rsa"].observed


def test_pairs_that_cannot_move_keep_one_per_token():
    """One group of 21 that no other equals, and 19 single pairs: 47 % can move."""
    words = ["the"] * 21 + [f"w{i}" for i in range(19)]
    pairs, labels = pairs_of(range(40), range(40)), (labels_of(words), labels_of(words))
    chosen = choose_null(pairs, labels, ONE_TO_ONE)
    assert (chosen.name, chosen.largest_group, chosen.scored) == ("one-per-token", 21, 20)
    assert chosen.rows_movable == pytest.approx(19 / 40)
    assert "less than half" in chosen.reason
    asked = choose_null(pairs, labels, replace(ONE_TO_ONE, null="siblings"))
    assert asked.caveat.startswith("only 48% of the pairs can change places, and the others stay paired in the null")
    assert "the effect above the null shrinks" in asked.caveat
    assert asked.reason == "as was asked for"
    words[20] = "of"  # half of them: enough
    labels = (labels_of(words), labels_of(words))
    assert choose_null(pairs, labels, ONE_TO_ONE).name == "siblings"


@pytest.mark.parametrize("rule", [{"pairs": "b_to_a"}, {"pairs": "assignment"}, {"pairs": "capacity", "capacity": 2}])
def test_other_pairs_keep_one_per_token(rule):
    pairs, labels, rows, _ = world(words=30)
    settings = replace(ONE_TO_ONE, **rule)
    chosen = choose_null(pairs, labels, settings)
    assert (chosen.name, chosen.scored) == ("one-per-token", 30)
    assert chosen.reason.startswith(f"{rule['pairs']} pairs")
    found = score_pairs(pairs, labels, rows, settings)
    kept = scored_rows(pairs, labels, "one-per-token")
    expected = an.permutation_test(rows["a"][kept], rows["b"][kept], MEASURES, "one-per-token", permutations=19)
    assert {name: score.to_dict() for name, score in found.scores.items()} == {
        name: score.to_dict() for name, score in expected.items()
    }
    assert found.rate_adjusted == {}


def test_closed_forms_are_of_rows():
    pairs, labels, rows, rates = world()
    settings = replace(ONE_TO_ONE, method="analytic")
    found = score_pairs(pairs, labels, rows, settings, rates)
    assert found.null.name == "one-per-token"
    assert "closed forms" in found.null.reason
    assert found.scores["cka"].method == found.rate_adjusted["cka"].method == "analytic"
    assert found.scores["cka"].n == 20


def test_what_pairs_were_matched_by_decides_which_stays():
    a, b = pairs_of([0, 1], [0, 1], [0.9, 0.2]), labels_of(["the", "the"])
    assert scored_rows(a, (b, b), "one-per-token").tolist() == [0]
    assert scored_rows(replace(a, value=np.array([0.1, 0.3])), (b, b), "one-per-token").tolist() == [1]
    assert scored_rows(a, (b, b), "siblings").tolist() == [0, 1]


def test_groups_are_of_texts_on_either_side():
    pairs = pairs_of([0, 1, 2, 3], [3, 2, 1, 0])
    labels = (labels_of(["a", "b", "c", None]), labels_of([None, "x", "x", "y"]))
    expected = sibling_groups(pairs.feature_a, pairs.feature_b, [0, 1, 2, -1], [5, 4, 4, -1])
    np.testing.assert_array_equal(groups_of(pairs, labels), expected)
    assert groups_of(pairs, labels).tolist() == [0, 1, 1, 2]
    kept = one_per_token([0, 1, 2, -1], [5, 4, 4, -1], pairs.correlation)
    np.testing.assert_array_equal(scored_rows(pairs, labels, "one-per-token"), kept)


def test_pairing_says_who_has_siblings():
    pairs, labels, _, _ = world(words=39)
    chosen = choose_null(pairs, labels, replace(ONE_TO_ONE, null="pairing"))
    assert chosen.caveat.startswith("2 of 40 pairs have siblings")
    pairs, labels, _, _ = world(words=40)
    assert choose_null(pairs, labels, replace(ONE_TO_ONE, null="pairing")).caveat is None


@pytest.mark.parametrize(
    ("rule", "quoted"),
    [
        ({}, None),
        ({"pairs": "union"}, None),
        ({"pairs": "assignment"}, "z = 4 on assignment pairs"),
        ({"pairs": "b_to_a"}, "z = 24 on pairs of many to one"),
    ],
)
def test_pairing_quotes_what_its_own_pairs_reached(rule, quoted):
    pairs, labels, _, _ = world(words=39)
    said = choose_null(pairs, labels, replace(ONE_TO_ONE, null="pairing", **rule)).caveat
    assert said.endswith("does not hold for these" if quoted is None else quoted)
    assert said.count("z = ") == (quoted is not None)
    assert ("repeat a feature" in said) == (rule.get("pairs") in ("union", "b_to_a"))


def streams(tokens, documents):
    """The way from activations to rows of 30 features a side on one stream of random tokens."""
    rng = np.random.default_rng(0)
    ids = np.arange(tokens) * documents // tokens
    per_token = {"token_ids": rng.integers(0, 5, tokens), "document_ids": ids, "positions": np.arange(tokens)}
    a, b = (
        an.FeatureActivations.from_dense(
            np.where(rng.random((tokens, 30)) < 0.2, rng.exponential(1.0, (tokens, 30)), 0).astype(np.float32),
            **per_token,
        )
        for _ in "ab"
    )
    return an.Procedure(a, b, *(rng.standard_normal((30, width)).astype(np.float32) for width in (4, 5)))


@pytest.mark.parametrize(
    ("documents", "asked", "made", "window", "note"),
    [
        (14, 19, 9, "256 tokens", "9 of 19 draws asked, so the least p that can come out is 0.1"),
        (14, 13, 13, "documents", None),
        (1, 9, 9, "256 tokens", None),
        (20, 30, 9, "256 tokens", "9 of 30 draws asked, so the least p that can come out is 0.1"),
    ],
)
def test_shifts_are_of_fixed_windows_unless_documents_are_enough(documents, asked, made, window, note):
    procedure = streams(256 * 10, documents)
    pairs = procedure.pairs()
    labels = tuple(labels_of([f"w{i}" for i in range(30)]) for _ in "ab")
    settings = Settings(null="shift", measures=("cka",), min_correlation=None, permutations=asked, min_pairs=3)
    found = score_redrawn(procedure, pairs, labels, settings)
    score = found.scores["cka"]
    assert score.permutations == made
    assert f"windows are {window}; its draws made" in found.null.reason
    assert ("draws asked" in score.note) == (note is not None)
    assert note is None or score.note.endswith(note)
    assert score.note.startswith("observed and null in sd of their own shuffles")


def test_enough_draws_for_alpha_name_no_least_p():
    settings = Settings(null="shift", measures=("cka",), min_correlation=None, permutations=50, min_pairs=3)
    labels = tuple(labels_of([f"w{i}" for i in range(30)]) for _ in "ab")
    procedure = streams(256 * 21, 2)
    score = score_redrawn(procedure, procedure.pairs(), labels, settings).scores["cka"]
    assert score.permutations == 20
    assert score.note.endswith("20 of 50 draws asked")


def test_strata_are_fifths_of_the_rate_of_b():
    pairs, labels, rows, rates = world(words=40)
    settings = replace(ONE_TO_ONE, null="stratified")
    found = score_pairs(pairs, labels, rows, settings, rates).scores["rsa"]
    rank = np.argsort(np.argsort(rates["b"][pairs.feature_b]))
    expected = an.permutation_test(
        rows["a"], rows["b"], "rsa", "stratified", groups=np.arange(40), strata=rank // 8, permutations=19
    )["rsa"]
    np.testing.assert_array_equal(found.draws, expected.draws)
    with pytest.raises(ValueError, match="null=stratified needs firing rates, and the activations were not saved"):
        score_pairs(pairs, labels, rows, settings)


@pytest.mark.parametrize("null", ["auto", "siblings", "one-per-token", "pairing", "stratified"])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_few_pairs_have_no_score(null, n):
    pairs, labels, rows, rates = world(n, words=max(1, n // 2))
    found = score_pairs(pairs, labels, rows, replace(ONE_TO_ONE, null=null), rates)
    assert all("too few pairs" in score.insufficient for score in found.scores.values())
    assert found.null.pairs == n


def test_one_giant_group_has_no_score_under_siblings():
    pairs, labels, rows, _ = world(words=1)
    found = score_pairs(pairs, labels, rows, replace(ONE_TO_ONE, null="siblings"))
    assert found.null.rows_movable == 0
    assert "nothing can move" in found.scores["rsa"].insufficient
    assert choose_null(pairs, labels, ONE_TO_ONE).scored == 1


def test_a_scoring_stands_as_it_was_saved():
    pairs, labels, rows, rates = world()
    first = score_pairs(pairs, labels, rows, ONE_TO_ONE, rates)
    saved = [score.to_dict() for scores in (first.scores, first.rate_adjusted) for score in scores.values()]
    again = Scoring.from_saved(saved, first.summary(), first.draws())
    assert again.summary() == first.summary()
    assert again.scores == first.scores
    assert again.rate_adjusted == first.rate_adjusted
    assert set(again.draws()) == {"rsa", "cka", "rate_adjusted_rsa", "rate_adjusted_cka"}
    for name, draws in again.draws().items():
        np.testing.assert_array_equal(draws, first.draws()[name])
    assert isinstance(again.null, ChosenNull)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (
            {"null": "none"},
            ValueError,
            "^null must be one of auto, pairing, siblings, one-per-token, stratified, shift",
        ),
        ({"method": "guess"}, ValueError, "^method must be one of permutation, analytic, got 'guess'$"),
        ({"method": "analytic", "null": "siblings"}, ValueError, "^method=analytic needs null=auto or pairing or"),
        ({"permutations": "some"}, TypeError, "^permutations must be an integer, got 'some'$"),
        ({"permutations": 0}, ValueError, "^permutations must be at least 1, got 0$"),
        ({"stop": 0}, ValueError, "^stop must be at least 1, got 0$"),
        ({"token_null": 0}, ValueError, "^token_null must be at least 1, got 0$"),
        ({"token_null": 5, "by": "directions"}, ValueError, "^token_null needs by=activations"),
        (
            {"null": "shift"},
            ValueError,
            "^null=shift needs measures with closed moments .* got mutual_knn, heldout_cca; and pairs without a "
            r"correlation band .* got min_correlation=0\.1$",
        ),
        (
            {"null": "shift", "measures": ("rsa",), "min_correlation": None, "min_correlation_given_token": 0.05},
            ValueError,
            r"^null=shift needs pairs without .* got min_correlation_given_token=0\.05$",
        ),
        (
            {"null": "subset", "stop": 5, "permutations": "original", "convergence": True},
            ValueError,
            "^null=subset needs a number of permutations, got permutations=original; and no stop, got stop=5; and no "
            "convergence, got convergence=True$",
        ),
        ({"null": "subset", "by": "directions"}, ValueError, "^null=subset needs by=activations, got by=directions$"),
        ({"null": "rate-adjusted"}, ValueError, "^null must be one of .* 'rate-adjusted': scores with .* stand beside"),
        ({"null": "token-conditional"}, ValueError, "got 'token-conditional': .*--token-null"),
        ({"null": "rematched"}, ValueError, r"got 'rematched': it is in Python, analogue\.rematch"),
        ({"null": "pair-subset"}, ValueError, r"got 'pair-subset': it is in Python, analogue\.rematch"),
        ({"null": "shift", "measures": ("rsa",)}, ValueError, "^null=shift needs pairs without a correlation band"),
        ({"null": "subset", "stop": 3}, ValueError, "^null=subset needs no stop, got stop=3$"),
    ],
)
def test_settings_of_the_null(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        Settings(**arguments)
