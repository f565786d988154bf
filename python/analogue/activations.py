"""FeatureActivations: which features fired on which tokens, and how strongly, as a sparse token-major store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .files import read_json, sha256, staged_folder, write_json

FORMAT = "analogue.activations/1"
SHARDS_FORMAT = "analogue.shards/1"
PER_TOKEN = ("token_ids", "document_ids", "positions")
_ARRAYS = ("indptr", "indices", "values", *PER_TOKEN)


@dataclass(frozen=True, eq=False, repr=False)
class FeatureActivations:
    """Sparse activations of F features on T kept tokens (CSR, one row a token).

    Make one with `from_dense`, `from_topk` or `from_csr`; they drop zeros, sort every row and check the input.
    Rows are kept tokens only: padding, special tokens and the first position of a block never get here.

    Attributes
    ----------
    indptr : ndarray of int64, shape (T + 1,)
        Row `t` holds entries ``indptr[t]:indptr[t + 1]``.
    indices : ndarray of int32, shape (nnz,)
        Feature ids, increasing within a row.
    values : ndarray of float32, shape (nnz,)
        Activations, never zero.
    n_features : int
        F, the full width of the dictionary.
    token_ids, document_ids, positions : ndarray of int64, shape (T,), or None
        The vocabulary id of each kept token, its document, and its position (in tokens) in that document.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    n_features: int
    token_ids: NDArray[np.int64] | None = None
    document_ids: NDArray[np.int64] | None = None
    positions: NDArray[np.int64] | None = None

    def __repr__(self) -> str:
        return f"FeatureActivations({self.n_tokens} tokens, {self.n_features} features, {self.nnz} entries)"

    @property
    def n_tokens(self) -> int:
        """T, the number of kept tokens."""
        return len(self.indptr) - 1

    @property
    def nnz(self) -> int:
        """Number of stored (nonzero) activations."""
        return len(self.values)

    @cached_property
    def firing_counts(self) -> NDArray[np.int64]:
        """Number of tokens each feature fires on, shape (F,)."""
        return np.bincount(self.indices, minlength=self.n_features)

    @cached_property
    def _by_feature(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The places and the tokens of all entries, feature by feature, and where each feature's begin, (F + 1,)."""
        entries = np.argsort(np.asarray(self.indices), kind="stable")
        tokens = np.repeat(np.arange(self.n_tokens), np.diff(self.indptr))[entries]
        return entries, tokens, np.concatenate([[0], np.cumsum(self.firing_counts)])

    @classmethod
    def from_csr(
        cls,
        indptr: ArrayLike,
        indices: ArrayLike,
        values: ArrayLike,
        n_features: int,
        *,
        token_ids: ArrayLike | None = None,
        document_ids: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> Self:
        """Build from CSR arrays; rows need not be sorted, explicit zeros are dropped.

        Raises
        ------
        ValueError
            If offsets do not increase from 0 to nnz, an id is outside 0..F-1 or stands twice in a row, a value
            is NaN or infinite, or a per-token array does not have one entry a token.
        """
        width = _checks.integer("n_features", n_features, minimum=1)
        offsets = _checks.array("indptr", indptr, ndim=1, dtype=np.int64)
        ids = _checks.array("indices", indices, ndim=1, dtype=np.int32)
        data = _checks.array("values", values, ndim=1, dtype=np.float32)
        if not np.isfinite(data).all():
            raise ValueError("values must be finite in float32, got values beyond its range")
        if len(ids) != len(data):
            raise ValueError(f"indices and values must have one length, got {len(ids)} and {len(data)}")
        if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(ids) or (np.diff(offsets) < 0).any():
            raise ValueError(f"indptr must rise from 0 to the number of values ({len(ids)}), got {_ends(offsets)}")
        if len(ids) and (ids.min() < 0 or ids.max() >= width):
            raise ValueError(f"indices must lie in 0..{width - 1}, got {ids.min()}..{ids.max()}")
        offsets, ids, data = _canonical(offsets, ids, data, width)
        rows = {
            name: None if given is None else _per_token(name, given, len(offsets) - 1)
            for name, given in (("token_ids", token_ids), ("document_ids", document_ids), ("positions", positions))
        }
        return cls(offsets, ids, data, width, **rows)

    @classmethod
    def from_topk(cls, indices: ArrayLike, values: ArrayLike, n_features: int, **per_token: Any) -> Self:
        """Build from the k kept latents of every token: ``indices`` and ``values`` of shape (T, k)."""
        ids = _checks.array("indices", indices, ndim=2, dtype=np.int32)
        data = _checks.array("values", values, ndim=2, dtype=np.float32)
        if ids.shape != data.shape:
            raise ValueError(f"indices and values must have one shape, got {ids.shape} and {data.shape}")
        offsets = np.arange(len(ids) + 1, dtype=np.int64) * ids.shape[1]
        return cls.from_csr(offsets, ids.ravel(), data.ravel(), n_features, **per_token)

    @classmethod
    def from_dense(cls, x: ArrayLike, **per_token: Any) -> Self:
        """Build from dense activations of shape (T, F)."""
        dense = _checks.array("x", x, ndim=2, dtype=np.float32)
        rows, ids = np.nonzero(dense)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(dense)))])
        return cls.from_csr(offsets, ids, dense[rows, ids], dense.shape[1], **per_token)

    def rows(self, start: int, stop: int) -> Self:
        """Return tokens ``start`` to ``stop`` (not included): views of the same arrays, but for the row offsets.

        Raises
        ------
        ValueError
            If the range does not lie in 0..T.
        """
        first, last = check_rows(start, stop, self.n_tokens)
        offsets = self.indptr[first : last + 1]
        entries = slice(int(offsets[0]), int(offsets[-1]))
        per_token = {name: values[first:last] for name in PER_TOKEN if (values := getattr(self, name)) is not None}
        return type(self)(
            offsets - offsets[0], self.indices[entries], self.values[entries], self.n_features, **per_token
        )

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the tokens at ``rows``, positions in 0..T-1 in any order, copied."""
        sizes = np.diff(self.indptr)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        entries = np.repeat(self.indptr[:-1][rows] - offsets[:-1], sizes) + np.arange(offsets[-1])
        per_token = {name: values[rows] for name in PER_TOKEN if (values := getattr(self, name)) is not None}
        return type(self)(offsets, self.indices[entries], self.values[entries], self.n_features, **per_token)

    def only(self, features: ArrayLike) -> Self:
        """Return the activations of some features: the others, which keep their ids, never fire.

        Raises
        ------
        ValueError, TypeError
            If an id is no integer or outside 0..F-1.
        """
        ids = _checks.array("features", features, ndim=1, dtype=np.int64)
        if len(ids) and (ids.min() < 0 or ids.max() >= self.n_features):
            raise ValueError(f"features must lie in 0..{self.n_features - 1}, got {ids.min()}..{ids.max()}")
        entries, tokens, starts = self._by_feature
        chosen = [slice(starts[i], starts[i + 1]) for i in np.unique(ids)]
        stored = np.sort(np.concatenate([entries[of] for of in chosen] or [entries[:0]]))
        sizes = np.bincount(np.concatenate([tokens[of] for of in chosen] or [tokens[:0]]), minlength=self.n_tokens)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return replace(self, indptr=offsets, indices=self.indices[stored], values=self.values[stored])

    def to_dense(self) -> NDArray[np.float32]:
        """Return the (T, F) array; for small cases."""
        dense = np.zeros((self.n_tokens, self.n_features), dtype=np.float32)
        dense[np.repeat(np.arange(self.n_tokens), np.diff(self.indptr)), self.indices] = self.values
        return dense

    def dense_columns(self, features: ArrayLike) -> NDArray[np.float32]:
        """Return the activations of some features over all tokens, one row a feature: shape (n, T)."""
        chosen = _checks.array("features", features, ndim=1, dtype=np.int64)
        columns = np.zeros((len(chosen), self.n_tokens), dtype=np.float32)
        tokens = np.repeat(np.arange(self.n_tokens), np.diff(self.indptr))
        order = np.argsort(self.indices, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.firing_counts)])
        for row, feature in enumerate(chosen.tolist()):
            entries = order[starts[feature] : starts[feature + 1]]
            columns[row, tokens[entries]] = self.values[entries]
        return columns

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a folder of ``.npy`` arrays with a manifest of their SHA-256; whole or not at all."""
        with staged_folder(path, overwrite=overwrite) as folder:
            self.write_into(folder)

    def write_into(self, folder: Path) -> None:
        """Write the arrays and their manifest into a folder that exists already."""
        for name in _ARRAYS:
            if (values := getattr(self, name)) is not None:
                np.save(folder / f"{name}.npy", values)
        seal(folder, self.n_features)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Self:
        """Read a folder written by `save`, memory-mapped.

        Parameters
        ----------
        path : path
            The folder.
        verify : bool
            Whether to compare every array's SHA-256, which reads it once (2 GB a second); False is for a folder that
            this process has compared already.

        Raises
        ------
        FileNotFoundError
            If the folder or one of its arrays is missing.
        ValueError
            If an array is not the one that was written (its SHA-256 differs).
        """
        folder = Path(path)
        manifest = read_json(folder / "manifest.json")
        if manifest.get("format") == SHARDS_FORMAT:
            raise ValueError(f"{folder} holds activations in shards; read it with ActivationShards.load")
        if manifest.get("format") != FORMAT:
            raise ValueError(f"{folder} must hold {FORMAT}, got {manifest.get('format')!r}")
        arrays = {}
        for name, expected in manifest["sha256"].items():
            file = folder / f"{name}.npy"
            if not file.is_file():
                raise FileNotFoundError(f"{file} is missing, though {folder / 'manifest.json'} lists it")
            if verify and sha256(file) != expected:
                raise ValueError(f"{file} was altered or cut short since it was written: its SHA-256 differs")
            arrays[name] = np.load(file, mmap_mode="r")
        per_token = {name: arrays.get(name) for name in PER_TOKEN}
        return cls(arrays["indptr"], arrays["indices"], arrays["values"], manifest["n_features"], **per_token)


def concatenate(parts: Sequence[FeatureActivations]) -> FeatureActivations:
    """Join activations of the same features, token after token, in memory.

    Parameters
    ----------
    parts : sequence of FeatureActivations
        At least one; all of one width, and with the same per-token arrays.
    """
    before = np.cumsum([0, *(part.nnz for part in parts)])
    offsets = [part.indptr[1:] + first for part, first in zip(parts, before[:-1], strict=True)]
    per_token = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in PER_TOKEN
        if getattr(parts[0], name) is not None
    }
    return FeatureActivations(
        np.concatenate([[0], *offsets], dtype=np.int64),
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.values for part in parts]),
        parts[0].n_features,
        **per_token,
    )


def seal(folder: Path, n_features: int) -> None:
    """Write the manifest of a folder that holds the arrays of a FeatureActivations already."""
    files = {name: folder / f"{name}.npy" for name in _ARRAYS}
    hashes = {name: sha256(file) for name, file in files.items() if file.is_file()}
    write_json(folder / "manifest.json", {"format": FORMAT, "n_features": n_features, "sha256": hashes})


def check_rows(start: int, stop: int, n_tokens: int) -> tuple[int, int]:
    """Return the borders of a row range as ints, or say that it leaves 0..T."""
    first, last = _checks.integer("start", start, minimum=0), _checks.integer("stop", stop, minimum=0)
    if not first <= last <= n_tokens:
        raise ValueError(f"start and stop must rise within 0..{n_tokens}, got {first} and {last}")
    return first, last


def _ends(offsets: NDArray[np.int64]) -> str:
    return f"{offsets[0]} to {offsets[-1]}" if len(offsets) else "an empty array"


def _per_token(name: str, given: ArrayLike, n_tokens: int) -> NDArray[np.int64]:
    ids = _checks.array(name, given, ndim=1, dtype=np.int64)
    if len(ids) != n_tokens:
        raise ValueError(f"{name} must have one entry for each of the {n_tokens} tokens, got {len(ids)}")
    return ids


def _canonical(
    offsets: NDArray[np.int64], ids: NDArray[np.int32], data: NDArray[np.float32], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Drop zeros, sort every row by feature id, refuse an id that stands twice in a row."""
    if not data.all():
        stored = data != 0
        kept_before = np.concatenate([[0], np.cumsum(stored, dtype=np.int64)])
        offsets, ids, data = kept_before[offsets], ids[stored], data[stored]
    rows = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    keys = rows * width + ids
    steps = np.diff(keys)
    if (steps <= 0).any():
        order = np.argsort(keys, kind="stable")
        ids, data, steps = ids[order], data[order], np.diff(keys[order])
        if (steps == 0).any():
            raise ValueError("indices must not repeat a feature within one token's row")
    return offsets, ids, data
