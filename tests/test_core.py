"""The compiled core against textbook NumPy: what it computes, what it refuses, and that it lets other threads run."""

import os
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from analogue import FeatureActivations, _core
from limits import least_limit


def csr(x):
    acts = FeatureActivations.from_dense(np.asarray(x, dtype=np.float32))
    return acts.indptr, acts.indices, acts.values, acts.n_features


def draw_codes(rng, rows, features, density, signed):
    x = rng.choice([0.5, 1.0, 3.0], (rows, features)) * (rng.random((rows, features)) < density)
    return x * rng.choice([-1, 1], x.shape) if signed else x


def random_csr(seed, rows, features, active):
    rng = np.random.default_rng(seed)
    ids = np.sort(np.stack([rng.choice(features, active, replace=False) for _ in range(rows)]), axis=1)
    values = rng.random(rows * active, dtype=np.float32) + np.float32(0.1)
    return np.arange(rows + 1) * active, ids.astype(np.int32).ravel(), values, features


seeds = st.integers(0, 2**32 - 1)
rows = st.sampled_from([1, 2, 7, 63])
widths = st.sampled_from([1, 7, 20])
densities = st.sampled_from([0.0, 0.05, 0.3, 0.95])


@given(seeds, rows, widths, widths, densities, st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_best_partners_equal_exact_arithmetic(seed, n, width_a, width_b, density, top, min_activations, signed):
    """Ties go to the lowest index in both directions; twins across and within the sides make many."""
    rng = np.random.default_rng(seed)
    x, y = (draw_codes(rng, n, width, density, signed) for width in (width_a, width_b))
    x[:, -1] = x[:, 0]
    y[:, 0] = y[:, -1] = x[:, 0]
    found = _core.best_partners(*csr(x), *csr(y), top, min_activations)
    fires_x, fires_y = ((z != 0).sum(axis=0) >= min_activations for z in (x, y))
    for ids, correlations, partners in (
        (*found[:2], oracles.best_partners_by_fractions(x, y, top, fires_x, fires_y)),
        (*found[2:], oracles.best_partners_by_fractions(y, x, top, fires_y, fires_x)),
    ):
        wanted = [(row + [(-1, 0.0)] * top)[:top] for row in partners]
        assert ids.tolist() == [[i for i, _ in row] for row in wanted]
        np.testing.assert_allclose(correlations, [[r for _, r in row] for row in wanted], rtol=0, atol=1e-11)


@pytest.mark.parametrize("active", [1, 8, 60])
@pytest.mark.parametrize("top", [1, 5])
def test_best_partners_of_wide_sides(active, top):
    """Wide enough for both epilogues, narrow enough for a dense float64 matrix."""
    a, b = random_csr(0, 2000, 257, active), random_csr(1, 2000, 257, active)
    best_a, corr_a, best_b, corr_b = _core.best_partners(*a, *b, top, 1)
    dense = np.zeros((2, 2000, 257))
    for side, (_, ids, values, _) in zip(dense, (a, b), strict=True):
        side[np.repeat(np.arange(2000), active), ids] = values
    r = oracles.pearson_matrix(*dense)
    for ids, correlations, matrix in ((best_a, corr_a, r.T), (best_b, corr_b, r)):
        np.testing.assert_allclose(correlations, -np.sort(-matrix, axis=1)[:, :top], rtol=0, atol=1e-11)
        np.testing.assert_allclose(np.take_along_axis(matrix, ids, axis=1), correlations, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("rows", "features"), [(0, 3), (1, 3), (5, 3)])
def test_sides_without_candidates(rows, features):
    empty = csr(np.ones((rows, features)))
    best_a, corr_a, best_b, corr_b = _core.best_partners(*empty, *empty, 2, 1)
    assert best_a.tolist() == best_b.tolist() == [[-1, -1]] * features
    assert not corr_a.any()
    assert not corr_b.any()


def test_the_answer_does_not_depend_on_threads():
    code = """
import hashlib, numpy as np, test_core as t
from analogue import _core
a, b = t.random_csr(0, 3000, 1000, 16), t.random_csr(1, 3000, 1000, 16)
groups = np.arange(3000) % 71
pairs = np.arange(1000), np.arange(1000)[::-1].copy()
m = np.random.default_rng(0).random((50, 50))
ps = np.stack([np.random.default_rng(i).permutation(50) for i in range(20)])
found = [*_core.best_partners(*a, *b, 3, 1), _core.pair_correlations(*a, *b, *pairs, groups)]
turns = np.random.default_rng(3).permutation(3000).astype(np.uint32)
highest = _core.top_positions(*a, 1)[1][:, 0].copy()
found += [*_core.top_positions(*a, 5), *_core.top_positions(*a, 5, groups), _core.mantel_dots(m, m, ps)]
found += [*_core.band_positions(*a, 2, 3, highest, turns), *_core.band_positions(*a, 2, 3, highest, turns, groups)]
print(hashlib.sha256(b"".join(x.tobytes() for x in found)).hexdigest())
"""
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"RAYON_NUM_THREADS": str(threads), "PYTHONPATH": os.path.dirname(__file__)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in (1, 2, 5, 16)
    }
    assert len(digests) == 1


@given(seeds, rows, widths, widths, densities, st.booleans())
def test_pair_correlations_equal_the_definition(seed, n, width_a, width_b, density, signed):
    rng = np.random.default_rng(seed)
    x, y = (draw_codes(rng, n, width, density, signed) for width in (width_a, width_b))
    a, b = (index.ravel() for index in np.indices((width_a, width_b)))
    groups = rng.integers(0, 1 + n // 4, n) * 10**15
    found = _core.pair_correlations(*csr(x), *csr(y), a, b)
    np.testing.assert_allclose(found, np.nan_to_num(oracles.pearson_matrix(x, y))[a, b], rtol=0, atol=1e-11)
    found = _core.pair_correlations(*csr(x), *csr(y), a, b, groups)
    np.testing.assert_allclose(found, oracles.within_group_correlation(x, y, groups)[a, b], rtol=0, atol=1e-11)


def test_a_large_common_mean_costs_no_digits():
    """Mean / sd = 1000: raw moments would leave 10 digits, and float32 none."""
    rng = np.random.default_rng(0)
    x, y = (1 + 0.001 * rng.standard_normal((5000, 3)) for _ in range(2))
    x, y = x.astype(np.float32), y.astype(np.float32)
    i, j = (index.ravel() for index in np.indices((3, 3)))
    r = oracles.pearson_matrix(x, y)
    np.testing.assert_allclose(_core.pair_correlations(*csr(x), *csr(y), i, j), r[i, j], rtol=0, atol=1e-12)
    best_a = _core.best_partners(*csr(x), *csr(y), 1, 1)[0]
    assert best_a[:, 0].tolist() == r.argmax(axis=0).tolist()


def in_windows(stream, x, y, cuts):
    """Feed both sides pass after pass, cut into windows of rows; the number of passes."""
    passes, done = 0, False
    while not done:
        for start, end in pairwise(cuts):
            stream.feed(*csr(x[start:end]), *csr(y[start:end]))
        passes, done = passes + 1, stream.end_pass()
    return passes


windows = st.lists(st.integers(0, 63), max_size=4)
ways = st.sampled_from(["pearson", "cosine", "jaccard", "given"])


@given(seeds, rows, widths, widths, densities, st.integers(1, 4), st.booleans(), st.booleans(), windows)
def test_windows_change_no_bit(seed, n, width_a, width_b, density, top, signed, within, cuts):
    """Values without ties, so that nothing but the order of the additions decides the last bits."""
    rng = np.random.default_rng(seed)
    x, y = (draw_codes(rng, n, width, density, signed) * rng.random((n, width)) for width in (width_a, width_b))
    cuts = sorted({0, n, *(cut % (n + 1) for cut in cuts)})
    groups = rng.integers(0, 1 + n // 2, n) * 10**15 if within else None
    stream = _core.Stream(n, width_a, width_b, top, 1, "pearson", 1 << 25, groups)
    assert stream.found() is None
    in_windows(stream, x, y, cuts)
    for ours, wanted in zip(stream.found(), _core.best_partners(*csr(x), *csr(y), top, 1, groups=groups), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    a, b = rng.integers(0, width_a, 30), rng.integers(0, width_b, 30)
    stream = _core.Stream.of_pairs(n, width_a, width_b, a, b, groups, 1 << 25)
    assert stream.found_pairs() is None
    in_windows(stream, x, y, cuts)
    np.testing.assert_array_equal(stream.found_pairs(), _core.pair_correlations(*csr(x), *csr(y), a, b, groups))
    assert stream.found() is None


def draw_nulls(rng, n, width, ties):
    """Values that have nothing to do with each other; or a few columns many times, which all score the same."""
    if ties:
        return (np.arange(width) % 3 == rng.integers(0, 3, n)[:, None]) * 1.0
    return draw_codes(rng, n, width, 0.3, signed=False) * rng.random((n, width))


@given(seeds, widths, widths, st.integers(1, 4), st.booleans(), ways, st.sampled_from([0, 40, 500, 4000]), windows)
def test_any_limit_changes_no_bit(seed, width_a, width_b, top, ties, way, extra, cuts):
    """Nominees fill their memory every few features where all are alike, or no better than chance."""
    rng = np.random.default_rng(seed)
    x, y = (draw_nulls(rng, 63, width, ties) for width in (width_a, width_b))
    groups = rng.integers(0, 9, 63) if way == "given" else None
    metric = "pearson" if way == "given" else way

    def stream_of(limit):
        return _core.Stream(63, width_a, width_b, top, 1, metric, limit, groups)

    held = 0 if groups is None else 4 * 64 * 63 * (width_a + width_b)
    stream = stream_of(least_limit(stream_of) + held + extra)
    in_windows(stream, x, y, sorted({0, 63, *cuts}))
    wanted = _core.best_partners(*csr(x), *csr(y), top, 1, metric, groups)
    for ours, others in zip(stream.found(), wanted, strict=True):
        np.testing.assert_array_equal(ours, others)


def test_nominees_that_have_no_room_are_settled_in_between():
    """Sixty twins of every feature: each of 60 features of B nominates all of A, and there is room for a few."""
    x = draw_nulls(np.random.default_rng(0), 50, 60, ties=True)

    def passes(extra):
        stream = _core.Stream(50, 60, 60, 2, 1, "pearson", least + extra)
        return in_windows(stream, x, x, [0, 50]), stream.found()

    least = least_limit(lambda limit: _core.Stream(50, 60, 60, 2, 1, "pearson", limit))
    (many, tight), (few, ample) = passes(0), passes(1 << 25)
    assert few == 4 < 60 < many
    for ours, wanted in zip(tight, ample, strict=True):
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("signed", [False, True])
def test_blocks_given_groups_keep_the_limit(signed):
    """The least memory for what the features hold in groups: not enough for the sums of all pairs at once."""
    rng = np.random.default_rng(5)
    x, y = (draw_codes(rng, 600, width, 0.005, signed) * rng.random((600, width)) for width in (700, 900))
    groups = rng.integers(0, 40, 600)
    held = sum(len(set(zip(groups[rows], ids, strict=True))) for rows, ids in map(np.nonzero, (x, y)))
    limit = least_limit(lambda limit: _core.Stream(600, 700, 900, 1, 2, "pearson", limit, groups)) + 4 * 64 * held
    stream = _core.Stream(600, 700, 900, 1, 2, "pearson", limit, groups)
    assert in_windows(stream, x, y, [0, 1, 256, 599, 600]) > 6
    wanted = _core.best_partners(*csr(x), *csr(y), 1, 2, groups=groups)
    for ours, others in zip(stream.found(), wanted, strict=True):
        np.testing.assert_array_equal(ours, others)


def test_small_residuals_within_groups_keep_their_last_bits():
    """A feature's score of a partner and the partner's of it differ where rounding is not small beside residuals."""
    rng = np.random.default_rng(6)
    groups = rng.integers(0, 10, 200)
    x, y = (1 + rng.random((10, width))[groups] + 0.001 * rng.standard_normal((200, width)) for width in (30, 40))
    a, b = (index.ravel() for index in np.indices((30, 40)))
    r = _core.pair_correlations(*csr(x), *csr(y), a, b, groups)
    mirrored = _core.pair_correlations(*csr(y), *csr(x), b, a, groups)
    assert (r != mirrored).any()
    stream = _core.Stream(200, 30, 40, 3, 1, "pearson", 1 << 25, groups)
    in_windows(stream, x, y, [0, 70, 200])
    for ours, wanted in zip(stream.found(), _core.best_partners(*csr(x), *csr(y), 3, 1, groups=groups), strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_streams_with_bad_pairs_or_groups_are_refused():
    ids = np.array([0], dtype=np.int64)
    with pytest.raises(ValueError, match=r"feature_b must lie in 0\.\.1, got 1"):
        _core.Stream.of_pairs(1, 1, 1, ids, ids + 1, None, 1 << 25)
    with pytest.raises(ValueError, match="groups and the rows of a must have one length, got 1 and 2"):
        _core.Stream.of_pairs(2, 1, 1, ids, ids, ids, 1 << 25)
    with pytest.raises(ValueError, match="metric must be within where groups are given, got Cosine with groups"):
        _core.Stream(1, 1, 1, 1, 1, "cosine", 1 << 25, ids)
    with pytest.raises(ValueError, match=r"memory_limit must be at least \d+ bytes for these features and groups"):
        _core.Stream(2, 1, 1, 1, 1, "pearson", 1000, ids.repeat(2))
    least = least_limit(lambda limit: _core.Stream(2, 900, 1, 1, 1, "pearson", limit, ids.repeat(2)))
    stream = _core.Stream(2, 900, 1, 1, 1, "pearson", least + 4096, ids.repeat(2))
    with pytest.raises(ValueError, match=r"memory_limit must be at least \d+ bytes for what the features hold"):
        stream.feed(*csr(np.ones((2, 900))), *csr(np.ones((2, 1))))


@given(seeds, rows, widths, densities, st.integers(1, 9), st.booleans())
def test_top_positions_equal_a_stable_sort(seed, n, width, density, k, signed):
    x = draw_codes(np.random.default_rng(seed), n, width, density, signed).astype(np.float32)
    positions, values = _core.top_positions(*csr(x), k)
    wanted_positions, wanted_values = oracles.top_positions(x, k)
    np.testing.assert_array_equal(positions, wanted_positions)
    np.testing.assert_array_equal(values, wanted_values)


@given(seeds, st.sampled_from([1, 2, 7, 63]), st.sampled_from([0.5, 1 / 3]))
def test_mantel_dots_equal_the_double_sum(seed, n, step):
    """Halves are exact in float32, thirds are not: both ways of reading the matrices."""
    rng = np.random.default_rng(seed)
    x, y = (step * (m + m.T) for m in rng.integers(-(10**6), 10**6, (2, n, n)))
    permutations = np.stack([rng.permutation(n) for _ in range(5)])
    found = _core.mantel_dots(x, y, permutations)
    scale = np.abs(x).sum() * np.abs(y).max() + 1
    np.testing.assert_allclose(found, oracles.mantel_dots(x, y, permutations), rtol=0, atol=1e-13 * scale)


def replaced(arguments, place, value):
    return *arguments[:place], value, *arguments[place + 1 :]


one = csr([[1.0, 0.0], [0.0, 2.0]])
both = (*one, *one)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, np.array([0, 9, 2]), "a_indptr must rise from 0 to the number of values (2), got 9 before 2"),
        (0, np.array([], dtype=np.int64), "a_indptr must rise from 0 to the number of values (2), got an empty array"),
        (5, np.array([0, 7], dtype=np.int32), "b_indices must lie in 0..2, got 7"),
        (1, np.array([0, -1], dtype=np.int32), "a_indices must lie in 0..2, got -1"),
        (2, np.array([1, np.inf], dtype=np.float32), "a_values must be finite and not zero, got inf at position 1"),
        (2, np.ones(4, dtype=np.float32)[::2], "a_values must be C-contiguous, got a strided view"),
        (3, -1, "a_features must be between 0 and 2^31, got -1"),
        (4, np.array([0, 2]), "a_indptr and b_indptr must have one length, got 3 and 2"),
        (8, 0, "top must be between 1 and 1073741824, got 0"),
        (8, 2**40, "top must be between 1 and 1073741824, got 1099511627776"),
    ],
)
def test_malformed_sides_are_refused(place, value, message):
    with pytest.raises(ValueError, match="^" + message.translate({ord(c): f"\\{c}" for c in "().^"}) + "$"):
        _core.best_partners(*replaced((*both, 1, 1), place, value))


def test_wrong_types_are_refused():
    with pytest.raises(TypeError):
        _core.top_positions(*replaced(one, 2, np.ones(2)), 1)


def test_pairs_and_permutations_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r"^feature_b must lie in 0\.\.2, got 2$"):
        _core.pair_correlations(*both, np.array([0]), np.array([2]))
    m = np.zeros((2, 2))
    with pytest.raises(
        ValueError, match=r"^permutations must hold each of 0\.\.2 once in every row, row 0 has 1 twice$"
    ):
        _core.mantel_dots(m, m, np.array([[1, 1]]))
    with pytest.raises(ValueError, match=r"^permutations must have 2 columns, as x, got 3$"):
        _core.mantel_dots(m, m, np.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match=r"^y must have shape \(2, 2\), got \(3, 3\)$"):
        _core.mantel_dots(m, np.zeros((3, 3)), np.array([[0, 1]]))


def test_other_threads_run_while_the_core_works():
    """A counting thread keeps counting inside a call that holds no interpreter lock; every call, one after another."""
    ids = np.sort((np.arange(30_000)[:, None] * 7919 + 61 * np.arange(64)) % 4000, axis=1).astype(np.int32)
    side = np.arange(30_001) * 64, ids.ravel(), np.random.default_rng(0).random(ids.size, dtype=np.float32) + 1, 4000
    every = np.arange(4000)
    m = np.random.default_rng(0).random((700, 700))
    permutations = np.stack([np.random.default_rng(i).permutation(700) for i in range(100)])
    calls = [
        lambda: _core.best_partners(*side, *side, 1, 1),
        lambda: _core.pair_correlations(*side, *side, every, every, np.arange(30_000) % 50),
        lambda: _core.top_positions(*side, 5),
        lambda: _core.band_positions(*side, 5, 4, np.ones(4000, np.float32), np.arange(30_000, dtype=np.uint32)),
        lambda: _core.mantel_dots(m, m, permutations),
    ]
    stamps, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            stamps.append(time.perf_counter())
            time.sleep(0.0002)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    counter = threading.Thread(target=count)
    counter.start()
    try:
        for call in calls:
            inside = 0
            for _ in range(50):  # a busy machine may leave the counter no core for one short call
                start = time.perf_counter()
                call()
                end = time.perf_counter()
                inside += sum(start + 0.001 < stamp < end - 0.001 for stamp in stamps)
                if inside:
                    break
            assert inside
    finally:
        stop.set()
        counter.join()
        sys.setswitchinterval(interval)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_threads_of_its_own():
    code = """
import os, signal, numpy as np, test_core as t
from analogue import _core
first = _core.top_positions(*t.one, 1)[0].tolist()
child = os.fork()
if not child:
    signal.alarm(20)
    os._exit(0 if _core.top_positions(*t.one, 1)[0].tolist() == first else 1)
print(os.waitpid(child, 0)[1])
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.path.dirname(__file__), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "0"


def test_the_stub_matches_the_module(tmp_path):
    (tmp_path / "mypy.ini").write_text("[mypy]\nfollow_imports = skip\n")  # the stub alone: seconds, not minutes
    result = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "analogue._core", "--mypy-config-file", tmp_path / "mypy.ini"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout
