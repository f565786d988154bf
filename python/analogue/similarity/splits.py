"""Halves of the rows, one to fit on and one to score on, and the ridge penalty that the fitted half chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .measure import Rows

_PENALTIES = np.logspace(-6, 3, 19)  # over the largest variance of the fitted half
_EQUAL = 1e-3  # relative difference of two errors that decides nothing: the larger penalty is taken
_NOTHING = 1e-12  # variance, as a share of the largest, that is rounding


def halves(n: int, splits: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return ``splits`` random divisions of n rows into n // 2 to fit on and the others to score on.

    They depend on n and ``splits`` alone, so that a measure is a function of its rows.
    """
    rng = np.random.default_rng(0)
    orders = [rng.permutation(n) for _ in range(splits)]
    return [(np.sort(order[: n // 2]), np.sort(order[n // 2 :])) for order in orders]


def centred(rows: Rows, train: NDArray[np.int64], test: NDArray[np.int64]) -> tuple[Rows, Rows]:
    """Return the rows of both halves less the column means of the first."""
    mean = rows[train].mean(axis=0)
    return rows[train] - mean, rows[test] - mean


@dataclass(frozen=True, eq=False)
class Predictors:
    """The fitted half of one side in its principal axes; or those of a stack of halves, as leading dimensions.

    Attributes
    ----------
    m : int
        Rows that were fitted on.
    axes : ndarray of float64, shape (..., d, r)
        Orthonormal directions, and columns of zeros where there is no variation left.
    variances : ndarray of float64, shape (..., r)
        Sums of squares along these directions, 0 where they are rounding.
    """

    m: int
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def of(cls, train: Rows) -> Predictors:
        """Decompose centred rows."""
        m, d = train.shape
        train = train.astype(np.float64, copy=False)
        if d <= m:
            return cls.of_products(m, train.T @ train)
        side = cls.of_products(m, train @ train.T)
        scales = np.sqrt(np.where(side.variances > 0, side.variances, np.inf))
        return cls(m, train.T @ (side.axes / scales), side.variances)

    @classmethod
    def of_products(cls, m: int, products: NDArray[np.float64]) -> Predictors:
        """Decompose the products (..., d, d) of the columns of ``m`` centred rows."""
        variances, axes = np.linalg.eigh(products)
        kept = variances > _NOTHING * variances[..., -1:]
        return cls(m, axes * kept[..., None, :], variances * kept)

    def penalty(
        self, squares: NDArray[np.float64], total: NDArray[np.float64] | np.float64 | float
    ) -> NDArray[np.float64]:
        """Return the ridge penalty, shape (...), that generalised cross-validation chooses for predicting some targets.

        The error RSS / (m - 1 - tr H)^2 is least, the mean having taken one degree of freedom (Golub, Heath and Wahba
        1979); of penalties whose errors agree to a thousandth, the largest. It is 1 where there is nothing to predict
        from.

        Parameters
        ----------
        squares : ndarray of float64, shape (..., r)
            Products of the fitted half, along its axes, with the centred targets: their squares, summed over targets.
        total : ndarray of float64, shape (...)
            Squared norm of the centred targets.
        """
        kept = self.variances > 0
        variances = np.where(kept, self.variances, 1.0)
        explained = np.where(kept, squares / variances, 0.0)
        penalties = _PENALTIES * self.variances.max(axis=-1, keepdims=True, initial=0.0)
        lost = np.where(
            kept[..., None, :], penalties[..., None] / (variances[..., None, :] + penalties[..., None]), 0.0
        )
        unused = self.m - 1 - kept.sum(axis=-1)
        outside = np.where(unused > 0, np.maximum(total - explained.sum(axis=-1), 0.0), 0.0)
        left = outside[..., None] + (lost**2 @ explained[..., None])[..., 0]
        errors = left / (unused[..., None] + lost.sum(axis=-1)) ** 2
        least = (1 + _EQUAL) * errors.min(axis=-1, keepdims=True)
        chosen = np.where(errors <= least, penalties, 0.0).max(axis=-1)
        return np.where(kept.any(axis=-1), chosen, 1.0)
