"""Textbook definitions in float64 NumPy and SciPy, or in exact fractions; slow, and independent of the package."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt

import numpy as np


def pearson_matrix(x, y):
    """Pearson correlation of every column of x with every column of y in float64.

    NaN in the row or column of a feature whose variance is at most 1e-12 of its mean square, or is not a number.
    """

    def standardised(matrix):
        matrix = np.asarray(matrix, dtype=np.float64)
        centred = matrix - matrix.mean(axis=0)
        variance = (centred**2).mean(axis=0)
        varies = variance > 1e-12 * (matrix**2).mean(axis=0)
        return centred / np.sqrt(np.where(varies, variance, np.nan))

    return standardised(x).T @ standardised(y) / len(x)


def best_partners_by_fractions(x, y, top=1, candidates_x=None, candidates_y=None):
    """The ``top`` columns of x with the largest Pearson r for each column of y, in rational arithmetic.

    For one y, r orders as sign(c) c^2 / v with c = n sum(xy) - sum(x) sum(y) and v = n sum(x^2) - sum(x)^2, exact for
    any finite floats: ties are true ties and go to the lowest index. Lists of (index, r), shorter where x runs out.
    """

    def moments(matrix, mask):
        columns = [[Fraction(float(v)) for v in column] for column in matrix.T]
        n, sums = len(matrix), [sum(column) for column in columns]
        squares = [n * sum(v * v for v in column) for column in columns]
        spreads = [q - s * s for q, s in zip(squares, sums, strict=True)]
        allowed = [v > Fraction(1, 10**12) * q for v, q in zip(spreads, squares, strict=True)]
        return columns, sums, spreads, [a and (mask is None or bool(mask[i])) for i, a in enumerate(allowed)]

    columns_x, sums_x, spreads_x, allowed_x = moments(x, candidates_x)
    columns_y, sums_y, spreads_y, allowed_y = moments(y, candidates_y)
    found = []
    for j, column_y in enumerate(columns_y):
        ranked = []
        for i in [i for i in range(len(columns_x)) if allowed_x[i] and allowed_y[j]]:
            products = len(x) * sum(a * b for a, b in zip(columns_x[i], column_y, strict=True))
            c = products - sums_x[i] * sums_y[j]
            ranked.append((-(c * abs(c)) / spreads_x[i], i, float(c) / sqrt(spreads_x[i] * spreads_y[j])))
        found.append([(i, r) for _, i, r in sorted(ranked)[:top]])
    return found


def best_partners_by_cosine(x, y, top=1, candidates_x=None, candidates_y=None):
    """The ``top`` columns of x with the largest cosine for each column of y, in rational arithmetic.

    For one y, cosine orders as sign(c) c^2 / sum(x^2) with c = sum(xy): ties are true ties and go to the lowest index.
    Columns of zeros neither choose nor are chosen. Lists of (index, cosine), shorter where x runs out.
    """

    def parts(matrix, mask):
        columns = [[Fraction(float(v)) for v in column] for column in matrix.T]
        squares = [sum(v * v for v in column) for column in columns]
        return columns, squares, [q > 0 and (mask is None or bool(mask[i])) for i, q in enumerate(squares)]

    columns_x, squares_x, allowed_x = parts(x, candidates_x)
    columns_y, squares_y, allowed_y = parts(y, candidates_y)
    found = []
    for j, column_y in enumerate(columns_y):
        ranked = []
        for i in [i for i in range(len(columns_x)) if allowed_x[i] and allowed_y[j]]:
            c = sum(a * b for a, b in zip(columns_x[i], column_y, strict=True))
            ranked.append((-(c * abs(c)) / squares_x[i], i, float(c) / sqrt(squares_x[i] * squares_y[j])))
        found.append([(i, r) for _, i, r in sorted(ranked)[:top]])
    return found


def best_partners_by_jaccard(x, y, top=1, candidates_x=None, candidates_y=None):
    """The ``top`` columns of x with the largest |both fire| / |either fires| for each column of y, as fractions."""

    def firing(matrix, mask):
        return [set(np.flatnonzero(column)) if mask is None or mask[i] else set() for i, column in enumerate(matrix.T)]

    found = []
    for fires_y in firing(y, candidates_y):
        ranked = [
            (-Fraction(len(fires_x & fires_y), len(fires_x | fires_y)), i)
            for i, fires_x in enumerate(firing(x, candidates_x))
            if fires_x and fires_y
        ]
        found.append([(i, float(-j)) for j, i in sorted(ranked)[:top]])
    return found


def svcca(x, y, variance=0.99):
    """Mean cosine of the principal angles between the two principal subspaces, each from its covariance matrix."""
    import numpy as np
    from scipy.linalg import subspace_angles

    def scores(rows):
        centred = rows - rows.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        values, vectors = values[::-1].clip(min=0.0), vectors[:, ::-1]
        shares = values.cumsum() / values.sum()
        return centred @ vectors[:, : next(k for k, share in enumerate(shares, 1) if share >= variance - 1e-12)]

    return float(np.cos(subspace_angles(scores(x), scores(y))).mean())


def rsa(x, y, inner="correlation", outer="spearman"):
    """SciPy's correlation of SciPy's distances; to 12 digits, so that true ties are ties."""
    from scipy.spatial.distance import pdist
    from scipy.stats import pearsonr, spearmanr

    correlate = {"spearman": spearmanr, "pearson": pearsonr}[outer]
    return float(correlate(pdist(x, inner).round(12), pdist(y, inner).round(12)).statistic)


def debiased_cka(x, y):
    """HSIC_1(x, y) / sqrt(HSIC_1(x, x) HSIC_1(y, y)) with HSIC_1 as in Song et al. 2012, on linear kernels."""
    import numpy as np

    def gram(rows):
        product = rows @ rows.T
        return product - np.diag(np.diag(product))

    def hsic(k, l):  # noqa: E741
        n, ones = len(k), np.ones(len(k))
        cross = (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (ones @ k @ l @ ones)
        return (np.trace(k @ l) + cross) / (n * (n - 3))

    k, l = gram(x), gram(y)  # noqa: E741
    return float(hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l)))


def mantel_moments(a, b):
    """Mean and variance over all permutations of the sum of a[i, j] b[p(i), p(j)] over i != j (Mantel 1967)."""
    n = len(a)
    a1, b1 = a.sum(), b.sum()
    a2, b2 = (a**2).sum(), (b**2).sum()
    a3, b3 = (a.sum(axis=1) ** 2).sum(), (b.sum(axis=1) ** 2).sum()
    n2 = n * (n - 1)
    n3, n4 = n2 * (n - 2), n2 * (n - 2) * (n - 3)
    square = 2 * a2 * b2 / n2 + 4 * (a3 - a2) * (b3 - b2) / n3
    square += (a1**2 - 4 * a3 + 2 * a2) * (b1**2 - 4 * b3 + 2 * b2) / n4
    return a1 * b1 / n2, square - (a1 * b1 / n2) ** 2


def score(observed, draws, alpha=0.05):
    """Null mean, null sd, z, p and calibrated score by counting and sorting."""
    from fractions import Fraction
    from math import ceil
    from statistics import fmean, pstdev

    draws = [float(draw) for draw in draws]
    p = (1 + sum(draw >= observed for draw in draws)) / (1 + len(draws))
    threshold = sorted([*draws, observed])[ceil((1 - Fraction(str(alpha))) * (len(draws) + 1)) - 1]
    mean, sd = fmean(draws), pstdev(draws)
    return {
        "null_mean": mean,
        "null_std": sd,
        "z": (observed - mean) / sd,
        "p_value": p,
        "calibrated": max(0.0, (observed - threshold) / (1 - threshold)),
    }


def within_group_correlation(x, y, groups):
    """Pearson correlation of explicit residuals (columns minus their means within each group); 0 where none is left."""

    def residuals(matrix):
        matrix = np.array(matrix, dtype=np.float64)
        squares = (matrix**2).sum(axis=0)
        for group in np.unique(groups):
            matrix[groups == group] -= matrix[groups == group].mean(axis=0)
        norms = np.sqrt((matrix**2).sum(axis=0))
        return matrix / np.where(norms**2 > 1e-10 * squares, norms, np.inf)

    return residuals(x).T @ residuals(y)


def best_partners_within(x, y, groups, top=1, min_activations=1):
    """The ``top`` columns of x with the largest partial Pearson r given the group for each column of y, as fractions.

    After subtracting group means: c = sum(xy) - sum over groups of Sx Sy / n, v likewise, and a column with at most
    1e-10 of its sum of squares left neither chooses nor is chosen. Lists of (index, r), shorter where x runs out.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]

    def residuals(matrix):
        columns = []
        for column in matrix.T:
            left = [Fraction(float(v)) for v in column]
            squares = sum(v * v for v in left)
            for rows in members:
                mean = sum(left[row] for row in rows) / len(rows)
                for row in rows:
                    left[row] -= mean
            spread = sum(v * v for v in left)
            taken = np.count_nonzero(column) >= min_activations and spread > Fraction(1, 10**10) * squares
            columns.append((left, spread, taken))
        return columns

    columns_x = residuals(x)
    found = []
    for left_y, spread_y, taken_y in residuals(y):
        ranked = []
        for i, (left_x, spread_x, taken_x) in enumerate(columns_x):
            if taken_x and taken_y:
                c = sum(a * b for a, b in zip(left_x, left_y, strict=True))
                ranked.append((-(c * abs(c)) / spread_x, i, float(c) / sqrt(spread_x * spread_y)))
        found.append([(i, r) for _, i, r in sorted(ranked)[:top]])
    return found


def top_positions(x, k):
    """Rows where each column of x is positive, largest first, earlier row first: rows and values (F, k)."""
    positions, values = np.full((x.shape[1], k), -1), np.zeros((x.shape[1], k), dtype=np.float32)
    for feature, column in enumerate(x.T):
        order = np.argsort(-column, kind="stable")[:k]
        order = order[column[order] > 0]
        positions[feature, : len(order)], values[feature, : len(order)] = order, column[order]
    return positions, values


def mantel_dots(x, y, permutations):
    """Sum over i < j of x[i, j] y[p[i], p[j]] for every permutation p."""
    upper = np.triu_indices(len(x), 1)
    return np.array([x[upper] @ y[np.ix_(p, p)][upper] for p in permutations])


def ranked(weights, top):
    """The ``top`` columns of largest weight for every row, lowest index first on ties: ids and weights, with -1, 0."""
    ids, values = np.full((len(weights), top), -1), np.zeros((len(weights), top))
    for row, own in enumerate(weights):
        best = sorted(range(len(own)), key=lambda column: (-own[column], column))[:top]
        ids[row, : len(best)], values[row, : len(best)] = best, [own[column] for column in best]
    return ids, values


def capped(rows, k):
    """Of (hub, other, weight) rows the ``k`` of largest weight of every hub, the lowest other on ties; a set."""
    kept = set()
    for hub in {row[0] for row in rows}:
        mine = sorted((row for row in rows if row[0] == hub), key=lambda row: (-row[2], row[1]))
        kept |= {row[:2] for row in mine[:k]}
    return kept


def largest_assignment(weights):
    """The largest total of a one-to-one matching of rows and columns in which any may stay unmatched."""
    from scipy.optimize import linear_sum_assignment

    useful = np.maximum(weights, 0.0)
    rows, columns = linear_sum_assignment(useful, maximize=True)
    return float(useful[rows, columns].sum())


def hub_table(rows):
    """Of (hub, partner, r) rows: (hub, partners, mean, least and largest r) of every hub, most partners first."""
    from collections import defaultdict

    grouped = defaultdict(list)
    for hub, _, r in rows:
        grouped[hub].append(r)
    found = [(hub, len(own), sum(own) / len(own), min(own), max(own)) for hub, own in grouped.items()]
    return sorted(found, key=lambda row: (-row[1], row[0]))


def best_rows(x, y, top=1, measure="cosine"):
    """Rows of x by cosine with, or squared distance to, each row of y: lists of (index, value), best and lowest first.

    Dots and squares of small whole numbers are exact; a cosine c orders as sign(c) c^2, a rational number.
    """
    found = []
    for row in [[Fraction(float(v)) for v in row] for row in y]:
        ranked = []
        for i, other in enumerate([[Fraction(float(v)) for v in line] for line in x]):
            dot = sum(a * b for a, b in zip(other, row, strict=True))
            norms = sum(a * a for a in other) * sum(b * b for b in row)
            if norms == 0:
                continue
            if measure == "distance":
                distance = sum((a - b) ** 2 for a, b in zip(other, row, strict=True))
                ranked.append((distance, i, float(distance)))
            else:
                ranked.append((-dot * abs(dot) / norms, i, float(dot) / sqrt(norms)))
        found.append([(i, value) for _, i, value in sorted(ranked)[:top]])
    return found


def mean_of_best_assignment(cosines):
    """Largest mean of a one-to-one assignment of a small matrix, by trying every one."""
    from itertools import permutations

    wide = cosines if cosines.shape[0] <= cosines.shape[1] else cosines.T
    rows = np.arange(len(wide))
    return max(wide[rows, list(chosen)].mean() for chosen in permutations(range(wide.shape[1]), len(wide)))
