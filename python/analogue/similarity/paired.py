"""The cosine between paired rows, for sides that share their coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .measure import Rows, UndefinedError, observed_as_draw, paired_rows

_KEPT_ROWS = 8192  # up to which all n x n cosines are kept: 512 MiB


def paired_cosine(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean cosine between paired rows.

    It compares coordinates, not geometries, and says something only where both sides have the same ones: two
    dictionaries of one model, or of one site before and after training.

    Parameters
    ----------
    x, y : array_like, shape (n, d) each
        Paired features as rows, dimensions as columns. A row of zeros has cosine 0 with every other.

    Returns
    -------
    float
        Between -1 and 1.

    Raises
    ------
    ValueError
        If the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if their dimensions differ, there are
        no rows, or all rows of a side are zero.
    """
    return prepare_paired_cosine(x, y).observed


def prepare_paired_cosine(x: ArrayLike, y: ArrayLike) -> Directions:
    """Keep the rows of both sides at unit length."""
    rows_x, rows_y = paired_rows(x, y)
    if rows_x.shape[1] != rows_y.shape[1]:
        raise UndefinedError(f"x and y must have the same dimensions, got {rows_x.shape[1]} and {rows_y.shape[1]}")
    if not len(rows_x):
        raise UndefinedError("the measure needs at least 1 row, got 0")
    for name, rows in (("x", rows_x), ("y", rows_y)):
        if not rows.any():
            raise UndefinedError(f"{name} must have a row that is not zero, got {len(rows)} rows of zeros")
    return Directions(unit_rows(rows_x), unit_rows(rows_y))


def unit_rows(rows: Rows) -> Rows:
    """Return the rows at unit length, rows of zeros as they are, whatever the size of their entries."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Rows = np.divide(scaled, norms, out=scaled, where=norms > 0)
    return unit


@dataclass(frozen=True, eq=False)
class Directions:
    """Rows ``x`` and ``y`` (n, d) of unit length; a draw looks up n of their n x n cosines."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    kx = None
    ky = None
    rounding = 1e-12

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired; a draw like any other, so the identity ties with it exactly."""
        return observed_as_draw(self.draws, len(self.x))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        if len(self.x) <= _KEPT_ROWS:
            means = np.array([self._cosines[self._rows, order].mean() for order in permutations])
        else:
            means = np.array([np.vdot(self.x, self.y[order]) / len(order) for order in permutations])
        clipped: NDArray[np.float64] = np.clip(means, -1.0, 1.0)
        return clipped

    @cached_property
    def _cosines(self) -> NDArray[np.float64]:
        cosines: NDArray[np.float64] = self.x @ self.y.T
        return cosines

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        return np.arange(len(self.x), dtype=np.int64)
