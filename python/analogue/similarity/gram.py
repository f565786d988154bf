"""Centred kernel alignment: whether both sides find the same rows similar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core import mantel_dots
from .mantel import Mantel
from .measure import Rows, UndefinedError, observed_as_draw, varying_rows
from .parallel import map_permutations

_MINIMUM_ROWS = 4  # with three, every U-centred matrix is zero
_MINIMUM_ROWS_BIASED = 2
_ROWS_IN_MEMORY = 8192  # above which two Gram matrices of n x n are not kept: 1 GiB
_PRODUCTS_A_GATHER = 8  # multiplications of a matrix product in the time of one entry gathered from a Gram matrix
_WELL_AWAY = 1e-3  # share of the Gram matrix from which its U-centred part may be taken as a difference
_ZERO = 1e-12  # share of the Gram matrix below which its U-centred part is rounding


def cka(x: ArrayLike, y: ArrayLike) -> float:
    """Return the debiased linear CKA of two sets of paired rows.

    The unbiased HSIC of the linear kernels, normalised: <K~, L~> / (|K~| |L~|) with K~, L~ the U-centred Gram matrices
    (Song et al. 2012, HSIC_1; Szekely and Rizzo 2014, definition 2; Nguyen et al. 2021). Its mean over all row
    permutations is 0 at every n and width, which the biased form misses by far when rows are fewer than columns.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.

    Returns
    -------
    float
        At most 1, and 1 for a rotated, shifted or scaled copy; around 0, of either sign, for unrelated rows.

    Raises
    ------
    ValueError
        If the sides differ in rows or hold NaN; `UndefinedError`, a ValueError, if there are fewer than 4 rows or all
        rows of a side are equal or equally similar.
    """
    return prepare_cka(x, y).observed


def cka_biased(x: ArrayLike, y: ArrayLike) -> float:
    """Return the biased linear CKA of two sets of paired rows, the form most papers print.

    |Xc' Yc|_F^2 / (|Xc' Xc|_F |Yc' Yc|_F) with Xc, Yc the centred rows (Kornblith et al. 2019): the cosine between the
    double-centred Gram matrices. Unrelated rows score far above 0, the more so the fewer rows there are a column.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.

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
    return prepare_cka_biased(x, y).observed


def prepare_cka(x: ArrayLike, y: ArrayLike) -> Mantel:
    """Keep the two U-centred Gram matrices of `cka`, or the centred rows where those cost less."""
    rows_x, rows_y = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    if _rows_are_less(rows_x, rows_y):
        sides = centred_x, centred_y = _centred(rows_x), _centred(rows_y)
        if all(_u_norm(rows) > _WELL_AWAY * np.linalg.norm(rows.T @ rows) for rows in sides):
            return MantelOfRows(centred_x / np.sqrt(_u_norm(centred_x)), centred_y / np.sqrt(_u_norm(centred_y)))
    return Mantel(_u_centred("x", rows_x), _u_centred("y", rows_y))


def _rows_are_less(x: Rows, y: Rows) -> bool:
    """Whether Xc' Yc of permuted rows costs less than gathering n (n - 1) / 2 entries of a Gram matrix."""
    n = len(x)
    return n > _ROWS_IN_MEMORY or 2 * x.shape[1] * y.shape[1] <= _PRODUCTS_A_GATHER * (n - 1)


def _centred(rows: Rows) -> Rows:
    centred: Rows = rows - rows.mean(axis=0)
    return centred


def _u_norm(rows: Rows) -> float:
    """Return the norm of the U-centred Gram matrix of centred rows, without that matrix."""
    squares = (rows**2).sum(axis=1)
    return float(np.sqrt(max(_u_product(rows.T @ rows, squares, squares), 0.0)))


def _u_product(cross: NDArray[np.float64], squares_x: Rows, squares_y: Rows) -> float:
    """Return the sum over i != j of the product of two U-centred Gram matrices, from ``cross`` = Xc' Yc.

    With zero diagonals the row sums of a Gram matrix of centred rows are minus its diagonal, the squared lengths of
    the rows; the rest is Szekely and Rizzo 2014, proposition 1.
    """
    n = len(squares_x)
    diagonal = n / (n - 2) * (squares_x @ squares_y)
    return float(np.vdot(cross, cross) - diagonal + squares_x.sum() * squares_y.sum() / ((n - 1) * (n - 2)))


def _u_centred(name: str, rows: Rows) -> NDArray[np.float64]:
    """Return the U-centred Gram matrix of the rows, zero on the diagonal and of unit norm below it."""
    n = len(rows)
    centred = _centred(rows)
    gram: NDArray[np.float64] = centred @ centred.T
    size = np.linalg.norm(gram)
    np.fill_diagonal(gram, 0.0)
    sums = gram.sum(axis=0) / (n - 2)
    gram -= sums[:, None] + sums - sums.sum() / (n - 1)
    np.fill_diagonal(gram, 0.0)
    norm = np.linalg.norm(gram)
    if norm <= _ZERO * size:
        raise UndefinedError(f"{name} must have rows that differ in similarity, got {n} rows all equally similar")
    gram *= np.sqrt(2.0) / norm
    return gram


def prepare_cka_biased(x: ArrayLike, y: ArrayLike) -> Kernels:
    """Keep the two double-centred Gram matrices of `cka_biased`, or the centred rows where those cost less."""
    rows_x, rows_y = varying_rows(x, y, minimum=_MINIMUM_ROWS_BIASED)
    if _rows_are_less(rows_x, rows_y):
        centred_x, centred_y = _centred(rows_x), _centred(rows_y)
        sizes = [np.sqrt(np.linalg.norm(rows.T @ rows)) for rows in (centred_x, centred_y)]
        return KernelsOfRows(centred_x / sizes[0], centred_y / sizes[1])
    return Kernels(_double_centred(rows_x), _double_centred(rows_y))


def _double_centred(rows: Rows) -> NDArray[np.float64]:
    """Return the Gram matrix of the centred rows, of unit norm."""
    centred = _centred(rows)
    gram: NDArray[np.float64] = centred @ centred.T
    gram /= np.linalg.norm(gram)
    return gram


@dataclass(frozen=True, eq=False)
class Kernels:
    """Two double-centred n x n Gram matrices of unit Frobenius norm; the measure is the sum of k * l.

    As with `Mantel`, permuting the rows of y re-indexes ``l``; here the diagonals count.
    """

    k: NDArray[np.float64]
    l: NDArray[np.float64]  # noqa: E741
    kx = None
    ky = None
    rounding = 1e-12

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired; a draw like any other, so the identity ties with it exactly."""
        return observed_as_draw(self.draws, len(self.k))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        diagonal = np.diagonal(self.l)[permutations] @ np.diagonal(self.k)
        return np.clip(2.0 * mantel_dots(self.k, self.l, permutations) + diagonal, 0.0, 1.0)


class MantelOfRows(Mantel):
    """`Mantel` for debiased CKA from centred rows ``x`` (n, d_x) and ``y`` (n, d_y); ``a`` and ``b`` on demand.

    The rows are scaled so that their U-centred Gram matrices have unit norm.
    """

    rounding = 1e-10

    def __init__(self, x: Rows, y: Rows) -> None:
        self.__dict__ |= {"x": x, "y": y, "_squares": ((x**2).sum(axis=1), (y**2).sum(axis=1))}

    x: Rows
    y: Rows
    _squares: tuple[Rows, Rows]

    @cached_property
    def a(self) -> NDArray[np.float64]:
        """The U-centred Gram matrix of x."""
        return _u_centred("x", self.x)

    @cached_property
    def b(self) -> NDArray[np.float64]:
        """The U-centred Gram matrix of y."""
        return _u_centred("y", self.y)

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired; a draw like any other, so the identity ties with it exactly."""
        return observed_as_draw(self.draws, len(self.x))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        squares_x, squares_y = self._squares

        def draw(order: NDArray[np.int64]) -> float:
            return float(np.clip(_u_product(self.x.T @ self.y[order], squares_x, squares_y[order]), -1.0, 1.0))

        return map_permutations(draw, permutations, multiplications=self.x.size * self.y.shape[1])


class KernelsOfRows(Kernels):
    """`Kernels` from centred rows ``x`` (n, d_x) and ``y`` (n, d_y); ``k`` and ``l`` on demand.

    The rows are scaled so that their Gram matrices have unit norm.
    """

    rounding = 1e-10

    def __init__(self, x: Rows, y: Rows) -> None:
        self.__dict__ |= {"x": x, "y": y}

    x: Rows
    y: Rows

    @cached_property
    def k(self) -> NDArray[np.float64]:
        """The double-centred Gram matrix of x."""
        return _double_centred(self.x)

    @cached_property
    def l(self) -> NDArray[np.float64]:  # noqa: E743
        """The double-centred Gram matrix of y."""
        return _double_centred(self.y)

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired; a draw like any other, so the identity ties with it exactly."""
        return observed_as_draw(self.draws, len(self.x))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""

        def draw(order: NDArray[np.int64]) -> float:
            cross = self.x.T @ self.y[order]
            return min(1.0, float(np.vdot(cross, cross)))

        return map_permutations(draw, permutations, multiplications=self.x.size * self.y.shape[1])
