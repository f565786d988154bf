"""Filters: rules that say which pairs stay. Give them to `Pairs.filter`, which applies them in order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .labels import Labels
from .pairs import Filter, Pairs

JUNK_RULES = ("majority", "any")
ONE_TO_ONE = ("strict", "best", "first")


def correlation(minimum: float | None = None, maximum: float | None = None) -> Filter:
    """Keep pairs with ``minimum <= r <= maximum``; None leaves that end open."""
    low, high = -np.inf if minimum is None else minimum, np.inf if maximum is None else maximum
    if np.isnan(low) or np.isnan(high) or low > high:
        raise ValueError(f"minimum must not exceed maximum, got {minimum} and {maximum}")
    bounds = ("" if minimum is None else f"{low:g} <= ", "" if maximum is None else f" <= {high:g}")
    name = f"{bounds[0]}r{bounds[1]}"
    return Filter(name, lambda pairs: (pairs.correlation >= low) & (pairs.correlation <= high))


def one_to_one(policy: str = "best") -> Filter:
    """Keep every feature at most once on either side.

    Parameters
    ----------
    policy : {"strict", "best", "first"}
        ``strict`` drops every pair whose A or B feature stands in more than one pair; ``best`` keeps the pairs
        of largest correlation (the earlier pair on ties); ``first`` keeps them in the order they stand.
    """
    _checks.choice("policy", policy, ONE_TO_ONE)

    def keeps(pairs: Pairs) -> NDArray[np.bool_]:
        if policy == "strict":
            return _is_single(pairs.feature_a) & _is_single(pairs.feature_b)
        order = np.arange(len(pairs)) if policy == "first" else np.argsort(-pairs.correlation, kind="stable")
        return _greedy(pairs, order)

    return Filter(f"one_to_one {policy}", keeps)


def junk(labels_a: Labels, labels_b: Labels, rule: str = "majority") -> Filter:
    """Drop pairs whose features fire on punctuation, blanks, line breaks or special tokens.

    Parameters
    ----------
    labels_a, labels_b : Labels
        The top tokens of either side.
    rule : {"majority", "any"}
        ``majority``: a pair goes when over half of either side's top tokens are junk; ``any``: when one is.
    """
    _checks.choice("rule", rule, JUNK_RULES)
    limit = 0.5 if rule == "majority" else 0.0
    junk_a, junk_b = labels_a.junk_share() > limit, labels_b.junk_share() > limit
    return Filter(f"junk {rule}", lambda pairs: ~junk_a[pairs.feature_a] & ~junk_b[pairs.feature_b])


def _is_single(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    _, where, times = np.unique(ids, return_inverse=True, return_counts=True)
    return np.asarray(times[where] == 1)


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
