"""One-to-one matching of largest total weight on a sparse graph, and what a search of all pairs could add to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._core import assignment

_SWEEPS = 2000  # of the dual prices; they bound for any number, and settle long before
_SHARES = 9
_SETTLED = 1e-13


class Optimum(NamedTuple):
    """What a matching weighs in total, and what no one-to-one matching over all pairs can exceed."""

    total: float
    upper_bound: float

    @property
    def gap(self) -> float:
        """At most so much is lost by looking at the candidates only."""
        return max(0.0, self.upper_bound - self.total)


class Graph(NamedTuple):
    """Edges of positive weight between A (``sizes[0]`` nodes) and B (``sizes[1]`` nodes), sorted by A, then B.

    ``limit_a[a]`` and ``limit_b[b]``, shapes (F_A,) and (F_B,): an edge (a, b) that is not listed weighs at most
    ``min(limit_a[a], limit_b[b])``.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    weight: NDArray[np.float64]
    limit_a: NDArray[np.float64]
    limit_b: NDArray[np.float64]

    def mirrored(self) -> Graph:
        """Return the graph with A and B in each other's place."""
        order = np.lexsort((self.a, self.b))
        return Graph(self.b[order], self.a[order], self.weight[order], self.limit_b, self.limit_a)


def assign(graph: Graph) -> NDArray[np.int64]:
    """Return the edges of a one-to-one matching of largest total weight, as ascending positions.

    A feature stays unmatched where that weighs more: a perfect matching would tear good pairs apart to serve features
    that have no good partner. Exact: rows bid for their best columns, and shortest augmenting paths place those left
    over (Jonker and Volgenant 1987).
    """
    sizes = np.bincount(graph.a, minlength=len(graph.limit_a))
    b, weight = np.ascontiguousarray(graph.b), np.ascontiguousarray(graph.weight)
    column = assignment(np.concatenate([[0], np.cumsum(sizes)]), b, weight, len(graph.limit_b))
    return np.flatnonzero(column[graph.a] == graph.b)


def optimum(graph: Graph, matched: NDArray[np.int64]) -> Optimum:
    """Bound the matching of largest total weight over all pairs, listed or not.

    Weak duality: if ``u_a + v_b >= w_ab`` for every pair and u, v >= 0, then any matching weighs at most
    ``sum(u) + sum(v)``, as it uses each node once. With ``min(limit_a, limit_b)`` in place of the weights that are
    not listed, and any v >= 0, the least such u is
    ``u_a = max(0, max over listed b of w_ab - v_b, max over b of min(limit_a, limit_b) - v_b)``. v starts from the
    prices of the sparse optimum, whose sum with u is the total itself, raised by shares of ``limit_b``; the smallest
    of all bounds is returned. Where no list leaves a partner out, the limits are 0 and so is the gap, up to rounding.

    Parameters
    ----------
    graph : Graph
    matched : ndarray of int64
        What `assign` returned.
    """
    other = graph.mirrored()
    prices = _prices(graph, matched)
    starts = [np.maximum(prices, share * graph.limit_b) for share in np.linspace(0.0, 1.0, _SHARES)]
    bounds = []
    for v in (*starts, np.zeros_like(prices)):
        u = _least(graph, v)
        v = _least(other, u)
        u = _least(graph, v)
        bounds.append(float(u.sum() + v.sum()))
    return Optimum(float(graph.weight[matched].sum()), min(bounds))


def _prices(graph: Graph, matched: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the least prices v >= 0 of B at which no A gains by leaving its partner, by relaxing until they settle."""
    partner_weight = np.zeros(len(graph.limit_a))
    partner_weight[graph.a[matched]] = graph.weight[matched]
    partner = np.full(len(graph.limit_a), -1)
    partner[graph.a[matched]] = graph.b[matched]
    free = np.ones(len(graph.a), dtype=bool)
    free[matched] = False
    by_b = np.flatnonzero(free)[np.argsort(graph.b[free], kind="stable")]
    wanting, wanted, surplus = graph.a[by_b], graph.b[by_b], graph.weight[by_b] - partner_weight[graph.a[by_b]]
    nodes, starts = np.unique(wanted, return_index=True)
    v = np.zeros(len(graph.limit_b) + 1)  # the last one is what an unmatched A pays
    for _ in range(_SWEEPS if len(nodes) else 0):
        asked = np.maximum.reduceat(surplus + v[partner[wanting]], starts)
        rise = asked - v[nodes]
        if rise.max() <= _SETTLED:
            break
        v[nodes] = np.maximum(v[nodes], asked)
    return v[:-1]


def _least(graph: Graph, v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least u >= 0 that makes (u, v) feasible, shape (F_A,)."""
    order = np.argsort(graph.limit_b)
    limit, price = graph.limit_b[order], v[order]
    # For one A of limit t, max over b of min(t, limit_b) - v_b: those with limit_b <= t give limit_b - v_b, the
    # others t - v_b.
    below = np.concatenate([[-np.inf], np.maximum.accumulate(limit - price)])
    above = np.concatenate([np.minimum.accumulate(price[::-1])[::-1], [np.inf]])
    split = np.searchsorted(limit, graph.limit_a, side="right")
    u: NDArray[np.float64] = np.maximum(0.0, np.maximum(below[split], graph.limit_a - above[split]))
    if len(graph.a):
        starts = np.flatnonzero(np.diff(graph.a, prepend=-1))
        nodes = graph.a[starts]
        u[nodes] = np.maximum(u[nodes], np.maximum.reduceat(graph.weight - v[graph.b], starts))
    return u
