"""Measures that are fitted on half of the pairs and scored on the other half: chance scores around 0 at every n."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .measure import Rows, observed_as_draw, varying_rows
from .parallel import map_batches, map_permutations, product_type
from .principal import Components, check_variance
from .splits import Predictors, centred, halves

_MINIMUM_ROWS = 6
_ROWS_PER_DIRECTION = 6
_MOST_DIRECTIONS = 50
_BATCH_ENTRIES = 2**16  # of y's fitted halves, over divisions and the permutations that are scored at once
_CONSTANT = 1e-12  # variance of a variate over tested rows, as a share of that over all rows, that is rounding
_UNSURE = 1e-8  # least square of a singular value, as a share of the largest, whose vectors a Gram matrix has exactly
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
        return observed_as_draw(self.draws, len(self.x))

    @abstractmethod
    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""

    @property
    def _cost(self) -> int:
        return int(self.splits * self.x.size * self.y.shape[1])


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


class HeldoutRidge(_Heldout):
    """A draw is, for every division, the products of x with the permuted targets, and the predictions."""

    kx = None
    ky = None
    rounding = 1e-6

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        divisions = self._divisions
        return map_permutations(
            lambda order: self._score(divisions, self.y[order]), permutations, multiplications=self._cost
        )

    @cached_property
    def _divisions(self) -> list[_Division]:
        return [_Division.of(self.x, train, test) for train, test in halves(len(self.x), self.splits)]

    def _score(self, divisions: list[_Division], y: Rows) -> float:
        left = total = 0.0
        for division in divisions:
            fitted, tested = centred(y, division.train, division.test)
            x = division.predictors
            products = division.along.T @ fitted
            penalty = x.penalty(np.square(products, dtype=np.float64).sum(axis=1), float(np.vdot(fitted, fitted)))
            slopes = products / (x.variances + penalty)[:, None]
            residual = tested - division.tested @ slopes.astype(tested.dtype, copy=False)
            left += float(np.vdot(residual, residual))
            total += float(np.vdot(tested, tested))
        # Nothing is left to predict where every row of y that was kept apart equals the mean of the fitted ones.
        return 1.0 - left / total if total > 0 else 0.0


@dataclass(frozen=True, eq=False)
class _Divisions:
    """All divisions of the rows, S of them, and what of them comes from x alone."""

    train: NDArray[np.int64]  # (S, m)
    predictors: Predictors
    along: Rows  # (S, m, kx): the fitted rows of x, less their mean, along the axes of the predictors
    means: tuple[Rows, Rows]  # (S, kx): those of the fitted and of the tested rows, along the same axes
    squares: NDArray[np.float64]  # (S, kx, kx): products of the tested rows' columns, about their means

    @classmethod
    def of(cls, x: Rows, splits: int) -> _Divisions:
        train, test = (np.stack(half) for half in zip(*halves(len(x), splits), strict=True))
        means = x[train].mean(axis=1, keepdims=True), x[test].mean(axis=1, keepdims=True)
        fitted, tested = x[train] - means[0], x[test] - means[1]
        predictors = Predictors.of_products(train.shape[1], _transposed(fitted) @ fitted)
        axes = predictors.axes
        tested = tested @ axes
        along = ((means[0] @ axes)[:, 0], (means[1] @ axes)[:, 0])
        return cls(train, predictors, fitted @ axes, along, _transposed(tested) @ tested)


class HeldoutCCA(_Heldout):
    """A draw is, for every division, the axes of y's fitted half and the singular vectors of a kx x ky matrix.

    What is then correlated are linear combinations of columns: products of columns, k x k, take the place of rows, and
    all divisions of some permutations go through LAPACK as one stack.
    """

    rounding = 1e-7

    @property
    def kx(self) -> int:
        """Directions kept of x."""
        return int(self.x.shape[1])

    @property
    def ky(self) -> int:
        """Directions kept of y."""
        return int(self.y.shape[1])

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        divisions = self._divisions
        size = max(1, 2 * _BATCH_ENTRIES // (self.splits * self.y.size))
        return map_batches(
            lambda orders: self._scores(divisions, orders), permutations, size=size, multiplications=self._cost
        )

    @cached_property
    def _divisions(self) -> _Divisions:
        return _Divisions.of(self.x, self.splits)

    def _scores(self, divisions: _Divisions, orders: NDArray[np.int64]) -> NDArray[np.float64]:
        n, m = len(self.x), divisions.train.shape[1]
        fitted = np.take(self.y, orders[:, divisions.train], axis=0)  # (R, S, m, ky)
        sums = fitted.sum(axis=-2)
        others = self.y.sum(axis=0) - sums
        products = _transposed(fitted) @ fitted
        x_side, y_side = divisions.predictors, Predictors.of_products(m, products - _outer(sums, sums) / m)
        across = _transposed(divisions.along) @ fitted
        own = across @ y_side.axes
        squares = own**2
        penalty_x = x_side.penalty(squares.sum(axis=-1), y_side.variances.sum(axis=-1))
        penalty_y = y_side.penalty(squares.sum(axis=-2), x_side.variances.sum(axis=-1))
        scale_x = np.sqrt(x_side.variances + penalty_x[..., None])
        scale_y = np.sqrt(y_side.variances + penalty_y[..., None])
        left, related, right = _singular_vectors(own / scale_x[..., None] / scale_y[..., None, :])
        variates_x = left / scale_x[..., None]
        variates_y = y_side.axes @ (right / scale_y[..., None])
        # Products over the tested rows are those over all rows less those over the fitted ones.
        total = (self.x.T @ np.take(self.y, orders, axis=0))[:, None]
        tested = _transposed(x_side.axes) @ total - across
        tested -= _outer(divisions.means[0], sums) + _outer(divisions.means[1], others)
        norms_x = _forms(variates_x, divisions.squares)
        norms_y = _forms(variates_y, self.y.T @ self.y - products - _outer(others, others) / (n - m))
        related &= (norms_x > 0) & (norms_y > _CONSTANT * _forms(variates_y, self.y.T @ self.y))
        shared = (variates_x * (tested @ variates_y)).sum(axis=-2)
        norms = np.sqrt(np.where(related, norms_x * norms_y, 1.0))
        correlations = np.where(related, shared / norms, 0.0).sum(axis=(-1, -2))
        means: NDArray[np.float64] = np.minimum(1.0, correlations / self.splits / min(self.kx, self.ky))
        return means


def _singular_vectors(
    matrices: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return left singular vectors, which directions are related at all, and right vectors up to their lengths.

    Eigenvectors of the smaller Gram matrix, in two thirds of the time of a singular value decomposition, and as good
    where the singular values lie within four orders of magnitude; for the other matrices, that decomposition.
    Directions that the fitted halves do not relate are arbitrary, and count as uncorrelated.
    """
    if matrices.shape[-2] > matrices.shape[-1]:
        right, related, left = _singular_vectors(_transposed(matrices))
        return left, related, right
    squares, left = np.linalg.eigh(matrices @ _transposed(matrices))
    right = _transposed(matrices) @ left
    related = np.ones(squares.shape, dtype=np.bool_)
    unsure = squares[..., 0] <= _UNSURE * squares[..., -1]
    if unsure.any():
        left[unsure], values, turned = np.linalg.svd(matrices[unsure], full_matrices=False)
        right[unsure] = _transposed(turned)
        related[unsure] = values > _NOTHING * values[:, :1]
    return left, related, right


def _forms(vectors: NDArray[np.float64], products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return v' P v for every column v of ``vectors`` (..., d, k) and P of ``products`` (..., d, d), shape (..., k)."""
    forms: NDArray[np.float64] = (vectors * (products @ vectors)).sum(axis=-2)
    return forms


def _outer(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return x[..., :, None] * y[..., None, :]


def _transposed(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.swapaxes(matrices, -1, -2)
