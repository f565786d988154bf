"""What the nulls take from a measure: its value on permuted rows, without computing everything again."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import oracles
from analogue import similarity
from analogue.similarity import MEASURES
from analogue.similarity.cca import SquaredSubspaces, Subspaces
from analogue.similarity.gram import Kernels
from analogue.similarity.mantel import Mantel
from test_similarity import FUNCTIONS, NEIGHBOURS, related, sides

LOOSE = ("procrustes",)  # singular values of wide sides are roots of eigenvalues


def orders_of(n, count=6, seed=1):
    rng = np.random.default_rng(seed)
    return np.stack([np.arange(n), *(rng.permutation(n) for _ in range(count))])


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("shape", [(12, 3, 4), (14, 30, 2), (63, 40, 35), (200, 45, 90), (200, 90, 130)], ids=str)
def test_draws_are_the_measure_on_permuted_rows(name, shape):
    x, y = sides(name, *shape)
    orders = orders_of(len(x))
    try:
        prepared = MEASURES[name].prepare(x, y)
    except similarity.UndefinedError:
        assert name == "pwcca"
        assert shape == (63, 40, 35)
        return
    recomputed = [FUNCTIONS[name](x, y[order]) for order in orders]
    np.testing.assert_allclose(prepared.draws(orders), recomputed, atol=2e-9, rtol=0)
    assert prepared.observed == recomputed[0]
    np.testing.assert_allclose(prepared.draws(orders), [prepared.draws(o[None])[0] for o in orders], atol=1e-12, rtol=0)
    assert prepared.draws(orders[:0]).shape == (0,)


@pytest.mark.parametrize("name", MEASURES)
def test_draws_of_repeated_rows_are_the_measure_on_permuted_rows(name):
    x, y = sides(name, 48, 4, 5)
    x, y = x[np.arange(48) // 16], y[np.arange(48) // 12]  # 3 and 4 distinct rows: every neighbourhood is a tie
    x[:6] += np.arange(6)[:, None] * [1.0, 0.0, 2.0, 0.0]
    orders = orders_of(48, 20)
    prepared = MEASURES[name].prepare(x, y)
    np.testing.assert_allclose(
        prepared.draws(orders), [FUNCTIONS[name](x, y[order]) for order in orders], atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_ties_favour_no_pairing(name):
    """Neighbours by index alone: the pairs as they are must not share more of them than after a permutation."""
    rng = np.random.default_rng(2)
    ranks = []
    for _ in range(300):
        x, y = (
            rng.standard_normal((4, 3))[rng.integers(4, size=48)],
            rng.standard_normal((4, 3))[rng.integers(4, size=48)],
        )
        prepared = MEASURES[name].prepare(x, y)
        draws = prepared.draws(np.stack([rng.permutation(48) for _ in range(19)]))
        ranks.append((draws >= prepared.observed - prepared.rounding).sum())
    assert np.mean(np.array(ranks) == 0) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_large_svcca_draws_are_within_their_rounding():
    rng = np.random.default_rng(0)
    qx, qy = (np.linalg.qr(rng.standard_normal((3000, k)))[0] for k in (290, 310))  # large enough for float32
    order = rng.permutation(3000)
    for other in (qy, np.linalg.qr(np.hstack([qx, qy]))[0][:, :310]):  # unrelated; containing qx
        values = [np.linalg.svd(qx.T @ side, compute_uv=False) for side in (other, other[order])]
        for prepared, exact in (
            (Subspaces(qx, other), [value.mean() for value in values]),
            (SquaredSubspaces(qx, other), [(value**2).mean() for value in values]),
        ):
            errors = np.abs(prepared.draws(np.stack([np.arange(3000), order])) - exact)
            assert 0 < errors.max() < 2e-8 < prepared.rounding
            assert abs(prepared.observed - exact[0]) < 1e-12


@pytest.mark.parametrize("name", ["rsa", "cka"])
def test_moments_over_all_permutations_have_their_closed_form(name):
    x, y = related(7, 3, 4)
    prepared = MEASURES[name].prepare(x, y)
    draws = prepared.draws(np.array(list(itertools.permutations(range(7))), dtype=np.int64))
    mean, variance = oracles.mantel_moments(prepared.a, prepared.b)
    assert len(draws) == 5040
    assert draws.mean() == pytest.approx(mean / 2, abs=1e-13) == pytest.approx(0.0, abs=1e-13)
    assert draws.var() == pytest.approx(variance / 4, rel=1e-10)


def test_biased_kernels_are_double_centred_and_of_unit_norm():
    prepared = MEASURES["cka_biased"].prepare(*related(30, 3, 40))
    assert isinstance(prepared, Kernels)
    for gram in (prepared.k, prepared.l):
        np.testing.assert_allclose(gram.sum(axis=0), 0.0, atol=1e-12)
        assert np.linalg.norm(gram) == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_array_equal(gram, gram.T)


@pytest.mark.parametrize("name", ["cka", "cka_biased"])
@pytest.mark.parametrize("shape", [(7, 2, 3), (63, 9, 40), (40, 60, 50)], ids=str)
def test_gram_matrices_need_not_be_kept(name, shape, monkeypatch):
    x, y = related(*shape)
    orders = orders_of(len(x), 12)
    kept, lean = [], []
    for rows_in_memory, products, found in ((10**6, 0, kept), (0, 0, lean)):
        monkeypatch.setattr("analogue.similarity.gram._ROWS_IN_MEMORY", rows_in_memory)
        monkeypatch.setattr("analogue.similarity.gram._PRODUCTS_A_GATHER", products)
        found.append(MEASURES[name].prepare(x, y))
    (kept,), (lean,) = kept, lean
    assert type(kept) in type(lean).__bases__
    assert max(kept.rounding, lean.rounding) <= 1e-10
    np.testing.assert_allclose(lean.draws(orders), kept.draws(orders), atol=1e-12, rtol=0)
    assert lean.observed == pytest.approx(kept.observed, abs=1e-12)
    for matrix in ("a", "b") if name == "cka" else ("k", "l"):
        np.testing.assert_allclose(getattr(lean, matrix), getattr(kept, matrix), atol=1e-12, rtol=0)


def test_gram_matrices_are_kept_where_their_centred_part_is_small(monkeypatch):
    """One row apart and the others together: all distances are sums of two numbers, and nothing is left but noise."""
    monkeypatch.setattr("analogue.similarity.gram._ROWS_IN_MEMORY", 0)
    x, y = related(40, 5, 4)
    x = np.eye(40, 5) + 1e-6 * x
    x[0, 0] += 100.0
    prepared = MEASURES["cka"].prepare(x, y)
    assert type(prepared) is Mantel
    assert prepared.observed == pytest.approx(oracles.debiased_cka(x, y), abs=1e-5)


def test_cosines_of_many_rows_are_not_kept(monkeypatch):
    x, y = sides("paired_cosine", 63, 7, 7)
    orders = orders_of(63)
    kept = MEASURES["paired_cosine"].prepare(x, y).draws(orders)
    monkeypatch.setattr("analogue.similarity.paired._KEPT_ROWS", 62)
    np.testing.assert_allclose(MEASURES["paired_cosine"].prepare(x, y).draws(orders), kept, atol=1e-13, rtol=0)


def test_any_number_of_threads_gives_the_same_draws():
    program = """if True:
        import json
        import numpy as np
        from analogue.similarity import MEASURES
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((120, 40)), rng.standard_normal((120, 40))
        orders = np.stack([rng.permutation(120) for _ in range(5)])
        print(json.dumps({name: measure.prepare(x, y).draws(orders).tolist() for name, measure in MEASURES.items()}))
    """
    found = []
    for threads in ("1", "2"):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), threads)
        environment = os.environ | limits | {"PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        found.append(json.loads(run.stdout))
    assert set(found[0]) == set(MEASURES)
    for other in found[1:]:
        for name, draws in other.items():
            np.testing.assert_allclose(draws, found[0][name], atol=1e-12, rtol=0, err_msg=name)
