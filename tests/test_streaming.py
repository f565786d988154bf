"""Matching over shards and windows: the answer of memory, within a limit."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analogue as an
from analogue.correlations import _windows, memory_bytes
from test_matching import codes


def assert_equal(found, wanted):
    for name in ("best_a", "corr_a", "best_b", "corr_b"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


WAYS = st.sampled_from([{"metric": "pearson"}, {"metric": "cosine"}, {"metric": "jaccard"}, {"given": "token"}])


@given(st.integers(0, 2**32 - 1), WAYS, st.integers(1, 3), st.booleans(), st.sampled_from([64, 200, 1000]))
def test_shards_give_the_answer_of_memory_to_the_bit(tmp_path_factory, seed, way, top, signed, entries):
    rng = np.random.default_rng(seed)
    x, y = codes(rng, 120, 63, signed=signed), codes(rng, 120, 7, signed=signed)
    x[:, :3] = y[:, :3]
    tokens = rng.integers(0, 30, 120)
    a, b = (an.FeatureActivations.from_dense(side, token_ids=tokens) for side in (x, y))
    wanted = an.match(a, b, top=top, backend="sparse", **way)
    path = tmp_path_factory.mktemp("shards")
    shards = [an.ActivationShards.from_activations(*side, entries) for side in ((a, path / "a"), (b, path / "b"))]
    for sides in (shards, (a, shards[1]), (a, b)):
        found = an.match(*sides, top=top, memory_limit="1500 KiB", **way)
        assert_equal(found, wanted)
        for rule in ("mutual", "assignment"):
            pairs, in_memory = found.pairs(rule), wanted.pairs(rule)
            for name in ("feature_a", "feature_b", "correlation", "correlation_given_token", "weight"):
                np.testing.assert_array_equal(getattr(pairs, name), getattr(in_memory, name), err_msg=name)


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_blocks_windows_and_threads_change_no_bit(threads, tmp_path):
    """A limit that leaves room for a few features of B at a time, and for windows of some hundred tokens."""
    code = """
import sys, numpy as np, analogue as an
rng = np.random.default_rng(0)
ids = np.sort(rng.integers(0, 400, (3000, 9)), axis=1) + np.arange(9)
sides = [an.FeatureActivations.from_topk(np.roll(ids, k, axis=0), rng.random((3000, 9)) + 0.1, 410) for k in (0, 1)]
wanted = an.match(*sides, top=2, backend="sparse")
for extra in (20_000, 200_000, 2_000_000):
    found = an.match(*sides, top=2, memory_limit=(1 << 20) + 820 * (256 + 64) + extra)
    assert all(np.array_equal(getattr(found, n), getattr(wanted, n)) for n in ("best_a", "corr_a", "best_b", "corr_b"))
print(wanted.corr_a.sum().hex())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"RAYON_NUM_THREADS": str(threads), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    alone = subprocess.run(
        [sys.executable, "-c", code],
        env={"RAYON_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == alone.stdout != ""


PEAK = """
import re, sys
from pathlib import Path
import analogue as an

def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

import threading, time
a, b = (an.ActivationShards.load(f"{sys.argv[1]}/{side}") for side in "ab")
before, peak, done = memory("RssAnon"), [0], threading.Event()

def watch():
    while not done.wait(0.002):
        peak[0] = max(peak[0], memory("RssAnon"))

watcher = threading.Thread(target=watch)
watcher.start()
found = an.match(a, b, memory_limit=int(sys.argv[2]))
done.set()
watcher.join()
print(peak[0] - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_limit_is_kept(tmp_path):
    """Activations of 116 MB a side and sums of 67 MB, within 48 MB."""
    rng = np.random.default_rng(0)
    for side in "ab":
        with an.ActivationShards.writer(tmp_path / side, 4096, 1 << 20) as writer:
            for _ in range(15):
                ids = rng.integers(0, 4096 // 32, (30_000, 32)) + 128 * np.arange(32)
                ids_of_tokens = {name: np.arange(30_000) for name in ("token_ids", "document_ids", "positions")}
                writer.append(an.FeatureActivations.from_topk(ids, rng.random(ids.shape) + 0.1, 4096, **ids_of_tokens))
    limit = 48 << 20
    child = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path), str(limit)],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 1 << 20 < int(child.stdout) < limit


def test_pairs_given_the_token_come_in_batches_that_fit(tmp_path):
    """What features hold in token ids is many times the room: pairs are correlated some at a time."""
    rng = np.random.default_rng(4)
    tokens = rng.integers(0, 500, 4000)
    sides = [
        an.FeatureActivations.from_topk(
            np.sort(rng.integers(0, 30, (4000, 8)) + 30 * np.arange(8), axis=1),
            rng.random((4000, 8)) + 0.1,
            240,
            token_ids=tokens,
        )
        for _ in range(2)
    ]
    paths = (tmp_path / side for side in "ab")
    shards = [an.ActivationShards.from_activations(side, path, 6000) for side, path in zip(sides, paths, strict=True)]
    found, wanted = an.match(*shards, memory_limit="1400 KiB"), an.match(*sides, backend="sparse")
    with pytest.raises(ValueError, match="what the features hold in groups of rows so far"):
        an.match(*shards, memory_limit="1400 KiB", given="token")
    pairs = found.pairs("b_to_a")
    np.testing.assert_array_equal(pairs.correlation_given_token, wanted.pairs("b_to_a").correlation_given_token)
    assert len(pairs) == 240


def test_windows_hold_every_token_once():
    rng = np.random.default_rng(0)
    x = codes(rng, 200, 20) * (rng.random((200, 1)) ** 8 * 20).astype(int)  # some rows are full, most are empty
    a, b = an.FeatureActivations.from_dense(x), an.FeatureActivations.from_dense(codes(rng, 200, 5))
    for most, row in itertools.product((1, 7, 60, 10**6), (0, 4)):
        windows = list(_windows(a, b, most, row))
        assert sum(left.n_tokens for left, _ in windows) == 200
        np.testing.assert_array_equal(np.concatenate([left.to_dense() for left, _ in windows]), a.to_dense())
        np.testing.assert_array_equal(np.concatenate([right.to_dense() for _, right in windows]), b.to_dense())
        assert all(left.nnz + right.nnz + row * left.n_tokens <= most or left.n_tokens == 1 for left, right in windows)


def test_memory_limits_are_read():
    assert memory_bytes(5) == 5
    assert memory_bytes("2GB") == 2 * 10**9
    assert memory_bytes(" 1.5 MiB") == 3 << 19
    assert memory_bytes(None) == 2 << 30
    for bad in ("much", "2 PB", "", "-1GB", "0"):
        with pytest.raises(ValueError, match=r"^memory_limit must be bytes or an amount such as"):
            memory_bytes(bad)
    acts = an.FeatureActivations.from_dense(np.eye(3))
    with pytest.raises(ValueError, match=r"^memory_limit must be at least \d+ bytes for these features, got 1000$"):
        an.match(acts, acts, memory_limit=1000)
    with pytest.raises(TypeError, match=r"^acts_b must be FeatureActivations or ActivationShards, got ndarray$"):
        an.match(acts, np.eye(3))
