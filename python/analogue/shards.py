"""ActivationShards: activations larger than memory, as shards on disk that are mapped one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .activations import PER_TOKEN, FeatureActivations, check_rows
from .shard_writer import MAX_ENTRIES, ShardRecord, ShardWriter, read_manifest, read_shard

_ENTRIES_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False, repr=False)
class ActivationShards:
    """Sparse activations of F features on T kept tokens, in shards on disk; the rows follow shard after shard.

    Write with `writer`, `from_activations` or ``capture(..., out=path)``; read with `load`. Every shard is a
    `FeatureActivations` folder. It is mapped when it is asked for and let go with the last reference, so that open
    files and memory do not grow with the number of shards.

    Before a shard is first read, its SHA-256 are compared, once in the life of this object. Hashing runs at 2 GB a
    second, about what a disk gives, and leaves the shard in the page cache for the read that follows; at `load` it
    would read the whole store once more, for a store larger than memory from the disk.

    Attributes
    ----------
    path : Path
        The folder.
    n_features : int
        F, the full width of the dictionary.
    records : tuple of ShardRecord
        Name, n_tokens, nnz and SHA-256 of every shard.
    """

    path: Path
    n_features: int
    records: tuple[ShardRecord, ...]
    _verified: set[int] = field(default_factory=set, init=False)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a folder's manifest; the shards are read when they are asked for.

        Raises
        ------
        FileNotFoundError
            If there is no store.
        ValueError
            If it is unfinished, or no folder of shards.
        """
        folder = Path(path)
        return cls(folder, *read_manifest(folder))

    @staticmethod
    def writer(
        path: str | Path,
        n_features: int,
        max_entries: int = MAX_ENTRIES,
        *,
        overwrite: bool = False,
        resume: bool = False,
    ) -> ShardWriter:
        """Begin a store, or go on with one: ``with ActivationShards.writer(...) as writer: writer.append(acts)``.

        Where the shards are cut does not depend on the pieces that were appended.

        Parameters
        ----------
        path : path
            The folder.
        n_features : int
            F.
        max_entries : int
            The most entries of a shard (8 bytes each), and four times its most rows (up to 32 bytes each): a shard
            takes at most 512 MB by default, half of that at four or more entries a row. At least F, so that any row
            fits.
        overwrite : bool
            Remove the store that is there before the first piece is written.
        resume : bool
            Go on after the last whole shard of an unfinished store, or after the end of a finished one; begin where
            there is none. All shards are compared with their hashes. Of an unfinished store, a half-written or torn
            shard is removed, with all behind it; a finished store with one is refused.

        Returns
        -------
        ShardWriter
            Its ``n_tokens`` says how many tokens are there already.

        Raises
        ------
        FileExistsError
            If the folder is not empty and neither ``overwrite`` nor ``resume`` is given, or holds anything else.
        FileNotFoundError, ValueError
            If a number is out of range, or the store to go on with has another width or an altered shard.
        """
        return ShardWriter(path, n_features, max_entries, overwrite=overwrite, resume=resume)

    @classmethod
    def from_activations(
        cls,
        acts: FeatureActivations,
        path: str | Path,
        max_entries: int = MAX_ENTRIES,
        *,
        overwrite: bool = False,
    ) -> Self:
        """Write activations as shards and read them back; parameters and errors as for `writer`."""
        if not isinstance(acts, FeatureActivations):
            raise TypeError(f"acts must be FeatureActivations, got {type(acts).__name__}")
        with cls.writer(path, acts.n_features, max_entries, overwrite=overwrite) as writer:
            writer.append(acts)
        return cls.load(path)

    def __repr__(self) -> str:
        counts = f"{self.n_tokens} tokens, {self.n_features} features, {self.nnz} entries, {self.n_shards} shards"
        return f"ActivationShards({counts} in {self.path})"

    @property
    def n_tokens(self) -> int:
        """T, the number of kept tokens."""
        return sum(record.n_tokens for record in self.records)

    @property
    def nnz(self) -> int:
        """Number of stored (nonzero) activations."""
        return sum(record.nnz for record in self.records)

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return len(self.records)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Shard `s` holds rows ``offsets[s]:offsets[s + 1]``; shape (n_shards + 1,)."""
        return np.cumsum([0, *(record.n_tokens for record in self.records)], dtype=np.int64)

    @cached_property
    def firing_counts(self) -> NDArray[np.int64]:
        """Number of tokens each feature fires on, shape (F,); one pass over the shards."""
        counts = np.zeros(self.n_features, dtype=np.int64)
        for shard in self:
            for start in range(0, shard.nnz, _ENTRIES_AT_ONCE):
                counts += np.bincount(shard.indices[start : start + _ENTRIES_AT_ONCE], minlength=self.n_features)
        return counts

    @cached_property
    def token_ids(self) -> NDArray[np.int64] | None:
        """The vocabulary id of each kept token, shape (T,), or None; read when first asked for, then kept."""
        return self._per_token("token_ids")

    @cached_property
    def document_ids(self) -> NDArray[np.int64] | None:
        """The document of each kept token, shape (T,), or None; read when first asked for, then kept."""
        return self._per_token("document_ids")

    @cached_property
    def positions(self) -> NDArray[np.int64] | None:
        """The position of each kept token in its document, shape (T,), or None; read when first asked for."""
        return self._per_token("positions")

    def __iter__(self) -> Iterator[FeatureActivations]:
        return map(self.shard, range(self.n_shards))

    def shard(self, index: int) -> FeatureActivations:
        """Map one shard, read-only.

        Raises
        ------
        IndexError
            If there is no such shard.
        FileNotFoundError, ValueError
            If one of its files is missing, altered or cut short.
        """
        if _checks.integer("index", index, minimum=0) >= self.n_shards:
            raise IndexError(f"index must be below the number of shards ({self.n_shards}), got {index}")
        record = self.records[index]
        shard = read_shard(self.path / record.name, self.n_features, record, verify=index not in self._verified)
        self._verified.add(index)
        return shard

    def rows(self, start: int, stop: int) -> FeatureActivations:
        """Return tokens ``start`` to ``stop`` (not included): mapped when they lie in one shard, else a copy.

        Raises
        ------
        ValueError
            If the range does not lie in 0..T.
        """
        first, last = check_rows(start, stop, self.n_tokens)
        ranges = self._ranges(first, last)
        if len(ranges) != 1:
            return self._copy(ranges)
        ((index, begin, end),) = ranges
        return self.shard(index).rows(begin, end)

    def to_activations(self) -> FeatureActivations:
        """Return all tokens in memory."""
        return self._copy(self._ranges(0, self.n_tokens))

    def _ranges(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """Return shard, first row and last row (not included) of the parts of a row range; one part if it is empty."""
        if not self.n_shards:
            return []
        begin = min(int(np.searchsorted(self.offsets, first, side="right")) - 1, self.n_shards - 1)
        end = max(int(np.searchsorted(self.offsets, last, side="left")), begin + 1)
        borders = self.offsets.tolist()
        return [
            (index, max(first - borders[index], 0), min(last, borders[index + 1]) - borders[index])
            for index in range(begin, end)
        ]

    def _copy(self, ranges: list[tuple[int, int, int]]) -> FeatureActivations:
        """Join parts of shards in memory, with one shard open at a time."""
        counts = [np.zeros(1, dtype=np.int64)]
        counts += [np.diff(self.shard(index).indptr[begin : end + 1]) for index, begin, end in ranges]
        indptr = np.cumsum(np.concatenate(counts))
        indices, values = np.empty(indptr[-1], dtype=np.int32), np.empty(indptr[-1], dtype=np.float32)
        per_token: dict[str, NDArray[np.int64]] = {}
        token = 0
        for index, begin, end in ranges:
            part = self.shard(index).rows(begin, end)
            tokens = slice(token, token := token + part.n_tokens)
            entries = slice(indptr[tokens.start], indptr[tokens.stop])
            indices[entries], values[entries] = part.indices, part.values
            for name in PER_TOKEN:
                if (given := getattr(part, name)) is not None:
                    per_token.setdefault(name, np.empty(len(indptr) - 1, dtype=np.int64))[tokens] = given
        return FeatureActivations(indptr, indices, values, self.n_features, **per_token)

    def _per_token(self, name: str) -> NDArray[np.int64] | None:
        if not self.n_shards or getattr(self.shard(0), name) is None:
            return None
        joined = np.empty(self.n_tokens, dtype=np.int64)
        for shard, start in zip(self, self.offsets, strict=False):
            joined[start : start + shard.n_tokens] = getattr(shard, name)
        return joined
