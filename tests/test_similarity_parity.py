"""The measures against public implementations of the same definitions, where those are right."""

import cka
import numpy as np
import pytest
import torch
from calibrated_similarity import calibrate
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm, compare
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import NearestNeighbors

from analogue import similarity
from analogue.nulls import Score
from analogue.similarity import MEASURES
from analogue.similarity.splits import Predictors
from test_similarity import related


@pytest.mark.parametrize("shape", [(12, 5, 4), (63, 40, 7), (130, 20, 30)], ids=str)
@pytest.mark.parametrize("inner", ["correlation", "euclidean"])
@pytest.mark.parametrize(("outer", "comparison"), [("pearson", "corr"), ("spearman", "spearman")])
def test_rsa_equals_rsatoolbox(shape, inner, outer, comparison):
    x, y = related(*shape)
    rdms = [calc_rdm(Dataset(side), method=inner) for side in (x, y)]
    if inner == "euclidean":  # theirs are squares over the number of columns
        for rdm in rdms:
            rdm.dissimilarities = np.sqrt(rdm.dissimilarities)
    theirs = compare(*rdms, method=comparison)[0, 0]
    assert similarity.rsa(x, y, inner, outer) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("shape", [(7, 5, 4), (63, 40, 7), (130, 200, 30)], ids=str)
def test_debiased_cka_equals_pytorch_cka(shape):
    sides = [torch.from_numpy(side) for side in related(*shape)]
    hsic_xy, hsic_xx, hsic_yy = cka.hsic(*((side @ side.T)[None] for side in sides))
    theirs = (hsic_xy / torch.sqrt(hsic_xx * hsic_yy)).item()
    assert similarity.cka(*(side.numpy() for side in sides)) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("shape", [(30, 3, 4), (120, 6, 5)], ids=str)
def test_svcca_and_cca_r2_equal_the_canonical_correlations_of_scikit_learn(shape):
    x, y = related(*shape)
    x_scores, y_scores = CCA(min(shape[1:]), scale=False, max_iter=100_000, tol=1e-16).fit_transform(x, y)
    theirs = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(x_scores.T, y_scores.T, strict=True)])
    assert similarity.svcca(x, y, 1.0) == pytest.approx(theirs.mean(), abs=1e-6)
    assert similarity.cca_r2(x, y, 1.0) == pytest.approx((theirs**2).mean(), abs=1e-6)


@pytest.mark.parametrize("k", [1, 10])
def test_mutual_knn_equals_the_neighbours_of_scikit_learn(k):
    x, y = related(90, 7, 12)
    found = [NearestNeighbors(n_neighbors=k, metric="cosine").fit(side).kneighbors()[1] for side in (x, y)]
    shared = [len(set(a) & set(b)) for a, b in zip(*found, strict=True)]
    assert similarity.mutual_knn(x, y, k) == pytest.approx(np.mean(shared) / k, abs=1e-12)
    assert similarity.jaccard_knn(x, y, k) == pytest.approx(np.mean([s / (2 * k - s) for s in shared]), abs=1e-12)


@pytest.mark.parametrize("shape", [(60, 9, 1), (200, 30, 4)], ids=str)
def test_the_chosen_penalty_predicts_as_well_as_that_of_leaving_one_out(shape):
    """Scikit-learn leaves out each row in turn; generalised cross-validation is that, averaged over rotations."""
    x, y = related(*shape, noise=4.0)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    predictors = Predictors.of(x)
    own = predictors.penalty(((predictors.axes.T @ x.T @ y) ** 2).sum(axis=1), float((y**2).sum()))
    grid = predictors.variances.max() * np.logspace(-6, 3, 19)

    def left_out(penalty):
        return -RidgeCV([float(penalty)], fit_intercept=True).fit(x, y).best_score_

    assert left_out(own) <= 1.01 * min(left_out(penalty) for penalty in grid)


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "paired_cosine"])
def test_scores_equal_calibrated_similarity(name):
    x, y = related(60, 5, 7, noise=4.0)
    orders = []

    def measure(a, b):
        return torch.tensor(getattr(similarity, name)(a.numpy(), b.numpy()), dtype=torch.float64)

    def recorded(n, device):
        rng = np.random.default_rng(len(orders))
        orders.append(rng.permutation(n))
        return torch.from_numpy(orders[-1]).to(device)

    theirs = calibrate(torch.from_numpy(x), torch.from_numpy(y), measure, K=39, perm_fn=recorded)
    prepared = MEASURES[name].prepare(x, y)
    draws = prepared.draws(np.array(orders))
    ours = Score.from_draws(
        name, "pairing", "permutation", n=60, observed=prepared.observed, draws=draws, rounding=prepared.rounding
    )
    assert [float(value) for value in theirs[:2]] == pytest.approx([ours.calibrated, ours.p_value], abs=1e-6)
