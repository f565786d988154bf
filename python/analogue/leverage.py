"""Leverage: which pairs, and which groups of alike pairs, a score hangs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .nulls import sibling_groups
from .nulls.groups import NO_TOKEN, components
from .similarity import MEASURES, Prepared, UndefinedError, paired_rows
from .similarity.left_out import EXACT, LEFT_OUT, RANKING

NEAR_COPIES = "near-copies"
_BLOCK = 1024  # rows of a cosine matrix held at once

Labels = NDArray[np.int64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GroupLeverage:
    """What a score is without one group of pairs.

    Attributes
    ----------
    kinds : tuple of str
        Why these pairs are a group: ``near-copies``, and the names given to `leverage`; several where they agree.
    rows : ndarray of int64
        Its pairs, ascending; at least two.
    without : float or None
        The measure on all other pairs; None where it is undefined on them.
    influence : float or None
        The score on all pairs less ``without``: positive for a group that lifts the score.
    exact : bool
        Whether ``without`` is the measure itself, not its fast form.
    """

    kinds: tuple[str, ...]
    rows: Rows
    without: float | None
    influence: float | None
    exact: bool


@dataclass(frozen=True, eq=False, repr=False)
class Leverage:
    """What a score is without each pair, and without each group of alike pairs.

    Attributes
    ----------
    measure : str
        Name in `similarity.MEASURES`.
    observed : float
        The measure on all n pairs.
    without : ndarray of float64, shape (n,)
        The measure on all pairs but one; NaN where it is undefined on them.
    influence : ndarray of float64, shape (n,)
        ``observed - without``: positive for a pair that lifts the score.
    exact : ndarray of bool, shape (n,)
        Where ``without`` is the measure itself, not its fast form.
    order : ndarray of int64, shape (n,)
        The pairs, largest influence of either sign first, lowest index first on ties.
    groups : tuple of GroupLeverage
        Largest influence of either sign first; groups whose rest is undefined last.
    """

    measure: str
    observed: float
    without: NDArray[np.float64]
    influence: NDArray[np.float64]
    exact: NDArray[np.bool_]
    order: Rows
    groups: tuple[GroupLeverage, ...]

    def __repr__(self) -> str:
        sizes = f"{len(self.without)} pairs, {len(self.groups)} groups"
        return f"Leverage({self.measure} {self.observed:.3f}, {sizes})"


def leverage(
    x: ArrayLike,
    y: ArrayLike,
    measure: str = "cka",
    groups: Mapping[str, ArrayLike] | None = None,
    *,
    near_cosine: float = 0.99,
    recomputed: int = 20,
) -> Leverage:
    """Return how a score changes when single pairs, and groups of alike pairs, are left out.

    Leaving out one of several copies of a pair hardly changes a score that hangs on all of them, so near-copies and the
    groups given are also left out together. ``cka`` is exact, all pairs in O(n^2). ``rsa`` keeps the ranks of all pairs
    instead of ranking the rest anew. ``svcca`` and ``svcca_capped`` keep the directions of all pairs and correct their
    bases; that serves to rank, and the ``recomputed`` pairs and groups of largest influence are computed again. Every
    other measure is computed again for every pair and group.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    measure : str
        Name in `similarity.MEASURES`.
    groups : mapping of str to array_like of int, shape (n,), optional
        For every kind of group the label of each pair's group: ``{"repeats": repeats(feature_a, feature_b),
        "siblings": nulls.sibling_groups(...)}``. Groups of one pair are left aside. ``near-copies`` is always added.
    near_cosine : float
        Pairs whose rows have a larger cosine than this on both sides are near-copies, see `near_copies`.
    recomputed : int
        Pairs and groups that are computed again where the fast form only ranks; 0 for none, n for all.

    Returns
    -------
    Leverage

    Raises
    ------
    ValueError, TypeError
        If a name is unknown, a number is out of range, the sides or labels differ in rows, or a value is NaN or
        infinite; `UndefinedError`, a ValueError, if the measure has no value on all pairs.
    """
    name = _checks.choice("measure", measure, MEASURES)
    again = _checks.integer("recomputed", recomputed, minimum=0)
    x, y = paired_rows(x, y)
    n = len(x)
    kinds: dict[str, Labels] = {NEAR_COPIES: near_copies(x, y, near_cosine)}
    if groups is not None and not isinstance(groups, Mapping):
        raise TypeError(f"groups must map the name of every kind to its labels, got {type(groups).__name__}")
    for kind, labels in (groups or {}).items():
        if kind == NEAR_COPIES:
            raise ValueError(f"groups must leave the name {NEAR_COPIES!r} to the groups that are always added")
        kinds[kind] = _labels(f"groups[{kind!r}]", labels, n)
    prepared = MEASURES[name].prepare(x, y)
    observed = prepared.observed
    sets, names = _sets(kinds)
    without, exact = _left_out(name, x, y, prepared, [np.array([row]) for row in range(n)], again)
    group_without, group_exact = _left_out(name, x, y, prepared, sets, again)
    found = [
        GroupLeverage(
            tuple(kinds_of),
            rows,
            None if np.isnan(rest) else float(rest),
            None if np.isnan(rest) else observed - float(rest),
            bool(known),
        )
        for rows, kinds_of, rest, known in zip(sets, names, group_without, group_exact, strict=True)
    ]
    order = _by_influence(observed - group_without)
    influence = observed - without
    return Leverage(
        name, observed, without, influence, exact, _by_influence(influence), tuple(found[index] for index in order)
    )


def near_copies(x: ArrayLike, y: ArrayLike, near_cosine: float = 0.99) -> Labels:
    """Return the group of each pair under: the rows of two pairs have a larger cosine than this on both sides.

    Connected components, so the ends of a chain may be further apart. A zero row has no direction and copies none.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows.
    near_cosine : float
        Between -1 and 1.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels from 0, in the order of each group's first pair.
    """
    if not -1 <= near_cosine <= 1:
        raise ValueError(f"near_cosine must be between -1 and 1, got {near_cosine!r}")
    sides = [_directions(rows) for rows in paired_rows(x, y)]
    n = len(sides[0])
    labels = np.arange(n)
    for start in range(0, n, _BLOCK):
        stop = start + _BLOCK
        near = np.logical_and(*[rows[start:stop] @ rows[:stop].T > near_cosine for rows in sides])
        here, there = np.nonzero(near)
        labels = components(np.append(here + start, np.arange(n)), np.append(there, n + labels), 2 * n)[:n]
    return labels


def repeats(feature_a: ArrayLike, feature_b: ArrayLike) -> Labels:
    """Return the group of each pair under: two pairs have the same feature of A, or the same feature of B.

    Parameters
    ----------
    feature_a, feature_b : array_like of int, shape (n,)
        Features of each pair.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels from 0, in the order of each group's first pair.
    """
    nobody = np.full(np.shape(feature_a), NO_TOKEN)
    return sibling_groups(feature_a, feature_b, nobody, nobody)


def _left_out(
    name: str, x: NDArray[np.float64], y: NDArray[np.float64], prepared: Prepared, groups: Sequence[Rows], again: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the measure without each group of rows, and where it is exact."""
    if name not in LEFT_OUT:
        return _recomputed(name, x, y, groups), np.ones(len(groups), dtype=bool)
    without = LEFT_OUT[name](prepared, groups)
    exact = np.full(len(groups), name in EXACT)
    if name in RANKING:
        largest = _by_influence(prepared.observed - without)[:again]
        without[largest] = _recomputed(name, x, y, [groups[index] for index in largest])
        exact[largest] = True
    return without, exact


def _recomputed(
    name: str, x: NDArray[np.float64], y: NDArray[np.float64], groups: Sequence[Rows]
) -> NDArray[np.float64]:
    """Return the measure computed anew without each group of rows; NaN where it has no value."""
    found = np.full(len(groups), np.nan)
    for index, rows in enumerate(groups):
        try:
            found[index] = MEASURES[name].prepare(np.delete(x, rows, axis=0), np.delete(y, rows, axis=0)).observed
        except UndefinedError:
            continue
    return found


def _sets(kinds: Mapping[str, Labels]) -> tuple[list[Rows], list[list[str]]]:
    """Return the rows of every group of at least two, each once, and the kinds that have it as a group."""
    found: dict[bytes, tuple[Rows, list[str]]] = {}
    for kind, labels in kinds.items():
        order = np.argsort(labels, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            if len(rows) > 1:
                found.setdefault(rows.tobytes(), (rows, []))[1].append(kind)
    return [rows for rows, _ in found.values()], [names for _, names in found.values()]


def _by_influence(influence: NDArray[np.float64]) -> Rows:
    """Order by size, whatever the sign, lowest index first on ties, undefined last."""
    return np.argsort(-np.abs(influence), kind="stable")


def _directions(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    directions: NDArray[np.float64] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return directions


def _labels(name: str, labels: ArrayLike, n: int) -> Labels:
    found: Labels = _checks.array(name, labels, ndim=1, dtype=np.int64)
    if len(found) != n:
        raise ValueError(f"{name} must have one label a pair, {n}, got {len(found)}")
    return found
