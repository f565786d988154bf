"""Exact moments over all row permutations, for measures that are quadratic in the rows: no permutation is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks

_BLOCK = 1024  # rows of a matrix product held at once


@dataclass(frozen=True)
class Moments:
    """What a measure is over all permutations of the rows of one side, on the scale of the measure.

    Attributes
    ----------
    mean, variance : float
        Over all n! permutations, each counted once.
    skewness : float or None
        Third central moment over ``variance ** 1.5``; None where it has no closed form here, or the variance is 0.
    leverage_factor : float or None
        For `svcca_moments`: how far single rows inflate the variance above the value for rows of equal leverage, 1.
    concentration : float or None
        For `mantel_moments`: with q and q' the sums of squares of the rows of both matrices, the squared coefficient of
        variation of sum q_i q'_p(i) over all permutations. It is 0 where all rows weigh the same; where large rows
        meet large rows in few permutations, the tails are heavier than mean, variance and skewness say.
    """

    mean: float
    variance: float
    skewness: float | None = None
    leverage_factor: float | None = None
    concentration: float | None = None

    @property
    def std(self) -> float:
        """Square root of the variance."""
        return math.sqrt(self.variance)


def mantel_moments(a: ArrayLike, b: ArrayLike) -> Moments:
    """Return the moments of sum over i < j of a[i, j] b[p(i), p(j)] over all permutations p.

    Exact: the mean and the variance are Mantel's (1967), in O(n^2); the third moment sums the eight ways in which three
    pairs of rows can share rows (Mielke 1979; Hubert 1987), and needs one product of each matrix with itself. Debiased
    CKA and RSA have this form (`similarity.mantel.Mantel`).

    Parameters
    ----------
    a, b : array_like, shape (n, n)
        Symmetric, with zeros on the diagonal.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError, TypeError
        If a matrix is not square, of another size than the other, not symmetric, not zero on its diagonal, or not
        finite.
    """
    matrix_a, matrix_b = _square_pair(("a", a), ("b", b))
    for name, matrix in (("a", matrix_a), ("b", matrix_b)):
        if matrix.diagonal().any():
            raise ValueError(f"{name} must be zero on its diagonal, got values up to {np.abs(matrix.diagonal()).max()}")
    n = len(matrix_a)
    (first_a, second_a, third_a), (first_b, second_b, third_b) = _pattern_sums(matrix_a), _pattern_sums(matrix_b)
    # The sums run over i != j, every pair twice: the measure is half of Z.
    mean = _expectation(n, _FIRST, first_a, first_b) / 2
    square = _expectation(n, _SECOND, second_a, second_b) / 4
    cube = _expectation(n, _THIRD, third_a, third_b) / 8
    variance = max(0.0, square - mean**2)
    skewness = (cube - 3 * mean * square + 2 * mean**3) / variance**1.5 if variance > 0 else None
    concentration = _row_variation(matrix_a) * _row_variation(matrix_b) / (n - 1)
    return Moments(mean, variance, skewness, concentration=concentration)


def kernel_moments(k: ArrayLike, l: ArrayLike) -> Moments:  # noqa: E741
    """Return the mean and variance of sum over i, j of k[i, j] l[p(i), p(j)] over all permutations p.

    Exact, in O(n^2) (Kazi-Aoual, Hitier, Sabatier and Lebreton 1995). Biased CKA has this form.

    Parameters
    ----------
    k, l : array_like, shape (n, n)
        Symmetric, every row summing to zero (double-centred).

    Returns
    -------
    Moments
        Without skewness.

    Raises
    ------
    ValueError, TypeError
        If a matrix is not square, of another size than the other, not symmetric, not double-centred or not finite.
    """
    pair = _square_pair(("k", k), ("l", l))
    for name, matrix in zip("kl", pair, strict=True):
        sums = np.abs(matrix.sum(axis=1))
        if sums.max() > 1e-9 * np.abs(matrix).sum(axis=1).max():
            raise ValueError(f"{name} must be double-centred, got a row that sums to {sums.max()}")
    invariants = [(float(m.trace()), float((m**2).sum()), float((m.diagonal() ** 2).sum())) for m in pair]
    return _kernel_moments(len(pair[0]), *invariants)


def cca_r2_moments(qx: ArrayLike, qy: ArrayLike) -> Moments:
    """Return the mean and variance of the mean squared canonical correlation over all row permutations.

    Exact, in O(n (kx + ky)): the kernels of `kernel_moments` are Qx Qx' and Qy Qy', whose trace and squared norm count
    directions, and whose diagonal holds the leverages of the rows.

    Parameters
    ----------
    qx, qy : array_like, shapes (n, kx) and (n, ky)
        Orthonormal columns, each summing to zero.

    Returns
    -------
    Moments
        Of the sum of the squared canonical correlations over min(kx, ky), without skewness.

    Raises
    ------
    ValueError, TypeError
        If a side has no column or more columns than fit, the sides differ in rows, or a value is not finite.
    """
    basis_x, basis_y = basis_pair(qx, qy)
    moments = trace_moments(basis_x, basis_y)
    k = min(basis_x.shape[1], basis_y.shape[1])
    return Moments(moments.mean / k, moments.variance / k**2)


def trace_moments(qx: NDArray[np.float64], qy: NDArray[np.float64]) -> Moments:
    """Return the mean and variance of the sum of the squared canonical correlations."""
    invariants = []
    for basis in (qx, qy):
        k = float(basis.shape[1])
        leverages = np.matmul(
            basis[:, None, :], basis[:, :, None]
        ).ravel()  # a dot product a row, twice as fast as einsum
        invariants.append((k, k, float(leverages @ leverages)))
    return _kernel_moments(len(qx), *invariants)


def basis_pair(qx: ArrayLike, qy: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both bases in float64, refusing what cannot be a basis of centred rows."""
    pair = _checks.array("qx", qx, ndim=2, dtype=np.float64), _checks.array("qy", qy, ndim=2, dtype=np.float64)
    if len(pair[0]) != len(pair[1]):
        raise ValueError(f"qx and qy must have one row a pair, got shapes {pair[0].shape} and {pair[1].shape}")
    for name, basis in zip(("qx", "qy"), pair, strict=True):
        if not 1 <= basis.shape[1] < max(len(basis), 2):
            raise ValueError(f"{name} must have between 1 and n - 1 columns, got shape {basis.shape}")
    return pair


Invariants = tuple[float, float, float]


def _kernel_moments(n: int, invariants_x: Invariants, invariants_y: Invariants) -> Moments:
    """Combine trace, squared norm and sum of squared diagonal entries of both kernels."""
    (t, t2, s), (u, u2, r) = invariants_x, invariants_y
    variance = 0.0
    if n > 2:  # two centred rows have one geometry only
        spread = ((n - 1) * t2 - t**2) * ((n - 1) * u2 - u**2)
        variance += 2 * spread / ((n - 1) ** 2 * (n + 1) * (n - 2))
    if n > 3:  # with three rows both factors below are zero
        diagonal = (n * (n + 1) * s - (n - 1) * (t**2 + 2 * t2)) * (n * (n + 1) * r - (n - 1) * (u**2 + 2 * u2))
        variance += diagonal / ((n + 1) * n * (n - 1) * (n - 2) * (n - 3))
    return Moments(t * u / (n - 1), max(0.0, variance))


# A pattern says which of the rows in one, two or three pairs (i, j) are the same; it counts as often as its first
# number says, and has as many distinct rows as its second. In this order `_pattern_sums` returns them.
_FIRST = ((1, 2),)
_SECOND = ((2, 2), (4, 3), (1, 4))
_THIRD = ((4, 2), (24, 3), (8, 3), (8, 4), (24, 4), (6, 4), (12, 5), (1, 6))


def _expectation(
    n: int, patterns: tuple[tuple[int, int], ...], sums_a: tuple[float, ...], sums_b: tuple[float, ...]
) -> float:
    """Sum over the patterns; one with more rows than there are does not occur."""
    return sum(
        count * sum_a * sum_b / math.perm(n, rows)
        for (count, rows), sum_a, sum_b in zip(patterns, sums_a, sums_b, strict=True)
        if rows <= n
    )


def _pattern_sums(a: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return the sums over distinct rows of products of one, two and three entries, by pattern.

    In the order of `_FIRST`; of `_SECOND`: same pair, one row shared, none; of `_THIRD`: same pair three times, same
    pair twice and a neighbour, triangle, star, path, same pair twice and one apart, two that share a row and one apart,
    all apart. Each is the sum over all rows less the patterns with fewer rows.
    """
    r, q = a.sum(axis=1), np.einsum("ij,ij->i", a, a)
    a1, a2, a3 = float(r.sum()), float(q.sum()), float(r @ r)
    s3 = float(np.einsum("ij,ij,ij->", a, a, a))
    rq = float(r @ q)
    triangle = _triangles(a)
    neighbour = rq - s3
    star = float((r**3).sum()) - 3 * rq + 2 * s3
    path = float(r @ a @ r) - 2 * rq + s3 - triangle
    double_apart = a2 * a1 - 4 * neighbour - 2 * s3
    fork_apart = (a3 - a2) * a1 - 4 * neighbour - 2 * triangle - 2 * star - 4 * path
    apart = a1**3 - 4 * s3 - 24 * neighbour - 8 * triangle - 8 * star - 24 * path - 6 * double_apart - 12 * fork_apart
    third = (s3, neighbour, triangle, star, path, double_apart, fork_apart, apart)
    return (a1,), (a2, a3 - a2, a1**2 - 4 * a3 + 2 * a2), third


def _row_variation(a: NDArray[np.float64]) -> float:
    """Return the squared coefficient of variation of the rows' sums of squares."""
    q = np.einsum("ij,ij->i", a, a)
    return float(q.var() / q.mean() ** 2) if q.any() else 0.0


def _triangles(a: NDArray[np.float64]) -> float:
    """Return the sum of a[i, j] a[j, k] a[k, i], a block of rows at a time; of symmetric blocks, each is taken once."""
    total = 0.0
    for start in range(0, len(a), _BLOCK):
        stop = min(start + _BLOCK, len(a))
        product = a[start:stop] @ a[:, :stop]
        total += 2.0 * float(np.einsum("ij,ij->", product[:, :start], a[start:stop, :start]))
        total += float(np.einsum("ij,ij->", product[:, start:], a[start:stop, start:stop]))
    return total


def _square_pair(
    first: tuple[str, ArrayLike], second: tuple[str, ArrayLike]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both matrices in float64, refusing those that are not square, symmetric and of one size."""
    found = []
    for name, given in (first, second):
        matrix = _checks.array(name, given, ndim=2, dtype=np.float64)
        if matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
            raise ValueError(f"{name} must be a square matrix of at least 2 rows, got shape {matrix.shape}")
        if np.abs(matrix - matrix.T).max() > 1e-9 * np.abs(matrix).max():
            raise ValueError(f"{name} must be symmetric, got entries that differ from their mirror image")
        found.append(matrix)
    if found[0].shape != found[1].shape:
        raise ValueError(
            f"{first[0]} and {second[0]} must be of one size, got shapes {found[0].shape} and {found[1].shape}"
        )
    return found[0], found[1]
