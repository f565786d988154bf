"""Files that are whole or absent: hashes, and folders written beside their name and renamed when done."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
