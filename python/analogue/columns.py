"""One side of a dense search: its columns made ready for a metric, a few tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

METRICS = ("pearson", "cosine", "jaccard")

# A column whose variance is at most this share of its mean square is constant up to rounding.
_VARIANCE_FLOOR = 1e-12
_CELLS = 1 << 20  # values held in float64 at once: 8 MB


@dataclass(frozen=True)
class Columns:
    """The candidate columns of one side, numbered 0..C-1, over n tokens.

    No prepared copy is kept: `prepared` makes blocks of it from the source. In them the inner product of two columns
    is their Pearson correlation or cosine; for Jaccard it is the number of tokens where both fire.
    """

    source: Any  # Tensor of float32, shape (n, width), or a scipy.sparse CSR array of that shape
    device: str
    metric: str
    ids: NDArray[np.int64]  # (C,) of the side's columns, increasing
    centre: Tensor  # (C,) float64
    scale: Tensor  # (C,) float64
    squares: Tensor  # (C,) float64, sum of squares of the centred column; for Jaccard, tokens where it fires

    @classmethod
    def of(cls, name: str, source: Any, mask: NDArray[np.bool_], metric: str, device: str) -> Self:
        """Take moments in float64 (two passes), and leave out what ``mask`` does and what cannot be compared.

        Raises
        ------
        ValueError
            If a value is NaN or infinite; ``name`` is the argument to blame.
        """
        import torch

        n, width = source.shape
        zeros = torch.zeros(width, dtype=torch.float64, device=device)
        every = cls(source, device, metric, np.arange(width), zeros, torch.ones_like(zeros), zeros)
        total, squares = torch.zeros_like(zeros), torch.zeros_like(zeros)
        for tokens in every.chunks(slice(0, n)):
            total += every._values(tokens, slice(0, width)).double().sum(0)
        if not total.isfinite().all():  # float64 sums of float32 do not overflow
            stored = source.data if hasattr(source, "indptr") else source
            bad = int((~torch.as_tensor(stored).isfinite()).sum())
            raise ValueError(f"{name} must be finite, got {bad} NaN or infinite values")
        if metric == "pearson":
            every.centre.copy_(total / max(n, 1))
        for tokens in every.chunks(slice(0, n)):
            squares += every.prepared(tokens, slice(0, width)).square_().sum(0)
        varies = squares > _VARIANCE_FLOOR * (squares + n * every.centre.square())
        ids = np.flatnonzero(varies.cpu().numpy() & mask)
        kept = torch.from_numpy(ids).to(device)
        squares = squares[kept]
        scale = torch.ones_like(squares) if metric == "jaccard" else squares.rsqrt()
        return cls(source, device, metric, ids, every.centre[kept], scale, squares)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_tokens(self) -> int:
        """Number of rows of the source."""
        return int(self.source.shape[0])

    def chunks(self, tokens: slice, columns: int | None = None) -> Iterator[slice]:
        """Split tokens so that a chunk of so many columns (default: all) stays in the cache."""
        width = len(self) if columns is None else columns
        for piece in slices(tokens.stop - tokens.start, max(_CELLS // max(width, 1), 8)):
            yield slice(tokens.start + piece.start, tokens.start + piece.stop)

    def prepared(self, tokens: slice, columns: slice) -> Tensor:
        """Return some tokens of consecutive candidates as the metric wants them: (t, c) float64."""
        values = self._values(tokens, columns)
        if self.metric == "jaccard":
            values = values.ne(0)
        return values.double().sub_(self.centre[columns]).mul_(self.scale[columns])

    def rounded(self, tokens: slice, columns: slice) -> Tensor:
        """Return them likewise in float32, however many tokens: (t, c)."""
        import torch

        count = columns.stop - columns.start
        block = torch.empty((tokens.stop - tokens.start, count), device=self.device)
        for piece in self.chunks(tokens, count):
            block[piece.start - tokens.start : piece.stop - tokens.start] = self.prepared(piece, columns)
        return block

    def _values(self, tokens: slice, columns: slice) -> Tensor:
        import torch

        ids = self.ids[columns]
        span = slice(int(ids[0]), int(ids[-1]) + 1) if len(ids) else slice(0, 0)
        values = self.source[tokens, span]
        if not isinstance(values, torch.Tensor):
            values = torch.from_numpy(values.toarray()).to(self.device)
        if span.stop - span.start > len(ids):
            values = values.index_select(1, torch.from_numpy(ids - span.start).to(self.device))
        return values


def slices(length: int, step: int) -> Iterator[slice]:
    """Cut 0..length into consecutive slices of at most ``step``."""
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
