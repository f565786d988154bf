"""Checks that every public function shares; each failure is one sentence: argument, what came, what is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def integer(name: str, value: Any, *, minimum: int) -> int:
    """Return ``value`` as an int, or say that it is no integer or too small."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    return int(value)


def number_or_none(name: str, value: Any) -> None:
    """Refuse what is neither None nor a number; NaN is no number."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | np.number)):
        raise TypeError(f"{name} must be a number or None, got {value!r}")
    if value is not None and np.isnan(value):
        raise ValueError(f"{name} must be a number or None, got NaN")


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return ``value`` when it is one of the allowed names."""
    names = list(allowed)
    if value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}")
    return str(value)


def array(name: str, value: ArrayLike, *, ndim: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return a contiguous array of the wanted rank and type; NaN and infinities are refused.

    Floats never become integers silently, and integers that do not fit the wanted type are refused.
    """
    given = np.asarray(value)
    if given.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension{'s' if ndim > 1 else ''}, got shape {given.shape}")
    if given.dtype.kind not in ("biu" if np.dtype(dtype).kind in "iu" else "biuf") and given.size:
        raise TypeError(f"{name} must be convertible to {np.dtype(dtype)}, got dtype {given.dtype}")
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(given))} NaN or infinite values")
    if np.dtype(dtype).kind in "iu" and given.size and given.dtype != np.dtype(dtype):
        limits = np.iinfo(dtype)
        if given.min() < limits.min or given.max() > limits.max:
            raise ValueError(f"{name} must fit {np.dtype(dtype)}, got values from {given.min()} to {given.max()}")
    return np.ascontiguousarray(given, dtype=dtype)
