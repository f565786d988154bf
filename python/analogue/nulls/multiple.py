"""Many p-values at once: what one of them is worth beside the others of its grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

PValues = NDArray[np.float64]


def benjamini_hochberg(p_values: ArrayLike | Sequence[float | None]) -> PValues:
    """Return p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995).

    Calling every cell with an adjusted p of at most q a finding, at most a share q of the findings is false on average,
    where the p-values are independent or positively dependent (Benjamini and Yekutieli 2001, condition PRDS). Cells of
    a grid share models and text, which makes positive dependence likely and proves nothing.

    Parameters
    ----------
    p_values : array_like, any shape
        From 0 to 1; None or NaN for a cell without a test, which does not count as one.

    Returns
    -------
    ndarray of float64
        Of the same shape, at most 1, NaN where there was no test: the least over all ranks j from that of the cell of
        ``m p_(j) / j``, with m tests.

    Raises
    ------
    ValueError, TypeError
        If a p-value is no number from 0 to 1.
    """
    return _step_up(_p_values(p_values), 1.0)


def benjamini_yekutieli(p_values: ArrayLike | Sequence[float | None]) -> PValues:
    """Return p-values adjusted for the false discovery rate under any dependence (Benjamini and Yekutieli 2001).

    Those of `benjamini_hochberg` times 1 + 1/2 + ... + 1/m, at most 1. Parameters, returns and errors are its own.
    """
    p = _p_values(p_values)
    return _step_up(p, float((1 / np.arange(1, np.count_nonzero(~np.isnan(p)) + 1)).sum()))


def sidak(p_values: ArrayLike | Sequence[float | None]) -> PValues:
    """Return for every cell the chance that the best of all cells has so small a p-value where nothing is shared.

    ``1 - (1 - p)^m`` with m tests (Sidak 1967): exact for independent p-values, at most too large for positively
    dependent ones. It is the p-value of "the best cell", the smallest of the grid; printed bare, that one would be
    wrong. Parameters, returns and errors are those of `benjamini_hochberg`.
    """
    p = _p_values(p_values)
    tests = np.count_nonzero(~np.isnan(p))
    with np.errstate(divide="ignore"):  # log(0) for a p of 1, whose result is 1
        adjusted: PValues = -np.expm1(tests * np.log1p(-p))
    return adjusted


def _step_up(p: PValues, factor: float) -> PValues:
    """Return the smallest of ``factor * m * p / rank`` over this p-value and all larger ones, at most 1."""
    adjusted = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    values = p[tested]
    falling = np.argsort(-values, kind="stable")
    ranks = np.arange(len(values), 0, -1)
    lowest = np.minimum.accumulate(factor * len(values) * values[falling] / ranks)
    back = np.empty_like(lowest)
    back[falling] = np.minimum(lowest, 1.0)
    adjusted[tested] = back
    return adjusted


def _p_values(given: ArrayLike | Sequence[float | None]) -> PValues:
    """Return p-values as floats, NaN for None."""
    try:
        p = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as wrong:
        raise TypeError(f"p_values must be numbers, None or NaN, got {given!r}") from wrong
    wrong_ones = p[(p < 0) | (p > 1)]
    if wrong_ones.size:
        raise ValueError(f"p_values must lie between 0 and 1, got {wrong_ones[0]:.4g}")
    return p
