"""Write activations larger than memory: arrays that grow on disk, cut into shards that are whole or absent."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _checks
from .activations import FORMAT, PER_TOKEN, SHARDS_FORMAT, FeatureActivations, seal
from .files import claim_folder, read_json, replace_json, sha256

MAX_ENTRIES = 2**25
MANIFEST = "manifest.json"

_ENTRIES_PER_ROW = 4  # a row's offset and per-token ids take 32 bytes, an entry takes 8
_OURS = re.compile(r"\.?manifest\.json|\.?shard-\d{5,}")


@dataclass(frozen=True)
class ShardRecord:
    """What the folder's manifest says of one shard.

    Attributes
    ----------
    name : str
        Its folder, ``shard-00000`` and so on.
    n_tokens, nnz : int
        Its rows and its entries.
    sha256 : str
        SHA-256 of its own manifest, which holds those of its arrays.
    """

    name: str
    n_tokens: int
    nnz: int
    sha256: str


_FIELDS = ", ".join(ShardRecord.__annotations__)


def shard_name(index: int) -> str:
    """Return the folder name of a shard."""
    return f"shard-{index:05d}"


def read_shard(folder: Path, n_features: int, record: ShardRecord, *, verify: bool) -> FeatureActivations:
    """Map one shard and, where asked, compare it with all hashes.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, altered or cut short, or the shard has another size or width than it should.
    """
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"{folder / MANIFEST} is missing, though {folder.parent / MANIFEST} lists it")
    if verify and sha256(folder / MANIFEST) != record.sha256:
        raise ValueError(f"{folder / MANIFEST} was altered or cut short since it was written: its SHA-256 differs")
    shard = FeatureActivations.load(folder, verify=verify)
    if shard.n_features != n_features:
        raise ValueError(f"{folder} must hold {n_features} features as its store does, got {shard.n_features}")
    if (shard.n_tokens, shard.nnz) != (record.n_tokens, record.nnz):
        raise ValueError(
            f"{folder} must hold {record.n_tokens} tokens and {record.nnz} entries, as {folder.parent / MANIFEST} "
            f"says, got {shard.n_tokens} and {shard.nnz}"
        )
    return shard


def read_manifest(folder: Path) -> tuple[int, tuple[ShardRecord, ...]]:
    """Return the width and the shards of a finished store.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no store, it is unfinished, or it is something else.
    """
    if not (folder / MANIFEST).is_file():
        if folder.is_dir() and any(_OURS.fullmatch(path.name) for path in folder.iterdir()):
            raise ValueError(
                f"{folder} is unfinished: its {MANIFEST}, which is written last, is missing; "
                "go on with ActivationShards.writer(..., resume=True)"
            )
        raise FileNotFoundError(f"{folder} holds no shards: it has no {MANIFEST}")
    manifest = read_json(folder / MANIFEST)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != SHARDS_FORMAT:
        hint = "; read it with FeatureActivations.load" if found == FORMAT else ""
        raise ValueError(f"{folder} must hold {SHARDS_FORMAT}, got {found!r}{hint}")
    try:
        return manifest["n_features"], tuple(ShardRecord(**record) for record in manifest["shards"])
    except (KeyError, TypeError):
        raise ValueError(f"{folder / MANIFEST} must give n_features and shards with {_FIELDS}") from None


class ShardWriter:
    """A store that is being written; made by `ActivationShards.writer`, used in a ``with`` block.

    Every piece goes straight to the arrays of the open shard, which grow on disk under a hidden name; memory holds no
    more than the piece. A shard that is full gets its manifest and its name. When the block ends without an error
    the folder gets its manifest; after an error, or a kill, it is unfinished, with its whole shards in place.

    Attributes
    ----------
    path : Path
        The folder.
    n_features : int
        F.
    """

    def __init__(self, path: str | Path, n_features: int, max_entries: int, *, overwrite: bool, resume: bool) -> None:
        self.path = Path(path)
        self.n_features = _checks.integer("n_features", n_features, minimum=1)
        self._max_entries = _checks.integer("max_entries", max_entries, minimum=1)
        if self._max_entries < self.n_features:
            raise ValueError(
                f"max_entries must be at least n_features ({self.n_features}), so that a whole row fits, "
                f"got {self._max_entries}"
            )
        self._records: list[ShardRecord] = []
        self._open: _OpenShard | None = None
        self._per_token: tuple[str, ...] | None = None
        if claim_folder(self.path, _is_store, "shards", overwrite=overwrite, resume=resume):
            self._resume()

    @property
    def n_tokens(self) -> int:
        """Tokens that are there already: those of the whole shards, when resumed, and all appended since."""
        return sum(record.n_tokens for record in self._records) + (self._open.n_tokens if self._open else 0)

    def append(self, acts: FeatureActivations) -> None:
        """Append the next tokens.

        Parameters
        ----------
        acts : FeatureActivations
            Of F features and any number of tokens; with the same per-token arrays as every piece before it.

        Raises
        ------
        TypeError, ValueError
            If it is something else, has another width, or brings other per-token arrays.
        """
        if not isinstance(acts, FeatureActivations):
            raise TypeError(f"acts must be FeatureActivations, got {type(acts).__name__}")
        if acts.n_features != self.n_features:
            raise ValueError(f"acts must have {self.n_features} features, as the store has, got {acts.n_features}")
        brought = _per_token(acts)
        if self._per_token is None:
            self._per_token = brought
        if brought != self._per_token:
            wanted, got = (", ".join(names) or "none" for names in (self._per_token, brought))
            raise ValueError(f"acts must bring the per-token arrays of the pieces before ({wanted}), got {got}")
        (self.path / MANIFEST).unlink(missing_ok=True)
        start = 0
        while start < acts.n_tokens or not (self._records or self._open):
            if self._open is None:
                self._open = _OpenShard(self._partial, brought)
            entries = self._max_entries - self._open.nnz
            rows = max(1, self._max_entries // _ENTRIES_PER_ROW) - self._open.n_tokens
            fitting = int(np.searchsorted(acts.indptr, acts.indptr[start] + entries, side="right")) - 1
            stop = min(fitting, start + rows, acts.n_tokens)
            self._open.append(acts.rows(start, stop))
            if stop < acts.n_tokens:
                self._seal()
            start = stop

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        if self._open is not None:
            self._seal()
        shards = [asdict(record) for record in self._records]
        manifest = {"format": SHARDS_FORMAT, "n_features": self.n_features, "shards": shards}
        replace_json(self.path / MANIFEST, manifest)

    @property
    def _partial(self) -> Path:
        return self.path / f".{shard_name(len(self._records))}"

    def _seal(self) -> None:
        """Give the open shard its manifest and its name."""
        assert self._open is not None
        self._open.close()
        seal(self._partial, self.n_features)
        name = shard_name(len(self._records))
        record = ShardRecord(name, self._open.n_tokens, self._open.nnz, sha256(self._partial / MANIFEST))
        self._partial.rename(self.path / name)
        self._records.append(record)
        self._open = None

    def _abandon(self) -> None:
        import shutil

        if self._open is not None:
            try:
                self._open.close()
            finally:
                shutil.rmtree(self._partial, ignore_errors=True)

    def _resume(self) -> None:
        """Keep the shards that are whole; remove what a kill left behind them, a torn shard and all after it."""
        import shutil

        if (self.path / MANIFEST).is_file():
            width, records = read_manifest(self.path)
            self._check_width(width)
            for record in records:
                self._keep(record.name, read_shard(self.path / record.name, width, record, verify=True))
        else:
            while (name := shard_name(len(self._records))) and (self.path / name).is_dir():
                try:
                    shard = FeatureActivations.load(self.path / name)
                except (FileNotFoundError, ValueError):
                    break
                self._check_width(shard.n_features)
                self._keep(name, shard)
        whole = {record.name for record in self._records}
        for left in list(self.path.iterdir()):
            if left.is_dir() and left.name not in whole:
                shutil.rmtree(left)

    def _check_width(self, width: int) -> None:
        if width != self.n_features:
            raise ValueError(f"n_features must be {width}, as {self.path} has, got {self.n_features}")

    def _keep(self, name: str, shard: FeatureActivations) -> None:
        self._records.append(ShardRecord(name, shard.n_tokens, shard.nnz, sha256(self.path / name / MANIFEST)))
        self._per_token = _per_token(shard)


class _OpenShard:
    """The arrays of one shard, growing on disk."""

    def __init__(self, folder: Path, per_token: tuple[str, ...]) -> None:
        folder.mkdir()
        self.n_tokens = self.nnz = 0
        dtypes = {"indptr": np.int64, "indices": np.int32, "values": np.float32} | dict.fromkeys(per_token, np.int64)
        self._arrays = {name: _GrowingArray(folder / f"{name}.npy", dtype) for name, dtype in dtypes.items()}
        self._arrays["indptr"].append(np.zeros(1, dtype=np.int64))

    def append(self, acts: FeatureActivations) -> None:
        for name, array in self._arrays.items():
            array.append(acts.indptr[1:] + self.nnz if name == "indptr" else getattr(acts, name))
        self.n_tokens += acts.n_tokens
        self.nnz += acts.nnz

    def close(self) -> None:
        with ExitStack() as stack:
            for array in self._arrays.values():
                stack.callback(array.close)


class _GrowingArray:
    """A one-dimensional ``.npy`` file: numpy pads its header so that the length can be put right at the end."""

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._length = 0
        self._file = open(path, "wb")  # noqa: SIM115
        self._write_header()

    def append(self, values: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).data)
        self._length += len(values)

    def close(self) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._length,),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def _per_token(acts: FeatureActivations) -> tuple[str, ...]:
    return tuple(name for name in PER_TOKEN if getattr(acts, name) is not None)


def _is_store(folder: Path) -> bool:
    return all(_OURS.fullmatch(child.name) for child in folder.iterdir())
