"""One-to-one matching of largest weight on sparse candidates against scipy's sparse Jonker-Volgenant."""

from statistics import median

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from analogue.assignment import Graph, assign
from timing import timed

FEATURES, TOP = 16_384, 8


def graph_of(kind):
    """Candidates of random partners: weights alike (no relation), or with one planted partner each."""
    rng = np.random.default_rng(0)
    own = np.repeat(np.arange(FEATURES), TOP)
    ids = np.stack([np.concatenate([own, rng.integers(0, FEATURES, own.size)]), np.empty(2 * own.size, np.int64)])
    ids[1] = np.concatenate([rng.integers(0, FEATURES, own.size), own])
    weight = 0.1 + 0.1 * rng.random(ids.shape[1])
    if kind == "planted":
        ids = np.hstack([np.stack([np.arange(FEATURES), rng.permutation(FEATURES)]), ids])
        weight = np.concatenate([0.2 + 0.8 * rng.random(FEATURES), weight])
    _, rows = np.unique(ids[0] * FEATURES + ids[1], return_index=True)
    return Graph(*ids[:, rows], weight[rows], np.zeros(FEATURES), np.zeros(FEATURES))


def rival(graph):
    """A dummy partner for every row lets it stay unmatched; costs are above 0, as scipy drops edges of 0."""
    rows, columns = np.append(graph.a, np.arange(FEATURES)), np.append(graph.b, FEATURES + np.arange(FEATURES))
    costs = np.append(2 - graph.weight, np.full(FEATURES, 2.0))
    row, column = min_weight_full_bipartite_matching(csr_array((costs, (rows, columns)), (FEATURES, 2 * FEATURES)))
    dense = dict(zip(zip(graph.a.tolist(), graph.b.tolist(), strict=True), graph.weight.tolist(), strict=True))
    return sum(dense[pair] for pair in zip(row.tolist(), column.tolist(), strict=True) if pair[1] < FEATURES)


@pytest.mark.parametrize("kind", ["alike", "planted"])
def test_assignment_beats_scipy_eightfold(benchmark, kind):
    graph = graph_of(kind)
    rival_seconds, total = timed(rival, graph)
    seconds = median(timed(assign, graph)[0] for _ in range(5))
    matched = benchmark(assign, graph)
    assert graph.weight[matched].sum() == pytest.approx(total, abs=1e-8)
    assert len(np.unique(graph.a[matched])) == len(np.unique(graph.b[matched])) == len(matched)
    benchmark.extra_info |= {"seconds": seconds, "rival_seconds": rival_seconds, "edges": len(graph.weight)}
    print(f"\n{kind}: {seconds:.3f} s against {rival_seconds:.2f} s: {rival_seconds / seconds:.0f}x")
    assert rival_seconds / seconds >= 8
