"""Provenance: what a manifest records of models, dictionaries and text, so that a run can be made again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .aligned_corpus import AlignedCorpus
from .corpus import Corpus
from .dictionaries import Dictionary
from .sides import Side


def run_record(
    sides: Mapping[str, Side],
    corpus: Corpus | AlignedCorpus,
    arguments: Mapping[str, Any],
    sites: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return models, dictionaries and text with their SHA-256, and what was masked.

    Parameters
    ----------
    sides : mapping of str to Side
        By the key it has in the record: "a", "b", "control".
    corpus : Corpus or AlignedCorpus
        Of aligned tokenizers what counts tokens is there for either side, and what was aligned.
    arguments : mapping
        What the caller was asked to do.
    sites : mapping of str to str, optional
        Of every side the one site that was compared; by default all.

    Returns
    -------
    dict
        Paths as they were given. Where one is relative, ``directory`` is the folder that it starts from.
    """
    relative = any(not path.is_absolute() for path in _paths(sides, corpus))
    return {
        "arguments": dict(arguments),
        "directory": str(Path.cwd()) if relative else None,
        "models": {key: _model(side) for key, side in sides.items()},
        "dictionaries": {
            key: {
                site: _dictionary(dictionary)
                for site, dictionary in side.dictionaries.items()
                if sites is None or site == sites[key]
            }
            for key, side in sides.items()
        },
        "text": _text(corpus),
    }


def _paths(sides: Mapping[str, Side], corpus: Corpus | AlignedCorpus) -> Iterable[Path]:
    read = corpus.a if isinstance(corpus, AlignedCorpus) else corpus
    yield from map(Path, read.files)
    for side in sides.values():
        if side.files:  # else its name is no path, but that of a hub
            yield Path(side.name)
        yield from (dictionary.path for dictionary in side.dictionaries.values() if dictionary.path is not None)


def _text(corpus: Corpus | AlignedCorpus) -> dict[str, Any]:
    read = corpus.a if isinstance(corpus, AlignedCorpus) else corpus
    record = {"files": dict(read.files), "documents": read.n_documents, "sha256": read.sha256}
    if isinstance(corpus, AlignedCorpus):
        sides = {"a": _tokens(corpus.a), "b": _tokens(corpus.b)}
        counts = {name: {side: sides[side][name] for side in sides} for name in sides["a"]}
        return record | counts | {"kept": corpus.n_kept, "alignment": corpus.report()}
    return record | _tokens(corpus)


def _tokens(corpus: Corpus) -> dict[str, Any]:
    return {
        "context_length": corpus.context_length,
        "keep_special": corpus.keep_special,
        "tokens": corpus.n_tokens,
        "kept": corpus.n_kept,
        "masked": corpus.masked,
    }


def _model(side: Side) -> dict[str, Any]:
    revision = getattr(side.model.config, "_commit_hash", None)
    return {"name": side.name, "revision": revision, "sha256": dict(side.files)}


def _dictionary(dictionary: Dictionary) -> dict[str, Any]:
    return {
        "format": dictionary.format,
        "path": None if dictionary.path is None else str(dictionary.path),
        "sha256": dictionary.sha256,
        "config_sha256": None if dictionary.files is None else dictionary.files.config_sha256,
        "n_features": dictionary.n_features,
    }
