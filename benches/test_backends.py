"""`backend="auto"` against both backends over densities from 0.05 % to 50 %: within 15 % of the better one when quiet.

Prints what a unit of cost took on each backend: where `analogue.cost` is right, the same for both at every density.
"""

from time import perf_counter

import numpy as np
import pytest

from analogue import FeatureActivations, cost, match

DENSITIES = (0.0005, 0.005, 0.05, 0.15, 0.2, 0.25, 0.3, 0.5)
SHAPES = ((2_000, 2_048, 2_048), (8_000, 512, 1_536), (1_000, 6_000, 1_000))
ROUNDS, MORE_ROUNDS = 3, 12


def codes(rng, tokens, features, density):
    dense = rng.random((tokens, features), dtype=np.float32)
    return FeatureActivations.from_dense(np.where(dense < density, dense + np.float32(0.1), np.float32(0)))


def other(backend):
    return "dense" if backend == "sparse" else "sparse"


def chosen(a, b):
    return "dense" if cost.dense_cost(a, b) < cost.sparse_cost(a, b) else "sparse"


def time_round(a, b, seconds, taken):
    """Time each backend once, in turn, and keep the least; what was not taken and is far slower is left at that."""
    for backend in seconds:
        if backend == taken or np.isinf(seconds[backend]) or seconds[backend] < 3 * seconds[other(backend)]:
            start = perf_counter()
            match(a, b, backend=backend, device="cpu")
            seconds[backend] = min(seconds[backend], perf_counter() - start)


def late(backend, seconds):
    return seconds[backend] > 1.15 * seconds[other(backend)]


@pytest.mark.parametrize(("tokens", "of_a", "of_b"), SHAPES)
def test_auto_takes_the_better_backend(benchmark, tokens, of_a, of_b):
    rng = np.random.default_rng(tokens)
    rows, worst = [], 0.0
    for density in DENSITIES:
        a, b = codes(rng, tokens, of_a, density), codes(rng, tokens, of_b, density)
        found = {backend: match(a, b, backend=backend, device="cpu") for backend in ("sparse", "dense", "auto")}
        for name in ("best_a", "best_b"):
            assert np.array_equal(getattr(found["sparse"], name), getattr(found["dense"], name))
            assert np.array_equal(getattr(found["sparse"], name), getattr(found["auto"], name))
        np.testing.assert_allclose(found["sparse"].corr_a, found["dense"].corr_a, rtol=0, atol=1e-9)
        seconds, backend = {"sparse": np.inf, "dense": np.inf}, chosen(a, b)
        for done in range(MORE_ROUNDS):
            if done < ROUNDS or late(backend, seconds):
                time_round(a, b, seconds, backend)
        worst = max(worst, seconds[backend] / min(seconds.values()))
        print(
            f"\n{density:.2%}: " + ", ".join(f"{k} {v * 1e3:.1f} ms" for k, v in seconds.items()) + f", auto {backend}"
        )
        rows.append((cost.dense_cost(a, b), cost.sparse_cost(a, b), seconds))
    scale = {"dense": [s["dense"] / d for d, _, s in rows], "sparse": [s["sparse"] / p for _, p, s in rows]}
    print("seconds a unit of cost, by density: " + str({k: [f"{v * 1e9:.2f} ns" for v in w] for k, w in scale.items()}))
    benchmark.extra_info |= {"worst_ratio_to_the_better": worst}
    benchmark(lambda: (cost.dense_cost(a, b), cost.sparse_cost(a, b)))
    print(f"at worst {worst:.2f}x the better one (target 1.15)")
    assert worst <= 1.3  # the target, and what a neighbour on the machine may do to one of the two
