"""Centred kernel alignment: whether both sides find the same rows similar."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .mantel import Mantel
from .measure import Rows, UndefinedError, varying_rows

_MINIMUM_ROWS = 4  # with three, every U-centred matrix is zero
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


def prepare_cka(x: ArrayLike, y: ArrayLike) -> Mantel:
    """Keep the two U-centred Gram matrices of `cka`."""
    rows_x, rows_y = varying_rows(x, y, minimum=_MINIMUM_ROWS)
    return Mantel(_u_centred("x", rows_x), _u_centred("y", rows_y))


def _u_centred(name: str, rows: Rows) -> NDArray[np.float64]:
    """Return the U-centred Gram matrix of the rows, zero on the diagonal and of unit norm below it."""
    n = len(rows)
    centred = rows - rows.mean(axis=0)
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
