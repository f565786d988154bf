"""Matching over shards within a limit against the same in memory: equal to the bit, and what it costs."""

import subprocess
import sys
from time import perf_counter

import numpy as np

import analogue as an

TOKENS, FEATURES, ACTIVE = 200_000, 32_768, 32
LIMIT = 1 << 30
CHILD = """
import re, sys
from pathlib import Path
import analogue as an

def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

a, b = (an.ActivationShards.load(f"{sys.argv[1]}/{side}") for side in "ab")
before = memory("RssAnon")
an.match(a, b, memory_limit=int(sys.argv[2]))
print(memory("VmHWM") - memory("RssFile") - before)
"""


def codes(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, FEATURES // ACTIVE, (TOKENS, ACTIVE)) + FEATURES // ACTIVE * np.arange(ACTIVE)
    return an.FeatureActivations.from_topk(ids, rng.random(ids.shape, dtype=np.float32) + np.float32(0.1), FEATURES)


def timed(function):
    start = perf_counter()
    return function(), perf_counter() - start


def test_shards_cost_a_few_times_memory(benchmark, tmp_path):
    sides = [codes(0), codes(1)]
    shards = [
        an.ActivationShards.from_activations(side, tmp_path / s, 1 << 20) for s, side in zip("ab", sides, strict=True)
    ]
    wanted, seconds = timed(lambda: an.match(*sides, backend="sparse"))
    found, streamed = benchmark.pedantic(timed, (lambda: an.match(*shards, memory_limit=LIMIT),), rounds=1)
    for name in ("best_a", "corr_a", "best_b", "corr_b"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), str(LIMIT)], capture_output=True, text=True, check=True
    )
    benchmark.extra_info |= {"memory": seconds, "shards": streamed, "peak": int(child.stdout)}
    print(f"\n{streamed:.2f} s over shards, {seconds:.2f} s in memory; peak {int(child.stdout) / 1e6:.0f} MB")
    assert int(child.stdout) < LIMIT
