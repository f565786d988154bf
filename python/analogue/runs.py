"""The run folder: what every comparison leaves on disk, written whole or not at all, and read back checked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import read_json, sha256, staged_folder, tree_sha256, write_json

RUN_FORMAT = "analogue.run/3"
GRID_FORMAT = "analogue.grid/3"
MANIFEST = "manifest.json"


def check_target(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a target that exists, or that ``overwrite`` would replace though it is no run folder."""
    target = Path(path)
    if not target.exists():
        parent = next(folder for folder in target.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise FileExistsError(f"{target} cannot be made: {parent} is no folder that can be written to")
        return
    if not overwrite:
        raise FileExistsError(f"{target} exists already; choose another folder, or overwrite it")
    if not target.is_dir() or (any(target.iterdir()) and not _is_run(target)):
        raise FileExistsError(f"{target} is not a run folder and will not be overwritten")


def _is_run(folder: Path) -> bool:
    try:
        open_run(folder)
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def new_run(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder to fill; on leaving, seal it with the hashes of all its files and give it its name.

    An existing run is refused, or with ``overwrite`` replaced at the end; a folder that is no run is never
    replaced.
    """
    check_target(path, overwrite=overwrite)
    with staged_folder(path, overwrite=overwrite) as folder:
        yield folder
        seal(folder)


def seal(folder: Path) -> None:
    """Add the SHA-256 of every file below the folder to its manifest, which must exist."""
    manifest = read_json(folder / MANIFEST)
    hashes = tree_sha256(folder)
    hashes.pop(MANIFEST)
    write_json(folder / MANIFEST, manifest | {"files": hashes})


def open_run(path: str | Path, *formats: str) -> dict[str, Any]:
    """Read the manifest of a run or grid folder, or of the given formats only.

    Raises
    ------
    FileNotFoundError
        If there is no run at ``path``.
    ValueError
        If the folder is of another kind or version.
    """
    folder = Path(path)
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no {MANIFEST}")
    manifest = read_json(folder / MANIFEST)
    wanted = formats or (RUN_FORMAT, GRID_FORMAT)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found not in wanted:
        raise ValueError(f"{folder / MANIFEST} must be of format {' or '.join(wanted)}, got {found!r}")
    return dict(manifest)


def checked(folder: Path, name: str, manifest: Mapping[str, Any]) -> Path:
    """Return the path of a file of a sealed folder, after comparing its SHA-256 with the manifest's."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing from the run folder")
    if sha256(path) != manifest.get("files", {}).get(name):
        raise ValueError(f"{path} was altered or cut short since the run was written: its SHA-256 differs")
    return path


def versions() -> dict[str, str]:
    """Return the versions that a manifest records."""
    import importlib.metadata
    import platform

    packages = ("analogue", "numpy", "torch", "transformers")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write a compressed ``.npz``."""
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read an ``.npz`` whole; pickled objects are refused."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
