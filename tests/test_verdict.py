"""The verdict against a table of its rule, on made scores."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from analogue import permutation_test
from analogue.nulls import Score
from analogue.verdict import WORDS, verdict


def scores(rsa=0.001, knn=0.001, cka=0.1, n=100, null="siblings", permutations=999, **extra):
    def score(name, p, observed):
        return Score(
            name,
            null,
            "permutation",
            n,
            permutations,
            observed=observed,
            null_mean=0.01,
            null_std=0.01,
            p_value=p,
        )

    made = {"rsa": score("rsa", rsa, 0.2), "mutual_knn": score("mutual_knn", knn, 0.2), "cka": score("cka", 0.9, cka)}
    return made | extra


def test_the_rule_is_its_table():
    """Every combination at and beside the bounds, against the rule written out as conditions."""
    for rsa, knn, cka, n, null in itertools.product(
        (0.001, 0.05, 0.0501), (0.05, 0.2), (0.0, 0.0299, 0.031, 0.9), (1, 49, 50, 500), ("siblings", "one-per-token")
    ):
        said = verdict(scores(rsa, knn, cka, n, null))
        significant = rsa <= 0.05 and knn <= 0.05
        if n < 50:
            expected = "too few pairs"
        elif significant and cka - 0.01 >= 0.02:
            expected = "shared"
        else:
            expected = "detectable, negligible" if significant else "not shown"
        assert said.word == expected
        assert said.word in WORDS
        assert (said.n, said.null, said.p_values) == (n, null, {"rsa": rsa, "mutual_knn": knn})
        assert said.effect == pytest.approx(cka - 0.01)
        assert str(said) == f"{said.word}: {said.reason}"
        assert str(n) in said.reason


@pytest.mark.parametrize("missing", ["rsa", "mutual_knn", "cka"])
def test_without_a_measure_there_is_no_verdict(missing):
    made = scores()
    del made[missing]
    said = verdict(made)
    assert said.word is None
    assert f"{missing} was not scored" in said.reason
    assert "rsa and mutual_knn and cka were not scored" in verdict({}).reason


@pytest.mark.parametrize("null", ["pairing", "stratified", "siblings, rate-adjusted", "shift"])
def test_another_null_gives_no_verdict(null):
    said = verdict(scores(null=null))
    assert (said.word, said.null) == (None, null)
    assert said.reason == f"it needs the null siblings or one-per-token, and the scores have {null}"


def test_the_null_is_looked_at_before_the_measures():
    made = scores(null="shift, studentised")
    said = "it needs the null siblings or one-per-token, and the scores have shift, studentised"
    for names in (("cka",), ("rsa", "cka"), ("svcca",)):
        few = {name: replace(made["cka"], measure=name) for name in names}
        assert (verdict(few).word, verdict(few).reason) == (None, said)


def test_pairs_that_mostly_stay_give_no_verdict():
    """Pairs that cannot move are paired in the null too, so neither p nor the effect says what it seems to say."""
    for movable, null, word in (
        (0.16, "siblings", None),
        (0.5, "siblings", "shared"),
        (0.16, "one-per-token", "shared"),
    ):
        made = {name: replace(score, rows_movable=movable) for name, score in scores(null=null).items()}
        assert verdict(made).word == word
    said = verdict({name: replace(score, rows_movable=0.16) for name, score in scores().items()})
    assert said.reason.startswith("only 16% of the rows can move under siblings")
    assert (said.n, said.null) == (100, "siblings")


def test_a_p_that_no_curve_was_checked_for_is_a_bound():
    made = {name: replace(score, method="analytic", p_value=1e-4, permutations=0) for name, score in scores().items()}
    assert "rsa p < 1e-4, mutual_knn p < 1e-4" in verdict(made).reason
    assert "rsa p = 0.001, mutual_knn p = 0.001" in verdict(scores()).reason


def test_what_is_undefined_or_mixed_gives_none():
    made = scores()
    assert (
        "rsa has no p: too flat"
        in verdict(made | {"rsa": Score("rsa", "siblings", "permutation", 100, insufficient="too flat")}).reason
    )
    assert "cka has no null mean" in verdict(made | {"cka": replace(made["cka"], null_mean=None)}).reason
    assert "of 2 sets of pairs" in verdict(made | {"cka": replace(made["cka"], n=99)}).reason
    assert "nulls siblings, pairing" in verdict(made | {"cka": replace(made["cka"], null="pairing")}).reason
    assert verdict(made | {"cka": replace(made["cka"], n=99)}).word is None


def test_permutations_that_cannot_reach_alpha_do_not_say_not_shown():
    said = verdict(scores(rsa=1 / 11, knn=1 / 11, permutations=10))
    assert said.word is None
    assert said.reason == "10 permutations cannot reach p = 0.05; draw at least 19"
    assert verdict(scores(rsa=1 / 20, knn=1 / 20, permutations=19)).word == "shared"
    assert verdict(scores(rsa=2 / 20, knn=1 / 20, permutations=19)).word == "not shown"
    assert verdict(scores(rsa=0.3, knn=0.01, permutations=0)).word == "not shown"  # a closed form has none


def test_scores_in_the_flesh():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((80, 6))
    x = shared @ rng.standard_normal((6, 12)) + 0.3 * rng.standard_normal((80, 12))
    y = shared @ rng.standard_normal((6, 9)) + 0.3 * rng.standard_normal((80, 9))
    named = {"measures": ("rsa", "mutual_knn", "cka"), "null": "one-per-token", "permutations": 99}
    assert verdict(permutation_test(x, y, **named)).word == "shared"
    assert verdict(permutation_test(x, rng.standard_normal((80, 9)), **named)).word == "not shown"
    assert verdict(permutation_test(x[:30], y[:30], **named)).word == "too few pairs"
    assert verdict(permutation_test(x[:5], y[:5], **named)).word == "too few pairs"


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"alpha": 0}, ValueError, "^alpha must be above 0 and below 1, got 0$"),
        ({"min_effect": 1.5}, ValueError, "^min_effect must be above 0 and below 1, got 1.5$"),
        ({"alpha": "5%"}, TypeError, "^alpha must be a number"),
        ({"min_pairs": 0}, ValueError, "^min_pairs must be at least 1, got 0$"),
    ],
)
def test_bad_arguments(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        verdict(scores(), **arguments)
