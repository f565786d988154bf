"""Rows of two matrices as directions and points of one space: nearest rows, optimal assignment, what chance gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .assignment import Graph, Optimum, assign, optimum
from .ops import infer_device
from .rules import Candidates, edges, unlisted_at_most

if TYPE_CHECKING:
    from torch import Tensor

ASSIGNMENT_LIMIT = 8192  # rows a side: their cosines in float32 and scipy's float64 copy are 0.8 GB

_CANDIDATES = 32
_ROWS = 1024  # rows whose cosines with all of the other side are in memory at once
_PIECE = 1 << 16  # pairs whose rows are in memory at once
_BLOCK = 256  # rows whose distances to all of the other side are in memory at once
_GRID = 200_000

Rows = NDArray[np.float32]


def row_cosines(x: Rows, y: Rows) -> NDArray[np.float64]:
    """Return the cosine of every row of x with the same row of y in float64, shape (n,); 0 beside a row of zeros."""
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    norms = np.linalg.norm(wide_x, axis=1) * np.linalg.norm(wide_y, axis=1)
    dots = np.einsum("nd,nd->n", wide_x, wide_y)
    cosines: NDArray[np.float64] = np.divide(dots, norms, out=np.zeros(len(x)), where=norms > 0)
    return cosines.clip(-1.0, 1.0)


def best_assignment(x: Rows, y: Rows, device: str = "auto") -> Optimum:
    """Return the largest sum of cosines that a one-to-one assignment of rows of x to rows of y has.

    A row that is left without a partner of positive cosine, a row of zeros too, adds nothing. Up to 8192 rows a side
    the optimum is exact (scipy's Jonker-Volgenant on the whole matrix, 10 s); above, it is that of every row's 32 best
    candidates, with the bound of `optimum` on what all pairs could reach: 0.0001 to 0.0005 a row above it on random
    and half-shared rows. The matrix is never whole then: 1024 rows of it are.
    """
    from scipy.optimize import linear_sum_assignment

    x, y = (rows[rows.any(axis=1)] for rows in (x, y))
    if not len(x) or not len(y):
        return Optimum(0.0, 0.0)
    if max(len(x), len(y)) <= ASSIGNMENT_LIMIT:
        chosen_x, chosen_y = linear_sum_assignment((_unit(x) @ _unit(y).T).clip(min=0), maximize=True)
        total = float(row_cosines(x[chosen_x], y[chosen_y]).clip(min=0).sum())
        return Optimum(total, total)
    found = _candidates(_unit(x), _unit(y), infer_device(device))
    a, b, _ = edges(found)
    pieces = np.array_split(np.arange(len(a)), len(a) // _PIECE + 1)
    weight = np.concatenate([row_cosines(x[a[piece]], y[b[piece]]) for piece in pieces])
    rounding = (x.shape[1] + 8) * 2.0**-24  # of float32 cosines, whose order chose the candidates
    limits = (
        unlisted_at_most(best, rough + rounding, partners)
        for best, rough, partners in ((found.best_b, found.weight_b, len(y)), (found.best_a, found.weight_a, len(x)))
    )
    graph = Graph(a, b, weight.clip(min=0), *limits)
    return optimum(graph, assign(graph))


def nearest_rows(
    x: Rows, y: Rows, top: int = 1, device: str = "auto"
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the nearest rows of x for every row of y, and of y for every row of x, by squared Euclidean distance.

    ``|x|^2 + |y|^2 - 2 xy`` in float64 of rows less their common mean, one block of y at a time: the n_x x n_y matrix
    never exists. Distances within the rounding error of these terms are ties and go to the lowest index. Rows of
    zeros are no candidates.

    Parameters
    ----------
    x, y : ndarray of float32, shape (n_x, d) and (n_y, d)
    top : int
        Rows kept for each row.
    device : str
        See `infer_device`.

    Returns
    -------
    best_x, distance_x : ndarray of int64 and float64, shape (n_y, top)
        For every row of y its nearest rows of x, nearest first; -1 and infinity where it is no candidate or there
        are fewer candidates than ``top``.
    best_y, distance_y : ndarray of int64 and float64, shape (n_x, top)
        For every row of x its nearest rows of y.
    """
    import torch

    place = infer_device(device)
    live_x, live_y = (torch.from_numpy(np.flatnonzero(rows.any(axis=1))).to(place) for rows in (x, y))
    wide_x, wide_y = (torch.from_numpy(rows).to(place)[live].double() for rows, live in ((x, live_x), (y, live_y)))
    if len(wide_x) and len(wide_y):
        centre = (wide_x.mean(0) + wide_y.mean(0)) / 2
        wide_x, wide_y = wide_x - centre, wide_y - centre
    squares_x, squares_y = wide_x.square().sum(1), wide_y.square().sum(1)
    largest = float(sum(squares.max() for squares in (squares_x, squares_y) if len(squares)))
    tie = 8 * (x.shape[1] + 8) * 2.0**-53 * largest  # sums of d products, whatever their order (Higham 2002, 3.1)
    index_x, far_x = _none(len(y), top, place)
    index_y, far_y = _none(len(x), top, place)
    best_y = torch.full((len(wide_x), top), -1, device=place)
    least_y = torch.full((len(wide_x), top), torch.inf, dtype=torch.float64, device=place)
    for start in range(0, len(wide_y) if len(wide_x) else 0, _BLOCK):
        rows = slice(start, start + _BLOCK)
        squares = squares_y[rows, None] + squares_x - 2 * (wide_y[rows] @ wide_x.T)
        ids = live_x.expand(squares.shape)
        index_x[live_y[rows]], far_x[live_y[rows]] = _smallest(squares, ids, top, tie)
        both = torch.cat([least_y, squares.T], 1)
        ids = torch.cat([best_y, live_y[rows].expand(len(wide_x), -1)], 1)
        best_y, least_y = _smallest(both, ids, top, tie)
    index_y[live_x], far_y[live_x] = best_y, least_y
    near_x, near_y = (far.clamp(min=0).cpu().numpy() for far in (far_x, far_y))  # a copy's may round below 0
    return index_x.cpu().numpy(), near_x, index_y.cpu().numpy(), near_y


def expected_max_cosine(n: int, d: int) -> float:
    """Return the mean of the largest cosine of one direction with n independent, uniformly random ones in d dimensions.

    ``E[max] = 1 - integral over -1..1 of F(t)^n``, where (1 + cosine) / 2 follows Beta((d - 1) / 2, (d - 1) / 2). It is
    what dictionaries have in common that share nothing and fill their space evenly; real ones do not fill it evenly,
    so theirs lies higher.
    """
    from scipy.special import betainc

    if n == 0 or d == 1:
        return 1 - 2.0 ** (1 - n) if n else 0.0
    steps = (np.arange(_GRID) + 0.5) / _GRID
    return float(1 - 2 * np.mean(betainc((d - 1) / 2, (d - 1) / 2, steps) ** n))


def _unit(rows: Rows) -> Rows:
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return unit.astype(np.float32)


def _candidates(x: Rows, y: Rows, device: str) -> Candidates:
    """Return every unit row's best rows of the other side by float32 cosines, one block of y at a time."""
    import torch

    wide_x, wide_y = (torch.from_numpy(rows).to(device) for rows in (x, y))
    top_x, top_y = min(_CANDIDATES, len(x)), min(_CANDIDATES, len(y))
    of_y = []
    best = torch.empty((len(x), 0), dtype=torch.int64, device=device)
    cosine = torch.empty((len(x), 0), device=device)
    for start in range(0, len(y), _ROWS):
        block = wide_y[start : start + _ROWS] @ wide_x.T
        of_y.append(block.topk(top_x, dim=1))
        own = torch.arange(start, start + len(block), device=device).expand(len(x), -1)
        cosine, best = torch.cat([cosine, block.T], 1), torch.cat([best, own], 1)
        cosine, places = cosine.topk(min(top_y, cosine.shape[1]), dim=1)
        best = best.gather(1, places)
    best_x, cosine_x = torch.cat([k.indices for k in of_y]), torch.cat([k.values for k in of_y])
    numbers = (best_x, cosine_x.double(), best, cosine.double())
    return Candidates(*(number.cpu().numpy() for number in numbers))


def _none(rows: int, top: int, device: str) -> tuple[Tensor, Tensor]:
    import torch

    index = torch.full((rows, top), -1, device=device)
    return index, torch.full_like(index, torch.inf, dtype=torch.float64)


def _smallest(values: Tensor, ids: Tensor, top: int, tie: float) -> tuple[Tensor, Tensor]:
    """Return ids and values of the smallest of every row, smallest first, the lowest id among ties."""
    import torch

    chosen = []
    for _ in range(top):
        tied = (values <= values.amin(1, keepdim=True) + tie) & values.isfinite()
        place = torch.where(tied, ids, torch.iinfo(ids.dtype).max).argmin(1, keepdim=True)
        smallest = values.gather(1, place)
        chosen.append((torch.where(smallest.isfinite(), ids.gather(1, place), -1), smallest))
        values = values.scatter(1, place, torch.inf)
    return torch.cat([i for i, _ in chosen], 1), torch.cat([v for _, v in chosen], 1)
