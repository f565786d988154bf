"""What every measure shares: its input, and what it keeps when the rows of one side are permuted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks

Rows = NDArray[np.float64]


class UndefinedError(ValueError):
    """The measure has no value on these rows; the message says why, in one sentence."""


class Prepared(Protocol):
    """A measure on one pair of row sets, with everything a row permutation leaves unchanged already computed."""

    @property
    def observed(self) -> float:
        """The measure on the rows as they are paired."""

    @property
    def kx(self) -> int | None:
        """Directions kept of x; None for a measure that keeps no subspace."""

    @property
    def ky(self) -> int | None:
        """Directions kept of y, likewise."""

    @property
    def rounding(self) -> float:
        """No draw is further than this from its exact value: one this close below `observed` is a tie."""

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""


def observed_as_draw(draws: Callable[[NDArray[np.int64]], NDArray[np.float64]], n: int) -> float:
    """Return the draw of the identity of n rows: an `observed` that ties with it exactly."""
    return float(draws(np.arange(n, dtype=np.int64)[None])[0])


@dataclass(frozen=True)
class Measure:
    """A similarity that the nulls know by name.

    Attributes
    ----------
    name : str
        The name in `permutation_test` and in every saved score.
    invariant : str
        What a row permutation leaves unchanged, and is therefore computed once.
    prepare : callable
        ``prepare(x, y) -> Prepared``; raises `UndefinedError` where the measure has no value.
    """

    name: str
    invariant: str
    prepare: Callable[[ArrayLike, ArrayLike], Prepared]


def paired_rows(x: ArrayLike, y: ArrayLike) -> tuple[Rows, Rows]:
    """Return both sides in float64, refusing NaN, infinities and sides with different numbers of rows."""
    rows_x = _checks.array("x", x, ndim=2, dtype=np.float64)
    rows_y = _checks.array("y", y, ndim=2, dtype=np.float64)
    if len(rows_x) != len(rows_y):
        raise ValueError(f"x and y must have one row a pair, got shapes {rows_x.shape} and {rows_y.shape}")
    return rows_x, rows_y


def varying_rows(x: ArrayLike, y: ArrayLike, *, minimum: int) -> tuple[Rows, Rows]:
    """Return `paired_rows`, each side scaled to a largest entry of 1.

    Raises
    ------
    UndefinedError
        If there are fewer than ``minimum`` rows, or all rows of a side are equal.
    """
    sides = paired_rows(x, y)
    if len(sides[0]) < minimum:
        raise UndefinedError(f"the measure needs at least {minimum} rows, got {len(sides[0])}")
    for name, rows in zip("xy", sides, strict=True):
        if (rows == rows[0]).all():
            raise UndefinedError(f"{name} must vary between rows, got {len(rows)} equal rows")
    # Squares of very large or very small entries would overflow or vanish; every measure here is scale-free.
    return sides[0] / np.abs(sides[0]).max(), sides[1] / np.abs(sides[1]).max()
