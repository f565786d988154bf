"""load_dictionary: find the dictionary that is meant, tell its format, load it."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

from .. import _checks
from . import hub
from .base import Dictionary
from .formats import BY_CONTENT, FORMATS, REFUSED, Format, format_of, wanted
from .tensors import read_tensors

_Found = dict[Path, Format]


def load_dictionary(path: str | Path, *, site: str | None = None, activation: str = "post") -> Dictionary:
    """Load an SAE or transcoder; the format is told from the files.

    Formats: sparsify, SAELens (before and after version 6), Gemma Scope 1 and 2, Llama Scope, llamascopium,
    dictionary_learning, Qwen Scope, mwhanna's transcoders, and the autoencoders of OpenAI, Goodfire, DeepSeek-R1 and
    Kissane et al. Nothing in a file is ever run. What cannot be computed exactly is refused by name.

    Parameters
    ----------
    path : str or Path
        A dictionary's folder (config and weights), its weight file, or a folder with dictionaries anywhere below it;
        where there is no such path, ``OWNER/REPOSITORY/FOLDER`` on the Hugging Face hub, which is downloaded.
    site : str, optional
        Module path such as ``layers.2``. It picks among the dictionaries of a repository; for a single one it says
        where it belongs. Not needed where there is but one.
    activation : {"post", "pre"}
        Features after the nonlinearity, or rectified pre-activations ``relu(z)``, without TopK or threshold.

    Raises
    ------
    FileNotFoundError
        If the path does not exist or holds no checkpoint, or the hub does not give it.
    ValueError, TypeError
        If there is no such site (the sites there are get listed), several folders fit, or a checkpoint is malformed
        or of a kind that cannot be computed exactly: one sentence naming file, field, what came and what is wanted.
    """
    _checks.choice("activation", activation, ("post", "pre"))
    root = Path(path)
    if not root.exists():
        if not hub.is_id(str(path)):
            raise FileNotFoundError(f"path {root} does not exist; wanted {wanted()}")
        root = hub.fetch(str(path), site)
    if root.is_file():
        file, known = root, format_of(root)
        if known is None:
            raise _unknown(root, [root])
        return known.load(file, site, activation)
    found = _dictionaries(root)
    alone = [file for file, known in found.items() if known.single and known.folder_of(file) == root]
    if len(alone) > 1:
        names = " and ".join(file.name for file in alone)
        raise ValueError(f"path {root} holds both {names}; wanted one of them")
    file = alone[0] if alone else _pick(root, found, site)
    return found[file].load(file, site, activation)


def _dictionaries(root: Path) -> _Found:
    """Return the weight files below ``root``; files that may have any name count where there are no others."""
    files = sorted(Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    for formats in (FORMATS, BY_CONTENT):
        known = {file: found for file in files if (found := format_of(file, formats))}
        if known:
            return known
    raise _unknown(root, files)


def _unknown(root: Path, files: list[Path]) -> FileNotFoundError | ValueError:
    for file in files:
        for pattern, kind in REFUSED.items():
            if fnmatchcase(file.name, pattern):
                return ValueError(f"{file} is of {kind}; that is not supported")
    candidates = [file for file in files if file.suffix in (".pt", ".pth")]
    if len(candidates) == 1:
        try:
            names = ", ".join(sorted(read_tensors(candidates[0])))
        except ValueError as error:
            return error
        held = f"{candidates[0].name} has {names or 'nothing'}"
        return FileNotFoundError(f"path {root} holds no dictionary: {held:.200}; wanted {wanted()}")
    held = ", ".join(sorted({file.name for file in files})[:6])
    return FileNotFoundError(f"path {root} holds no {f'dictionary but {held}' if held else 'file'}; wanted {wanted()}")


def _pick(root: Path, found: _Found, site: str | None) -> Path:
    """Return the weight file that is meant, of those below ``root``."""
    if site is None and len(found) == 1:
        return next(iter(found))
    sites = {file: _site(file, known) for file, known in found.items()}
    if site is None:
        raise ValueError(f"path {root} holds several dictionaries; site must be one of {_listed(root, sites)}")
    fitting = [file for file in found if sites[file] == site]
    if not fitting:
        raise ValueError(f"site {site!r} is not in {root}; the sites there are {_listed(root, sites)}")
    if len(fitting) > 1:  # a run's folder with its best/ inside: the folder of that very name
        fitting = [file for file in fitting if found[file].folder_of(file) == root / site] or fitting
    if len(fitting) > 1:
        folders = ", ".join(str(found[file].folder_of(file) if found[file].single else file) for file in fitting)
        raise ValueError(f"site {site!r} is in several folders below {root}; path must be one of {folders}")
    return fitting[0]


def _site(file: Path, known: Format) -> str | None:
    """Return the site of a dictionary, None where it does not tell: loading it will say why."""
    try:
        return known.site_of(file)
    except (OSError, TypeError, ValueError):
        return None


def _listed(root: Path, sites: dict[Path, str | None]) -> str:
    names = {site or f"{file.parent.relative_to(root)} (no site known)" for file, site in sites.items()}
    return ", ".join(sorted(names, key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]
