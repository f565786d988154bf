"""Pairing rules: which candidates become pairs. Pure functions on arrays of ids and weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RULES = ("mutual", "b_to_a", "a_to_b", "union", "capacity", "assignment")
DIRECTIONS = ("b_to_a", "a_to_b")


class Candidates(NamedTuple):
    """The best partners of every feature, best first; -1 and 0.0 where there are fewer than ``top``.

    ``best_a``, ``weight_a``: for every B feature its best A features, shape (F_B, top). ``best_b``, ``weight_b``: for
    every A feature its best B features, shape (F_A, top).
    """

    best_a: NDArray[np.int64]
    weight_a: NDArray[np.float64]
    best_b: NDArray[np.int64]
    weight_b: NDArray[np.float64]


class Chosen(NamedTuple):
    """Pairs as three arrays of shape (n,): ids of A, ids of B, and what the pair was chosen by."""

    feature_a: NDArray[np.int64]
    feature_b: NDArray[np.int64]
    weight: NDArray[np.float64]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Chosen:
        """Return the pairs at ``rows``, a mask or positions."""
        return Chosen(self.feature_a[rows], self.feature_b[rows], self.weight[rows])


def b_to_a(candidates: Candidates) -> Chosen:
    """Return every B feature with its best A, by ascending B; an A may serve many."""
    feature_b = np.flatnonzero(candidates.best_a[:, 0] >= 0)
    return Chosen(candidates.best_a[feature_b, 0], feature_b, candidates.weight_a[feature_b, 0])


def a_to_b(candidates: Candidates) -> Chosen:
    """Return every A feature with its best B, by ascending A; a B may serve many."""
    feature_a = np.flatnonzero(candidates.best_b[:, 0] >= 0)
    return Chosen(feature_a, candidates.best_b[feature_a, 0], candidates.weight_b[feature_a, 0])


def union(candidates: Candidates) -> Chosen:
    """Return the pairs of `b_to_a` and of `a_to_b`, each once, by ascending A, then B."""
    return _distinct(b_to_a(candidates), a_to_b(candidates))


def edges(candidates: Candidates) -> Chosen:
    """Return all candidates of positive weight from either side, each once, by ascending A, then B."""
    listed_a, listed_b = candidates.best_a >= 0, candidates.best_b >= 0
    found = _distinct(
        Chosen(candidates.best_a[listed_a], listed_a.nonzero()[0], candidates.weight_a[listed_a]),
        Chosen(listed_b.nonzero()[0], candidates.best_b[listed_b], candidates.weight_b[listed_b]),
    )
    return found.take(found.weight > 0)


def is_mutual(pairs: Chosen, candidates: Candidates) -> NDArray[np.bool_]:
    """Say of every pair of `b_to_a` whether its B is the best of its A too."""
    return np.asarray(candidates.best_b[pairs.feature_a, 0] == pairs.feature_b)


def within_capacity(hub: NDArray[np.int64], weight: NDArray[np.float64], k: int) -> NDArray[np.bool_]:
    """Say of every pair whether it is among the ``k`` of largest weight of its hub; the earlier pair on ties."""
    return rank_within(hub, np.argsort(-weight, kind="stable")) < k


def rank_within(groups: NDArray[np.int64], order: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Return every row's rank, from 0, among the rows of its group; ``order`` lists all rows, first to last.

    >>> rank_within(np.array([7, 7, 3, 7]))
    array([0, 1, 0, 2])
    """
    order = np.arange(len(groups)) if order is None else order
    by_group = order[np.argsort(groups[order], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[by_group], prepend=-1))
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[by_group] = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
    return ranks


def unlisted_at_most(
    best: NDArray[np.int64], weight: NDArray[np.float64], n_partners: int, falling: bool = True
) -> NDArray[np.float64]:
    """Bound, for every feature, the weight of any partner that its list leaves out; 0 when it leaves out none.

    That is the last weight listed; or 1, which no correlation, cosine or overlap exceeds, where partners are not
    listed by falling weight.

    Parameters
    ----------
    best, weight : ndarray, shape (F, top)
        The best partners of every feature, best first.
    n_partners : int
        Candidates on the other side.
    falling : bool
        Whether partners are listed by falling weight.
    """
    cut_short = (best[:, -1] >= 0) & (best.shape[1] < n_partners)
    return np.where(cut_short, np.maximum(weight[:, -1], 0.0) if falling else 1.0, 0.0)


def _distinct(one: Chosen, other: Chosen) -> Chosen:
    feature_a, feature_b, weight = (np.concatenate(columns) for columns in zip(one, other, strict=True))
    width = int(feature_b.max(initial=-1)) + 1
    _, rows = np.unique(feature_a * width + feature_b, return_index=True)
    return Chosen(feature_a, feature_b, weight).take(rows)
