"""The null of every measure against calibrated-similarity, which calls the measure anew on every permutation."""

from statistics import median
from time import perf_counter

import numpy as np
import pytest
import torch
from calibrated_similarity import calibrate

from analogue.nulls.groups import exchangeable
from analogue.nulls.permutations import draw_permutations
from analogue.similarity import MEASURES

N, DX, DY = 2000, 256, 384
PERMUTATIONS = 4
K = 10
EYE = torch.eye(N, dtype=torch.bool)


def centred(rows):
    return rows - rows.mean(dim=0)


def basis(rows, most=None):
    u, s, _ = torch.linalg.svd(centred(rows), full_matrices=False)
    share = (s**2).cumsum(0) / (s**2).sum()
    return u[:, : min(int((share < 0.99).sum()) + 1, most or N)]


def canonical(x, y, most=None):
    return torch.linalg.svdvals(basis(x, most).T @ basis(y, most))


def pwcca(x, y):
    qx, qy = basis(x), basis(y)
    if qx.shape[1] > qy.shape[1]:
        (x, qx), (y, qy) = (y, qy), (x, qx)
    u, s, _ = torch.linalg.svd(qx.T @ qy, full_matrices=False)
    weights = ((qx @ u).T @ centred(x)).abs().sum(dim=1)
    return (weights * s).sum() / weights.sum()


def rsa(x, y):
    below = torch.tril_indices(N, N, -1)
    ranks = [(1 - torch.corrcoef(side))[below[0], below[1]].argsort().argsort().double() for side in (x, y)]
    return torch.corrcoef(torch.stack(ranks))[0, 1]


def cka(x, y):
    def u_centred(rows):
        gram = (rows @ rows.T).masked_fill(EYE, 0.0)
        sums = gram.sum(dim=0) / (N - 2)
        return (gram - sums[:, None] - sums + sums.sum() / (N - 1)).masked_fill(EYE, 0.0)

    k, l = u_centred(x), u_centred(y)  # noqa: E741
    return (k * l).sum() / (k.norm() * l.norm())


def cka_biased(x, y):
    x, y = centred(x), centred(y)
    return (x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())


def procrustes(x, y):
    x, y = centred(x), centred(y)
    return torch.linalg.svdvals(x.T @ y).sum() / (x.norm() * y.norm())


def shared(x, y):
    near = []
    for rows in (x, y):
        rows = torch.nn.functional.normalize(rows)
        near.append((rows @ rows.T).fill_diagonal_(-2.0).topk(K).indices)
    return (near[0][:, :, None] == near[1][:, None, :]).sum(dim=(1, 2)).double()


RIVALS = {
    "svcca": lambda x, y: canonical(x, y).mean(),
    "svcca_capped": lambda x, y: canonical(x, y, N // 6).mean(),
    "pc1_corr": lambda x, y: canonical(x, y, 1).mean(),
    "cca_r2": lambda x, y: (canonical(x, y) ** 2).mean(),
    "pwcca": pwcca,
    "rsa": rsa,
    "cka": cka,
    "cka_biased": cka_biased,
    "procrustes": procrustes,
    "mutual_knn": lambda x, y: (shared(x, y) / K).mean(),
    "jaccard_knn": lambda x, y: (shared(x, y) / (2 * K - shared(x, y))).mean(),
    "paired_cosine": lambda x, y: torch.nn.functional.cosine_similarity(x, y).mean(),
}
# The factor to hold on a shared machine; the target on a quiet one is 10, and 4 for Procrustes, where only the norms
# stand. Held-out measures have no public form to call: their rival is the measure itself, from the start.
FACTORS = dict.fromkeys(MEASURES, 10) | {"procrustes": 3, "heldout_r2": 3}


@pytest.mark.parametrize("name", MEASURES)
def test_null_beats_calibrated_similarity(name, benchmark):
    rng = np.random.default_rng(0)
    common = rng.standard_normal((N, 64))
    x, y = (rng.standard_normal((N, d)) + common @ rng.standard_normal((64, d)) / 8 for d in (DX, DY))
    if name == "paired_cosine":
        y = y[:, :DX].copy()
    orders = draw_permutations(np.random.default_rng(0), exchangeable(np.arange(N)), N, PERMUTATIONS)

    def anew(a, b):
        return torch.tensor(MEASURES[name].prepare(a.numpy(), b.numpy()).observed, dtype=torch.float64)

    found, measure = [], RIVALS.get(name, anew)

    def recorded(a, b):
        found.append(measure(a, b))
        return found[-1]

    permutations = iter(torch.from_numpy(orders))
    start = perf_counter()
    calibrate(torch.from_numpy(x), torch.from_numpy(y), recorded, K=PERMUTATIONS, perm_fn=lambda *_: next(permutations))
    rival_seconds = (perf_counter() - start) / (1 + PERMUTATIONS)

    prepared = MEASURES[name].prepare(x, y)
    many = np.tile(orders, (2, 1))
    prepared.draws(many)  # timed warm
    timed = []
    for _ in range(3):
        start = perf_counter()
        draws = prepared.draws(many)
        timed.append((perf_counter() - start) / len(many))
    seconds = median(timed)

    np.testing.assert_allclose(draws[:PERMUTATIONS], [float(value) for value in found[1:]], atol=2e-6, rtol=0)
    benchmark.extra_info |= {"rival_seconds": rival_seconds, "seconds": seconds}
    benchmark(prepared.draws, orders)
    ratio = rival_seconds / seconds
    print(f"\n{name}, {N} rows: {seconds * 1e3:.3f} ms against {rival_seconds * 1e3:.1f} ms: {ratio:.0f} times")
    assert ratio >= FACTORS[name]
