"""The null of SVCCA without a permutation: the canonical correlations of unrelated subspaces in high dimension."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .moments import Moments, basis_pair, trace_moments

_NODES = 2048  # of the mid-point rule and of the Chebyshev coefficients: errors below 1e-6 of the null's sd


def svcca_moments(qx: ArrayLike, qy: ArrayLike) -> Moments:
    """Return the mean and variance of the mean canonical correlation over all row permutations, asymptotically.

    The squared correlations of two unrelated subspaces of dimensions kx and ky among n - 1 follow Wachter's law (1980)
    between two edges. The sum of their roots has its integral as mean, plus a term at the edges that does not grow with
    n, and the variance of the central limit theorem, a sum over Chebyshev coefficients (Johansson 1998, the real case).
    The variance is multiplied by the leverage factor: that of the sum of their squares, exactly and for these rows
    (`cca_r2_moments`), over its value in the limit.

    Parameters
    ----------
    qx, qy : array_like, shapes (n, kx) and (n, ky)
        Orthonormal columns, each summing to zero.

    Returns
    -------
    Moments
        Without skewness. Where a side fills all n - 1 dimensions the measure is 1 for any permutation: mean 1, variance
        0, no leverage factor.

    Raises
    ------
    ValueError, TypeError
        If a side has no column or more columns than fit, the sides differ in rows, or a value is not finite.
    """
    return wachter_moments(*basis_pair(qx, qy))


def wachter_moments(qx: NDArray[np.float64], qy: NDArray[np.float64]) -> Moments:
    """Return `svcca_moments` of bases that need no check: checking them takes longer than all the rest."""
    dimensions = len(qx) - 1
    k, larger = sorted((qx.shape[1], qy.shape[1]))
    if larger >= dimensions:
        return Moments(1.0, 0.0)
    total, variance, square_variance = _bulk(dimensions, k, larger)
    factor = trace_moments(qx, qy).variance / square_variance
    return Moments(total / k, variance * factor / k**2, leverage_factor=factor)


def _bulk(dimensions: int, k: int, larger: int) -> tuple[float, float, float]:
    """Return mean and variance of the sum of the correlations, and variance of the sum of their squares."""
    p, s = k / dimensions, larger / dimensions
    edges = math.sqrt(p * (1 - s)), math.sqrt(s * (1 - p))
    low, high = (edges[0] - edges[1]) ** 2, (edges[0] + edges[1]) ** 2
    middle, half = (high + low) / 2, (high - low) / 2
    angles = (np.arange(_NODES) + 0.5) * (math.pi / _NODES)
    squares = middle + half * np.cos(angles)
    correlations = np.sqrt(squares)
    density = (half * np.sin(angles)) ** 2 / (2 * p * squares * (1 - squares))  # over the angle, times pi
    edge = (math.sqrt(low) + math.sqrt(high)) / 4 - float(correlations.mean()) / 2
    total = max(0, k + larger - dimensions) + k * float((correlations * density).mean()) + edge
    coefficients = _chebyshev(correlations)
    variance = float(np.arange(_NODES) @ coefficients**2) / 2
    return total, variance, (high - low) ** 2 / 8


def _chebyshev(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return c with values = sum over j of c[j] cos(j t) at the mid-points t of (0, pi), c[0] not halved."""
    from scipy.fft import dct

    coefficients: NDArray[np.float64] = dct(values) / len(values)
    return coefficients
