"""Array operations that have a Triton twin: the torch reference, which is the CPU path, and the choice of device."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .blocks import Best, exact_values, fill
from .columns import METRICS, Columns

if TYPE_CHECKING:
    from torch import Tensor

KERNEL_TOP = 8  # partners that the Triton kernel carries for a column


def infer_device(device: str = "auto") -> str:
    """Return the torch device to work on.

    Parameters
    ----------
    device : str
        ``auto`` takes CUDA where there is one; ``cpu``, ``cuda`` and ``cuda:N`` are taken at their word.

    Raises
    ------
    ValueError
        If the name is none of these, or this machine has no such device.
    """
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if found else "cpu"
    named = re.fullmatch(r"cpu|cuda(?::([0-9]+))?", device) if isinstance(device, str) else None
    if named is None or (device != "cpu" and int(named[1] or 0) >= found):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N with N below {found} here, got {device!r}")
    return device


def correlation_best(
    x: Any,
    y: Any,
    *,
    top: int = 1,
    metric: str = "pearson",
    candidates_x: ArrayLike | None = None,
    candidates_y: ArrayLike | None = None,
    device: str = "auto",
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the closest columns of x for every column of y, and of y for every column of x.

    Exact, without the F_X x F_Y matrix and without a standardised copy: float32 products of standardised columns,
    4096 of either side and 1024 tokens at a time; what lies within their rounding error of the best is computed again
    in float64. Values closer than 1e-12 (for Jaccard: equal values) are ties and go to the lowest index. On CUDA,
    Pearson and cosine with ``top`` up to 8 are left to the Triton kernel, which nominates in float32 (one more than
    asked for, up to 8); their values and order are float64 all the same. Memory beside the inputs: some 250 MB,
    whatever their size.

    Parameters
    ----------
    x, y : array_like or scipy.sparse array, shape (n, F_X) and (n, F_Y)
        One row a token; taken as float32. A C-contiguous float32 array is not copied, a sparse one never made dense
        as a whole.
    top : int
        Partners kept for each column.
    metric : {"pearson", "cosine", "jaccard"}
        Largest signed Pearson correlation (population moments), largest cosine, or largest Jaccard index of firing:
        tokens where both columns are nonzero over tokens where either is.
    candidates_x, candidates_y : array_like of bool, shape (F_X,) and (F_Y,), optional
        Columns that take part. A column of zeros never does, nor, by Pearson, one whose variance is at most 1e-12 of
        its mean square.
    device : str
        See `infer_device`.

    Returns
    -------
    best_x, value_x : ndarray of int64 and float64, shape (F_Y, top)
        For every column of y its best columns of x, best first; -1 and 0.0 where it is no candidate or there are
        fewer candidates than ``top``.
    best_y, value_y : ndarray of int64 and float64, shape (F_X, top)
        For every column of x its best columns of y.

    Raises
    ------
    TypeError
        If x or y is not numeric, a mask is not bool, or ``top`` is no integer.
    ValueError
        If x and y are no finite matrices with one number of rows, a mask does not have one entry a column, ``top``
        is below 1, the metric is none of these, or there is no such device.
    """
    top = _checks.integer("top", top, minimum=1)
    _checks.choice("metric", metric, METRICS)
    source_x, source_y = _matrix("x", x), _matrix("y", y)
    if source_x.shape[0] != source_y.shape[0]:
        raise ValueError(f"x and y must have one number of rows, got {source_x.shape[0]} and {source_y.shape[0]}")
    mask_x = _mask("candidates_x", candidates_x, source_x.shape[1])
    mask_y = _mask("candidates_y", candidates_y, source_y.shape[1])
    place = infer_device(device)
    side_x = Columns.of("x", _on(place, source_x), mask_x, metric, place)
    side_y = Columns.of("y", _on(place, source_y), mask_y, metric, place)
    best_x, best_y = Best(side_y, side_x, top), Best(side_x, side_y, top)
    if len(side_x) and len(side_y):
        if place != "cpu" and top <= KERNEL_TOP and metric != "jaccard":
            _fill_by_kernel(best_x)
            _fill_by_kernel(best_y)
        else:
            fill(best_x, best_y)
    return *best_x.arrays(), *best_y.arrays()


def _fill_by_kernel(best: Best) -> None:
    """Take the Triton kernel's nominees, and choose among them in float64."""
    import torch

    from .kernels.correlation import correlation_argmax

    def whole(side: Columns) -> tuple[Tensor, Tensor]:
        dense = side.source if isinstance(side.source, torch.Tensor) else torch.from_numpy(side.source.toarray())
        takes_part = torch.from_numpy(np.isin(np.arange(dense.shape[1]), side.ids))
        return dense.to(side.device), takes_part.to(side.device)

    (x, candidates_x), (y, candidates_y) = whole(best.other), whole(best.own)
    nominees = min(best.top + 1, KERNEL_TOP)
    found, _ = correlation_argmax(x, y, candidates_x, candidates_y, top=nominees, metric=best.own.metric)
    found = found.reshape(len(found), nominees)[torch.from_numpy(best.own.ids).to(found.device)].sort(dim=1).values
    own, rank = (found >= 0).nonzero().T
    other = torch.searchsorted(torch.from_numpy(best.other.ids).to(found.device), found[own, rank])
    best.settle(own, other, exact_values(best.own, best.other, own, other))


def _matrix(name: str, value: Any) -> Any:
    """Return a float32 array or CSR array; that float32 values are finite is seen when moments are taken."""
    from scipy import sparse

    if sparse.issparse(value):
        return sparse.csr_array(value, dtype=np.float32)
    if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.ndim == 2:
        return np.ascontiguousarray(value)
    with np.errstate(over="ignore"):  # said below, in a sentence
        given = _checks.array(name, value, ndim=2, dtype=np.float32)
    if not np.isfinite(given).all():
        raise ValueError(f"{name} must be finite in float32, got values beyond its range")
    return given


def _on(device: str, source: Any) -> Any:
    import torch

    return torch.from_numpy(source).to(device) if isinstance(source, np.ndarray) else source


def _mask(name: str, value: ArrayLike | None, columns: int) -> NDArray[np.bool_]:
    if value is None:
        return np.ones(columns, dtype=bool)
    given = np.asarray(value)
    if given.dtype != np.bool_:
        raise TypeError(f"{name} must be bool, got dtype {given.dtype}")
    if given.shape != (columns,):
        raise ValueError(f"{name} must have one entry a column ({columns}), got shape {given.shape}")
    return given
