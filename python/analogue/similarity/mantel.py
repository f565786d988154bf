"""Measures that are a dot product of two symmetric matrices: a row permutation only re-indexes one of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._core import mantel_dots
from .measure import observed_as_draw


@dataclass(frozen=True, eq=False)
class Mantel:
    """Two symmetric n x n matrices whose entries below the diagonal have unit norm (Mantel 1967).

    The measure is their dot product below the diagonal. Permuting the rows of y permutes the rows and columns of
    ``b``, so ranking, centring and normalising are done once, and a draw costs n (n - 1) / 2 products.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    kx = None
    ky = None
    rounding = 1e-12

    @cached_property
    def observed(self) -> float:
        """The measure on the rows as they are paired; a draw like any other, so the identity ties with it exactly."""
        return observed_as_draw(self.draws, len(self.a))

    def draws(self, permutations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the measure on (x, y[p]) for every row p of ``permutations`` (R, n), shape (R,)."""
        return np.clip(mantel_dots(self.a, self.b, permutations), -1.0, 1.0)
