"""Canonical correlations between principal subspaces: whether the rows of both sides span the same directions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..ops import permuted_cca
from .measure import varying_rows
from .nuclear import exact_nuclear_norm, nuclear_norm
from .parallel import map_permutations, product_type
from .principal import Components, check_variance

_MINIMUM_ROWS = 2
_ROWS_PER_DIRECTION = 6  # of svcca_capped


def svcca(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> float:
    """Return the mean canonical correlation between the principal subspaces of two sets of paired rows.

    Both sides are centred and reduced to the fewest principal directions that hold ``variance`` of their variance; the
    canonical correlations are the singular values of Qx' Qy (Raghu et al. 2017; Bjorck and Golub 1973). Its floor for
    unrelated rows is far above 0 and depends on n, kx and ky alone: never read it without a null.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    variance : float
        Share of the variance to keep, above 0 and at most 1.

    Returns
    -------
    float
        Between 0 and 1: the sum of the canonical correlations over min(kx, ky).

    Raises
    ------
    ValueError
        If ``variance`` is out of range, the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if there
        are fewer than 2 rows or all rows of a side are equal.
    """
    return prepare_svcca(x, y, variance).observed


def svcca_capped(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> float:
    """Return `svcca` on at most n // 6 directions a side, and at least 1.

    The floor of `svcca` rises with the directions kept. With six rows or more a direction it leaves room for a
    relation to show: on 50 to 100 related pairs this form finds what the form without a cap misses.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    variance : float
        Share of the variance to keep where the cap allows it, above 0 and at most 1.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As for `svcca`.
    """
    return prepare_svcca_capped(x, y, variance).observed


def cca_r2(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> float:
    """Return the mean squared canonical correlation between the principal subspaces of two sets of paired rows.

    R2_CCA of Kornblith et al. 2019 on the subspaces of `svcca`: |Qx' Qy|_F^2 over min(kx, ky), the share of the one
    subspace that lies in the other. Unrelated rows score max(kx, ky) / (n - 1) on average.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    variance : float
        Share of the variance to keep, above 0 and at most 1.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As for `svcca`.
    """
    return prepare_cca_r2(x, y, variance).observed


def prepare_svcca(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> Subspaces:
    """Keep the two orthonormal bases of `svcca`."""
    return Subspaces(*_bases(x, y, variance))


def prepare_svcca_capped(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> Subspaces:
    """Keep the two orthonormal bases of `svcca_capped`."""
    return Subspaces(*_bases(x, y, variance, capped=True))


def prepare_cca_r2(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> SquaredSubspaces:
    """Keep the two orthonormal bases of `cca_r2`."""
    return SquaredSubspaces(*_bases(x, y, variance))


def _bases(
    x: ArrayLike, y: ArrayLike, variance: float, *, capped: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    check_variance(variance)
    rows_x, rows_y = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    most = max(1, len(rows_x) // _ROWS_PER_DIRECTION) if capped else len(rows_x)
    components_x, components_y = Components.of(rows_x), Components.of(rows_y)
    return (
        components_x.basis(min(most, components_x.holding(variance))),
        components_y.basis(min(most, components_y.holding(variance))),
    )


@dataclass(frozen=True, eq=False)
class PairedBases(ABC):
    """Orthonormal bases ``qx`` (n, kx) and ``qy`` (n, ky) of two centred row sets.

    Permuting rows moves no mean, and the basis of permuted rows is the permuted basis: a draw is one product and a
    norm of the kx x ky matrix of cosines.
    """

    qx: NDArray[np.float64]
    qy: NDArray[np.float64]

    @property
    def kx(self) -> int:
        """Directions kept of x."""
        return int(self.qx.shape[1])

    @property
    def ky(self) -> int:
        """Directions kept of y."""
        return int(self.qy.shape[1])

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired."""
        return self._mean(self.qx.T @ self.qy)

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        fixed, moved = self._ordered
        if self.kx <= self.ky:
            # Permuting the rows of x by the inverse gives the same products, and the narrower basis moves faster.
            permutations = np.argsort(permutations, axis=1)
        cost = len(self.qx) * self.kx * self.ky
        return map_permutations(lambda order: self._mean(fixed.T @ moved[order]), permutations, multiplications=cost)

    @cached_property
    def _ordered(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """The wider basis and the narrower one, which is moved; x where both are as wide."""
        dtype = product_type(len(self.qx) * self.kx * self.ky)
        wide, narrow = (self.qy, self.qx) if self.kx <= self.ky else (self.qx, self.qy)
        return wide.astype(dtype, copy=False), narrow.astype(dtype, copy=False)

    @abstractmethod
    def _mean(self, cosines: NDArray[np.floating]) -> float:
        """Return the measure for one matrix of cosines between the two bases."""


@dataclass(frozen=True, eq=False)
class Subspaces(PairedBases):
    """The mean of the singular values of Qx' Qy: of the canonical correlations; draws are made on ``device``."""

    device: str = "cpu"
    rounding: ClassVar[float] = 1e-7

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired."""
        return min(1.0, exact_nuclear_norm(self.qx.T @ self.qy) / min(self.kx, self.ky))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        if self.device == "cpu":
            return super().draws(permutations)
        sums = permuted_cca(self.qx, self.qy, permutations, device=self.device)
        return np.minimum(1.0, sums / min(self.kx, self.ky))

    def _mean(self, cosines: NDArray[np.floating]) -> float:
        return min(1.0, nuclear_norm(cosines) / min(self.kx, self.ky))


class SquaredSubspaces(PairedBases):
    """The mean of the squares of the singular values of Qx' Qy: the squared norm of the matrix."""

    rounding = 1e-7

    def _mean(self, cosines: NDArray[np.floating]) -> float:
        return min(1.0, float(np.square(cosines, dtype=np.float64).sum()) / min(self.kx, self.ky))
