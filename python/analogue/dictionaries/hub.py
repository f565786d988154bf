"""Hub: dictionaries by the id of a repository on the Hugging Face hub, and the folder in it."""

from __future__ import annotations

import re
from pathlib import Path

_ID = re.compile(r"[\w.-]+(/[\w.-]+)+/?")


def is_id(name: str) -> bool:
    """Say whether a name could be ``OWNER/REPOSITORY``, with a folder or file in it or without."""
    return _ID.fullmatch(name) is not None and not name.startswith((".", "~"))


def fetch(name: str, site: str | None) -> Path:
    """Return the local copy of a repository's folder, downloaded unless it is in the hub's cache.

    Parameters
    ----------
    name : str
        ``OWNER/REPOSITORY`` or ``OWNER/REPOSITORY/FOLDER``. Without a folder only the files of the site's folder
        are fetched, or those outside all folders where no site is given.
    site : str or None

    Raises
    ------
    FileNotFoundError
        If the hub has no such repository or cannot be reached, or the repository has no such folder.
    """
    from huggingface_hub import snapshot_download

    parts = name.rstrip("/").split("/")
    repository, folder = "/".join(parts[:2]), "/".join(parts[2:])
    inside = folder or site
    allowed = [f"{inside}/*", inside, *_configs(inside)] if inside else None
    try:
        root = Path(snapshot_download(repository, allow_patterns=allowed, ignore_patterns=None if inside else ["*/*"]))
    except Exception as error:  # the hub's client raises its own errors, and those of the network
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileNotFoundError(
            f"path {name} is no folder here, and the hub gives no repository {repository} ({reason:.200})"
        ) from None
    place = root / folder
    if not place.exists():
        raise FileNotFoundError(f"path {name}: the repository {repository} has no folder or file {folder}")
    return place


def _configs(inside: str) -> list[str]:
    """Return where the configs of a folder or file may lie, outside of it."""
    place = Path(inside)
    beside = [f"{place.with_suffix('')}_cfg.json"] if place.suffix == ".pt" else []
    return [*beside, *((above / "config.json").as_posix() for above in place.parents)]
