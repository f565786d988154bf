"""Exact partners and correlations of activations in memory or in shards: the door to the sparse core."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._core import Stream, best_partners
from ._core import pair_correlations as core_pair_correlations
from .activations import PER_TOKEN, FeatureActivations
from .given import Activations
from .shards import ActivationShards

DEFAULT_LIMIT = 2 << 30
_TOKENS = 1 << 15  # compared at once
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

Csr = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], int]
Found = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]


def check_same_tokens(acts_a: Activations, acts_b: Activations) -> None:
    """Refuse two sides that do not hold the same tokens."""
    for name, acts in (("acts_a", acts_a), ("acts_b", acts_b)):
        if not isinstance(acts, FeatureActivations | ActivationShards):
            raise TypeError(f"{name} must be FeatureActivations or ActivationShards, got {type(acts).__name__}")
    if acts_a.n_tokens != acts_b.n_tokens:
        raise ValueError(
            f"acts_a and acts_b must hold the same tokens, got {acts_a.n_tokens} and {acts_b.n_tokens} of them"
        )
    for start, stop in _pieces(acts_a, acts_b, _TOKENS):  # of shards, no more than a piece in memory
        a, b = acts_a.rows(start, stop), acts_b.rows(start, stop)
        for name in PER_TOKEN:
            of_a, of_b = getattr(a, name), getattr(b, name)
            if of_a is not None and of_b is not None and not np.array_equal(of_a, of_b):
                raise ValueError(f"acts_a and acts_b must hold the same tokens in one order, but their {name} differ")


def in_memory(acts_a: Activations, acts_b: Activations) -> tuple[FeatureActivations, FeatureActivations]:
    """Return two sides that hold the same tokens and can be cut into parts, or refuse them."""
    check_same_tokens(acts_a, acts_b)
    for name, acts in (("acts_a", acts_a), ("acts_b", acts_b)):
        if not isinstance(acts, FeatureActivations):
            raise TypeError(f"{name} must be in memory to be cut into parts (see to_activations), got {acts!r}")
    return acts_a, acts_b  # type: ignore[return-value]


def memory_bytes(limit: int | str | None) -> int:
    """Return a memory limit in bytes: a number, or text such as "500 MB" or "2GiB"; None is 2 GiB.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or no positive amount.
    """
    if limit is None:
        return DEFAULT_LIMIT
    if not isinstance(limit, str):
        return _checks.integer("memory_limit", limit, minimum=1)
    read = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", limit)
    if read is None or int(float(read[1]) * _UNITS.get(read[2].upper(), 0)) == 0:
        raise ValueError(f"memory_limit must be bytes or an amount such as '2GB' or '500 MiB', got {limit!r}")
    return int(float(read[1]) * _UNITS[read[2].upper()])


def sparse_best(
    acts_a: Activations,
    acts_b: Activations,
    top: int,
    min_activations: int,
    metric: str,
    groups: NDArray[np.int64] | None,
    memory_limit: int | str | None = None,
) -> Found:
    """Find every feature's best partners, by the sparse core; see `match`.

    With shards or a limit the tokens come in windows, pass after pass, and the answer is the same to the bit.
    """
    if _in_memory(acts_a, acts_b, memory_limit):
        return best_partners(*_csr(acts_a), *_csr(acts_b), top, min_activations, metric, groups)
    widths = (acts_a.n_features, acts_b.n_features)
    limit = memory_bytes(memory_limit)
    stream = Stream(acts_a.n_tokens, *widths, top, min_activations, metric, limit, groups)
    _run(stream, acts_a, acts_b)
    found = stream.found()
    assert found is not None
    return found


def pair_correlations(
    acts_a: Activations,
    acts_b: Activations,
    feature_a: NDArray[np.int64],
    feature_b: NDArray[np.int64],
    given: NDArray[np.int64] | None = None,
    memory_limit: int | str | None = None,
) -> NDArray[np.float64]:
    """Correlate chosen pairs, plainly or given a group id for every token (its vocabulary id, say).

    Given groups: the partial Pearson correlation after subtracting both features' means within each group;
    0 where the variance within groups is below 1e-10 of the sum of squares.

    Parameters
    ----------
    acts_a, acts_b : FeatureActivations or ActivationShards
        Activations on the same tokens.
    feature_a, feature_b : ndarray of int64, shape (n,)
        The pairs.
    given : ndarray of int64, shape (T,), optional
        A group id for every token.
    memory_limit : int or str, optional
        As for `match`.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    check_same_tokens(acts_a, acts_b)
    if _in_memory(acts_a, acts_b, memory_limit):
        return core_pair_correlations(*_csr(acts_a), *_csr(acts_b), feature_a, feature_b, given)
    widths, limit = (acts_a.n_features, acts_b.n_features), memory_bytes(memory_limit)

    def stream_of(pairs: NDArray[np.int64]) -> Stream:
        return Stream.of_pairs(acts_a.n_tokens, *widths, feature_a[pairs], feature_b[pairs], given, limit)

    batches = [np.argsort(feature_a, kind="stable")]
    if given is not None:
        n_groups = len(np.unique(given))
        held = np.minimum(acts_a.firing_counts, n_groups)[feature_a]
        held += np.minimum(acts_b.firing_counts, n_groups)[feature_b]
        batches = _batches(batches[0], held, stream_of(batches[0]).most_holdings)
    found = np.empty(len(feature_a))
    for pairs in batches:
        stream = stream_of(pairs)
        _run(stream, acts_a, acts_b)
        scores = stream.found_pairs()
        assert scores is not None
        found[pairs] = scores
    return found


def _in_memory(acts_a: Activations, acts_b: Activations, memory_limit: int | str | None) -> bool:
    both = isinstance(acts_a, FeatureActivations) and isinstance(acts_b, FeatureActivations)
    return both and memory_limit is None


def _run(stream: Stream, acts_a: Activations, acts_b: Activations) -> None:
    done = False
    while not done:
        for a, b in _windows(acts_a, acts_b, stream.window, stream.row):
            stream.feed(*_csr(a), *_csr(b))
        done = stream.end_pass()


def _batches(pairs: NDArray[np.int64], held: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    """Cut pairs so that what their features hold in groups fits: at most a group for every token they fire on."""
    total = np.cumsum(held[pairs])
    batches, start = [], 0
    while start < len(pairs):
        before = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, before + most, side="right")), start + 1)
        batches.append(pairs[start:stop])
        start = stop
    return batches


def _windows(
    acts_a: Activations, acts_b: Activations, most: int, row: int
) -> Iterator[tuple[FeatureActivations, FeatureActivations]]:
    """Cut the tokens where both sides have at most ``most`` activations, with ``row`` a row, and at ends of shards."""
    in_all = acts_a.nnz + acts_b.nnz + row * acts_a.n_tokens
    rows = max(1, most * acts_a.n_tokens // max(in_all, 1))
    for start, stop in _pieces(acts_a, acts_b, rows):
        a, b = acts_a.rows(start, stop), acts_b.rows(start, stop)
        while a.n_tokens:
            kept = a.n_tokens
            while kept > 1 and a.indptr[kept] + b.indptr[kept] + row * kept > most:
                kept //= 2
            yield a.rows(0, kept), b.rows(0, kept)
            a, b = a.rows(kept, a.n_tokens), b.rows(kept, b.n_tokens)


def _pieces(acts_a: Activations, acts_b: Activations, rows: int) -> Iterator[tuple[int, int]]:
    """Cut the tokens into pieces of at most ``rows``, and where a shard of either side ends."""
    ends = np.unique(np.concatenate([_ends(acts_a), _ends(acts_b)]))
    start = 0
    while start < acts_a.n_tokens:
        stop = min(start + rows, int(ends[np.searchsorted(ends, start, side="right")]))
        yield start, stop
        start = stop


def _ends(acts: Activations) -> NDArray[np.int64]:
    return acts.offsets[1:] if isinstance(acts, ActivationShards) else np.array([acts.n_tokens])


def _csr(acts: Activations) -> Csr:
    whole = acts.to_activations() if isinstance(acts, ActivationShards) else acts
    return whole.indptr, whole.indices, whole.values, whole.n_features
