"""The nulls beside pairing, rates regressed out, the original's rule, and draws that stop early."""

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
import oracles_nulls
from analogue.nulls import NULLS, RATE_ADJUSTED, Null, Score, permutation_test, without_rates
from analogue.nulls.groups import exchangeable
from analogue.nulls.permutations import draw_permutations

TEXTBOOK = {"svcca": oracles.svcca, "rsa": oracles.rsa, "cka": oracles.debiased_cka}
GROUPS = np.array([0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 5, 6, 7])
STRATA = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2])


def sides(n, dx=3, dy=4, shared=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dx))
    return x, shared * x @ rng.standard_normal((dx, dy)) + rng.standard_normal((n, dy))


@pytest.mark.parametrize(
    ("null", "choice", "allowed", "counted"),
    [
        ("siblings", {"groups": GROUPS}, (GROUPS,), (8, 3, 1.0)),
        ("stratified", {"strata": STRATA}, (np.arange(14), STRATA), (14, 1, 1.0)),
        ("stratified", {"groups": GROUPS, "strata": STRATA}, (GROUPS, STRATA), (8, 3, 2 / 14)),
        ("one-per-token", {}, (np.arange(14),), (None, None, None)),
    ],
)
def test_equals_recomputing_everything_per_permutation(null, choice, allowed, counted):
    x, y = sides(14)
    scores = permutation_test(x, y, TEXTBOOK, null, permutations=50, seed=5, **choice)
    rng = np.random.default_rng(5)
    orders = np.concatenate([draw_permutations(rng, exchangeable(*allowed), 14, 32) for _ in range(2)])[:50]
    for name, score in scores.items():
        draws = np.array([TEXTBOOK[name](x, y[order]) for order in orders])
        draws[np.abs(draws - score.observed) < 1e-9] = score.observed  # few arrangements: some change nothing
        np.testing.assert_allclose(score.draws, draws, atol=1e-9, rtol=0)
        expected = oracles.score(score.observed, draws)
        assert {key: getattr(score, key) for key in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert (score.null, score.method, score.fallback) == (null, "permutation", None)
        assert (score.groups, score.largest_group, score.rows_movable) == counted
        back = Score.from_dict(json.loads(json.dumps(score.to_dict(), allow_nan=False)))
        assert back == score


def test_permutations_do_not_depend_on_their_number():
    x, y = sides(14)
    runs = [permutation_test(x, y, "rsa", "siblings", groups=GROUPS, permutations=r)["rsa"].draws for r in (33, 70)]
    np.testing.assert_array_equal(runs[0], runs[1][:33])


def test_groups_of_one_and_one_stratum_are_pairing():
    x, y = sides(20)
    plain = permutation_test(x, y, "rsa", permutations=40, seed=3)["rsa"]
    for null, choice in (
        ("siblings", {"groups": np.arange(20)}),
        ("stratified", {"strata": np.zeros(20, dtype=int)}),
        ("one-per-token", {}),
    ):
        same = permutation_test(x, y, "rsa", null, permutations=40, seed=3, **choice)["rsa"]
        np.testing.assert_array_equal(same.draws, plain.draws)


def test_agreement_of_strata_alone_is_not_significant_within_them():
    rng = np.random.default_rng(2)
    strata = np.arange(60) % 3
    x, y = (4 * rng.standard_normal((3, d))[strata] + rng.standard_normal((60, d)) for d in (4, 5))
    assert permutation_test(x, y, "rsa", permutations=199)["rsa"].p_value == 1 / 200
    assert permutation_test(x, y, "rsa", "stratified", strata=strata, permutations=199)["rsa"].p_value > 0.05


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"null": "siblings", "groups": np.zeros(14, dtype=int)}, "nothing can move: all 14 rows are one group"),
        (
            {"null": "siblings", "groups": np.repeat([0, 1, 2], [2, 5, 7])},
            "nothing can move: no two of the 3 groups have the same size",
        ),
        (
            {"null": "stratified", "strata": np.arange(14)},
            "nothing can move: no two of the 14 groups have the same size and the same strata",
        ),
    ],
)
def test_where_nothing_can_move_there_is_no_p(choice, reason):
    for score in permutation_test(*sides(14), TEXTBOOK, **choice).values():
        assert score.insufficient == reason
        assert (score.p_value, score.observed, score.z, score.permutations) == (None, None, None, 0)
        assert (score.groups, score.rows_movable) == (len(np.unique(choice.get("groups", choice.get("strata")))), 0.0)


def test_too_few_pairs_come_before_groups_that_cannot_move():
    score = permutation_test(*sides(4), "rsa", "siblings", groups=[0, 0, 0, 0])["rsa"]
    assert score.insufficient == "too few pairs: 4, at least 10 wanted"


def test_one_pair_of_groups_that_can_move_gives_half():
    x, y = sides(14)
    groups = np.repeat([0, 1, 2], [2, 2, 10])
    score = permutation_test(x, y, "rsa", "siblings", groups=groups, permutations=999)["rsa"]
    assert len(np.unique(score.draws.round(12))) == 2
    assert score.p_value > 0.45
    assert score.rows_movable == 4 / 14


@pytest.mark.parametrize(("n", "permutations"), [(100, 1000), (101, 100)])
def test_the_original_draws_fewer_for_many_rows(n, permutations):
    assert permutation_test(*sides(n), "rsa", permutations="original")["rsa"].permutations == permutations


@given(n=st.integers(2, 30), d=st.integers(1, 4), scale=st.sampled_from([1e-200, 1.0, 1e200]), seed=st.integers(0, 99))
def test_residuals_are_the_nearest_with_a_scalar_covariance(n, d, scale, seed):
    rng = np.random.default_rng(seed)
    x, y = 5.0 + rng.standard_normal((n, d)), rng.standard_normal((n, d + 1))
    rates = rng.random(n), [rng.random(n), np.full(n, 0.3)][seed % 2]
    found_x, found_y, kept = without_rates(scale * x, scale * y, rates)
    assert len(kept) == max(0, n - 3 + seed % 2)
    assert (np.diff(kept) > 0).all()
    for found, rows in ((found_x, x), (found_y, y)):
        np.testing.assert_allclose(found / scale, oracles_nulls.residuals(rows, rates, kept), atol=1e-7)


def test_residuals_of_exchangeable_rows_are_uncorrelated_and_free_of_both_rates():
    rng = np.random.default_rng(2)
    rates = rng.random(20), rng.beta(1, 30, 20)
    maps, _, kept = without_rates(np.eye(20), np.eye(20), rates)
    np.testing.assert_allclose(maps @ maps.T, np.eye(17), atol=1e-12)
    np.testing.assert_allclose(maps @ np.column_stack([np.ones(20), *np.log(np.array(rates) + 0.001)]), 0, atol=1e-12)
    assert (maps[np.arange(17), kept] > 0.5).all()  # mostly the row itself


def test_what_a_rate_explains_is_zero_and_equal_rates_cost_one_row():
    rate = np.linspace(0, 1, 20)
    explained = np.column_stack([3 + 2 * np.log(rate + 0.001), np.full(20, 0.1), rate])
    rest, _, kept = without_rates(explained, explained, (rate, rate))
    assert len(kept) == 18
    assert not rest[:, :2].any()
    assert rest[:, 2].any()
    rows = np.random.default_rng(0).standard_normal((20, 3))
    equal = np.full(20, 0.3)
    centred, _, kept = without_rates(rows, rows, (equal, equal))
    assert len(kept) == 19
    np.testing.assert_allclose(centred.T @ centred, (rows - rows.mean(axis=0)).T @ (rows - rows.mean(axis=0)))
    assert without_rates(np.empty((0, 3)), np.empty((0, 2)), ([], []))[0].shape == (0, 3)


def test_agreement_of_rates_alone_is_gone_when_they_are_regressed_out():
    rng = np.random.default_rng(4)
    rate = rng.beta(1, 20, 80)
    rates = rate, np.clip(rate * rng.uniform(0.8, 1.2, 80), 0, 1)
    x, y = (
        rng.standard_normal((80, d)) + 3 * np.outer(np.log(r + 0.001), rng.standard_normal(d))
        for d, r in zip((5, 6), rates, strict=True)
    )
    assert permutation_test(x, y, "rsa", permutations=199)["rsa"].p_value == 1 / 200
    score = permutation_test(x, y, "rsa", permutations=199, rates=rates)["rsa"]
    assert score.p_value > 0.05
    assert score.null == "pairing, rate-adjusted"
    kept = without_rates(x, y, rates)[2]
    assert score.n == len(kept) == 77
    by_hand = [oracles_nulls.residuals(rows, rates, kept) for rows in (x, y)]
    assert score.observed == pytest.approx(oracles.rsa(*by_hand), abs=1e-9)
    order = draw_permutations(np.random.default_rng(0), exchangeable(np.arange(77)), 77, 1)[0]
    assert score.draws[0] == pytest.approx(oracles.rsa(by_hand[0], by_hand[1][order]), abs=1e-9)


def test_rows_that_are_nothing_but_rate_have_no_score():
    rate = np.linspace(0.01, 0.5, 30)
    x = np.outer(np.log(rate + 0.001), [1.0, -2.0])
    score = permutation_test(x, sides(30)[1], "svcca", rates=(rate, rate))["svcca"]
    assert score.insufficient == "undefined: x must vary between rows, got 28 equal rows"


@pytest.mark.parametrize("stop", [1, 4, 10, 1000])
@pytest.mark.parametrize("shared", [0.0, 0.15, 1.0])
def test_draws_stop_as_besag_and_clifford_say(shared, stop):
    x, y = sides(30, shared=shared)
    whole = permutation_test(x, y, TEXTBOOK, permutations=100)
    scores = permutation_test(x, y, TEXTBOOK, permutations=100, stop=stop)
    for name, score in scores.items():
        used, p = oracles_nulls.besag_clifford(score.observed, whole[name].draws, stop)
        assert (score.permutations, score.p_value) == (used, pytest.approx(p))
        np.testing.assert_array_equal(score.draws, whole[name].draws[:used])
        assert score.stopped is bool((score.draws >= score.observed).sum() == stop)
        assert score.p_error == pytest.approx(np.sqrt(p * (1 - p) / (used + (not score.stopped))))


def test_measures_stop_on_their_own_and_progress_still_ends():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3))
    y = np.column_stack([x @ rng.standard_normal((3, 3)), 1e3 * rng.standard_normal((40, 1))])
    seen = []
    permutation_test(x, rng.standard_normal((40, 3)), TEXTBOOK, stop=1, progress=lambda *step: seen.append(step))
    assert seen[0] == (0, 1000)
    assert seen[-1] == (1000, 1000)
    assert len(seen) < 10
    scores = permutation_test(x, y, TEXTBOOK, permutations=400, stop=20)
    assert len({score.permutations for score in scores.values()}) > 1


def test_stopped_p_values_are_valid():
    rng = np.random.default_rng(8)
    trials = 800
    p = np.array(
        [
            permutation_test(*sides(12, shared=0.0, seed=1000 + t), "rsa", permutations=99, stop=5, seed=t)[
                "rsa"
            ].p_value
            for t in rng.permutation(trials).tolist()
        ]
    )
    for level in (0.02, 0.05, 0.1, 0.25, 0.5):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / trials)
    assert (p <= 0.1).mean() >= 0.1 - 3 * np.sqrt(0.09 / trials)


def test_every_null_says_what_it_means():
    assert list(NULLS) == ["pairing", "siblings", "one-per-token", "stratified"]
    for name, null in (NULLS | {"rate-adjusted": RATE_ADJUSTED}).items():
        assert null.name == name
        assert all(len(getattr(null, field.name)) > 20 for field in fields(Null) if field.name != "name")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"null": "siblings"}, "groups must name the sibling group of every row for null='siblings', got none"),
        ({"null": "stratified"}, "strata must name the stratum of every row for null='stratified', got none"),
        ({"groups": np.arange(12)}, "groups must be None for null='pairing', which does not use them"),
        ({"null": "one-per-token", "groups": np.arange(12)}, "groups must be None for null='one-per-token'"),
        (
            {"null": "siblings", "groups": np.arange(12), "strata": np.arange(12)},
            "strata must be None for null='siblings', which does not use them",
        ),
        (
            {"null": "siblings", "groups": np.arange(11)},
            r"groups must have one entry a row, shape \(12,\), got shape \(11,\)",
        ),
        ({"rates": (np.ones(12), np.ones(11))}, r"rates\[1\] must have one entry a row, 12, got 11"),
        (
            {"rates": (np.ones(12), np.full(12, 1.5))},
            r"rates\[1\] must be shares from 0 to 1, got values from 1\.5 to 1\.5",
        ),
        ({"rates": (np.ones(12), np.full(12, np.nan))}, r"rates\[1\] must be finite, got 12 NaN or infinite values"),
        ({"permutations": "all"}, "permutations must be one of original, got 'all'"),
        ({"stop": 0}, "stop must be at least 1, got 0"),
        ({"method": "exact"}, "method must be one of permutation, analytic, got 'exact'"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        permutation_test(*sides(12), **arguments)


def test_rates_are_two():
    with pytest.raises(TypeError, match="rates must be two arrays, the rates of x and of y, got ndarray"):
        permutation_test(*sides(12), rates=np.ones(12))
    with pytest.raises(TypeError, match="groups must be convertible to int64, got dtype float64"):
        permutation_test(*sides(12), null="siblings", groups=np.full(12, np.nan))
