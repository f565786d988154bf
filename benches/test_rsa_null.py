"""The RSA null against re-ranking y's re-indexed distances for every permutation, with SciPy's rankdata and argsort."""

from statistics import median

import numpy as np
from scipy.stats import rankdata

from analogue.nulls import permutation_test
from analogue.nulls.groups import exchangeable
from analogue.nulls.permutations import draw_permutations
from analogue.similarity import MEASURES
from timing import timed

N, DX, DY = 5000, 512, 768
PERMUTATIONS = 4


def test_rsa_null_beats_reranking(benchmark):
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

    def sorted_anew(order):
        ranks = np.empty(len(below[0]))
        ranks[np.argsort(distances_y[np.ix_(order, order)][below])] = np.arange(len(ranks))  # no ties
        return np.corrcoef(ranks_x, ranks)[0, 1]

    many = np.tile(orders, (4, 1))
    prepared.draws(many)  # both sides are timed warm
    ours, theirs, sorting = [], [], []
    for order in orders[:2]:
        theirs.append(timed(reranked, order))
        sorting.append(timed(sorted_anew, order))
        ours += [timed(prepared.draws, many) for _ in range(3)]
    seconds = median(t for t, _ in ours) / len(many)
    rival_seconds, sorting_seconds = (median(t for t, _ in runs) for runs in (theirs, sorting))

    score = permutation_test(x, y, "rsa", permutations=PERMUTATIONS, seed=0)["rsa"]
    for runs in (theirs, sorting):
        np.testing.assert_allclose(score.draws[:2], [value for _, value in runs], atol=1e-9, rtol=0)
    assert abs(score.observed - reranked(np.arange(N))) < 1e-9

    benchmark.extra_info |= {"rival_seconds": rival_seconds, "seconds": seconds}
    benchmark(prepared.draws, orders)
    print(
        f"\nRSA, {N} rows: {seconds:.5f} s a permutation against {rival_seconds:.3f} s with rankdata "
        f"({rival_seconds / seconds:.0f} times, wanted 200), {sorting_seconds:.3f} s with argsort "
        f"({sorting_seconds / seconds:.0f} times, wanted 50)"
    )
    assert rival_seconds >= 100 * seconds
    assert sorting_seconds >= 25 * seconds
