"""Array operations that have a Triton twin: the torch reference, which is the CPU path, and the choice of device."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks

if TYPE_CHECKING:
    from torch import Tensor

METRICS = ("pearson", "cosine")

# A column whose variance is at most this share of its mean square is constant up to rounding.
_VARIANCE_FLOOR = 1e-12
# Correlations closer than this are ties: float64 sums cannot order equal correlations of different columns.
_TIE = 1e-12

_BLOCK = 2048  # columns of y whose correlations with all of x are in memory at once
_TOKENS = 1024  # tokens that one float32 product sums: this, not n, bounds its rounding error
_PIECE = 256  # columns held in float64 at once
_SETTLED = 128  # features whose contenders are recomputed together


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
    x: ArrayLike,
    y: ArrayLike,
    *,
    top: int = 1,
    metric: str = "pearson",
    candidates_x: ArrayLike | None = None,
    candidates_y: ArrayLike | None = None,
    device: str = "auto",
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the most correlated columns of x for every column of y, and of y for every column of x.

    Largest signed Pearson correlation (population moments) or cosine, without the F_X x F_Y matrix: float32 products of
    standardised columns, one block of y at a time, then everything within their rounding error of the cut again in
    float64. Correlations closer than 1e-12 are ties and go to the lowest index. On CUDA with ``top=1`` the choice is
    the Triton kernel's, made in float32; the correlation returned for it is float64 all the same. Memory beside the
    inputs: a standardised copy of x, one of 2048 columns of y, and 2048 x F_X correlations.

    Parameters
    ----------
    x, y : array_like, shape (n, F_X) and (n, F_Y)
        One row a token; taken as float32.
    top : int
        Partners kept for each column.
    metric : {"pearson", "cosine"}
        ``cosine`` leaves the columns uncentred.
    candidates_x, candidates_y : array_like of bool, shape (F_X,) and (F_Y,), optional
        Columns that take part. A column whose variance is at most 1e-12 of its mean square never does, nor, by
        cosine, a column of zeros.
    device : str
        See `infer_device`.

    Returns
    -------
    best_x, corr_x : ndarray of int64 and float64, shape (F_Y, top)
        For every column of y its best columns of x, best first; -1 and 0.0 where it is no candidate or there are
        fewer candidates than ``top``.
    best_y, corr_y : ndarray of int64 and float64, shape (F_X, top)
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
    centred = _checks.choice("metric", metric, METRICS) == "pearson"
    dense_x, dense_y = _matrix("x", x), _matrix("y", y)
    if len(dense_x) != len(dense_y):
        raise ValueError(f"x and y must have one number of rows, got {len(dense_x)} and {len(dense_y)}")
    mask_x = _mask("candidates_x", candidates_x, dense_x.shape[1])
    mask_y = _mask("candidates_y", candidates_y, dense_y.shape[1])
    place = infer_device(device)
    side_x = _Columns.of(dense_x, mask_x, place, centred=centred)
    side_y = _Columns.of(dense_y, mask_y, place, centred=centred)
    best_x, best_y = _Best.none(side_y, side_x, top), _Best.none(side_x, side_y, top)
    if len(side_x) and len(side_y):
        if place != "cpu" and top == 1 and centred:
            best_x.fill_by_kernel()
            best_y.fill_by_kernel()
        else:
            _fill_by_blocks(best_x, best_y)
    return *best_x.arrays(), *best_y.arrays()


@dataclass(frozen=True)
class _Columns:
    """The candidate columns of one side."""

    values: Tensor  # (n, C) float32
    ids: Tensor  # (C,) int64, increasing
    mean: Tensor  # (C,) float64
    norm: Tensor  # (C,) float64, of the centred column
    width: int  # columns of the side, candidates or not

    @classmethod
    def of(cls, dense: NDArray[np.float32], mask: NDArray[np.bool_], device: str, *, centred: bool = True) -> _Columns:
        import torch

        values = torch.from_numpy(dense).to(device)
        mean, norm = torch.zeros((2, dense.shape[1]), dtype=torch.float64, device=device)
        varies = torch.zeros(dense.shape[1], dtype=torch.bool, device=device)
        for piece in _slices(dense.shape[1], _PIECE):
            block = values[:, piece].double()
            if centred:
                mean[piece] = block.mean(0)
            squares = (block - mean[piece]).square().sum(0)
            norm[piece] = squares.sqrt()
            varies[piece] = squares > _VARIANCE_FLOOR * block.square().sum(0)
        ids = (varies & torch.from_numpy(mask).to(device)).nonzero()[:, 0]
        kept = values if len(ids) == dense.shape[1] else values[:, ids]
        return cls(kept, ids, mean[ids], norm[ids], dense.shape[1])

    def __len__(self) -> int:
        return len(self.ids)

    def standardised(self, columns: Tensor | slice) -> Tensor:
        """Return chosen columns as rows of mean 0 and norm 1: (c, n) float64."""
        return ((self.values[:, columns].double() - self.mean[columns]) / self.norm[columns]).T

    def standardised_float32(self, columns: slice) -> Tensor:
        """Return consecutive columns likewise, rounded: (c, n) float32."""
        import torch

        rows = torch.empty((columns.stop - columns.start, len(self.values)), device=self.values.device)
        for piece in _slices(len(rows), _PIECE):
            rows[piece] = self.standardised(slice(columns.start + piece.start, columns.start + piece.stop))
        return rows


@dataclass(frozen=True)
class _Best:
    """The best partners found so far for every column of one side: exact, best first, in candidates' numbering."""

    own: _Columns
    other: _Columns
    index: Tensor  # (C, top) int64, -1: none yet
    corr: Tensor  # (C, top) float64, -inf: none yet

    @classmethod
    def none(cls, own: _Columns, other: _Columns, top: int) -> _Best:
        import torch

        index = torch.full((len(own), top), -1, device=own.ids.device)
        return cls(own, other, index, torch.full_like(index, -torch.inf, dtype=torch.float64))

    def offer(self, own: slice, other: slice, rough: Tensor, error: float) -> None:
        """Take what belongs here of a block of correlations that are right within ``error``.

        Blocks come in order of the other side's columns, so that whoever stands here wins a tie.
        """
        index, corr = self.index[own], self.corr[own]  # views
        top = corr.shape[1]
        cut = (corr[:, -1] - error).float()
        if top <= rough.shape[1]:
            in_block = rough.amax(1) if top == 1 else rough.topk(top, dim=1).values[:, -1]
            cut = cut.maximum(in_block - 2 * error)
        contends = rough >= cut[:, None]
        for rows in _split(contends.any(1).nonzero()[:, 0], _SETTLED):
            mine = self.own.standardised(rows + own.start)
            for columns in _split(contends[rows].any(0).nonzero()[:, 0], _PIECE):
                exact = mine @ self.other.standardised(columns + other.start).T
                index[rows], corr[rows] = _merge(index[rows], corr[rows], columns + other.start, exact)

    def fill_by_kernel(self) -> None:
        """Take the Triton kernel's choice, and correlate each column with it in float64."""
        from .kernels.correlation import correlation_argmax

        self.index[:, 0], _ = correlation_argmax(self.other.values, self.own.values)
        for rows in _split((self.index[:, 0] >= 0).nonzero()[:, 0], _PIECE):
            partners = self.other.standardised(self.index[rows, 0])
            self.corr[rows, 0] = (self.own.standardised(rows) * partners).sum(1)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return partners and correlations for every column of the side, candidate or not."""
        found = self.index >= 0
        index = self.index.new_full((self.own.width, self.index.shape[1]), -1)
        corr = self.corr.new_zeros(index.shape)
        rows = self.own.ids[found.nonzero()[:, 0]]
        places = found.nonzero()[:, 1]
        index[rows, places] = self.other.ids[self.index[found]]
        corr[rows, places] = self.corr[found].clamp(-1.0, 1.0)
        return index.cpu().numpy(), corr.cpu().numpy()


def _fill_by_blocks(best_x: _Best, best_y: _Best) -> None:
    """Correlate all of x with one block of y after the other, and offer both sides what comes out."""
    x, y = best_x.other, best_x.own
    n = len(x.values)
    # Summation error of unit vectors (Higham 2002, section 3.1): gamma_k with k additions in a row, and the roundings
    # of the two vectors and of the cut. It holds for any order of the sum, so for any BLAS and number of threads.
    rounding = (min(n, _TOKENS) + n / _TOKENS + 8) * 2.0**-24
    error = rounding / (1 - rounding)
    all_x = slice(0, len(x))
    rows_x = x.standardised_float32(all_x)
    with _full_precision():
        for block in _slices(len(y), _BLOCK):
            rows_y = y.standardised_float32(block)
            rough = rows_y.new_zeros((len(rows_y), len(rows_x)))
            for tokens in _slices(n, _TOKENS):
                rough.addmm_(rows_y[:, tokens], rows_x[:, tokens].T)
            best_x.offer(block, all_x, rough, error)
            best_y.offer(all_x, block, rough.T, error)


def _merge(index: Tensor, corr: Tensor, columns: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Choose the best of those that stood (rows of ``index`` and ``corr``) and of new columns, ties by index."""
    import torch

    index, corr = torch.cat([index, columns.expand(exact.shape)], 1), torch.cat([corr, exact], 1)
    top = index.shape[1] - len(columns)
    chosen = []
    for _ in range(top):
        tied = corr >= corr.amax(1, keepdim=True) - _TIE
        place = torch.where(tied, index, torch.iinfo(index.dtype).max).argmin(1, keepdim=True)
        chosen.append((index.gather(1, place), corr.gather(1, place)))
        corr = corr.scatter(1, place, -torch.inf)
    return torch.cat([i for i, _ in chosen], 1), torch.cat([c for _, c in chosen], 1)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Multiply float32 in float32, whatever the caller allows torch elsewhere (TF32, bfloat16)."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _slices(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def _split(ids: Tensor, step: int) -> Iterator[Tensor]:
    for piece in _slices(len(ids), step):
        yield ids[piece]


def _matrix(name: str, value: ArrayLike) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # said below, in a sentence
        given = _checks.array(name, value, ndim=2, dtype=np.float32)
    if not np.isfinite(given).all():
        raise ValueError(f"{name} must be finite in float32, got values beyond its range")
    return given


def _mask(name: str, value: ArrayLike | None, columns: int) -> NDArray[np.bool_]:
    if value is None:
        return np.ones(columns, dtype=bool)
    given = np.asarray(value)
    if given.dtype != np.bool_:
        raise TypeError(f"{name} must be bool, got dtype {given.dtype}")
    if given.shape != (columns,):
        raise ValueError(f"{name} must have one entry a column ({columns}), got shape {given.shape}")
    return given
