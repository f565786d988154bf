"""The RSA null against re-ranking y's re-indexed distances with scipy.stats.rankdata for every permutation."""

from statistics import median
from time import perf_counter

import numpy as np
from scipy.stats import rankdata

from analogue.nulls import permutation_test
from analogue.nulls.groups import exchangeable
from analogue.nulls.permutations import draw_permutations
from analogue.similarity import MEASURES

N, DX, DY = 2000, 512, 768
PERMUTATIONS = 9


def timed(function, *arguments):
    start = perf_counter()
    result = function(*arguments)
    return perf_counter() - start, result


def test_rsa_null_beats_reranking_fiftyfold(benchmark):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, DX))
    y = x @ rng.standard_normal((DX, DY)) / 16 + rng.standard_normal((N, DY))
    orders = draw_permutations(np.random.default_rng(0), exchangeable(np.arange(N)), N, PERMUTATIONS)
    prepared = MEASURES["rsa"].prepare(x, y)
    below = np.tril_indices(N, -1)
    distances_y = 1.0 - np.corrcoef(y)
    ranks_x = rankdata((1.0 - np.corrcoef(x))[below])

    def reranked(order):
        return np.corrcoef(ranks_x, rankdata(distances_y[np.ix_(order, order)][below]))[0, 1]

    prepared.draws(orders[:1])  # both sides are timed warm
    ours, theirs = [], []
    for order in orders:
        theirs.append(timed(reranked, order))
        ours += [timed(prepared.draws, orders) for _ in range(3)]
    seconds, rival_seconds = median(t for t, _ in ours) / PERMUTATIONS, median(t for t, _ in theirs)

    score = permutation_test(x, y, "rsa", permutations=PERMUTATIONS, seed=0)["rsa"]
    np.testing.assert_allclose(score.draws, [value for _, value in theirs], atol=1e-9, rtol=0)
    assert abs(score.observed - reranked(np.arange(N))) < 1e-9

    benchmark.extra_info |= {"rival_seconds": rival_seconds, "seconds": seconds}
    benchmark(prepared.draws, orders)
    print(f"\nRSA, {N} rows: {seconds:.5f} s against {rival_seconds:.3f} s a permutation")
    assert rival_seconds >= 50 * seconds
