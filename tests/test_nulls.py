import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace
from itertools import permutations as all_orders

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
import oracles_nulls
from analogue.nulls import Score, permutation_test
from analogue.nulls.groups import exchangeable
from analogue.nulls.permutations import draw_permutations
from analogue.ops import permuted_cca
from analogue.similarity import MEASURES, cca

TEXTBOOK = {"svcca": oracles.svcca, "rsa": oracles.rsa, "cka": oracles.debiased_cka}
MEASURE_NAMES = list(TEXTBOOK)  # the engine is the same for all
NUMBERS = (
    *("observed", "null_mean", "null_std", "null_q05", "null_median", "null_q95", "null_q99", "null_skewness", "z"),
    *("p_value", "p_error", "p_display", "calibrated", "kx", "ky", "forced_ones", "saturated"),
)


def sides(n, dx, dy, shared=1.0, seed=0):
    """Rows that share ``shared`` times x's geometry; unrelated at 0."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dx))
    return x, shared * x @ rng.standard_normal((dx, dy)) + rng.standard_normal((n, dy))


def p_error(p, draws):
    return np.sqrt(p * (1 - p) / (1 + len(draws)))


def drawn(n, count, seed):
    return draw_permutations(np.random.default_rng(seed), exchangeable(np.arange(n)), n, count)


@pytest.mark.parametrize("shared", [0.0, 0.3])
@pytest.mark.parametrize("name", MEASURE_NAMES)
def test_equals_recomputing_everything_per_permutation(name, shared):
    x, y = sides(10, 3, 4, shared)
    score = permutation_test(x, y, name, permutations=199, seed=5)[name]
    draws = [TEXTBOOK[name](x, y[order]) for order in drawn(10, 199, 5)]
    np.testing.assert_allclose(score.draws, draws, atol=1e-9, rtol=0)
    assert score.observed == pytest.approx(TEXTBOOK[name](x, y), abs=1e-9)
    expected = oracles.score(score.observed, draws)
    assert {key: getattr(score, key) for key in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_equals_preparing_it_again_per_permutation(name):
    x, y = sides(24, 4, 4, 0.3)
    score = permutation_test(x, y, name, permutations=40, seed=2)[name]
    prepare, orders = MEASURES[name].prepare, drawn(24, 40, 2)
    again = [prepare(x, y[order]).observed for order in orders]
    np.testing.assert_allclose(score.draws, again, atol=max(1e-9, prepare(x, y).rounding), rtol=0)
    assert score.observed == prepare(x, y).observed


def test_permutations_are_uniform():
    orders, counts = np.unique(drawn(4, 24_000, 0), axis=0, return_counts=True)
    assert {tuple(order) for order in orders.tolist()} == set(all_orders(range(4)))
    assert ((counts - 1000) ** 2 / 1000).sum() < 49.7  # chi-square, 23 degrees of freedom, 0.1 %


def test_permutations_of_a_seed_are_what_they_were():
    assert drawn(8, 3, 7).tolist() == [[0, 6, 7, 2, 4, 5, 1, 3], [7, 3, 6, 2, 0, 4, 1, 5], [3, 4, 5, 2, 0, 7, 1, 6]]
    plain = np.random.default_rng(5).permuted(np.tile(np.arange(30), (9, 1)), axis=1)
    np.testing.assert_array_equal(drawn(30, 9, 5), plain)


def test_all_measures_see_the_same_permutations_whatever_their_company_and_number():
    x, y = sides(40, 3, 4)
    together = permutation_test(x, y, MEASURE_NAMES, permutations=70, seed=2)
    for name in MEASURE_NAMES:
        alone = permutation_test(x, y, name, permutations=33, seed=2)[name]
        np.testing.assert_allclose(alone.draws, together[name].draws[:33], atol=1e-12, rtol=0)
    other = permutation_test(x, y, "rsa", permutations=70, seed=3)["rsa"]
    assert not np.allclose(other.draws, together["rsa"].draws)


def test_any_number_of_threads_gives_the_same_scores():
    program = """if True:
        import json
        import numpy as np
        from analogue.nulls import permutation_test
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((300, 60)), rng.standard_normal((300, 50))
        scores = permutation_test(x, y, ("svcca", "rsa", "cka"), permutations=64)
        print(json.dumps([[s.p_value, s.observed, *s.draws.tolist()] for s in scores.values()]))
    """
    found = []
    for threads in ("1", "2", "5"):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), threads)
        environment = os.environ | limits | {"PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        found.append(np.array(json.loads(run.stdout)))
    for other in found[1:]:
        assert other[:, 0].tolist() == found[0][:, 0].tolist()
        np.testing.assert_allclose(other, found[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", MEASURE_NAMES)
def test_unrelated_rows_are_significant_as_often_as_promised(name):
    rng = np.random.default_rng(11)
    trials, permutations = 1000, 39
    p = np.array(
        [
            permutation_test(
                rng.standard_normal((14, 3)), rng.standard_normal((14, 4)), name, permutations=permutations, seed=trial
            )[name].p_value
            for trial in range(trials)
        ]
    )
    assert abs((p <= 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / trials)
    steps = np.arange(1, permutations + 2) / (permutations + 1)
    gap = np.abs((p[:, None] <= steps + 1e-12).mean(axis=0) - steps).max()
    assert gap < 1.95 / np.sqrt(trials)  # Kolmogorov-Smirnov at 0.1 %


@pytest.mark.parametrize("name", MEASURE_NAMES)
def test_planted_geometry_is_found(name):
    score = permutation_test(*sides(60, 6, 8), name, permutations=199)[name]
    assert score.p_value == 1 / 200
    assert score.z > 5
    assert 0.2 < score.calibrated < 1
    assert score.warning is None


@pytest.mark.parametrize("name", MEASURE_NAMES)
def test_permutations_that_change_nothing_are_ties(name):
    x, y = sides(12, 4, 5)
    y = np.where(np.arange(12)[:, None] < 10, y[0], y[1])  # two distinct rows: 66 different pairings
    score = permutation_test(x, y, name, permutations=2000)[name]
    hits = (drawn(12, 2000, 0)[:, 10:] >= 10).all(axis=1)
    assert hits.any()
    assert score.p_value >= (1 + hits.sum()) / 2001
    np.testing.assert_allclose(score.draws[hits], score.observed, atol=1e-12, rtol=0)


def test_a_saturated_side_says_nothing_and_says_so():
    score = permutation_test(*sides(12, 40, 40), "svcca", permutations=99)["svcca"]
    assert (score.kx, score.ky, score.forced_ones, score.saturated) == (11, 11, 11, True)
    assert (score.z, score.p_value, score.calibrated) == (None, 1.0, None)
    assert score.warning == "svcca is 1 for any data: 11 kept directions fill 12 centred rows"


def test_correlations_forced_to_one_are_counted():
    score = permutation_test(*sides(20, 12, 14, 0.0), "svcca", permutations=19)["svcca"]
    x, y = sides(20, 12, 14, 0.0)
    prepared = MEASURES["svcca"].prepare(x, y)
    ones = np.linalg.svd(prepared.qx.T @ prepared.qy, compute_uv=False) > 1 - 1e-12
    assert score.forced_ones == ones.sum() == score.kx + score.ky - 19 > 0
    assert score.saturated is False
    assert score.warning.startswith(f"{score.forced_ones} of {score.kx} canonical correlations are 1 for any data: ")


def test_measures_without_subspaces_have_no_directions():
    for score in permutation_test(*sides(20, 4, 4), ("rsa", "cka"), permutations=9).values():
        assert (score.kx, score.ky, score.forced_ones, score.saturated, score.warning) == (None,) * 5


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_few_pairs_have_no_score(n):
    for name, score in permutation_test(*sides(n, 3, 4), MEASURE_NAMES).items():
        assert score.insufficient == f"too few pairs: {n}, at least 10 wanted"
        assert [getattr(score, number) for number in NUMBERS] == [None] * len(NUMBERS)
        assert (score.measure, score.n, score.permutations, score.draws, score.warning) == (name, n, 0, None, None)


def test_an_undefined_measure_leaves_the_others_alone():
    x, y = sides(30, 1, 4)
    scores = permutation_test(x, y, MEASURE_NAMES, permutations=19)
    assert scores["rsa"].insufficient.startswith("undefined: x must have rows at different distances")
    assert scores["rsa"].p_value is None
    assert scores["svcca"].insufficient is scores["cka"].insufficient is None
    for score in permutation_test(np.full((30, 3), 0.1), y, MEASURE_NAMES).values():
        assert score.insufficient == "undefined: x must vary between rows, got 30 equal rows"
        assert score.p_value is None
    small = permutation_test(x[:2], y[:2], MEASURE_NAMES, min_pairs=1, permutations=19)
    assert [score.insufficient is None for score in small.values()] == [True, False, False]


@given(
    draws=st.lists(st.integers(-50, 50), min_size=2, max_size=60).filter(lambda draws: len(set(draws)) > 1),
    observed=st.integers(-50, 50),
)
def test_score_counts_as_the_definition_says(draws, observed):
    draws, observed = np.array(draws) / 64, observed / 64
    score = Score.from_draws("m", "pairing", "permutation", n=30, observed=observed, draws=draws, rounding=1e-12)
    expected = oracles.score(observed, draws) | oracles_nulls.spread(draws) | {"p_error": p_error(score.p_value, draws)}
    assert {key: getattr(score, key) for key in expected} == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert 0 < score.p_value <= 1
    assert score.p_display == f"{score.p_value:.2g}"


@pytest.mark.parametrize("permutations", [2, 19, 999, 1000])
def test_calibrated_is_positive_only_above_the_threshold(permutations):
    draws = np.arange(permutations) / (2 * permutations)

    def calibrated(observed):
        scores = {"n": 30, "observed": observed, "draws": draws, "rounding": 1e-12}
        return Score.from_draws("m", "pairing", "permutation", **scores).calibrated

    assert calibrated(draws[permutations // 2]) == 0.0
    assert calibrated(0.75) == pytest.approx(oracles.score(0.75, draws)["calibrated"], abs=1e-12)


def test_draws_without_spread_have_no_z():
    draws = np.full(19, 0.5) + 1e-14 * np.arange(19)
    score = Score.from_draws("m", "pairing", "permutation", n=30, observed=0.9, draws=draws, rounding=1e-12)
    assert score.z is None
    assert score.p_value == 1 / 20


@pytest.mark.parametrize("n", [5, 30])
def test_json_round_trip(n):
    for score in permutation_test(*sides(n, 3, 40), MEASURE_NAMES, permutations=19).values():
        saved = json.loads(json.dumps(score.to_dict(), allow_nan=False))
        assert set(saved) == {attribute.name for attribute in fields(Score)} - {"draws"}
        back = Score.from_dict(saved | {"pairs_kind": "mutual"}, draws=score.draws)
        assert back == score
        assert back.draws is score.draws
    with pytest.raises(ValueError, match="got none for z"):
        Score.from_dict({key: value for key, value in saved.items() if key != "z"})
    with pytest.raises(FrozenInstanceError):
        score.z = 1.0


def test_progress_counts_to_the_end():
    seen = []
    permutation_test(*sides(12, 3, 3), "rsa", permutations=75, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (75, 75)
    assert {total for _, total in seen} == {75}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measures": ("rsa", "cca")}, f"measures must be one of {', '.join(MEASURES)}, got 'cca'"),
        ({"measures": ()}, f"measures must name at least one of {', '.join(MEASURES)}, got none"),
        ({"null": "rows"}, "null must be one of pairing, siblings, one-per-token, stratified, got 'rows'"),
        ({"device": "tpu"}, "device must be auto, cpu, cuda or cuda:N with N below [0-9]+ here, got 'tpu'"),
        ({"permutations": 0}, "permutations must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"min_pairs": 0}, "min_pairs must be at least 1, got 0"),
        ({"y": np.ones((11, 3))}, r"x and y must have one row a pair, got shapes \(12, 3\) and \(11, 3\)"),
        ({"y": np.full((12, 3), np.nan)}, "y must be finite, got 36 NaN or infinite values"),
        ({"y": np.full((12, 3), np.inf)}, "y must be finite, got 36 NaN or infinite values"),
        ({"x": np.ones(12)}, r"x must have 2 dimensions, got shape \(12,\)"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    x, y = sides(12, 3, 3)
    with pytest.raises(ValueError, match=message):
        permutation_test(**{"x": x, "y": y} | arguments)


def test_draws_of_svcca_go_through_the_op_on_another_device(monkeypatch):
    """The op's CPU path stands in for CUDA here: what is tested is that nothing is lost on the way."""
    x, y = sides(40, 9, 7)
    prepared = MEASURES["svcca"].prepare(x, y)
    orders = draw_permutations(np.random.default_rng(0), exchangeable(np.arange(40)), 40, 20)
    monkeypatch.setattr(cca, "permuted_cca", lambda *args, device: permuted_cca(*args, device="cpu"))
    np.testing.assert_allclose(replace(prepared, device="cuda").draws(orders), prepared.draws(orders), atol=1e-7)
