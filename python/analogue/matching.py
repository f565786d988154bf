"""Match features of two models by how they fire together on the same tokens."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from . import _checks
from .activations import FeatureActivations
from .correlations import Found, check_same_tokens, sparse_best
from .cost import dense_cost, sparse_cost
from .given import Activations, group_ids
from .matches import Matches
from .ops import correlation_best, infer_device

BACKENDS = ("auto", "sparse", "dense")
METRICS = ("pearson", "cosine", "jaccard")

_CUDA_BYTES = 4 << 30  # both sides, made dense for the kernel


def match(
    acts_a: Activations,
    acts_b: Activations,
    top: int = 1,
    backend: str = "auto",
    min_activations: int = 1,
    device: str = "auto",
    *,
    metric: str = "pearson",
    given: str | ArrayLike | None = None,
    memory_limit: int | str | None = None,
) -> Matches:
    """Find every feature's best partners on the other side, in both directions.

    Exact on a CPU: partners are ranked over all kept tokens in float64, ties by the lowest id, whatever the backend,
    the number of threads, and the cuts of shards and windows. No F_A x F_B matrix is built.

    Parameters
    ----------
    acts_a, acts_b : FeatureActivations or ActivationShards
        Activations on the same tokens. Shards are read window by window, in several passes.
    top : int
        Partners kept for each feature.
    backend : {"auto", "sparse", "dense"}
        ``sparse`` walks co-firing features only (Rust), ``dense`` is a blocked GEMM (torch; Triton on CUDA);
        ``auto`` takes the cheaper one: dense where ``0.048 T C_A C_B + 6 T (F_A passes_A + F_B passes_B)`` is below
        ``updates + 9 C_A C_B``, with C candidates, updates the pairs of features that fire on one token, summed over
        tokens, and 3 + C / 4096 passes over a side (C of the other). Wide dictionaries cross near 22 % density.
        The costs are those of a CPU, whatever the device.
    min_activations : int
        A feature that fires on fewer tokens is no candidate.
    device : str
        Where the dense backend runs: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``. On CUDA
        its choice among partners that agree to float32 rounding may differ from the CPU's.
    metric : {"pearson", "cosine", "jaccard"}
        ``pearson``: correlation (population moments). ``cosine`` of the activations. ``jaccard``: tokens where both
        fire over tokens where either does.
    given : {"token", "bigram"} or array_like of int, shape (T,), optional
        Rank by the partial Pearson correlation given the token's identity, its and its predecessor's, or any group
        id: after subtracting, within each group, both features' means. Most of a plain r is a shared word; what is
        left is what two models agree on beyond it. A feature that keeps at most 1e-10 of its sum of squares is no
        candidate. Sparse only.
    memory_limit : int or str, optional
        Bytes, or text such as "2GB", for what is held beside the activations and (where ``given`` or r given the
        token is asked) an id a token; by default 2 GiB for shards, and no limit in memory. The less there is, the
        more passes over the tokens; the backend is the sparse one. It holds for pairs that score alike or no better
        than chance too: what can be kept of them at once is settled before more come. The least, a few megabytes
        and what the features need, grows with the threads.

    Raises
    ------
    ValueError
        If the two sides do not hold the same tokens, ``top`` or ``min_activations`` is below 1, ``given`` goes with
        another metric or the dense backend, or the limit is less than the features need.
    """
    _checks.integer("top", top, minimum=1)
    _checks.integer("min_activations", min_activations, minimum=1)
    _checks.choice("backend", backend, BACKENDS)
    _checks.choice("metric", metric, METRICS)
    check_same_tokens(acts_a, acts_b)
    if given is not None and metric != "pearson":
        raise ValueError(f"metric must be pearson where given is, got {metric}")
    groups = None if given is None else group_ids(acts_a, acts_b, given)
    dense = _dense_sides(acts_a, acts_b, memory_limit) if groups is None else None
    if dense is None and backend == "dense":
        raise ValueError("backend must be sparse or auto for shards, a memory_limit or given, got dense")
    if dense and (backend == "dense" or (backend == "auto" and _dense_is_cheaper(*dense, min_activations, device))):
        found = _dense_best(*dense, top, min_activations, metric, device)
    else:
        found = sparse_best(acts_a, acts_b, top, min_activations, metric, groups, memory_limit)
    best_a, corr_a, best_b, corr_b = found
    if top == 1:
        best_a, corr_a, best_b, corr_b = best_a[:, 0], corr_a[:, 0], best_b[:, 0], corr_b[:, 0]
    return Matches(
        best_a, corr_a, best_b, corr_b, acts_a, acts_b, metric=metric, given=groups, memory_limit=memory_limit
    )


def _dense_sides(
    acts_a: Activations, acts_b: Activations, memory_limit: int | str | None
) -> tuple[FeatureActivations, FeatureActivations] | None:
    """Return both sides if the dense backend may have them."""
    if memory_limit is None and isinstance(acts_a, FeatureActivations) and isinstance(acts_b, FeatureActivations):
        return acts_a, acts_b
    return None


def _dense_best(
    acts_a: FeatureActivations, acts_b: FeatureActivations, top: int, min_activations: int, metric: str, device: str
) -> Found:
    return correlation_best(
        _scipy(acts_a),
        _scipy(acts_b),
        top=top,
        metric=metric,
        candidates_x=acts_a.firing_counts >= min_activations,
        candidates_y=acts_b.firing_counts >= min_activations,
        device=device,
    )


def _scipy(acts: FeatureActivations) -> Any:
    from scipy.sparse import csr_array

    return csr_array((acts.values, acts.indices, acts.indptr), shape=(acts.n_tokens, acts.n_features))


def _dense_is_cheaper(
    acts_a: FeatureActivations, acts_b: FeatureActivations, min_activations: int, device: str
) -> bool:
    if dense_cost(acts_a, acts_b, min_activations) >= sparse_cost(acts_a, acts_b, min_activations):
        return False
    fits = 4 * acts_a.n_tokens * (acts_a.n_features + acts_b.n_features) <= _CUDA_BYTES
    return fits or infer_device(device) == "cpu"
