"""Score: what a measure said, and what it says when nothing is shared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .analytic import SMALLEST_P, pearson3_isf
from .groups import Movable

ALPHA = 0.05
_LARGEST = 1.0  # every measure is a similarity of at most 1
_QUANTILES = {"null_q05": 0.05, "null_median": 0.5, "null_q95": 0.95, "null_q99": 0.99}


@dataclass(frozen=True)
class Score:
    """One measure under one null. Every number is None where it is undefined, never NaN.

    Attributes
    ----------
    measure, null, method : str
        Names of the measure, of the null, and of how the null was computed.
    n : int
        Rows (pairs) that were scored.
    permutations : int
        R, the draws of the null; 0 without a score, or from closed forms.
    observed : float or None
        The measure on the rows as they are paired; under a studentised null (`draw_test`) its distance from the mean of
        its own row permutations in their standard deviations, as are all that follow from it and from the draws.
    null_mean, null_std : float or None
        Moments of the draws (population form), or of the closed form.
    null_q05, null_median, null_q95, null_q99 : float or None
        Quantiles of the draws, interpolated linearly; of the curve that p is taken from, for closed forms.
    null_skewness : float or None
        Third standardised moment, likewise; None where all draws are equal, or the closed form has none.
    z : float or None
        ``(observed - null_mean) / null_std``; None where the draws are equal up to rounding.
    p_value : float or None
        ``(1 + #{draws >= observed}) / (1 + R)``, never 0 (Phipson and Smyth 2010). ``#{draws >= observed} / R`` where
        draws were stopped (Besag and Clifford 1991). By closed forms the upper tail of a fitted curve, never below
        0.0001, since no smaller tail was ever checked; None for a measure whose curve is not known.
    p_error : float or None
        Monte-Carlo standard error of p: ``sqrt(p (1 - p) / (1 + R))``, over R where draws were stopped; None by closed
        forms.
    stopped : bool
        Whether draws ended early, because enough of them had reached the observed value. Their moments and quantiles
        are those of R draws that end with one that reached it.
    calibrated : float or None
        ``max(0, (observed - t) / (1 - t))`` with t the ``ceil((1 - alpha)(R + 1))``-th smallest of the draws and the
        observed value, alpha = 0.05: 0 for what the null explains, 1 for equality. None where t is 1. By closed forms t
        is the upper 0.05 quantile of the curve, to which the order statistic tends as R grows.
    kx, ky : int or None
        Directions kept on each side, for a measure that keeps subspaces.
    forced_ones : int or None
        Canonical correlations that are 1 for any data, because kx + ky directions do not fit n - 1 dimensions.
    saturated : bool or None
        Whether a side fills all n - 1 dimensions: then the measure is 1 for any data.
    groups, largest_group : int or None
        Groups of rows that move as one, and rows of the largest, under a null that has groups or strata (without
        groups, every row is one).
    rows_movable : float or None
        Share of the rows whose group has another one to change places with, likewise.
    note : str or None
        What must be known to read the score, in one sentence.
    fallback : str or None
        Why closed forms were asked for and permutations taken.
    insufficient : str or None
        Why there is no score; then every number of the score is None.
    draws : ndarray of float64, shape (R,), or None
        The null itself; not part of `to_dict`.
    """

    measure: str
    null: str
    method: str
    n: int
    permutations: int = 0
    observed: float | None = None
    null_mean: float | None = None
    null_std: float | None = None
    null_q05: float | None = None
    null_median: float | None = None
    null_q95: float | None = None
    null_q99: float | None = None
    null_skewness: float | None = None
    z: float | None = None
    p_value: float | None = None
    p_error: float | None = None
    stopped: bool = False
    calibrated: float | None = None
    kx: int | None = None
    ky: int | None = None
    forced_ones: int | None = None
    saturated: bool | None = None
    groups: int | None = None
    largest_group: int | None = None
    rows_movable: float | None = None
    note: str | None = None
    fallback: str | None = None
    insufficient: str | None = None
    draws: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def without_numbers(
        cls, measure: str, null: str, method: str, *, n: int, insufficient: str, movable: Movable | None = None
    ) -> Self:
        """Say why there is no score."""
        return cls(measure, null, method, n, insufficient=insufficient, **_movable_fields(movable))

    @classmethod
    def from_draws(
        cls,
        measure: str,
        null: str,
        method: str,
        *,
        n: int,
        observed: float,
        draws: NDArray[np.float64],
        rounding: float,
        kx: int | None = None,
        ky: int | None = None,
        stopped: bool = False,
        fallback: str | None = None,
        movable: Movable | None = None,
    ) -> Self:
        """Score an observed value against the draws of its null.

        A permutation that changes nothing (the identity, or a swap of equal rows) gives the observed value up to
        rounding and must count as ``>=``, so values within ``rounding`` are equal here; that can only raise p.
        """
        permutations = len(draws)
        mean, std = float(draws.mean()), float(draws.std())
        reached = int(np.count_nonzero(draws >= observed - rounding))
        # The last of stopped draws reached the observed value by design: it takes the place of the added one.
        counted, out_of = (reached, permutations) if stopped else (1 + reached, 1 + permutations)
        p_value = counted / out_of
        quantiles = np.quantile(draws, list(_QUANTILES.values())).tolist()
        rank = math.ceil(round((1 - ALPHA) * (permutations + 1), 9))
        threshold = float(np.sort(np.append(draws, observed))[rank - 1])
        return cls(
            measure=measure,
            null=null,
            method=method,
            n=n,
            permutations=permutations,
            observed=observed,
            null_mean=mean,
            null_std=std,
            **dict(zip(_QUANTILES, quantiles, strict=True)),
            null_skewness=float(((draws - mean) ** 3).mean()) / std**3 if std > rounding else None,
            z=(observed - mean) / std if std > rounding else None,
            p_value=p_value,
            p_error=math.sqrt(p_value * (1 - p_value) / out_of),
            stopped=stopped,
            calibrated=_calibrated(observed, threshold, rounding),
            **_subspace_fields(n, kx, ky),
            **_movable_fields(movable),
            fallback=fallback,
            draws=draws,
        )

    @classmethod
    def from_moments(
        cls,
        measure: str,
        null: str,
        *,
        n: int,
        observed: float,
        mean: float,
        std: float,
        skewness: float | None,
        p_value: float | None,
        kx: int | None = None,
        ky: int | None = None,
    ) -> Self:
        """Score an observed value against the closed form of its null; ``std`` must be above 0.

        Without a p-value the null has no curve that is known, hence no quantile and no calibrated score either.
        """
        quantiles: dict[str, Any] = {}
        if p_value is not None:
            quantiles = {name: mean + std * pearson3_isf(1 - q, skewness or 0.0) for name, q in _QUANTILES.items()}
        return cls(
            measure=measure,
            null=null,
            method="analytic",
            n=n,
            observed=observed,
            null_mean=mean,
            null_std=std,
            **quantiles,
            null_skewness=skewness,
            z=(observed - mean) / std,
            p_value=None if p_value is None else max(p_value, SMALLEST_P),
            calibrated=_calibrated(observed, quantiles["null_q95"], 0.0) if quantiles else None,
            **_subspace_fields(n, kx, ky),
        )

    @property
    def p_display(self) -> str | None:
        """The p-value in two digits, or ``< 1e-4`` where a closed form says no more than that; None without one."""
        if self.p_value is None:
            return None
        return "< 1e-4" if self.method == "analytic" and self.p_value <= SMALLEST_P else f"{self.p_value:.2g}"

    @property
    def warning(self) -> str | None:
        """One sentence where the geometry alone forces some of the score, else None."""
        return forced_by_size(self.measure, self.n, self.kx, self.ky)

    def to_dict(self) -> dict[str, Any]:
        """Return every attribute but the draws as plain JSON values."""
        return {name: getattr(self, name) for name in _SAVED}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], draws: NDArray[np.float64] | None = None) -> Self:
        """Build from what `to_dict` returned; keys that others added beside it are left alone."""
        missing = [name for name in _SAVED if name not in saved]
        if missing:
            raise ValueError(f"a saved score must hold {', '.join(_SAVED)}, got none for {', '.join(missing)}")
        return cls(**{name: saved[name] for name in _SAVED}, draws=draws)


_SAVED = tuple(attribute.name for attribute in fields(Score) if attribute.name != "draws")


def forced_ones(n: int, kx: int, ky: int) -> int:
    """Return how many canonical correlations of n centred rows are 1 for any data."""
    return max(0, kx + ky - n + 1)


def is_saturated(n: int, kx: int, ky: int) -> bool:
    """Say whether a side fills all n - 1 dimensions of n centred rows."""
    return max(kx, ky) >= n - 1


def forced_by_size(measure: str, n: int, kx: int | None, ky: int | None) -> str | None:
    """Return one sentence where n rows and the directions kept of them alone force some of a measure, else None."""
    if kx is None or ky is None or not (forced := forced_ones(n, kx, ky)):
        return None
    if is_saturated(n, kx, ky):
        return f"{measure} is 1 for any data: {max(kx, ky)} kept directions fill {n} centred rows"
    return (
        f"{forced} of {min(kx, ky)} canonical correlations are 1 for any data: "
        f"{kx} + {ky} kept directions do not fit {n} centred rows"
    )


def _calibrated(observed: float, threshold: float, rounding: float) -> float | None:
    room = _LARGEST - threshold
    return max(0.0, (observed - threshold) / room) if room > rounding else None


def _subspace_fields(n: int, kx: int | None, ky: int | None) -> dict[str, Any]:
    if kx is None or ky is None:
        return {}
    return {"kx": kx, "ky": ky, "forced_ones": forced_ones(n, kx, ky), "saturated": is_saturated(n, kx, ky)}


def _movable_fields(movable: Movable | None) -> dict[str, Any]:
    return {} if movable is None else asdict(movable)
