"""The textbook forms of what the kernels of permuted rows compute, in float64."""

import numpy as np
from scipy.linalg import subspace_angles


def permuted_products(x, y, permutations):
    """x' P y for the permutation matrix P of every row, with the matrix written out."""
    return np.stack([x.T @ np.eye(len(x))[order] @ y for order in permutations])


def canonical_sums(qx, qy, permutations):
    """Sum of the cosines of the principal angles between the columns of qx and of the permuted qy."""
    return np.array([np.cos(subspace_angles(qx, qy[order])).sum() for order in permutations])
