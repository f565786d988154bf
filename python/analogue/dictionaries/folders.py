"""load_dictionary: find the hook folder that is meant, tell its format, load it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .. import _checks
from . import saelens, sparsify
from .base import Dictionary

_Loader = Callable[[Path, str | None, str], Dictionary]
_LOADERS: dict[str, _Loader] = {sparsify.WEIGHTS: sparsify.load, saelens.WEIGHTS: saelens.load}
_SITES = {sparsify.WEIGHTS: sparsify.site_of, saelens.WEIGHTS: saelens.site_of}
_WANTED = f"a folder with cfg.json and {sparsify.WEIGHTS} (sparsify) or {saelens.WEIGHTS} (SAELens)"


def load_dictionary(path: str | Path, *, site: str | None = None, activation: str = "post") -> Dictionary:
    """Load an SAE checkpoint of sparsify or SAELens; the format is told from the files.

    Parameters
    ----------
    path : str or Path
        A hook folder (``cfg.json`` and weights), or a folder with hook folders anywhere below it.
    site : str, optional
        Module path such as ``layers.2``. It picks among the hook folders of a repository; for a single hook folder it
        says where the dictionary belongs. Not needed where there is but one.
    activation : {"post", "pre"}
        Features after the nonlinearity, or rectified pre-activations ``relu(z)``, without TopK or threshold.

    Raises
    ------
    FileNotFoundError
        If the path does not exist or holds no checkpoint.
    ValueError, TypeError
        If there is no such site (the sites there are get listed), several folders fit, or a checkpoint is malformed
        or of a kind that cannot be computed exactly: one sentence naming file, field, what came and what is wanted.
    """
    _checks.choice("activation", activation, ("post", "pre"))
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"path {root} does not exist; wanted {_WANTED}")
    if not root.is_dir():
        raise ValueError(f"path {root} is a file; wanted {_WANTED}")
    here = [name for name in _LOADERS if (root / name).is_file()]
    if len(here) > 1:
        raise ValueError(f"path {root} holds both {' and '.join(here)}; wanted one of them")
    if here:
        return _LOADERS[here[0]](root, site, activation)
    weights = _pick(root, site)
    return _LOADERS[weights.name](weights.parent, site, activation)


def _pick(root: Path, site: str | None) -> Path:
    """Return the weight file of the hook folder below ``root`` that is meant."""
    found = sorted(file for name in _LOADERS for file in root.rglob(name))
    if not found:
        raise FileNotFoundError(f"path {root} holds no dictionary; wanted {_WANTED}, or a folder of such folders")
    sites = {file: _site(file) for file in found}
    if site is None:
        if len(found) > 1:
            raise ValueError(f"path {root} holds several dictionaries; site must be one of {_listed(root, sites)}")
        return found[0]
    fitting = [file for file in found if sites[file] == site]
    if not fitting:
        raise ValueError(f"site {site!r} is not in {root}; the sites there are {_listed(root, sites)}")
    if len(fitting) > 1:  # a run's folder with its best/ inside: the folder of that very name
        fitting = [file for file in fitting if file.parent == root / site] or fitting
    if len(fitting) > 1:
        folders = ", ".join(str(file.parent) for file in fitting)
        raise ValueError(f"site {site!r} is in several folders below {root}; path must be one of {folders}")
    return fitting[0]


def _site(file: Path) -> str | None:
    """Return the site of a hook folder, None where its config does not tell: loading it will say why."""
    try:
        return _SITES[file.name](file.parent)
    except (OSError, TypeError, ValueError):
        return None


def _listed(root: Path, sites: dict[Path, str | None]) -> str:
    names = {site or f"{file.parent.relative_to(root)} (no site known)" for file, site in sites.items()}
    return ", ".join(sorted(names, key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]
