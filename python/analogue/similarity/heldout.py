"""Measures that are fitted on half of the pairs and scored on the other half: chance scores around 0 at every n."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .measure import Rows, varying_rows
from .parallel import map_permutations, product_type
from .principal import Components, check_variance
from .splits import Predictors, centred, halves

_MINIMUM_ROWS = 6
_ROWS_PER_DIRECTION = 6
_MOST_DIRECTIONS = 50
_NOTHING = 1e-10  # canonical correlation of the fitted half, as a share of the largest, that is rounding


def heldout_r2(x: ArrayLike, y: ArrayLike, splits: int = 5) -> float:
    """Return the share of y's variance that a ridge regression on x predicts in pairs it was not fitted on.

    The regression is fitted on n // 2 of the pairs, its penalty chosen there by generalised cross-validation, and
    scored on the others: 1 - sum |y - prediction|^2 / sum |y - mean of the fitted half|^2, both sums over ``splits``
    random divisions. Not symmetric: x predicts y.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    splits : int
        Divisions, at least 1; drawn from n alone.

    Returns
    -------
    float
        At most 1; around 0 or somewhat below it for unrelated rows.

    Raises
    ------
    ValueError, TypeError
        If ``splits`` is no integer from 1, the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if
        there are fewer than 6 rows or all rows of a side are equal.
    """
    return prepare_heldout_r2(x, y, splits).observed


def heldout_cca(x: ArrayLike, y: ArrayLike, splits: int = 5, variance: float = 0.99) -> float:
    """Return the mean correlation, in pairs it was not fitted on, of the variates of a ridge CCA.

    Either side is reduced to the fewest principal directions that hold ``variance`` of its variance, at most n // 6
    and at most 50. On n // 2 of the pairs a regularised canonical correlation analysis (Vinod 1976) is fitted, the
    penalty of a side being that of its ridge regression for the other, by generalised cross-validation; its
    min(kx, ky) pairs of variates are correlated over the other pairs, and averaged over them and ``splits`` random
    divisions. The number of directions is kept with the score: the mean says how well they agree, not how many do.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    splits : int
        Divisions, at least 1; drawn from n alone.
    variance : float
        Share of the variance to keep, above 0 and at most 1.

    Returns
    -------
    float
        Between -1 and 1; around 0 for unrelated rows.

    Raises
    ------
    ValueError, TypeError
        If ``splits`` is no integer from 1, ``variance`` is out of range, the sides differ in rows or hold NaN;
        `UndefinedError`, a ValueError, if there are fewer than 6 rows or all rows of a side are equal.
    """
    return prepare_heldout_cca(x, y, splits, variance).observed


def prepare_heldout_r2(x: ArrayLike, y: ArrayLike, splits: int = 5) -> HeldoutRidge:
    """Keep the decompositions of x's halves for `heldout_r2`, and y in its principal axes."""
    splits = _checks.integer("splits", splits, minimum=1)
    rows_x, rows_y = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    rows_x, rows_y = _narrowed(rows_x), _narrowed(rows_y)
    dtype = product_type(splits * rows_x.size * rows_y.shape[1])
    return HeldoutRidge(rows_x.astype(dtype), rows_y.astype(dtype), splits)


def prepare_heldout_cca(x: ArrayLike, y: ArrayLike, splits: int = 5, variance: float = 0.99) -> HeldoutCCA:
    """Keep the decompositions of x's halves for `heldout_cca`, and the principal components of y."""
    splits = _checks.integer("splits", splits, minimum=1)
    check_variance(variance)
    sides = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    most = min(len(sides[0]) // _ROWS_PER_DIRECTION, _MOST_DIRECTIONS)
    components = [Components.of(rows) for rows in sides]
    scores_x, scores_y = (side.scores(min(most, side.holding(variance))) for side in components)
    return HeldoutCCA(scores_x, scores_y, splits)


def _narrowed(rows: Rows) -> Rows:
    """Return the rows in their principal axes where that takes fewer columns: no distance changes."""
    if rows.shape[1] < len(rows):
        return rows
    components = Components.of(rows)
    return components.scores(len(components.values))


@dataclass(frozen=True, eq=False)
class _Division:
    """One division of the rows, and all of it that comes from x alone."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    predictors: Predictors
    along: Rows  # the fitted rows of x along the axes of the predictors
    tested: Rows  # the other rows, likewise

    @classmethod
    def of(cls, x: Rows, train: NDArray[np.int64], test: NDArray[np.int64]) -> _Division:
        fitted, tested = centred(x, train, test)
        predictors = Predictors.of(fitted)
        axes = predictors.axes.astype(x.dtype, copy=False)
        return cls(train, test, predictors, fitted @ axes, tested @ axes)


@dataclass(frozen=True, eq=False)
class _Heldout(ABC):
    """Rows ``x`` (n, dx) and ``y`` (n, dy), and the number of random divisions.

    The divisions stay where they are when the rows of y are permuted, and with them all that comes from x alone.
    """

    x: Rows
    y: Rows
    splits: int

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired; a draw like any other, so the identity ties with it exactly."""
        return float(self.draws(np.arange(len(self.x), dtype=np.int64)[None])[0])

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        cost = self.splits * self.x.size * self.y.shape[1]
        divisions = self._divisions
        return map_permutations(lambda order: self._score(divisions, self.y[order]), permutations, multiplications=cost)

    @cached_property
    def _divisions(self) -> list[_Division]:
        return [_Division.of(self.x, train, test) for train, test in halves(len(self.x), self.splits)]

    @abstractmethod
    def _score(self, divisions: list[_Division], y: Rows) -> float:
        """Return the measure on x and these rows."""


class HeldoutRidge(_Heldout):
    """A draw is, for every division, the products of x with the permuted targets, and the predictions."""

    kx = None
    ky = None
    rounding = 1e-6

    def _score(self, divisions: list[_Division], y: Rows) -> float:
        left = total = 0.0
        for division in divisions:
            fitted, tested = centred(y, division.train, division.test)
            x = division.predictors
            products = division.along.T @ fitted
            slopes = products / (x.variances + x.penalty(products, float(np.vdot(fitted, fitted))))[:, None]
            residual = tested - division.tested @ slopes.astype(tested.dtype, copy=False)
            left += float(np.vdot(residual, residual))
            total += float(np.vdot(tested, tested))
        # Nothing is left to predict where every row of y that was kept apart equals the mean of the fitted ones.
        return 1.0 - left / total if total > 0 else 0.0


class HeldoutCCA(_Heldout):
    """A draw is, for every division, the axes of y's fitted half and the singular values of a kx x ky matrix."""

    rounding = 1e-7

    @property
    def kx(self) -> int:
        """Directions kept of x."""
        return int(self.x.shape[1])

    @property
    def ky(self) -> int:
        """Directions kept of y."""
        return int(self.y.shape[1])

    def _score(self, divisions: list[_Division], y: Rows) -> float:
        correlations = 0.0
        for division in divisions:
            fitted, tested = centred(y, division.train, division.test)
            x_side, y_side = division.predictors, Predictors.of(fitted)
            products = division.along.T @ fitted
            own = products @ y_side.axes
            penalty_x = x_side.penalty(products, float(np.vdot(fitted, fitted)))
            penalty_y = y_side.penalty(own.T, float(np.vdot(division.along, division.along)))
            scale_x, scale_y = np.sqrt(x_side.variances + penalty_x), np.sqrt(y_side.variances + penalty_y)
            left, values, right = np.linalg.svd(own / scale_x[:, None] / scale_y, full_matrices=False)
            # Directions that the fitted half does not relate at all are arbitrary, and count as uncorrelated.
            related = values > _NOTHING * values[:1].max(initial=0.0)
            variates_x = (division.tested / scale_x) @ left[:, related]
            variates_y = (tested @ (y_side.axes / scale_y)) @ right[related].T
            correlations += _column_correlations(variates_x, variates_y).sum()
        return min(1.0, float(correlations) / self.splits / min(self.kx, self.ky))


def _column_correlations(x: Rows, y: Rows) -> NDArray[np.float64]:
    """Return the Pearson correlation of each column of x with the same column of y, 0 where either is constant."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norms = np.linalg.norm(x, axis=0) * np.linalg.norm(y, axis=0)
    products: NDArray[np.float64] = (x * y).sum(axis=0)
    correlations: NDArray[np.float64] = np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0)
    return correlations
