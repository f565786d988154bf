"""How often each null rejects in worlds where the answer is known: 2000 trials at 0.05, fixed seeds.

Bounds are three standard errors of 2000 trials around 0.05. `worlds` says what each world holds.
"""

from functools import partial

import numpy as np
import pytest

import trials

pytestmark = pytest.mark.slow

TRIALS = 2000
SHIFTED = 400  # a shift matches 20 times a trial
POWER_TRIALS = 300
LOWEST, HIGHEST = 0.035, 0.065


@pytest.fixture(scope="module")
def pool():
    with trials.workers() as pool:
        yield pool


def rejected(pool, world, rule, null, count=TRIALS):
    shares = trials.rejected(pool, partial(trials.in_world, world, rule, null), count)
    print(
        f"\n{world}, {rule}, {null}: " + ", ".join(f"{n} {s:.4f}" for n, s in zip(trials.MEASURES, shares, strict=True))
    )
    return shares


@pytest.mark.parametrize(
    ("world", "rule", "null"),
    [
        # One-to-one pairs whose decoders hold no siblings: choosing pairs by activations alone costs nothing.
        ("c0", "mutual", "pairing"),
        ("c1", "mutual", "pairing"),
        ("d0", "mutual", "pairing"),
        # Siblings in both models, shared tokens: what real dictionaries are like.
        ("d1", "mutual", "siblings"),
        ("d1", "mutual", "one-per-token"),
        ("d1", "many", "one-per-token"),
        # And decoders that carry their own firing rate.
        ("d2", "mutual", "one-per-token, rate-adjusted"),
    ],
)
def test_a_null_that_holds_rejects_one_time_in_twenty(pool, world, rule, null):
    shares = rejected(pool, world, rule, null)
    assert ((shares >= LOWEST) & (shares <= HIGHEST)).all()


def test_sibling_groups_of_many_to_one_pairs_hold_within_the_bounds(pool):
    # Their true rate is a little above 0.06: groups of one size change places though their inner patterns (which rows
    # share a token) differ. Among groups of equal pattern it is 0.05, but then four rows of five cannot move. Four
    # times the trials tell 0.06 from 0.065.
    shares = rejected(pool, "d1", "many", "siblings", 4 * TRIALS)
    assert ((shares >= LOWEST) & (shares <= HIGHEST)).all()


@pytest.mark.parametrize("rule", ["mutual", "many"])
def test_the_pairing_null_takes_siblings_for_a_relation(pool, rule):
    assert (rejected(pool, "d1", rule, "pairing") >= (0.15 if rule == "mutual" else 0.75)).all()


def test_the_shift_null_takes_siblings_for_a_relation_studentised_or_not(pool):
    assert (rejected(pool, "d1", "mutual", "shift", SHIFTED) >= 0.15).all()
    assert (rejected(pool, "d1", "mutual", "shift, studentised", SHIFTED) >= 0.10).all()


def test_studentised_shifts_do_not_take_the_number_of_pairs_for_a_relation(pool):
    raw, studentised = (rejected(pool, "d0", "mutual", null, SHIFTED) for null in ("shift", "shift, studentised"))
    assert raw[trials.MEASURES.index("svcca")] >= 0.15
    assert (studentised <= 0.085).all()  # three standard errors of 400 trials


def test_rates_must_be_regressed_out_where_decoders_carry_their_own(pool):
    assert (rejected(pool, "d2", "mutual", "one-per-token", SHIFTED) >= 0.085).all()


def test_power_rises_with_what_both_models_share_and_with_the_pairs(pool):
    def power(common, most):
        trial = partial(trials.in_world, "h1", "mutual", "one-per-token", common=common, most=most)
        return trials.rejected(pool, trial, POWER_TRIALS)

    by_strength = np.array([power(common, None) for common in (0.0, 0.7, 1.4)])
    by_pairs = np.array([power(1.4, most) for most in (10, 15)] + [by_strength[-1]])
    print(f"\nh1, by strength:\n{by_strength}\nby pairs:\n{by_pairs}")
    assert (np.diff(by_strength, axis=0) > 0.05).all()
    assert (np.diff(by_pairs, axis=0) > 0.05).all()
    assert (by_strength[-1] > 0.65).all()


def test_siblings_find_what_both_models_share(pool):
    assert (rejected(pool, "h1", "mutual", "siblings", POWER_TRIALS) > 0.12).all()


def test_power_rises_with_rows_and_with_the_strength_of_a_planted_subspace(pool):
    sizes, strengths = (15, 30, 60, 120), (0.0, 0.5, 1.0)
    power = np.array(
        [[trials.rejected(pool, partial(trials.planted, n, s), POWER_TRIALS) for s in strengths] for n in sizes]
    )
    print(f"\nplanted, rows by strengths by measures:\n{power}")
    assert (np.abs(power[:, 0] - 0.05) < 0.045).all()
    assert (np.diff(power[:, 1:], axis=0) > -0.02).all()
    assert (power[-1, 1] > power[0, 1] + 0.3).all()
    assert (np.diff(power, axis=1) > -0.02).all()
    assert (power[-1, 2] > 0.98).all()
