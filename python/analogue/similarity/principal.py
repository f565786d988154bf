"""Principal directions of centred rows, and the measure that looks at the first of them alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .measure import Rows, UndefinedError, observed_as_draw, varying_rows

_MINIMUM_ROWS = 2
_TIE = 1e-12  # relative gap below which two variances differ by rounding only


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of centred rows: ``vectors`` (n, r) orthonormal, ``values`` (r,) singular, largest first."""

    vectors: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Rows) -> Components:
        """Decompose the rows after centring their columns."""
        vectors, values, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
        return cls(vectors, values)

    def holding(self, variance: float) -> int:
        """Return how many of the first components hold this share of the variance, at the fewest."""
        held = np.cumsum(self.values**2)
        # A share that is met exactly must not miss by rounding.
        return int(np.argmax(held >= (variance - _TIE) * held[-1])) + 1

    def basis(self, kept: int) -> NDArray[np.float64]:
        """Return the first ``kept`` vectors, contiguous."""
        return np.ascontiguousarray(self.vectors[:, :kept])

    def scores(self, kept: int) -> NDArray[np.float64]:
        """Return the coordinates of the centred rows along the first ``kept`` directions, shape (n, kept)."""
        return self.basis(kept) * self.values[:kept]


def check_variance(variance: float) -> float:
    """Return a share above 0 and at most 1, or say that it is none."""
    if not 0 < variance <= 1:
        raise ValueError(f"variance must be a share above 0 and at most 1, got {variance!r}")
    return float(variance)


def pc1_corr(x: ArrayLike, y: ArrayLike) -> float:
    """Return the absolute Pearson correlation between the first principal components of two sets of paired rows.

    A comparison of cumulative shares with an absolute variance makes the SVCCA code of ReSi and of what was built on
    it keep one component wherever the total variance exceeds 1 / 0.99 (unit rows: always): this is then the number it
    returns. It sees one direction only, and unrelated rows score sqrt(2 / (pi (n - 1))) on average.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if there are fewer than 2 rows, all
        rows of a side are equal, or two directions of a side share the largest variance.
    """
    return prepare_pc1_corr(x, y).observed


def prepare_pc1_corr(x: ArrayLike, y: ArrayLike) -> FirstComponents:
    """Keep the first principal component of either side."""
    rows_x, rows_y = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    return FirstComponents(_first("x", rows_x), _first("y", rows_y))


def _first(name: str, rows: Rows) -> NDArray[np.float64]:
    components = Components.of(rows)
    if len(components.values) > 1 and components.values[1] >= (1 - _TIE) * components.values[0]:
        raise UndefinedError(f"{name} must have one direction of largest variance, got several")
    return np.ascontiguousarray(components.vectors[:, 0])


@dataclass(frozen=True, eq=False)
class FirstComponents:
    """First principal components ``x`` and ``y``, shape (n,), of zero mean and unit norm; a draw is n products."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    kx = 1
    ky = 1
    rounding = 1e-12

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired."""
        return observed_as_draw(self.draws, len(self.x))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        return np.minimum(np.abs(self.y[permutations] @ self.x), 1.0)
