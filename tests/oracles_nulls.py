"""Textbook forms for groups, admissible permutations, stopped draws and adjusted p-values; slow and independent."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np


def sibling_groups(feature_a, feature_b, token_a, token_b):
    """Join pairs that share anything until nothing changes; groups in order of appearance."""
    pairs = list(zip(feature_a, feature_b, token_a, token_b, strict=True))

    def share(one, other):
        features = one[0] == other[0] or one[1] == other[1]
        return features or any(one[k] == other[k] != -1 for k in (2, 3))

    label = list(range(len(pairs)))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(pairs):
            for j, other in enumerate(pairs):
                if share(one, other) and label[i] != label[j]:
                    label[i] = label[j] = min(label[i], label[j])
                    changed = True
    order = list(dict.fromkeys(label))
    return [order.index(one) for one in label]


def one_per_token(token_a, token_b, correlation):
    """Best pair of each B token, then best of each A token among those, the first of equals."""
    kept = list(range(len(correlation)))
    for tokens in (token_b, token_a):
        best = {}
        for i in kept:
            key = ("none", i) if tokens[i] == -1 else tokens[i]
            if key not in best or correlation[i] > correlation[best[key]]:
                best[key] = i
        kept = sorted(best.values())
    return kept


def movable(groups, strata=None):
    """Groups, largest group, and share of rows whose group has another with the same Counter of strata."""
    strata = [0] * len(groups) if strata is None else strata
    profile = {}
    for group, stratum in zip(groups, strata, strict=True):
        profile.setdefault(group, Counter())[stratum] += 1
    kinds = Counter(frozenset(counts.items()) for counts in profile.values())
    moving = sum(sum(c.values()) for c in profile.values() if kinds[frozenset(c.items())] > 1)
    largest = max((sum(counts.values()) for counts in profile.values()), default=0)
    return len(profile), largest, moving / len(groups) if len(groups) else 0.0


def admissible(groups, strata=None):
    """All orders of the rows that move every group whole onto one group and keep every row in its stratum.

    Members stay in order: by stratum, then by place.
    """
    n = len(groups)
    strata = [0] * n if strata is None else list(strata)
    members = [sorted((i for i in range(n) if groups[i] == g), key=lambda i: (strata[i], i)) for g in set(groups)]
    whole = [tuple(m) for m in members]
    return {
        order
        for order in permutations(range(n))
        if all(strata[i] == strata[order[i]] for i in range(n))
        and all(tuple(order[i] for i in group) in whole for group in whole)
    }


def residuals(rows, rate):
    """Rows less their least-squares fit on an intercept and the log rate."""
    design = np.column_stack([np.ones(len(rows)), np.log(np.asarray(rate) + 0.001)])
    return rows - design @ np.linalg.lstsq(design, rows, rcond=None)[0]


def besag_clifford(observed, draws, enough):
    """Draws used and p of sequential Monte-Carlo with at most ``len(draws)`` draws (Besag and Clifford 1991)."""
    reached = 0
    for used, draw in enumerate(draws, 1):
        reached += draw >= observed
        if reached == enough:
            return used, enough / used
    return len(draws), (reached + 1) / (len(draws) + 1)


def sidak(p_values):
    """One minus the product of the chances that each independent test is not as small."""
    tested = [p for p in p_values if p is not None]
    return [None if p is None else 1 - np.prod([1 - p for _ in tested]) for p in p_values]


def spread(draws):
    """Quantiles by interpolation between order statistics, and skewness by SciPy."""
    from scipy.stats import skew

    values = sorted(float(draw) for draw in draws)

    def quantile(q):
        place = q * (len(values) - 1)
        low = int(place)
        high = min(low + 1, len(values) - 1)
        return values[low] + (place - low) * (values[high] - values[low])

    named = {"null_q05": 0.05, "null_median": 0.5, "null_q95": 0.95, "null_q99": 0.99}
    return {name: quantile(q) for name, q in named.items()} | {"null_skewness": float(skew(values))}
