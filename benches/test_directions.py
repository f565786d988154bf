"""Best partners of 16 384 x 16 384 directions both ways, against the whole matrix of cosines and its two argmaxes.

One thread each: two of them on a shared machine wait for each other at every small operation, and measure that.
"""

import subprocess
import sys
from statistics import median
from time import perf_counter

import numpy as np
import pytest
import torch

from analogue.ops import correlation_best

LATENTS, WIDTH = 16_384, 512
PEAK = """
import re, sys
from pathlib import Path
import numpy as np
import torch
from analogue.ops import correlation_best

def memory(name):  # ru_maxrss would start from the parent's
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

torch.set_num_threads(1)
a, b = (np.load(f"{sys.argv[1]}/{side}.npy") for side in "ab")
correlation_best(a[:64].T, b[:64].T, metric="cosine", device="cpu")  # what torch and its BLAS keep for themselves
before = memory("VmRSS")
correlation_best(a.T, b.T, metric="cosine", device="cpu")
print(memory("VmHWM") - before)
"""


def rival(a, b):
    """Normalise, multiply, argmax along both sides: what a notebook does, with the matrix in memory."""
    a, b = (torch.nn.functional.normalize(torch.from_numpy(rows), dim=1) for rows in (a, b))
    cosines = b @ a.T
    to_a, to_b = cosines.max(dim=1), cosines.max(dim=0)
    return to_a.indices.numpy(), to_a.values.numpy(), to_b.indices.numpy(), to_b.values.numpy()


def ours(a, b):
    return correlation_best(a.T, b.T, metric="cosine", device="cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def timed(function, *arguments):
    start = perf_counter()
    function(*arguments)
    return perf_counter() - start


def test_no_matrix_costs_little_time(benchmark, tmp_path):
    """Half of the rows have a noisy partner on the other side, as two seeds of one SAE do."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((LATENTS, WIDTH), dtype=np.float32) for _ in range(2))
    b[: LATENTS // 2] = a[rng.permutation(LATENTS)[: LATENTS // 2]] + 0.5 * b[: LATENTS // 2]

    found, wanted = ours(a, b), rival(a, b)
    wide_a, wide_b = (rows.astype(np.float64) for rows in (a, b))
    wide_a, wide_b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (wide_a, wide_b))
    for best, cosine, rough_best, rough, own, other in (
        (*found[:2], *wanted[:2], wide_b, wide_a),
        (*found[2:], *wanted[2:], wide_a, wide_b),
    ):
        exact = np.einsum("nd,nd->n", own, other[best[:, 0]])
        np.testing.assert_allclose(cosine[:, 0], exact, atol=1e-12)
        assert (exact >= np.einsum("nd,nd->n", own, other[rough_best]) - 1e-12).all()  # never worse than float32's
        np.testing.assert_allclose(cosine[:, 0], rough, atol=1e-5)

    seconds, rival_seconds = [], []
    for _ in range(2):
        rival_seconds.append(timed(rival, a, b))
        seconds.append(timed(ours, a, b))
    for name, rows in (("a", a), ("b", b)):
        np.save(tmp_path / f"{name}.npy", rows)
    child = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
    peak, matrix = int(child.stdout), 4 * LATENTS**2

    ratio = median(seconds) / median(rival_seconds)
    benchmark.extra_info |= {"seconds": median(seconds), "rival_seconds": median(rival_seconds), "peak_bytes": peak}
    benchmark.pedantic(ours, (a, b), rounds=1)
    print(f"\n{median(seconds):.2f} s against {median(rival_seconds):.2f} s with the whole matrix: {ratio:.2f} of it")
    print(f"peak {peak / 1e6:.0f} MB above the inputs; the matrix alone is {matrix / 1e6:.0f} MB")
    assert peak < 3e8
    assert ratio <= 1.6
