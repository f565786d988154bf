"""Verdict: what a set of scores says, in one of four words, and the numbers it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import _checks
from .nulls import Score

WORDS = ("shared", "detectable, negligible", "not shown", "too few pairs")
VOTES = ("rsa", "mutual_knn")
EFFECT = "cka"
NULLS_THAT_HOLD = ("siblings", "one-per-token")
ALPHA = 0.05
MIN_EFFECT = 0.02
MIN_PAIRS = 50
LEAST_MOVABLE = 0.5  # of the rows, for a permutation of whole groups to say something


@dataclass(frozen=True)
class Verdict:
    """What the scores of one set of pairs say together.

    Attributes
    ----------
    word : {"shared", "detectable, negligible", "not shown", "too few pairs"} or None
        None where the rule cannot be applied to these scores.
    reason : str
        One sentence: the numbers that decided, or why there is no verdict.
    null : str or None
        The null of the scores it rests on.
    n : int or None
        Pairs that were scored.
    p_values : dict of str to (float or None)
        The p of RSA and of mutual kNN, as far as they were scored.
    effect : float or None
        Debiased CKA less the mean of its null, where that null holds.
    """

    word: str | None
    reason: str
    null: str | None = None
    n: int | None = None
    p_values: Mapping[str, float | None] | None = None
    effect: float | None = None

    def __str__(self) -> str:
        return f"{self.word or 'no verdict'}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Return every attribute as plain JSON values."""
        return asdict(self)


def verdict(
    scores: Mapping[str, Score], *, alpha: float = ALPHA, min_effect: float = MIN_EFFECT, min_pairs: int = MIN_PAIRS
) -> Verdict:
    """Say whether scores show that two feature spaces share their geometry.

    Two votes must agree: RSA, which speaks for CKA and Procrustes too (they correlate .90-.96 under the null), and
    mutual kNN, which correlates .1-.2 with all others. Debiased CKA says whether the effect is worth a word; on models
    that were never trained it lies at most .004 above its null.

    - "too few pairs": fewer than ``min_pairs`` were scored.
    - "not shown": p of RSA or of mutual kNN is above ``alpha``. It does not say that nothing is shared.
    - "detectable, negligible": both are at most ``alpha``, and CKA lies less than ``min_effect`` above its null.
    - "shared": both are at most ``alpha``, and CKA lies further above its null.

    There is no verdict without these three scores under one null that holds for pairs with siblings ("siblings" or
    "one-per-token"), or where a p of ``alpha`` is out of reach for the permutations drawn. Nor is there one where less
    than half of the rows can move under "siblings": those that stay are paired in the null too, so the effect shrinks.

    Parameters
    ----------
    scores : mapping of str to Score
        By measure, from `permutation_test`; others than the three are not looked at.
    alpha, min_effect : float
        Between 0 and 1.
    min_pairs : int
        At least 1.

    Returns
    -------
    Verdict
    """
    for name, value in (("alpha", alpha), ("min_effect", min_effect)):
        _checks.number_or_none(name, value)
        if value is None or not 0 < value < 1:
            raise ValueError(f"{name} must be above 0 and below 1, got {value!r}")
    _checks.integer("min_pairs", min_pairs, minimum=1)
    wanted = (*VOTES, EFFECT)
    missing = [name for name in wanted if name not in scores]
    found = [scores[name] for name in wanted if name in scores] or list(scores.values())
    if not found:
        return Verdict(None, f"it needs the measures {', '.join(wanted)}, and {_and(missing)} not scored")
    nulls, sizes = list(dict.fromkeys(score.null for score in found)), {score.n for score in found}
    if len(nulls) > 1 or len(sizes) > 1:
        return Verdict(None, f"the scores are of {len(sizes)} sets of pairs under the nulls {', '.join(nulls)}")
    null, n = nulls[0], found[0].n
    p_values = {name: scores[name].p_value for name in VOTES if name in scores}
    effect = None if EFFECT not in scores else _above_null(scores[EFFECT])

    def say(word: str | None, reason: str) -> Verdict:
        return Verdict(word, reason, null, n, p_values, effect)

    if null not in NULLS_THAT_HOLD:  # nor is the effect one: the scores may be on another scale
        other = f"it needs the null {' or '.join(NULLS_THAT_HOLD)}, and the scores have {null}"
        return Verdict(None, other, null, n, p_values)
    if missing:
        return say(None, f"it needs the measures {', '.join(wanted)}, and {_and(missing)} not scored")
    votes, effect_score = [scores[name] for name in VOTES], scores[EFFECT]
    if n < min_pairs:
        return say("too few pairs", f"{n} pairs were scored, and a verdict needs {min_pairs}")
    movable = effect_score.rows_movable
    if null == "siblings" and movable is not None and movable < LEAST_MOVABLE:
        few = f"only {movable:.0%} of the rows can move under siblings, and a verdict needs {LEAST_MOVABLE:.0%}"
        return say(None, f"{few}; take the null one-per-token")
    for score in votes:
        if score.p_value is None:
            return say(None, f"{score.measure} has no p: {score.insufficient or 'it is undefined on these pairs'}")
        if score.p_value > alpha and _out_of_reach(score, alpha):
            few = f"{score.permutations} permutations cannot reach p = {alpha:g}"
            return say(None, f"{few}; draw at least {_least(alpha)}")
    if effect is None:
        return say(None, f"{EFFECT} has no null mean: {effect_score.insufficient or 'it is undefined on these pairs'}")
    said = ", ".join(f"{score.measure} {_p_in_words(score)}" for score in votes)
    numbers = f"{said}, {EFFECT} {effect:+.3f} against its null, n = {n}, null: {null}"
    if any(score.p_value is None or score.p_value > alpha for score in votes):
        return say("not shown", numbers)
    return say("shared" if effect >= min_effect else "detectable, negligible", numbers)


def _above_null(score: Score) -> float | None:
    return None if score.observed is None or score.null_mean is None else score.observed - score.null_mean


def _p_in_words(score: Score) -> str:
    shown = score.p_display or "-"
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def _out_of_reach(score: Score, alpha: float) -> bool:
    """Say whether no p as small as alpha could have come out; stopped draws were enough, and closed forms have none."""
    return 0 < score.permutations < _least(alpha) and not score.stopped


def _least(alpha: float) -> int:
    return math.ceil(round(1 / alpha, 9)) - 1


def _and(names: list[str]) -> str:
    return f"{' and '.join(names)} {'was' if len(names) == 1 else 'were'}"
