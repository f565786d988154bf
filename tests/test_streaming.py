"""Matching over shards and windows: the answer of memory, within a limit."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analogue as an
from analogue.correlations import _windows, memory_bytes
from limits import least_limit
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
    limit = least_limit(lambda limit: an.match(a, b, top=top, memory_limit=limit, **way)) + 460_000
    path = tmp_path_factory.mktemp("shards")
    shards = [an.ActivationShards.from_activations(*side, entries) for side in ((a, path / "a"), (b, path / "b"))]
    for sides in (shards, (a, shards[1]), (a, b)):
        found = an.match(*sides, top=top, memory_limit=limit, **way)
        assert_equal(found, wanted)
        for rule in ("mutual", "assignment"):
            pairs, in_memory = found.pairs(rule), wanted.pairs(rule)
            for name in ("feature_a", "feature_b", "correlation", "correlation_given_token", "weight"):
                np.testing.assert_array_equal(getattr(pairs, name), getattr(in_memory, name), err_msg=name)


def test_blocks_windows_and_threads_change_no_bit():
    """A limit that leaves room for a few features of B at a time, and for windows of some hundred tokens."""
    code = """
import sys, numpy as np, analogue as an
from limits import least_limit
rng = np.random.default_rng(0)
ids = np.sort(rng.integers(0, 400, (3000, 9)), axis=1) + np.arange(9)
sides = [an.FeatureActivations.from_topk(np.roll(ids, k, axis=0), rng.random((3000, 9)) + 0.1, 410) for k in (0, 1)]
wanted = an.match(*sides, top=2, backend="sparse")
for extra in (50_000, 2_000_000):
    found = an.match(*sides, top=2, memory_limit=least_limit(lambda n: an.match(*sides, top=2, memory_limit=n)) + extra)
    assert all(np.array_equal(getattr(found, n), getattr(wanted, n)) for n in ("best_a", "corr_a", "best_b", "corr_b"))
print(wanted.corr_a.sum().hex())
"""
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"RAYON_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "16")
    }
    assert len(printed) == 1


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


RESIDENT = """
import re, sys
from pathlib import Path
import numpy as np
import analogue as an
from limits import least_limit

def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

world, n_tokens, n_features = sys.argv[1], *map(int, sys.argv[2:4])
rng = np.random.default_rng(0)
if world == "null":
    ids = [rng.integers(0, n_features // 4, (n_tokens, 4)) + n_features // 4 * np.arange(4) for _ in "ab"]
    a, b = (an.FeatureActivations.from_topk(of, rng.random(of.shape) + 0.1, n_features) for of in ids)
else:
    a = b = an.FeatureActivations.from_dense(np.arange(n_features) % 4 == np.arange(n_tokens)[:, None] % 4)
few = an.FeatureActivations.from_dense(np.eye(9))
an.match(few, few, memory_limit="1GB")  # code and threads
limit = least_limit(lambda limit: an.match(a, b, memory_limit=limit)) + int(sys.argv[4])
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
found = an.match(a, b, memory_limit=limit)
print(memory("VmHWM") - before, limit)
wanted = an.match(a, b, backend="sparse")
assert all(np.array_equal(getattr(found, n), getattr(wanted, n)) for n in ("best_a", "corr_a", "best_b", "corr_b"))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resets the peak of resident memory")
@pytest.mark.parametrize(
    "world", [("ties", 64, 2048, 8_000_000), ("null", 500_000, 1024, 4_000_000)], ids=lambda w: w[0]
)
@pytest.mark.parametrize("threads", [2, 5])
def test_nominees_keep_the_limit(world, threads):
    """Resident memory: twins without number (70 MB of nominees without a bound), and values that are all chance."""
    child = subprocess.run(
        [sys.executable, "-c", RESIDENT, *map(str, world)],
        env={"PYTHONPATH": ":".join(sys.path), "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    peak, limit = map(int, child.stdout.split())
    assert limit / 8 < peak <= limit


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
    limit = least_limit(lambda limit: an.match(*shards, memory_limit=limit, given="token")) + 100_000
    found, wanted = an.match(*shards, memory_limit=limit), an.match(*sides, backend="sparse")
    with pytest.raises(ValueError, match="what the features hold in groups of rows so far"):
        an.match(*shards, memory_limit=limit, given="token")
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
    least = least_limit(lambda limit: an.match(acts, acts, memory_limit=limit))
    assert_equal(an.match(acts, acts, memory_limit=least), an.match(acts, acts))
    with pytest.raises(ValueError, match=f"at least {least} bytes for these features, got {least - 1}$"):
        an.match(acts, acts, memory_limit=least - 1)
    with pytest.raises(TypeError, match=r"^acts_b must be FeatureActivations or ActivationShards, got ndarray$"):
        an.match(acts, np.eye(3))
