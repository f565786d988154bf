"""Firing rates, and rows without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks

_OFFSET = 0.001  # keeps the logarithm of rare features from running away
_ROUNDING = 1e-13  # share of a column's largest entry below which its residuals are rounding


def without_rate(rows: ArrayLike, rate: ArrayLike) -> NDArray[np.float64]:
    """Regress an intercept and the standardised log firing rate out of rows.

    A decoder may carry its features' own firing rates along one axis; two models on one text then agree along it
    whatever else they share.

    Parameters
    ----------
    rows : array_like, shape (n, d)
        Features as rows.
    rate : array_like, shape (n,)
        Share of the tokens on which every feature fires, 0 to 1; log(rate + 0.001) is regressed out.

    Returns
    -------
    ndarray of float64, shape (n, d)
        The residuals of least squares; only centred where all rates are equal. A column that the rate explains up to
        rounding is 0.

    Raises
    ------
    ValueError, TypeError
        If the lengths differ, a rate is no share, or a value is NaN or infinite.
    """
    residuals = np.array(_checks.array("rows", rows, ndim=2, dtype=np.float64))
    share = _checks.array("rate", rate, ndim=1, dtype=np.float64)
    if len(share) != len(residuals):
        raise ValueError(f"rate must have one entry a row, {len(residuals)}, got {len(share)}")
    if share.size == 0:
        return residuals
    if share.min() < 0 or share.max() > 1:
        raise ValueError(f"rate must be shares from 0 to 1, got values from {share.min():.4g} to {share.max():.4g}")
    scale = np.abs(residuals).max(initial=0.0) or 1.0  # squares of very large or small entries would overflow or vanish
    residuals /= scale
    size = np.abs(residuals).max(axis=0)
    residuals -= residuals.mean(axis=0)
    if np.ptp(share) > 0:
        axis = np.log(share + _OFFSET)
        axis -= axis.mean()
        axis /= np.linalg.norm(axis)
        residuals -= np.outer(axis, axis @ residuals)
    residuals[:, np.abs(residuals).max(axis=0) <= _ROUNDING * size] = 0.0
    return residuals * scale
