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
    """The fitted half of one side in its principal axes.

    Attributes
    ----------
    m : int
        Rows that were fitted on.
    axes : ndarray of float64, shape (d, r)
        Directions in which they vary, orthonormal.
    variances : ndarray of float64, shape (r,)
        Their sums of squares along these directions.
    """

    m: int
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def of(cls, train: Rows) -> Predictors:
        """Decompose centred rows, without what is rounding."""
        m, d = train.shape
        train = train.astype(np.float64, copy=False)
        if d <= m:
            variances, axes = np.linalg.eigh(train.T @ train)
        else:
            variances, turned = np.linalg.eigh(train @ train.T)
            axes = train.T @ (turned / np.sqrt(np.where(variances > _NOTHING * variances[-1], variances, np.inf)))
        kept = variances > _NOTHING * variances[-1]
        return cls(m, np.ascontiguousarray(axes[:, kept]), variances[kept])

    def penalty(self, products: NDArray[np.float64], total: float) -> float:
        """Return the ridge penalty that generalised cross-validation chooses for predicting some targets.

        The error RSS / (m - 1 - tr H)^2 is least, the mean having taken one degree of freedom (Golub, Heath and Wahba
        1979); of penalties whose errors agree to a thousandth, the largest.

        Parameters
        ----------
        products : ndarray of float64, shape (r, targets)
            Products of the fitted half, along its axes, with the centred targets.
        total : float
            Squared norm of the centred targets.
        """
        if not len(self.variances):
            return 1.0
        explained = (products**2).sum(axis=1) / self.variances
        penalties = _PENALTIES * self.variances.max()
        lost = penalties[:, None] / (self.variances + penalties[:, None])
        unused = self.m - 1 - len(self.variances)
        outside = max(total - explained.sum(), 0.0) if unused else 0.0
        errors = (outside + lost**2 @ explained) / (unused + lost.sum(axis=1)) ** 2
        return float(penalties[errors <= (1 + _EQUAL) * errors.min()].max())
