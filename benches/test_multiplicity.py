"""The multiplicity filter on a million pairs against a loop over them."""

from collections import Counter
from statistics import median

import numpy as np

from analogue import Pairs, filters
from timing import timed

PAIRS, HUBS, MOST = 1_000_000, 30_000, 20


def loop(pairs):
    """Keep the best MOST pairs of every hub: the pairs in order of correlation, and a count for every hub."""
    keep, seen, hub = np.zeros(len(pairs), dtype=bool), Counter(), pairs.feature_a.tolist()
    for row in np.argsort(-pairs.correlation, kind="stable").tolist():
        seen[hub[row]] += 1
        keep[row] = seen[hub[row]] <= MOST
    return keep


def test_multiplicity_beats_a_loop_over_pairs(benchmark):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, HUBS, (2, PAIRS))
    pairs = Pairs(ids[0], ids[1], rng.random(PAIRS))
    rule = filters.multiplicity(maximum=MOST, policy="best")
    rival_seconds, seconds = [], []
    for _ in range(3):
        taken, wanted = timed(loop, pairs)
        rival_seconds.append(taken)
        seconds.append(timed(rule.keeps, pairs)[0])
    np.testing.assert_array_equal(benchmark(rule.keeps, pairs), wanted)
    ratio = median(rival_seconds) / median(seconds)
    benchmark.extra_info |= {"seconds": median(seconds), "rival_seconds": median(rival_seconds)}
    print(f"\n{median(seconds):.3f} s against {median(rival_seconds):.2f} s: {ratio:.1f}x")
    assert ratio >= 1.5
