"""Sequences: the tokens that every feature fires on most, and samples from bands of its activations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._core import band_positions as core_band_positions
from ._core import top_positions as core_top_positions
from .activations import FeatureActivations
from .given import Activations

Found = tuple[NDArray[np.int64], NDArray[np.float32]]


def top_positions(
    acts: Activations, k: int = 5, *, one_per_document: bool = False, among: NDArray[np.bool_] | None = None
) -> Found:
    """Find the tokens on which every feature fires most, all features in one pass.

    Parameters
    ----------
    acts : FeatureActivations or ActivationShards
    k : int
        Tokens a feature.
    one_per_document : bool
        Take the strongest token of a document only; ``acts`` must carry document ids.
    among : ndarray of bool, shape (T,), optional
        The tokens that count; None: all.

    Returns
    -------
    positions : ndarray of int64, shape (F, k)
        Rows of ``acts``, largest activation first, the earlier row first on ties; -1 where a feature has fewer
        than k positive activations. An activation of 0 is never a top position.
    values : ndarray of float32, shape (F, k)
        Their activations; 0 beside a -1.
    """
    _checks.integer("k", k, minimum=1)
    documents = _documents(acts, one_per_document)
    _check_among(acts, among)
    if isinstance(acts, FeatureActivations):
        return core_top_positions(*_csr(acts, among), k, documents)
    best, most = np.full((acts.n_features, k), -1), np.zeros((acts.n_features, k), dtype=np.float32)
    for shard, start in zip(acts, acts.offsets, strict=False):
        own = None if documents is None else documents[start : start + shard.n_tokens]
        kept = None if among is None else among[start : start + shard.n_tokens]
        positions, values = core_top_positions(*_csr(shard, kept), k, own)
        best = np.hstack([best, np.where(positions >= 0, positions + start, -1)])
        most = np.hstack([most, values])
        order = np.argsort(-most, axis=1, kind="stable")  # on ties what stood, from an earlier shard
        best, most = _first(best, most, order, k, documents)
    return best, most


def sample_positions(
    acts: Activations,
    k: int = 5,
    bands: int = 5,
    *,
    one_per_document: bool = False,
    seed: int = 0,
    among: NDArray[np.bool_] | None = None,
) -> Found:
    """Draw tokens from bands of every feature's activations, so that weak ones are seen beside the strongest.

    The positive activations of a feature, up to its highest, are cut into bands of equal width; from each band k tokens
    are drawn uniformly, all of them where it has no more. Shards are read twice: for the highest, then for the bands.

    Parameters
    ----------
    acts : FeatureActivations or ActivationShards
    k : int
        Tokens a feature and band.
    bands : int
        An edge belongs to the band below it.
    one_per_document : bool
        Draw at most one token of a document in a band; ``acts`` must carry document ids.
    seed : int
        The same tokens are drawn from shards and from memory.
    among : ndarray of bool, shape (T,), optional
        The tokens that count, for the highest activation too; None: all.

    Returns
    -------
    positions : ndarray of int64, shape (F, bands, k)
        Rows of ``acts``, the highest band first; within a band largest activation first, the earlier row first on ties,
        and -1 where it has fewer.
    values : ndarray of float32, shape (F, bands, k)
        Their activations; 0 beside a -1.
    """
    _checks.integer("k", k, minimum=1)
    _checks.integer("bands", bands, minimum=1)
    _checks.integer("seed", seed, minimum=0)
    documents = _documents(acts, one_per_document)
    highest = top_positions(acts, 1, among=among)[1][:, 0]
    turns = np.random.default_rng(seed).permutation(acts.n_tokens).astype(np.uint32)
    drawn, values = np.full((acts.n_features, bands, k), -1), np.zeros((acts.n_features, bands, k), dtype=np.float32)
    start = 0
    for part in (acts,) if isinstance(acts, FeatureActivations) else acts:
        rows = slice(start, start + part.n_tokens)
        own = None if documents is None else documents[rows]
        csr = _csr(part, None if among is None else among[rows])
        positions, more = (
            found.reshape(drawn.shape) for found in core_band_positions(*csr, k, bands, highest, turns[rows], own)
        )
        drawn = np.concatenate([drawn, np.where(positions >= 0, positions + start, -1)], axis=2)
        values = np.concatenate([values, more], axis=2)
        turn = np.where(drawn >= 0, turns[drawn].astype(np.int64), acts.n_tokens) if acts.n_tokens else drawn
        drawn, values = _first(drawn, values, np.argsort(turn, axis=2, kind="stable"), k, documents)
        start = rows.stop
    order = np.lexsort((drawn, -values), axis=-1)
    return np.take_along_axis(drawn, order, axis=-1), np.take_along_axis(values, order, axis=-1)


def _documents(acts: Activations, one_per_document: bool) -> NDArray[np.int64] | None:
    if one_per_document and acts.document_ids is None:
        raise ValueError("acts must carry document_ids for one_per_document, got none; capture them from a corpus")
    return acts.document_ids if one_per_document else None


def _check_among(acts: Activations, among: NDArray[np.bool_] | None) -> None:
    if among is not None and (among.dtype != bool or among.shape != (acts.n_tokens,)):
        raise ValueError(
            f"among must say true or false of each of {acts.n_tokens} tokens, got {among.dtype} of {among.shape}"
        )


def _csr(
    acts: FeatureActivations, among: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], int]:
    """Return the arrays as the core takes them, with -1, which is no top activation, where a token does not count."""
    values = acts.values
    if among is not None:
        values = np.where(np.repeat(among, np.diff(acts.indptr)), values, np.float32(-1))
    return acts.indptr, acts.indices, values, acts.n_features


def _first(
    rows: NDArray[np.int64],
    values: NDArray[np.float32],
    order: NDArray[np.int64],
    k: int,
    documents: NDArray[np.int64] | None,
) -> Found:
    """Return the first k rows of the order along the last axis; given documents, each only once."""
    if documents is None:
        order = order[..., :k]
        return np.take_along_axis(rows, order, axis=-1), np.take_along_axis(values, order, axis=-1)
    rows, values = np.take_along_axis(rows, order, axis=-1), np.take_along_axis(values, order, axis=-1)
    of_rows = np.where(rows >= 0, documents[rows] if len(documents) else -1, -1)
    again = np.zeros(rows.shape, dtype=bool)
    for place in range(1, rows.shape[-1]):
        again[..., place] = (of_rows[..., :place] == of_rows[..., place, None]).any(axis=-1)
    rows, values = np.where(again, -1, rows), np.where(again, 0, values)
    kept = np.argsort(rows < 0, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(rows, kept, axis=-1), np.take_along_axis(values, kept, axis=-1)
