"""Firing rates, and rows without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks

_OFFSET = 0.001  # keeps the logarithm of rare features from running away
_ROUNDING = 1e-13  # share of a column's largest entry below which its residuals are rounding
_COLLINEAR = 1e-9  # share of a unit vector that is left of an axis which the others explain

Rows = NDArray[np.float64]


def without_rates(
    x: ArrayLike, y: ArrayLike, rates: tuple[ArrayLike, ArrayLike]
) -> tuple[Rows, Rows, NDArray[np.int64]]:
    """Regress an intercept and the log firing rates of both sides out of both sides' rows.

    A decoder may carry its features' own firing rates along one axis; two models on one text then agree along it
    whatever else they share. Plain residuals cannot be permuted: they lie in n - 3 dimensions, and permuted they lie in
    others. So n - 3 rows are kept, and what is left of them are the residuals with a scalar covariance that are nearest
    to the rows' errors (BLUS, Theil 1965, section 4): rows that are exchangeable given the rates stay so (Huh and Jhun
    2001; Winkler et al. 2020, section 2.9). Left out are the rows whose rates stand out most.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows.
    rates : tuple of two array_like, shape (n,)
        Share of the tokens, 0 to 1, on which every feature of x, and of y, fires; log(rate + 0.001) is regressed out.

    Returns
    -------
    x, y : ndarray of float64, shapes (m, d_x) and (m, d_y)
        m = n - 3; n - 2 or n - 1 where rates are constant or those of one side explain the other's. A column that the
        rates explain up to rounding is 0.
    kept : ndarray of int64, shape (m,)
        The rows they are, ascending.

    Raises
    ------
    ValueError, TypeError
        If ``rates`` are not two, lengths differ, a rate is no share, or a value is NaN or infinite.
    """
    if not isinstance(rates, tuple | list) or len(rates) != 2:
        raise TypeError(f"rates must be two arrays, the rates of x and of y, got {type(rates).__name__}")
    sides = [_checks.array(name, rows, ndim=2, dtype=np.float64) for name, rows in (("x", x), ("y", y))]
    n = len(sides[0])
    design = _orthonormal([np.ones(n), *(_log_rate(f"rates[{i}]", rate, n) for i, rate in enumerate(rates))])
    left_out = _most_telling(design)
    kept = np.setdiff1d(np.arange(n, dtype=np.int64), left_out)
    first, second = (_residuals(rows, design, kept, left_out) for rows in sides)
    return first, second, kept


def _log_rate(name: str, rate: ArrayLike, n: int) -> Rows:
    share = _checks.array(name, rate, ndim=1, dtype=np.float64)
    if len(share) != n:
        raise ValueError(f"{name} must have one entry a row, {n}, got {len(share)}")
    if share.size and (share.min() < 0 or share.max() > 1):
        raise ValueError(f"{name} must be shares from 0 to 1, got values from {share.min():.4g} to {share.max():.4g}")
    logarithm: Rows = np.log(share + _OFFSET)
    return logarithm


def _orthonormal(axes: list[Rows]) -> Rows:
    """Return an orthonormal basis of the axes, shape (n, rank), less those that the ones before explain."""
    basis: list[Rows] = []
    for axis in axes:
        size = np.linalg.norm(axis)
        for _ in range(2):  # once more, for what rounding left
            for other in basis:
                axis = axis - other * (other @ axis)
        if np.linalg.norm(axis) > _COLLINEAR * size:
            basis.append(axis / np.linalg.norm(axis))
    return np.column_stack(basis) if basis else np.empty((0, 0))


def _most_telling(design: Rows) -> NDArray[np.int64]:
    """Return as many rows as the design has columns: the longest, then the longest of what the first ones leave."""
    rest, chosen = design.copy(), []
    for _ in range(design.shape[1]):
        chosen.append(int(np.argmax((rest**2).sum(axis=1))))
        direction = rest[chosen[-1]] / np.linalg.norm(rest[chosen[-1]])
        rest -= np.outer(rest @ direction, direction)
    return np.array(sorted(chosen), dtype=np.int64)


def _residuals(rows: Rows, design: Rows, kept: NDArray[np.int64], left_out: NDArray[np.int64]) -> Rows:
    """Return the BLUS residuals of the rows that are kept (Theil 1965, equation 4.12)."""
    scale = np.abs(rows).max(initial=0.0) or 1.0  # squares of very large or small entries would overflow or vanish
    rows = rows / scale
    plain = rows - design @ (design.T @ rows)
    corner = design[left_out]
    squares, directions = np.linalg.eigh(corner @ corner.T)
    cosines = np.sqrt(squares.clip(min=0.0))
    shrunk = directions * (cosines / (1 + cosines)) @ directions.T
    best = plain[kept] - design[kept] @ np.linalg.solve(corner, shrunk @ plain[left_out])
    best[:, np.abs(best).max(axis=0, initial=0.0) <= _ROUNDING * np.abs(rows).max(axis=0, initial=0.0)] = 0.0
    return np.asarray(best * scale)
