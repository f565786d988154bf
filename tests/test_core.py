"""The compiled core against textbook NumPy: what it computes, what it refuses, and that it lets other threads run."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from analogue import FeatureActivations, _core


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
found += [*_core.top_positions(*a, 5), _core.mantel_dots(m, m, ps)]
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
