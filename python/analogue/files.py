"""Files that are whole or absent: hashes, and folders written beside their name and renamed when done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_sha256(folder: str | Path) -> dict[str, str]:
    """Return the SHA-256 of every file under a folder, by its path relative to the folder."""
    root = Path(folder)
    return {path.relative_to(root).as_posix(): sha256(path) for path in sorted(root.rglob("*")) if path.is_file()}


def write_json(path: str | Path, content: Any) -> None:
    """Write indented JSON; NaN is an error, not a token that other readers refuse."""
    Path(path).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def replace_json(path: str | Path, content: Any) -> None:
    """Write JSON beside its name and rename it: whoever reads sees the old file or the new one, whole."""
    target = Path(path)
    beside = target.with_name(f".{target.name}")
    write_json(beside, content)
    beside.replace(target)


def remove_folder(path: str | Path) -> None:
    """Remove a folder under another name, so that one killed on the way leaves nothing that looks like the old."""
    import shutil
    import tempfile

    target = Path(path)
    retired = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.rename(retired / "old")
    shutil.rmtree(retired)


def read_json(path: str | Path) -> Any:
    """Read JSON, or say in one sentence what is wrong with the file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} must hold JSON: {error}") from None


@contextmanager
def staged_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its name only when the block ends without an error.

    Raises
    ------
    FileExistsError
        If ``path`` exists and ``overwrite`` is false; nothing is touched then.
    """
    import shutil
    import tempfile

    target = Path(path)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists already; choose another folder or pass overwrite")
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file, not a folder, and is left as it is")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield staging
        staging.chmod(0o755)
        if target.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
            target.rename(retired / "old")
            try:
                staging.rename(target)
            except OSError:
                (retired / "old").rename(target)
                raise
            finally:
                shutil.rmtree(retired)
        else:
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def claim_folder(path: str | Path, ours: Callable[[Path], bool], kind: str, *, overwrite: bool, resume: bool) -> bool:
    """Make a folder that fills step by step, for work that `staged_folder` would lose to a kill.

    Parameters
    ----------
    path : path
        The folder.
    ours : callable
        Whether a folder that is not empty holds ``kind``, whole or in part; nothing else is gone on with or removed.
    kind : str
        What it should hold, for the error.
    overwrite, resume : bool
        Remove what is there, or go on with it; at most one of them.

    Returns
    -------
    bool
        Whether there is something to go on with.

    Raises
    ------
    FileExistsError
        If the folder is not empty and neither ``overwrite`` nor ``resume`` is given, or it holds anything else.
    ValueError
        If both are given.
    """
    if overwrite and resume:
        raise ValueError("overwrite and resume must not both be true: one begins anew, the other goes on")
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file, not a folder, and is left as it is")
    filled = target.exists() and any(target.iterdir())
    if filled and not ours(target):
        raise FileExistsError(f"{target} holds something else than {kind}; choose another folder")
    if filled and not (overwrite or resume):
        raise FileExistsError(f"{target} exists already; choose another folder, or pass resume or overwrite")
    if filled and overwrite:
        remove_folder(target)
    target.mkdir(parents=True, exist_ok=True)
    return filled and resume
