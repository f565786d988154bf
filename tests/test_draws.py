import numpy as np
import pytest

import oracles
from analogue.nulls import TooFewError, draw_test
from analogue.nulls.analytic import closed_form
from analogue.similarity import MEASURES, UndefinedError

NAMES = ("svcca", "rsa", "cka")


def sides(n, seed=0, shared=0.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    return x, shared * x @ rng.standard_normal((3, 4)) + rng.standard_normal((n, 4))


def fresh(n):
    """Unrelated rows, n of them in every draw."""

    def draw(rng):
        return rng.standard_normal((n, 3)), rng.standard_normal((n, 4))

    return draw


def one_of(*draws):
    """The draws given, one after the other; an exception is raised in its turn."""
    turns = iter(draws)

    def draw(rng):
        turn = next(turns)
        if isinstance(turn, Exception):
            raise turn
        return turn

    return draw


@pytest.mark.parametrize("name", NAMES)
def test_every_draw_is_scored_afresh(name):
    x, y = sides(12, shared=0.5)
    score = draw_test(x, y, fresh(12), name, "mine", draws=25, seed=3)[name]
    rng = np.random.default_rng(3)
    textbook = {"svcca": oracles.svcca, "rsa": oracles.rsa, "cka": oracles.debiased_cka}[name]
    values = [textbook(rng.standard_normal((12, 3)), rng.standard_normal((12, 4))) for _ in range(25)]
    np.testing.assert_allclose(score.draws, values, atol=1e-9, rtol=0)
    expected = oracles.score(textbook(x, y), values)
    assert {key: getattr(score, key) for key in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert (score.null, score.method, score.permutations, score.n, score.note) == ("mine", "draws", 25, 12, None)


@pytest.mark.parametrize("name", NAMES)
def test_studentised_values_are_distances_from_their_own_permutations(name):
    x, y = sides(30, shared=0.3)
    score = draw_test(x, y, fresh(20), name, "shift", draws=15, studentised=True)[name]
    rng = np.random.default_rng(0)
    expected = []
    for drawn in [(x, y), *(fresh(20)(rng) for _ in range(15))]:
        prepared = MEASURES[name].prepare(*drawn)
        moments = closed_form(prepared)
        expected.append((prepared.observed - moments.mean) / np.sqrt(moments.variance))
    np.testing.assert_allclose([score.observed, *score.draws], expected, atol=1e-9, rtol=0)
    assert score.z == pytest.approx((expected[0] - np.mean(expected[1:])) / np.std(expected[1:]))
    assert score.p_value == (1 + sum(value >= expected[0] for value in expected[1:])) / 16
    assert (score.null, score.calibrated) == ("shift, studentised", None)
    assert score.note == "observed and null in sd of their own shuffles; draws of 20 rows"


def test_studentised_draws_of_any_size_are_compared_with_one_scale():
    rng = np.random.default_rng(1)

    def draw(rng):
        return fresh(int(rng.integers(12, 60)))(rng)

    p = np.array(
        [
            draw_test(*fresh(25)(rng), draw, "svcca", "mine", draws=19, seed=trial, studentised=True)["svcca"].p_value
            for trial in range(300)
        ]
    )
    assert abs((p <= 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 300)
    raw = np.array(
        [
            draw_test(*fresh(12)(rng), draw, "svcca", "mine", draws=19, seed=trial)["svcca"].p_value
            for trial in range(100)
        ]
    )
    assert (raw <= 0.05).mean() > 0.15  # few rows alone make svcca large


def test_draws_without_a_score_are_counted_and_said():
    few, constant = sides(4), (np.ones((12, 3)), sides(12)[1])
    draws = [sides(12, 1), few, constant, TooFewError("none"), UndefinedError("none"), sides(13, 2), sides(12, 3)]
    scores = draw_test(*sides(12, shared=1.0), one_of(*draws), NAMES, "mine", draws=7)
    for score in scores.values():
        assert score.note == (
            "draws of 4 to 13 rows; not counted: 2 of 7 draws with too few pairs and 2 of 7 draws with no value"
        )
        assert (score.permutations, len(score.draws)) == (3, 3)
        assert score.p_value in {1 / 4, 2 / 4, 3 / 4, 1.0}


def test_a_draw_may_be_undefined_for_one_measure_alone():
    flat = np.random.default_rng(0).standard_normal((12, 1)), sides(12)[1]
    scores = draw_test(*sides(12), one_of(flat, sides(12, 1)), NAMES, "mine", draws=2)
    assert [scores[name].permutations for name in NAMES] == [2, 1, 2]
    assert [scores[name].note for name in NAMES] == [None, "not counted: 1 of 2 draws with no value", None]


def test_without_any_draw_there_is_no_score():
    score = draw_test(*sides(12), one_of(sides(3), sides(4)), "rsa", "mine", draws=2)["rsa"]
    assert score.insufficient == "no draw has a score: 2 of 2 draws with too few pairs"
    assert (score.observed, score.p_value, score.draws) == (None, None, None)


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_few_observed_pairs_have_no_score_and_cost_no_draw(n):
    for score in draw_test(*sides(n), one_of(), NAMES, "mine").values():
        assert score.insufficient == f"too few pairs: {n}, at least 10 wanted"
        assert (score.n, score.permutations, score.p_value) == (n, 0, None)


def test_undefined_observed_rows_have_no_score():
    scores = draw_test(
        np.random.default_rng(0).standard_normal((12, 1)), sides(12)[1], fresh(12), NAMES, "mine", draws=3
    )
    assert scores["rsa"].insufficient.startswith("undefined: x must have rows at different distances")
    assert scores["svcca"].insufficient is scores["cka"].insufficient is None


def test_a_saturated_measure_cannot_be_studentised():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 40)), rng.standard_normal((12, 40))
    score = draw_test(x, y, fresh(12), "svcca", "mine", draws=3, studentised=True)["svcca"]
    assert score.insufficient == "undefined: svcca has the same value on every permutation of its rows"


def test_the_first_draws_are_the_same_whatever_their_number():
    many, few = (draw_test(*sides(12), fresh(12), "rsa", "mine", draws=draws, seed=4)["rsa"].draws for draws in (20, 7))
    np.testing.assert_array_equal(many[:7], few)
    assert not np.array_equal(many, draw_test(*sides(12), fresh(12), "rsa", "mine", draws=20, seed=5)["rsa"].draws)


def test_progress_counts_every_draw():
    seen = []
    draw_test(*sides(12), fresh(12), "cka", "mine", draws=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measures": "cca"}, "measures must be one of svcca, .*, got 'cca'"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"min_pairs": 0}, "min_pairs must be at least 1, got 0"),
        ({"x": np.full((12, 3), np.nan)}, "x must be finite"),
        (
            {"measures": "mutual_knn", "studentised": True},
            "studentised needs measures with closed moments, got mutual_knn",
        ),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    x, y = sides(12)
    with pytest.raises(ValueError, match=message):
        draw_test(**{"x": x, "y": y, "draw": fresh(12), "measures": NAMES, "null": "mine", "draws": 2} | arguments)


def test_a_draw_with_nan_is_refused():
    with pytest.raises(ValueError, match="x must be finite, got 36 NaN"):
        draw_test(*sides(12), one_of((np.full((12, 3), np.nan), np.ones((12, 4)))), "rsa", "mine", draws=1)


@pytest.mark.parametrize(
    ("returned", "kind"), [(None, "NoneType"), (np.ones((12, 3)), "ndarray"), ((1, 2, 3), "tuple")]
)
def test_a_draw_that_is_no_pair_is_refused(returned, kind):
    with pytest.raises(TypeError, match=rf"^draw must return a pair of arrays \(x, y\), got {kind}$"):
        draw_test(*sides(12), one_of(returned), "rsa", "mine", draws=1)


def test_every_null_has_its_own_name():
    with pytest.raises(TypeError, match="null"):
        draw_test(*sides(12), fresh(12), "rsa")
