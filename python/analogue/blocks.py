"""Best partners in both directions by blocks of float32 products, settled in float64."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .columns import Columns, slices

if TYPE_CHECKING:
    from torch import Tensor

# Correlations closer than this are ties: float64 sums cannot order equal correlations of different columns.
# Jaccard indices are quotients of whole numbers and need no such margin.
_TIE = {"pearson": 1e-12, "cosine": 1e-12, "jaccard": 0.0}

BLOCK = 4096  # columns of each side whose products are in memory at once: 67 MB
_TOKENS = 1024  # tokens that one float32 product sums: this, not n, bounds its rounding error
_ROWS = 256  # rows of the block that are searched at once
_PENDING = 1 << 20  # contenders that wait for float64 at once


@dataclass
class Best:
    """The best partners of every candidate of one side, and those that may yet be."""

    own: Columns
    other: Columns
    top: int
    index: Tensor = field(init=False)  # (C, top) int64 in the other side's numbering, -1: none; exact, best first
    value: Tensor = field(init=False)  # (C, top) float64
    rough: Tensor = field(init=False)  # (C, top) float32, the largest products seen, in order
    pairs: Tensor = field(init=False)  # (2, room) int32, own and other of those that wait
    products: Tensor = field(init=False)  # (room,) float32, their products
    waiting: int = 0  # number of them

    def __post_init__(self) -> None:
        import torch

        self.index = torch.full((len(self.own), self.top), -1, device=self.own.device)
        self.value = torch.zeros(self.index.shape, dtype=torch.float64, device=self.own.device)
        self.rough = torch.full(self.index.shape, -torch.inf, device=self.own.device)
        # One room for all, not a tensor for every offer: those would come to lie between the large blocks that are
        # freed around them, and the next large block would not fit there.
        room = _PENDING + _ROWS * BLOCK
        self.pairs = torch.empty((2, room), dtype=torch.int32, device=self.own.device)
        self.products = torch.empty(room, device=self.own.device)

    def offer(self, own: slice, other: slice, products: Tensor, error: float) -> None:
        """Note what belongs here of a block of products that are right within ``error``."""
        import torch

        best = self.rough[own]  # a view
        here = products.amax(1, keepdim=True) if self.top == 1 else products.topk(min(self.top, len(products.T))).values
        best.copy_(torch.cat([best, here], 1).topk(self.top).values)
        row, column = (products >= best[:, -1:] - 2 * error).nonzero().T
        room = slice(self.waiting, self.waiting + len(row))
        self.pairs[0, room] = row + own.start
        self.pairs[1, room] = column + other.start
        self.products[room] = products[row, column]
        self.waiting = room.stop

    def contenders(self, error: float) -> tuple[Tensor, Tensor]:
        """Take the pairs that wait, less those that a later product has ruled out: own and other numbers."""
        own, other = self.pairs[:, : self.waiting]
        keep = self.products[: self.waiting] >= self.rough[own, -1] - 2 * error
        self.waiting = 0
        return own[keep].long(), other[keep].long()

    def settle(self, own: Tensor, other: Tensor, value: Tensor) -> None:
        """Choose among what stood and new pairs with exact values; ties go to the lowest number."""
        import torch

        stood = self.index >= 0
        own = torch.cat([own, stood.nonzero()[:, 0]])
        other = torch.cat([other, self.index[stood]])
        value = torch.cat([value, self.value[stood]])
        tie = _TIE[self.own.metric]
        for rank in range(self.top):
            largest = torch.full_like(self.value[:, 0], -torch.inf).scatter_reduce_(0, own, value, "amax")
            tied = value >= largest[own] - tie
            none = len(self.other)
            lowest = torch.full_like(self.index[:, 0], none).scatter_reduce_(0, own[tied], other[tied], "amin")
            chosen = other == lowest[own]
            self.index[:, rank] = torch.where(lowest < none, lowest, -1)
            self.value[:, rank] = 0.0
            self.value[own[chosen], rank] = value[chosen]
            own, other, value = own[~chosen], other[~chosen], value[~chosen]

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return partners and values for every column of the side, candidate or not."""
        shape = (self.own.source.shape[1], self.top)
        index, value = np.full(shape, -1), np.zeros(shape)
        found = self.index.cpu().numpy()
        index[self.own.ids] = np.where(found >= 0, self.other.ids[found], -1) if len(self.other) else -1
        value[self.own.ids] = self.value.clamp(-1.0, 1.0).cpu().numpy()
        return index, value


def fill(best_x: Best, best_y: Best) -> None:
    """Multiply a block of columns of x by one of y after the other, and offer both sides what comes out."""
    x, y = best_x.other, best_x.own
    error = _error(x.metric, x.n_tokens)
    for block_y in slices(len(y), BLOCK):
        for block_x in slices(len(x), BLOCK):
            products = _products(y, block_y, x, block_x)
            for best, own, other, block in (
                (best_x, block_y, block_x, products),
                (best_y, block_x, block_y, products.T),
            ):
                for rows in slices(len(block), _ROWS):
                    mine = slice(own.start + rows.start, own.start + rows.stop)
                    best.offer(mine, other, block[rows].contiguous(), error)
                    if best_x.waiting + best_y.waiting > _PENDING:
                        _settle(best_x, best_y, error)
            del products, block  # before the next ones are made
    _settle(best_x, best_y, error)


def exact_values(x: Columns, y: Columns, i: Tensor, j: Tensor) -> Tensor:
    """Return the metric of column i[p] of x with column j[p] of y in float64; pairs in order of i, then j."""
    import torch

    start = torch.searchsorted(i, torch.arange(len(x) + 1, device=i.device))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        zeros = torch.zeros(len(j), dtype=torch.float64, device=x.device)
        total = torch.sparse_csr_tensor(start, j, zeros, size=(len(x), len(y)), check_invariants=True)
    for tokens in x.chunks(slice(0, x.n_tokens), max(len(x), len(y))):
        of_x = x.prepared(tokens, slice(0, len(x))).T.contiguous()
        of_y = y.prepared(tokens, slice(0, len(y))).T.contiguous()
        torch.sparse.sampled_addmm(total, of_x, of_y.T, out=total)
    values = total.values()
    return _jaccard(values, x.squares[i], y.squares[j]) if x.metric == "jaccard" else values


def _products(y: Columns, block_y: slice, x: Columns, block_x: slice) -> Tensor:
    """Return the metric of two blocks of columns, rounded: (c_y, c_x) float32."""
    import torch

    products = torch.zeros((block_y.stop - block_y.start, block_x.stop - block_x.start), device=x.device)
    with _full_precision():
        for tokens in slices(x.n_tokens, _TOKENS):
            products.addmm_(y.rounded(tokens, block_y).T, x.rounded(tokens, block_x))
    if x.metric == "jaccard":
        for rows in slices(len(products), _ROWS):
            products[rows] = _jaccard(
                products[rows], y.squares[block_y][rows, None].float(), x.squares[block_x].float()
            )
    return products


def _jaccard(both: Tensor, fires_a: Tensor, fires_b: Tensor) -> Tensor:
    return both / (fires_a + fires_b - both)


def _error(metric: str, n: int) -> float:
    """Bound the rounding error of `_products` and of the cut.

    Unit vectors: gamma_k with k additions in a row (Higham 2002, section 3.1), and the roundings of the two vectors
    and of the cut. It holds for any order of the sum, so for any BLAS and number of threads. Jaccard: counts are exact
    within a product of 1024 tokens; each addition of two of them, and each step to the quotient, rounds once.
    """
    additions = n / _TOKENS + 8
    if metric == "jaccard":
        return 2 * additions * 2.0**-24
    rounding = (min(n, _TOKENS) + additions) * 2.0**-24
    return rounding / (1 - rounding)


def _settle(best_x: Best, best_y: Best, error: float) -> None:
    """Compute every contender of either direction once in float64, and let both choose."""
    import torch

    x, y = best_x.other, best_x.own
    own_y, other_x = best_x.contenders(error)
    own_x, other_y = best_y.contenders(error)
    keys = torch.cat([own_y * len(x) + other_x, other_y * len(x) + own_x])
    keys, place = torch.unique(keys, return_inverse=True)
    values = exact_values(y, x, keys // len(x), keys % len(x))[place]
    best_x.settle(own_y, other_x, values[: len(own_y)])
    best_y.settle(own_x, other_y, values[len(own_y) :])


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
