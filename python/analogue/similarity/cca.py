"""Singular vector canonical correlation: whether the rows of both sides span the same directions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .measure import Rows, varying_rows

_MINIMUM_ROWS = 2
_WIDE = 32  # directions on both sides from which the Gram matrix is the faster way to singular values
_HEAVY = 2**28  # multiplications from which the product of the bases is taken in float32


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


def prepare_svcca(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> Subspaces:
    """Keep the two orthonormal bases of `svcca`."""
    if not 0 < variance <= 1:
        raise ValueError(f"variance must be a share above 0 and at most 1, got {variance!r}")
    rows_x, rows_y = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    return Subspaces(_principal_basis(rows_x, variance), _principal_basis(rows_y, variance))


@dataclass(frozen=True, eq=False)
class Subspaces:
    """Orthonormal bases ``qx`` (n, kx) and ``qy`` (n, ky) of two centred row sets.

    Permuting rows moves no mean, and the basis of permuted rows is the permuted basis: a draw is one product and the
    singular values of a kx x ky matrix.
    """

    qx: NDArray[np.float64]
    qy: NDArray[np.float64]
    rounding = 1e-7

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
        return self._mean(_singular_values(self.qx.T @ self.qy))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        fixed, moved = self._bases
        if self.kx < self.ky:
            # Permuting the rows of x by the inverse gives the same products, and the narrower basis moves faster.
            fixed, moved, permutations = moved, fixed, np.argsort(permutations, axis=1)
        singular_values = _gram_singular_values if moved.shape[1] >= _WIDE else _singular_values
        return np.array([self._mean(singular_values(fixed.T @ moved[order])) for order in permutations])

    @cached_property
    def _bases(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        # In float32 the product takes half the time. Its roundings differ from entry to entry and all but cancel in a
        # mean over hundreds of singular values: draws move by about 1e-9, by 1e-8 where both sides are equal.
        dtype = np.float32 if len(self.qx) * self.kx * self.ky >= _HEAVY else np.float64
        return self.qx.astype(dtype, copy=False), self.qy.astype(dtype, copy=False)

    def _mean(self, correlations: NDArray[np.float64]) -> float:
        return min(1.0, float(correlations.sum()) / min(self.kx, self.ky))


def _principal_basis(rows: Rows, variance: float) -> NDArray[np.float64]:
    """Return the left singular vectors of the centred rows that hold ``variance`` of their variance."""
    vectors, values, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    held = np.cumsum(values**2)
    # A share that is met exactly must not miss by rounding.
    kept = int(np.argmax(held >= (variance - 1e-12) * held[-1])) + 1
    return np.ascontiguousarray(vectors[:, :kept])


def _singular_values(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.linalg.svd(matrix.astype(np.float64, copy=False), compute_uv=False)
    return values


def _gram_singular_values(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the singular values of a tall matrix as roots of its Gram matrix's eigenvalues, in a third of the time.

    A value s is off by about 1e-16 / s, at most 1e-8.
    """
    tall = matrix.astype(np.float64, copy=False)
    values: NDArray[np.float64] = np.sqrt(np.linalg.eigvalsh(tall.T @ tall).clip(min=0.0))
    return values
