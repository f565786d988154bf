"""Match features of two models by the correlation of their activations on the same tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._core import best_partners
from ._core import pair_correlations as core_pair_correlations
from .activations import FeatureActivations
from .matches import Matches
from .ops import correlation_best

BACKENDS = ("auto", "sparse", "dense")

# A dense cell (one multiply-add of a float32 GEMM) costs about 1/40 of a sparse update (a scattered add).
_DENSE_CELL_COST = 1 / 40
_DENSE_BYTES = 4 << 30


def match(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    top: int = 1,
    backend: str = "auto",
    min_activations: int = 1,
    device: str = "auto",
) -> Matches:
    """Find every feature's most correlated features on the other side, in both directions.

    Exact on a CPU: partners are ranked by Pearson correlation over all kept tokens (population moments, float64),
    ties by the lowest id, whatever the backend and the number of threads. No F_A x F_B matrix is built.

    Parameters
    ----------
    acts_a, acts_b : FeatureActivations
        Activations on the same tokens.
    top : int
        Partners kept for each feature.
    backend : {"auto", "sparse", "dense"}
        ``sparse`` walks co-firing features only (Rust), ``dense`` is a blocked GEMM (torch; Triton on CUDA);
        ``auto`` takes the cheaper one by density.
    min_activations : int
        A feature that fires on fewer tokens is no candidate.
    device : str
        Where the dense backend runs: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``. On CUDA
        its choice among partners that agree to float32 rounding may differ from the CPU's.

    Raises
    ------
    ValueError
        If the two sides do not hold the same tokens, or ``top`` or ``min_activations`` is below 1.
    """
    _checks.integer("top", top, minimum=1)
    _checks.integer("min_activations", min_activations, minimum=1)
    _checks.choice("backend", backend, BACKENDS)
    _same_tokens(acts_a, acts_b)
    if backend == "dense" or (backend == "auto" and _dense_is_cheaper(acts_a, acts_b)):
        found = correlation_best(
            acts_a.to_dense(),
            acts_b.to_dense(),
            top=top,
            candidates_x=acts_a.firing_counts >= min_activations,
            candidates_y=acts_b.firing_counts >= min_activations,
            device=device,
        )
    else:
        found = best_partners(*_csr(acts_a), *_csr(acts_b), top, min_activations)
    best_a, corr_a, best_b, corr_b = found
    if top == 1:
        best_a, corr_a, best_b, corr_b = best_a[:, 0], corr_a[:, 0], best_b[:, 0], corr_b[:, 0]
    return Matches(best_a, corr_a, best_b, corr_b, acts_a, acts_b)


def pair_correlations(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    feature_a: NDArray[np.int64],
    feature_b: NDArray[np.int64],
    given: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Correlate chosen pairs, plainly or given a group id for every token (its vocabulary id, say).

    Given groups: the partial Pearson correlation after subtracting both features' means within each group;
    0 where the variance within groups is below 1e-10 of the sum of squares.

    Parameters
    ----------
    feature_a, feature_b : ndarray of int64, shape (n,)
        The pairs.
    given : ndarray of int64, shape (T,), optional
        A group id for every token.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    _same_tokens(acts_a, acts_b)
    return core_pair_correlations(*_csr(acts_a), *_csr(acts_b), feature_a, feature_b, given)


def _csr(acts: FeatureActivations) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], int]:
    return acts.indptr, acts.indices, acts.values, acts.n_features


def _same_tokens(acts_a: FeatureActivations, acts_b: FeatureActivations) -> None:
    if acts_a.n_tokens != acts_b.n_tokens:
        raise ValueError(
            f"acts_a and acts_b must hold the same tokens, got {acts_a.n_tokens} and {acts_b.n_tokens} of them"
        )
    for name in ("token_ids", "document_ids", "positions"):
        a, b = getattr(acts_a, name), getattr(acts_b, name)
        if a is not None and b is not None and not np.array_equal(a, b):
            raise ValueError(f"acts_a and acts_b must hold the same tokens in one order, but their {name} differ")


def _dense_is_cheaper(acts_a: FeatureActivations, acts_b: FeatureActivations) -> bool:
    cells = acts_a.n_tokens * acts_a.n_features * acts_b.n_features
    updates = int(np.diff(acts_a.indptr) @ np.diff(acts_b.indptr))
    fits = 4 * acts_a.n_tokens * (acts_a.n_features + acts_b.n_features) <= _DENSE_BYTES
    return fits and updates > cells * _DENSE_CELL_COST
