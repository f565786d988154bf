"""Procrustes similarity: how much of one side a rotation of the other accounts for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .measure import observed_as_draw, varying_rows
from .nuclear import WIDE, nuclear_norm
from .parallel import map_permutations, product_type
from .principal import Components

_MINIMUM_ROWS = 2
_NOTHING = 1e-13  # singular value, as a share of the largest, that is rounding


def procrustes(x: ArrayLike, y: ArrayLike) -> float:
    """Return the cosine between two sets of paired rows after the rotation that makes it largest.

    |Xc' Yc|_* / (|Xc|_F |Yc|_F), the nuclear norm over the norms of the centred rows: arccos of it is the angular
    Procrustes distance (Williams et al. 2021), and 2 - 2 times it the squared distance between both sides, each of unit
    norm, after the best rotation (Schonemann 1966). Unrelated rows score above 0, the more so the fewer there are.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns; the narrower side is as good as padded with zeros.

    Returns
    -------
    float
        Between 0 and 1, and 1 for a rotated, shifted or scaled copy.

    Raises
    ------
    ValueError
        If the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if there are fewer than 2 rows or all
        rows of a side are equal.
    """
    return prepare_procrustes(x, y).observed


def prepare_procrustes(x: ArrayLike, y: ArrayLike) -> Rotatable:
    """Keep the centred rows of both sides in their principal axes, of unit norm."""
    return Rotatable(*(_axes(rows) for rows in varying_rows(x, y, minimum=_MINIMUM_ROWS)))


def _axes(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centred rows along the directions in which they vary: the same geometry, in fewer columns."""
    components = Components.of(rows)
    scores = components.scores(int(np.sum(components.values > _NOTHING * components.values[0])))
    return np.ascontiguousarray(scores / np.linalg.norm(scores))


@dataclass(frozen=True, eq=False)
class Rotatable:
    """Centred rows ``x`` (n, rx) and ``y`` (n, ry) of unit norm; a draw is one product and its singular values."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    kx = None
    ky = None

    @property
    def rounding(self) -> float:
        """Singular values that vanish come out at up to 1e-8 of the largest, which is at most 1."""
        return 1e-8 * self._narrow if self._narrow >= WIDE else 1e-7

    @property
    def _narrow(self) -> int:
        return int(min(self.x.shape[1], self.y.shape[1]))

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired; a draw like any other, so the identity ties with it exactly."""
        return observed_as_draw(self.draws, len(self.x))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        cost = self.x.size * self.y.shape[1]
        fixed: NDArray[np.floating] = self.x.astype(product_type(cost), copy=False)
        moved: NDArray[np.floating] = self.y.astype(product_type(cost), copy=False)
        if fixed.shape[1] < moved.shape[1]:
            # Permuting the rows of x by the inverse gives the same products, and the narrower side moves faster.
            fixed, moved, permutations = moved, fixed, np.argsort(permutations, axis=1)
        return map_permutations(
            lambda order: min(1.0, nuclear_norm(fixed.T @ moved[order])), permutations, multiplications=cost
        )
