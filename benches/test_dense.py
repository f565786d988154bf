"""Dense search in both directions against the bare product: ReLU'd pre-activations, 30 000 tokens, 8 192 x 8 192.

The rival is torch's own matrix product of the two sides, which finds nobody's partner: what it costs is the least that
a dense search can. Half of it is timed before ours and half after.
"""

import subprocess
import sys
from time import perf_counter

import numpy as np
import pytest
import torch

from analogue.ops import correlation_best

TOKENS, FEATURES, FACTORS = 30_000, 8_192, 64
PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from analogue.ops import correlation_best

def memory(name):  # ru_maxrss would start from the parent's
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

rng = np.random.default_rng(0)
tokens, features = int(sys.argv[1]), int(sys.argv[2])
correlation_best(rng.random((300, 70)), rng.random((300, 70)), device="cpu")  # what torch loads is not counted
x, y = (np.maximum(rng.standard_normal((tokens, features), dtype=np.float32), 0) for _ in range(2))
y[:, ::3] += x[:, ::3]
Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the inputs' making
before = memory("VmRSS")
correlation_best(x, y, device="cpu")
print(memory("VmHWM") - before)
"""


def side(seed, shared):
    """Pre-activations that mix shared factors, less a bias, through a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(FACTORS, FEATURES, generator=generator) / FACTORS**0.5
    rows = torch.empty(TOKENS, FEATURES)
    for tokens in torch.arange(TOKENS).split(1000):
        noise = torch.randn(len(tokens), FEATURES, generator=generator)
        rows[tokens] = (noise.mul_(0.6).addmm_(shared[tokens], weights) - 0.5).relu_()
    return rows


def bare(x, y):
    """Multiply a block of 4096 columns by another, as ours does: no slower here than the product in one piece."""
    seconds = 0.0
    for columns in x.split(4096, dim=1):
        start = perf_counter()
        columns.T @ y
        seconds += perf_counter() - start
    return seconds


def assert_best(index, value, own, other, sample):
    """Partners and correlations of some columns are those of float64."""
    r = torch.empty(len(sample), other.shape[1], dtype=torch.float64)
    mine = own[:, sample].double()
    mine = (mine - mine.mean(0)) / mine.std(0, correction=0)
    for columns in torch.arange(other.shape[1]).split(512):
        theirs = other[:, columns].double()
        r[:, columns] = mine.T @ ((theirs - theirs.mean(0)) / theirs.std(0, correction=0)) / len(own)
    largest, place = r.max(1)
    np.testing.assert_array_equal(index[sample, 0], place)
    np.testing.assert_allclose(value[sample, 0], largest, rtol=0, atol=1e-10)


def test_both_directions_run_at_the_rate_of_the_product(benchmark):
    shared = torch.randn(TOKENS, FACTORS, generator=torch.Generator().manual_seed(0))
    x, y = side(1, shared), side(2, shared)
    correlation_best(x[:300, :70].numpy(), y[:300, :70].numpy(), device="cpu")  # warm

    halves, seconds = [np.inf, np.inf], np.inf
    for _ in range(3):  # once on a quiet machine: what disturbs either side is timed again, and the least of each kept
        halves[0] = min(halves[0], bare(x, y[:, : FEATURES // 2]))
        start = perf_counter()
        best_x, value_x, best_y, value_y = correlation_best(x.numpy(), y.numpy(), device="cpu")
        seconds = min(seconds, perf_counter() - start)
        halves[1] = min(halves[1], bare(x, y[:, FEATURES // 2 :]))
        if sum(halves) >= 0.85 * seconds:
            break
    product = sum(halves)

    sample = np.random.default_rng(0).choice(FEATURES, 24, replace=False)
    assert_best(best_x, value_x, y, x, sample)
    assert_best(best_y, value_y, x, y, sample)
    rate, ratio = 2e-9 * TOKENS * FEATURES**2 / product, product / seconds
    print(f"\n{seconds:.2f} s, the bare product {product:.2f} s ({rate:.0f} GFLOP/s)")
    print(f"{ratio:.2f} of its rate (target 0.85)")
    benchmark.extra_info |= {"seconds": seconds, "product_seconds": product}
    benchmark.pedantic(correlation_best, (x[:, :512].numpy(), y[:, :512].numpy()), {"device": "cpu"}, rounds=1)
    assert ratio >= 0.75  # the target, less what a neighbour on the machine may take


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_inputs():
    """Blocks are the same at any size from 4096 columns a side up; half the tokens keep the bench short."""
    child = subprocess.run(
        [sys.executable, "-c", PEAK, "10000", str(FEATURES)], capture_output=True, text=True, check=True
    )
    print(f"\npeak {int(child.stdout) / 1e6:.0f} MB above the inputs")
    assert int(child.stdout) < 300e6
