"""Filters: rules that say which pairs stay. Give them to `Pairs.filter`, which applies them in order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .activations import FeatureActivations
from .junk import junk_features
from .junk_lists import DEFAULT, JunkList, as_junk_list
from .labels import Labels, check_covers
from .pairs import Filter, Pairs
from .rules import rank_within

ONE_TO_ONE = ("strict", "best", "first")
CORRELATIONS = ("plain", "given_token", "matched")
MULTIPLICITY_POLICIES = ("drop", "first", "best")


def correlation(minimum: float | None = None, maximum: float | None = None, of: str = "plain") -> Filter:
    """Keep pairs with ``minimum <= r <= maximum``; None leaves that end open.

    Parameters
    ----------
    minimum, maximum : float or None
        The ends, both kept.
    of : {"plain", "given_token", "matched"}
        Pearson correlation; the same given the token's identity, which only pairs with token ids have; or the one
        that the pairs were matched by, plain or given something.

    Raises
    ------
    ValueError
        If the ends are no numbers or out of order; from the filter, if pairs lack that correlation.
    """
    _checks.choice("of", of, CORRELATIONS)
    for name, value in (("minimum", minimum), ("maximum", maximum)):
        _checks.number_or_none(name, value)
    low, high = -np.inf if minimum is None else minimum, np.inf if maximum is None else maximum
    if low > high:
        raise ValueError(f"minimum must not exceed maximum, got {minimum} and {maximum}")

    def keeps(pairs: Pairs) -> NDArray[np.bool_]:
        if of == "matched" and pairs.metric != "pearson":
            raise ValueError(f"of must not be 'matched' for pairs matched by {pairs.metric}, which is no correlation")
        r = {"plain": pairs.correlation, "given_token": pairs.correlation_given_token, "matched": pairs.weight}[of]
        if r is None:
            raise ValueError("of must be 'plain' for activations without token ids, got 'given_token'")
        return np.asarray((r >= low) & (r <= high))

    what = {"plain": "r", "given_token": "r given token", "matched": "r matched"}[of]
    return Filter(band(what, minimum, maximum), keeps)


def firing(acts_a: FeatureActivations, acts_b: FeatureActivations, minimum: int) -> Filter:
    """Keep pairs whose two features fire on at least ``minimum`` tokens, for pairs that were not matched on tokens."""
    least = _checks.integer("minimum", minimum, minimum=0)

    def keeps(pairs: Pairs) -> NDArray[np.bool_]:
        counts = (acts_a.firing_counts[pairs.feature_a], acts_b.firing_counts[pairs.feature_b])
        return np.asarray(np.minimum(*counts) >= least)

    return Filter(f"fires on {least} tokens", keeps)


def multiplicity(
    minimum: int | None = None,
    maximum: int | None = None,
    side: str = "a",
    policy: str = "drop",
    keep: int | None = None,
) -> Filter:
    """Keep pairs by how many pairs the feature of one side has.

    Parameters
    ----------
    minimum : int or None
        Features with fewer pairs go, with all of them: only hubs stay.
    maximum : int or None
        Features with more pairs are over-full, see ``policy``.
    side : {"a", "b"}
        Whose pairs are counted; many B features choose one A under the rule ``b_to_a``, so its hubs are on side a.
    policy : {"drop", "first", "best"}
        An over-full feature loses all its pairs, keeps the first ``keep`` as they stand, or the ``keep`` of largest
        weight (the earlier pair on ties).
    keep : int or None
        At most ``maximum``, which None stands for; for "first" and "best" alone.
    """
    _checks.choice("side", side, ("a", "b"))
    _checks.choice("policy", policy, MULTIPLICITY_POLICIES)
    for name, value in (("minimum", minimum), ("maximum", maximum), ("keep", keep)):
        if value is not None:
            _checks.integer(name, value, minimum=1)
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ValueError(f"minimum must not exceed maximum, got {minimum} and {maximum}")
    if keep is not None and (maximum is None or keep > maximum or policy == "drop"):
        raise ValueError(
            f"keep must be at most maximum, with the policy first or best, got {keep} with {maximum} and {policy}"
        )

    def keeps(pairs: Pairs) -> NDArray[np.bool_]:
        hub = pairs.feature_a if side == "a" else pairs.feature_b
        times = _multiplicity(hub)
        fits = times <= (maximum or len(pairs))
        if policy != "drop":
            order = None if policy == "first" else np.argsort(-pairs.weight, kind="stable")
            fits |= rank_within(hub, order) < (keep or maximum or len(pairs))
        return np.asarray(fits & (times >= (minimum or 1)))

    name = band(f"pairs of {side.upper()}", minimum, maximum)
    kept = policy if keep is None else f"{policy} {keep}"
    return Filter(name if maximum is None else f"{name} {kept}", keeps)


def one_to_one(policy: str = "best") -> Filter:
    """Keep every feature at most once on either side.

    Parameters
    ----------
    policy : {"strict", "best", "first"}
        ``strict`` drops every pair whose A or B feature stands in more than one pair; ``best`` keeps the pairs
        of largest weight, that is plain correlation unless matching was by something else (the earlier pair on
        ties); ``first`` keeps them in the order they stand.
    """
    _checks.choice("policy", policy, ONE_TO_ONE)

    def keeps(pairs: Pairs) -> NDArray[np.bool_]:
        if policy == "strict":
            return np.asarray((_multiplicity(pairs.feature_a) == 1) & (_multiplicity(pairs.feature_b) == 1))
        order = np.arange(len(pairs)) if policy == "first" else np.argsort(-pairs.weight, kind="stable")
        return _greedy(pairs, order)

    return Filter(f"one_to_one {policy}", keeps)


def junk(labels_a: Labels, labels_b: Labels, rule: str | int = "majority", preset: str | JunkList = DEFAULT) -> Filter:
    """Drop pairs whose features fire on punctuation, blanks, line breaks or special tokens.

    `analogue.junk` says what would go and why, and where in the range of correlation it is.

    Parameters
    ----------
    labels_a, labels_b : Labels
        The top tokens of either side.
    rule : {"majority", "any"} or int
        ``majority``: a pair goes when over half of either side's top tokens are junk; ``any``: when one is; m: when at
        least m are, or all of a feature that has fewer.
    preset : str or JunkList
        What is junk, see `load_junk`.
    """
    listed = as_junk_list(preset)
    junk_a, junk_b = (junk_features(labels, rule, listed) for labels in (labels_a, labels_b))
    name = f"junk {rule}" if isinstance(rule, str) else f"junk at least {rule}"
    if listed.name != DEFAULT:
        name += f", {listed.name}"

    def keeps(pairs: Pairs) -> NDArray[np.bool_]:
        check_covers("labels_a", labels_a, pairs, "a")
        check_covers("labels_b", labels_b, pairs, "b")
        return np.asarray(~junk_a[pairs.feature_a] & ~junk_b[pairs.feature_b])

    return Filter(name, keeps)


def shared_word(labels_a: Labels, labels_b: Labels, minimum: int = 1) -> Filter:
    """Keep pairs whose two features have at least ``minimum`` top words in common.

    Words are whole and folded, see `Labels.words`: " Birm" and "ingham" of Birmingham share one, and "man" shares none
    with "woman". A feature without top tokens shares none.

    Parameters
    ----------
    labels_a, labels_b : Labels
        The top tokens of either side.
    minimum : int
        Different words that both have.
    """
    least = _checks.integer("minimum", minimum, minimum=1)

    def keeps(pairs: Pairs) -> NDArray[np.bool_]:
        check_covers("labels_a", labels_a, pairs, "a")
        check_covers("labels_b", labels_b, pairs, "b")
        words_a, words_b = (
            {feature: labels.words(feature) for feature in np.unique(features).tolist()}
            for labels, features in ((labels_a, pairs.feature_a), (labels_b, pairs.feature_b))
        )
        ids = zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True)
        return np.array([len(words_a[a] & words_b[b]) >= least for a, b in ids], dtype=bool)

    return Filter("shared word" if least == 1 else f"{least} shared words", keeps)


def band(what: str, minimum: float | None, maximum: float | None) -> str:
    """Return the name of a band of ``what``, such as "0.1 <= r"."""
    return ("" if minimum is None else f"{minimum:g} <= ") + what + ("" if maximum is None else f" <= {maximum:g}")


def _multiplicity(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    _, where, times = np.unique(ids, return_inverse=True, return_counts=True)
    return np.asarray(times[where])


def _greedy(pairs: Pairs, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    keep = np.zeros(len(pairs), dtype=bool)
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    a, b = pairs.feature_a.tolist(), pairs.feature_b.tolist()
    for row in order.tolist():
        if a[row] not in taken_a and b[row] not in taken_b:
            taken_a.add(a[row])
            taken_b.add(b[row])
            keep[row] = True
    return keep
