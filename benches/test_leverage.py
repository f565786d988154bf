"""Leave-one-out CKA of 500 pairs against computing CKA again without each."""

from statistics import median
from time import perf_counter

import numpy as np

from analogue.leverage import leverage
from analogue.similarity import cka

N, DX, DY = 500, 512, 768


def test_cka_leverage_beats_recomputation(benchmark):
    rng = np.random.default_rng(0)
    common = rng.standard_normal((N, 64))
    x, y = (common @ rng.standard_normal((64, d)) / 8 + rng.standard_normal((N, d)) for d in (DX, DY))
    leverage(x, y, "cka")  # both sides are timed warm
    seconds, rival, again = [], [], []
    for row in range(N):
        start = perf_counter()
        again.append(cka(np.delete(x, row, axis=0), np.delete(y, row, axis=0)))
        rival.append(perf_counter() - start)
        if row % 25 == 0:
            start = perf_counter()
            found = leverage(x, y, "cka")
            seconds.append(perf_counter() - start)
    np.testing.assert_allclose(found.without, again, atol=1e-12, rtol=0)

    ratio = N * median(rival) / median(seconds)
    benchmark.extra_info |= {"rival_seconds": N * median(rival), "seconds": median(seconds)}
    benchmark(leverage, x, y, "cka")
    print(
        f"\nCKA leverage, {N} pairs: {median(seconds):.4f} s against {N * median(rival):.1f} s ({ratio:.0f}x of 200x)"
    )
    assert ratio >= 100
