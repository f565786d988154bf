"""Textbook definitions of the similarity measures in float64 NumPy and SciPy; slow, and independent of the package."""

from __future__ import annotations

import numpy as np
from scipy import linalg


def principal_scores(rows, variance=0.99, most=None):
    """Centred rows along the fewest eigenvectors of their covariance that hold ``variance`` of it, at most ``most``."""
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    values, vectors = values[::-1].clip(min=0.0), vectors[:, ::-1]
    shares = values.cumsum() / values.sum()
    k = next(k for k, share in enumerate(shares, 1) if share >= variance - 1e-12)
    return centred @ vectors[:, : k if most is None else min(k, most)]


def svcca_capped(x, y, variance=0.99):
    """Mean cosine of the principal angles between subspaces of at most a sixth as many directions as rows."""
    most = max(1, len(x) // 6)
    angles = linalg.subspace_angles(principal_scores(x, variance, most), principal_scores(y, variance, most))
    return float(np.cos(angles).mean())


def pc1_corr(x, y):
    """Pearson correlation of the scores on the leading eigenvectors of both covariances."""
    return float(abs(np.corrcoef(principal_scores(x, most=1)[:, 0], principal_scores(y, most=1)[:, 0])[0, 1]))


def cca_r2(x, y, variance=0.99):
    """Pillai's trace tr(Sxx^-1 Sxy Syy^-1 Syx) of the principal scores, over the smaller number of them."""
    a, b = principal_scores(x, variance), principal_scores(y, variance)
    trace = np.trace(np.linalg.solve(a.T @ a, a.T @ b) @ np.linalg.solve(b.T @ b, b.T @ a))
    return float(trace / min(a.shape[1], b.shape[1]))


def pwcca(x, y, variance=0.99):
    """Morcos et al. 2018: CCA by inverse roots of covariances, each correlation weighted by sum_j |<h_i, z_j>|."""
    a, b, columns = principal_scores(x, variance), principal_scores(y, variance), x - x.mean(axis=0)
    if a.shape[1] > b.shape[1]:
        a, b, columns = b, a, y - y.mean(axis=0)
    white_a, white_b = (np.real(linalg.inv(linalg.sqrtm(side.T @ side))) for side in (a, b))
    u, rho, _ = np.linalg.svd(white_a @ a.T @ b @ white_b)
    variates = a @ white_a @ u
    weights = np.array([sum(abs(variate @ column) for column in columns.T) for variate in variates.T])
    return float(sum(weights[: len(rho)] * rho) / sum(weights[: len(rho)]))


def divisions(n, splits=5):
    """Train and test rows of each division: the halves of permutations drawn from a generator of seed 0."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(n) for _ in range(splits)]
    return [(order[: n // 2], order[n // 2 :]) for order in orders]


def ridge_penalty(x, y):
    """The largest penalty within a thousandth of the least generalised cross-validation error, by explicit hats."""
    penalties = np.linalg.norm(x, 2) ** 2 * np.logspace(-6, 3, 19)

    def error(penalty):
        hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T)
        return np.linalg.norm(y - hat @ y) ** 2 / (len(x) - 1 - np.trace(hat)) ** 2

    errors = [error(penalty) for penalty in penalties]
    return max(penalty for penalty, own in zip(penalties, errors, strict=True) if own <= 1.001 * min(errors))


def heldout_r2(x, y, splits=5):
    """Ridge regression by its normal equations, scored against the training mean."""
    left = total = 0.0
    for train, test in divisions(len(x), splits):
        a, b = x[train] - x[train].mean(axis=0), y[train] - y[train].mean(axis=0)
        slopes = np.linalg.solve(a.T @ a + ridge_penalty(a, b) * np.eye(x.shape[1]), a.T @ b)
        predicted = y[train].mean(axis=0) + (x[test] - x[train].mean(axis=0)) @ slopes
        left += ((y[test] - predicted) ** 2).sum()
        total += ((y[test] - y[train].mean(axis=0)) ** 2).sum()
    return float(1 - left / total)


def heldout_cca(x, y, splits=5, variance=0.99):
    """Regularised CCA of principal scores by inverse roots of penalised covariances, scored by np.corrcoef."""
    most = min(len(x) // 6, 50)
    x, y = principal_scores(x, variance, most), principal_scores(y, variance, most)
    found = []
    for train, test in divisions(len(x), splits):
        a, b = x[train] - x[train].mean(axis=0), y[train] - y[train].mean(axis=0)
        white_a = np.real(linalg.inv(linalg.sqrtm(a.T @ a + ridge_penalty(a, b) * np.eye(a.shape[1]))))
        white_b = np.real(linalg.inv(linalg.sqrtm(b.T @ b + ridge_penalty(b, a) * np.eye(b.shape[1]))))
        u, _, vt = np.linalg.svd(white_a @ a.T @ b @ white_b)
        variates = zip((x[test] @ white_a @ u).T, (y[test] @ white_b @ vt.T).T, strict=False)
        found += [np.corrcoef(*pair)[0, 1] for pair in variates]
    return float(np.mean(found))


def cka_biased(x, y):
    """HSIC_0(x, y) / sqrt(HSIC_0(x, x) HSIC_0(y, y)), tr(K H L H) with an explicit centring matrix H."""
    centring = np.eye(len(x)) - 1 / len(x)

    def hsic(a, b):
        return np.trace(a @ a.T @ centring @ b @ b.T @ centring)

    return float(hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y)))


def procrustes(x, y):
    """From SciPy's disparity 1 - s^2 after the best rotation and scaling, the narrower side padded with zeros."""
    from scipy.spatial import procrustes as superpose

    width = max(x.shape[1], y.shape[1])
    x, y = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    return float(np.sqrt(1 - superpose(x, y)[2]))


def nearest(rows, k):
    """The k nearest rows by cosine of every row, lowest index first where the cosines agree to 12 digits."""
    norms = [np.linalg.norm(row) for row in rows]
    found = []
    for i, row in enumerate(rows):
        cosines = {
            j: round(float(row @ other) / (norms[i] * norms[j]), 12) if norms[i] and norms[j] else 0.0
            for j, other in enumerate(rows)
            if j != i
        }
        found.append(set(sorted(cosines, key=lambda j: (-cosines[j], j))[:k]))
    return found


def mutual_knn(x, y, k=10):
    """Mean share of neighbours in common."""
    return float(np.mean([len(a & b) / k for a, b in zip(nearest(x, k), nearest(y, k), strict=True)]))


def jaccard_knn(x, y, k=10):
    """Mean intersection over union of both sets of neighbours."""
    return float(np.mean([len(a & b) / len(a | b) for a, b in zip(nearest(x, k), nearest(y, k), strict=True)]))


def paired_cosine(x, y):
    """One minus SciPy's cosine distance, averaged over pairs."""
    from scipy.spatial.distance import cosine

    return float(np.mean([1 - cosine(a, b) for a, b in zip(x, y, strict=True)]))
