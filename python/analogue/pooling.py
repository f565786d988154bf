"""Pooling: activations of runs of tokens as one row each, without a dense matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .activations import FeatureActivations

POOLS = ("mean", "max", "sum")


def pooled(acts: FeatureActivations, first: NDArray[np.int64], last: NDArray[np.int64], how: str) -> FeatureActivations:
    """Pool the rows ``first`` to ``last`` (both included) of activations, each run into one row.

    Parameters
    ----------
    acts : FeatureActivations
        F features on T tokens.
    first, last : ndarray of int64, shape (n,)
        Runs of at least one row, in 0..T-1.
    how : {"mean", "max", "sum"}
        Of every feature's activations over the tokens of the run; a token that it does not fire on counts as 0. Sums
        are taken in float64.

    Returns
    -------
    FeatureActivations
        F features on n rows, without ids of tokens.
    """
    _checks.choice("how", how, POOLS)
    begin, sizes = acts.indptr[first], acts.indptr[last + 1] - acts.indptr[first]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    entries = np.repeat(begin - offsets[:-1], sizes) + np.arange(offsets[-1])
    ids, values = acts.indices[entries], acts.values[entries]
    tokens = last - first + 1
    if (tokens > 1).any():
        offsets, ids, values = _merged(offsets, ids, values, tokens, acts.n_features, how)
    return FeatureActivations.from_csr(offsets, ids, values, acts.n_features)


def _merged(
    offsets: NDArray[np.int64],
    ids: NDArray[np.int32],
    values: NDArray[np.float32],
    tokens: NDArray[np.int64],
    width: int,
    how: str,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Merge entries of one run and feature; those of runs of one token, which are most, are left where they are."""
    run = np.repeat(np.arange(len(tokens)), np.diff(offsets))
    many = tokens[run] > 1
    keys = run[many] * width + ids[many]
    order = np.argsort(keys, kind="stable")
    keys, of_many = keys[order], values[many][order].astype(np.float64)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    runs, features = np.divmod(keys[starts], width)
    if not len(starts):
        merged = of_many
    elif how == "max":
        merged = np.maximum.reduceat(of_many, starts)
        some_rest = np.diff(np.append(starts, len(keys))) < tokens[runs]
        merged[some_rest] = np.maximum(merged[some_rest], 0)
    else:
        merged = np.add.reduceat(of_many, starts) / (tokens[runs] if how == "mean" else 1)
    all_runs = np.concatenate([run[~many], runs])
    back = np.argsort(all_runs, kind="stable")
    sizes = np.bincount(all_runs, minlength=len(tokens))
    return (
        np.concatenate([[0], np.cumsum(sizes)]),
        np.concatenate([ids[~many], features])[back].astype(np.int32),
        np.concatenate([values[~many], merged])[back].astype(np.float32),
    )
