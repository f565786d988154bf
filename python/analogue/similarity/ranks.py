"""Representational similarity analysis: whether both sides order the distances between rows alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .mantel import Mantel
from .measure import Rows, UndefinedError, varying_rows

INNER = ("correlation", "cosine", "euclidean")
OUTER = ("spearman", "pearson")
_MINIMUM_ROWS = 3
_TIE = 1e-13  # distances (of order 1) that are closer differ by rounding only


def rsa(x: ArrayLike, y: ArrayLike, inner: str = "correlation", outer: str = "spearman") -> float:
    """Return the correlation between the distances among the rows of x and those among the rows of y.

    Representational similarity analysis (Kriegeskorte et al. 2008) over the n (n - 1) / 2 distances below the
    diagonal. Ties take their average rank; distances that differ by rounding only are ties.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    inner : {"correlation", "cosine", "euclidean"}
        Distance between two rows. A row without direction (constant for correlation, zero for cosine) is at
        distance 1 from every other row.
    outer : {"spearman", "pearson"}
        Correlation between the two sets of distances.

    Returns
    -------
    float
        Between -1 and 1.

    Raises
    ------
    ValueError
        If a name is unknown, the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if there are fewer
        than 3 rows or all distances of a side are equal.
    """
    return prepare_rsa(x, y, inner, outer).observed


def prepare_rsa(x: ArrayLike, y: ArrayLike, inner: str = "correlation", outer: str = "spearman") -> Mantel:
    """Keep the two n x n matrices of centred ranks (or distances) of `rsa`."""
    _checks.choice("inner", inner, INNER)
    _checks.choice("outer", outer, OUTER)
    rows_x, rows_y = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    return Mantel(_unit_matrix("x", rows_x, inner, outer), _unit_matrix("y", rows_y, inner, outer))


def _unit_matrix(name: str, rows: Rows, inner: str, outer: str) -> NDArray[np.float64]:
    """Return the centred ranks of the distances as a symmetric matrix of unit norm below the diagonal."""
    n = len(rows)
    below = np.tri(n, k=-1, dtype=bool)
    values = _distances(rows, inner, below)
    if np.ptp(values) <= _TIE:
        raise UndefinedError(f"{name} must have rows at different distances, got {n} rows all equally far apart")
    if outer == "spearman":
        values = _average_ranks(values, tie=_TIE)
    values -= values.mean()
    values /= np.linalg.norm(values)
    matrix = np.zeros((n, n))
    matrix[below] = values
    matrix += matrix.T
    return matrix


def _distances(rows: Rows, inner: str, below: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distances at the entries ``below`` the diagonal, row by row, euclidean ones over the largest."""
    if inner == "euclidean":
        # Differences first: the Gram form loses half of the digits for near-copies.
        from scipy.spatial.distance import pdist, squareform

        distances = pdist(rows)
        return np.asarray(squareform(distances / distances.max())[below])
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    directions = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    if inner == "correlation":
        directions -= directions.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    # A constant row is left with the rounding of its mean, far below any direction.
    directions = np.divide(directions, norms, out=np.zeros_like(rows), where=norms > _TIE)
    similarities: NDArray[np.float64] = (directions @ directions.T)[below]
    return 1.0 - similarities


def _average_ranks(values: NDArray[np.float64], tie: float) -> NDArray[np.float64]:
    """Return ranks from 1, neighbours in order no further apart than ``tie`` sharing their average."""
    order = np.argsort(values)
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf) > tie)
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks
