"""Projection-weighted CCA: canonical correlations weighted by how much of a side they account for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cca import PairedBases
from .measure import UndefinedError, varying_rows
from .principal import Components, check_variance

_MINIMUM_ROWS = 2


def pwcca(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> float:
    """Return the projection-weighted mean of the canonical correlations between two principal subspaces.

    Morcos et al. 2018, section 2: with h_i the canonical variates of one side and z_j its centred columns, the
    correlations rho_i are averaged with weights sum_j |<h_i, z_j>|. As in the authors' code the weights come from the
    side that keeps fewer directions, whose variates all have a correlation, and from x when both keep as many. The
    subspaces are those of `svcca`; ``variance=1`` keeps every direction, as the paper does. The weights look at single
    columns, so that rotating the weighting side moves the measure.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    variance : float
        Share of the variance to keep, above 0 and at most 1.

    Returns
    -------
    float
        Between 0 and 1; with a floor for unrelated rows, as `svcca`.

    Raises
    ------
    ValueError
        If ``variance`` is out of range, the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if there
        are fewer than 2 rows, all rows of a side are equal, or several but not all canonical correlations are 1 for any
        data (kx + ky > n): their variates, and with them the weights, are then arbitrary.
    """
    return prepare_pwcca(x, y, variance).observed


def prepare_pwcca(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> WeightedSubspaces:
    """Keep the two orthonormal bases of `pwcca`, and the columns of the weighting side in its basis."""
    check_variance(variance)
    sides = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    bases = []
    columns = []
    for rows in sides:
        components = Components.of(rows)
        bases.append(components.basis(components.holding(variance)))
        columns.append(bases[-1].T @ (rows - rows.mean(axis=0)))
    n, (kx, ky) = len(sides[0]), (basis.shape[1] for basis in bases)
    forced = kx + ky - n + 1
    if 1 < forced < min(kx, ky):
        raise UndefinedError(
            f"the weights need canonical variates that the data determine, got {forced} of {min(kx, ky)} correlations "
            f"that are 1 for any data ({kx} + {ky} directions of {n} rows)"
        )
    return WeightedSubspaces(bases[0], bases[1], columns[0] if kx <= ky else columns[1])


@dataclass(frozen=True, eq=False)
class WeightedSubspaces(PairedBases):
    """The weighted mean of the singular values of Qx' Qy.

    A row permutation moves the columns of the narrower side with its basis, so that its ``columns`` in that basis, of
    shape (min(kx, ky), d), stand: a draw is one product, the eigenvectors of its Gram matrix, and their products with
    the columns.
    """

    columns: NDArray[np.float64]
    rounding = 1e-7

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired."""
        narrow, wide = (self.qx, self.qy) if self.kx <= self.ky else (self.qy, self.qx)
        return self._mean(wide.T @ narrow)

    def _mean(self, cosines: NDArray[np.floating]) -> float:
        tall = cosines.astype(np.float64, copy=False)
        squares, variates = np.linalg.eigh(tall.T @ tall)
        weights = np.abs(variates.T @ self.columns).sum(axis=1)
        return min(1.0, float(weights @ np.sqrt(squares.clip(min=0.0)) / weights.sum()))
