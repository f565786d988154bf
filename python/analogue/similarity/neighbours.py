"""Overlap of nearest neighbours: whether rows that are close on one side are close on the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .measure import Rows, UndefinedError, observed_as_draw, varying_rows
from .paired import unit_rows

_TIE = 1e-12  # cosines that are closer differ by rounding only
_BLOCK = 512  # rows whose cosines with all others are held at once

Ids = NDArray[np.int32]


def mutual_knn(x: ArrayLike, y: ArrayLike, k: int = 10) -> float:
    """Return the mean share of a row's ``k`` nearest neighbours on one side that are also nearest on the other.

    The mutual k-nearest-neighbour metric of Huh et al. 2024, by cosine, a row not being its own neighbour. Unrelated
    rows score k / (n - 1) on average.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns. A row of zeros has cosine 0 with every other.
    k : int
        Neighbours, at least 1. Of neighbours at the same cosine those of lowest index count.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError, TypeError
        If ``k`` is no integer from 1, the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if there
        are no more than ``k`` rows, all rows of a side are equal, or all cosines of a side are.
    """
    return prepare_mutual_knn(x, y, k).observed


def jaccard_knn(x: ArrayLike, y: ArrayLike, k: int = 10) -> float:
    """Return the mean Jaccard index of a row's ``k`` nearest neighbours on either side.

    Shared neighbours over neighbours on either side (Schumacher et al. 2021), by cosine as in `mutual_knn`.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns. A row of zeros has cosine 0 with every other.
    k : int
        Neighbours, at least 1. Of neighbours at the same cosine those of lowest index count.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError, TypeError
        As for `mutual_knn`.
    """
    return prepare_jaccard_knn(x, y, k).observed


def prepare_mutual_knn(x: ArrayLike, y: ArrayLike, k: int = 10) -> Neighbourhoods:
    """Keep the neighbours of every row on either side for `mutual_knn`."""
    return Neighbourhoods(*_neighbours_of(x, y, k), union=False)


def prepare_jaccard_knn(x: ArrayLike, y: ArrayLike, k: int = 10) -> Neighbourhoods:
    """Keep the neighbours of every row on either side for `jaccard_knn`."""
    return Neighbourhoods(*_neighbours_of(x, y, k), union=True)


def _neighbours_of(x: ArrayLike, y: ArrayLike, k: int) -> tuple[Nearest, Nearest]:
    k = _checks.integer("k", k, minimum=1)
    rows_x, rows_y = varying_rows(x, y, minimum=k + 1)
    return Nearest.of("x", rows_x, k), Nearest.of("y", rows_y, k)


@dataclass(frozen=True, eq=False)
class Nearest:
    """The neighbours of n rows, and where their index alone decided between neighbours at one cosine.

    Attributes
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours of every row; those that a tie let in stand last.
    tied : ndarray of int64, shape (t,)
        Rows with more neighbours at the k-th cosine than places for them.
    places : ndarray of int64, shape (t,)
        How many of them have a place, in the last columns of ``ids``.
    candidates : ndarray of int32, shape (t, c)
        The neighbours at the k-th cosine, filled up with n.
    """

    ids: Ids
    tied: NDArray[np.int64]
    places: NDArray[np.int64]
    candidates: Ids

    @classmethod
    def of(cls, name: str, rows: Rows, k: int) -> Nearest:
        """Find the k nearest by cosine, lowest index first on ties."""
        n = len(rows)
        directions = unit_rows(rows)
        ids = np.empty((n, k), dtype=np.int32)
        ties: list[tuple[int, int, Ids]] = []
        least, most = np.inf, -np.inf
        for start in range(0, n, _BLOCK):
            cosines = directions[start : start + _BLOCK] @ directions.T
            own = np.arange(len(cosines))
            cosines[own, start + own] = np.inf
            least = min(least, cosines.min())
            cosines[own, start + own] = -np.inf
            most = max(most, cosines.max())
            kth = np.partition(cosines, n - k, axis=1)[:, n - k, None]
            nearer, near = cosines > kth + _TIE, cosines >= kth - _TIE
            plain = near.sum(axis=1) == k
            ids[start + np.flatnonzero(plain)] = np.nonzero(near[plain])[1].reshape(-1, k)
            for row in np.flatnonzero(~plain):
                sure = np.flatnonzero(nearer[row])
                candidates = np.flatnonzero(near[row] & ~nearer[row]).astype(np.int32)
                ids[start + row] = np.concatenate([sure, candidates[: k - len(sure)]])
                ties.append((start + int(row), k - len(sure), candidates))
        if most - least <= _TIE:
            raise UndefinedError(f"{name} must have rows at different cosines, got {n} rows all equally far apart")
        longest = max((len(candidates) for _, _, candidates in ties), default=0)
        filled = np.full((len(ties), longest), n, dtype=np.int32)
        for line, (_, _, candidates) in zip(filled, ties, strict=True):
            line[: len(candidates)] = candidates
        tied, places = np.array([tie[:2] for tie in ties], dtype=np.int64).reshape(-1, 2).T
        return cls(ids, tied, places, filled)

    def permuted(self, order: NDArray[np.int64]) -> Ids:
        """Return the neighbours that the rows taken in this order have, in their new numbers."""
        n, k = self.ids.shape
        new = np.empty(n + 1, dtype=np.int32)
        new[order] = np.arange(n, dtype=np.int32)
        new[n] = n
        ids = new[self.ids]
        if len(self.tied):
            # Between neighbours at one cosine the new numbers decide, as they would if everything were recomputed.
            lowest = np.sort(new[self.candidates], axis=1)
            for places in np.unique(self.places):
                here = self.places == places
                ids[self.tied[here], k - places :] = lowest[here, :places]
        return ids[order]


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The neighbours of both sides; permuting rows renumbers those of y, and a draw compares two lists a row."""

    x: Nearest
    y: Nearest
    union: bool
    kx = None
    ky = None
    rounding = 1e-12

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired; a draw like any other, so the identity ties with it exactly."""
        return observed_as_draw(self.draws, len(self.x.ids))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        return np.array([self._overlap(self.y.permuted(order)) for order in permutations])

    def _overlap(self, ids: Ids) -> float:
        k = ids.shape[1]
        shared = (self.x.ids[:, :, None] == ids[:, None, :]).sum(axis=(1, 2))
        return float((shared / (2 * k - shared if self.union else k)).mean())
