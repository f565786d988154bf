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
_PRODUCT_CELLS = 2**24  # entries of Qx' Qy[p] that are kept at once, over permutations


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


def permuted_cca(
    qx: ArrayLike,
    qy: ArrayLike,
    permutations: ArrayLike,
    *,
    singular_values: str = "gram",
    device: str = "auto",
) -> NDArray[np.float64]:
    """Sum the canonical correlations of two subspaces for every permutation of the rows of one.

    The canonical correlations of two subspaces are the singular values of Qx' Qy, for any orthonormal bases (Bjorck and
    Golub 1973); the basis of permuted rows is the permuted basis. For matrices that are not orthonormal the sum is the
    nuclear norm of the product. On CUDA a Triton kernel gathers the rows of qy as it multiplies, and no permuted copy
    is made; on the CPU one copy at a time. Beside the inputs and one such copy: some 0.5 GB at most, unless the product
    of one permutation alone has more than 2^24 entries.

    Parameters
    ----------
    qx, qy : array_like, shape (n, kx) and (n, ky)
        Orthonormal columns. Multiplied in float32 if both are float32, else in float64.
    permutations : array_like of int, shape (R, n)
        Row t of qx meets row ``permutations[r, t]`` of qy.
    singular_values : {"gram", "svd"}
        Roots of the eigenvalues of the smaller Gram matrix of the product, or its SVD; both in float64. By the first a
        singular value s is off by about 1e-16 / s, at most some 1e-8, by the second by 1e-16. A product in float32 adds
        up to about sqrt(n) 2^-25 to a value near 1, as where rows stay in place; take float64 where that matters.
    device : str
        See `infer_device`.

    Returns
    -------
    ndarray of float64, shape (R,)
        Each from 0 to min(kx, ky), up to rounding.

    Raises
    ------
    TypeError
        If a basis is not numeric or the permutations are no integers.
    ValueError
        If the bases are no finite matrices with one number of rows, a row of ``permutations`` is no permutation of
        them, the way to singular values is none of these, or there is no such device.
    """
    import torch

    dtype = np.result_type(np.asarray(qx), np.asarray(qy))
    dtype = np.dtype(np.float32 if dtype == np.float32 else np.float64)
    x, y = (_checks.array(name, basis, ndim=2, dtype=dtype) for name, basis in (("qx", qx), ("qy", qy)))
    if len(x) != len(y):
        raise ValueError(f"qx and qy must have one number of rows, got {len(x)} and {len(y)}")
    orders = _permutations(permutations, len(x))
    _checks.choice("singular_values", singular_values, ("gram", "svd"))
    place = infer_device(device)

    basis_x, basis_y, moves = (torch.from_numpy(given).to(place) for given in (x, y, orders))
    if place == "cpu":
        products = _permuted_products
    else:
        from .kernels.permuted_cca import permuted_products as products
    sums = np.empty(len(orders))
    step = max(1, _PRODUCT_CELLS // max(1, x.shape[1] * y.shape[1]))
    for start in range(0, len(orders), step):
        part = slice(start, start + step)
        sums[part] = _nuclear_norms(products(basis_x, basis_y, moves[part]), singular_values).cpu().numpy()
    return sums


def _permuted_products(x: Tensor, y: Tensor, permutations: Tensor) -> Tensor:
    """Return x' y[p] for every row p of ``permutations``: what the Triton kernel does, a permuted copy at a time."""
    import torch

    products = torch.empty(len(permutations), x.shape[1], y.shape[1], dtype=x.dtype)
    for product, order in zip(products, permutations, strict=True):
        torch.mm(x.T, y[order], out=product)
    return products


def _nuclear_norms(matrices: Tensor, singular_values: str) -> Tensor:
    """Return the sum of singular values of every matrix, in float64."""
    import torch

    wide = matrices.double()
    values: Tensor
    if singular_values == "svd":
        values = torch.linalg.svdvals(wide)
    else:
        wide = wide if wide.shape[1] <= wide.shape[2] else wide.mT
        values = torch.linalg.eigvalsh(wide @ wide.mT).clamp_(min=0.0).sqrt_()
    return values.sum(-1)


def _permutations(value: ArrayLike, rows: int) -> NDArray[np.int64]:
    orders = _checks.array("permutations", value, ndim=2, dtype=np.int64)
    if orders.shape[1] != rows:
        raise ValueError(f"permutations must have one entry a row ({rows}), got shape {orders.shape}")
    met = np.zeros(orders.shape, dtype=bool)
    if not orders.size or (orders.min() >= 0 and orders.max() < rows):
        np.put_along_axis(met, orders, True, axis=1)
    if not met.all():
        row = int(np.argmin(met.all(axis=1)))
        raise ValueError(f"permutations must hold every row from 0 to {rows - 1} once, got a row {row} that does not")
    return orders


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
