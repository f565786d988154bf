"""Reopen: load again what a saved run was made of, from the paths in its manifest, and refuse what has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .comparison import Comparison
from .corpus import Corpus
from .dictionaries import Dictionary, load_dictionary
from .files import sha256
from .sides import Side, load_side

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def reopen_dictionaries(comparison: Comparison) -> dict[str, Dictionary]:
    """Load the dictionaries of both sides again.

    Neurons are read from the model, whose weights their directions are; a dictionary that was trained for the run is
    read from the run's folder.

    Parameters
    ----------
    comparison : Comparison
        A run, the cell of a grid, or its control, with the provenance that `compare` records.

    Returns
    -------
    dict of {"a", "b"} to Dictionary

    Raises
    ------
    FileNotFoundError
        If a path of the manifest is gone.
    ValueError
        If a file has another SHA-256, or the manifest does not say where a dictionary came from.
    """
    return {side: _dictionary(comparison, side, space.site) for side, space in comparison.spaces.items()}


def reopen_corpus(comparison: Comparison) -> tuple[Corpus, PreTrainedTokenizerFast]:
    """Read the text again, with the tokenizer of model A: the tokens are those that both models read.

    Raises
    ------
    FileNotFoundError
        If a text or the model's folder is gone.
    ValueError
        If a file has another SHA-256, if the run's text did not come from files or was read by two tokenizers, or if
        its tokens come out otherwise.
    """
    if comparison.alignment is not None:
        raise ValueError(
            "the text of this run was read by two tokenizers and aligned: pass the corpus, made with align"
        )
    record = comparison.provenance.get("text") or {}
    files: Mapping[str, str] = record.get("files") or {}
    if not files:
        raise ValueError("the text of this run did not come from files, so it cannot be read again: pass the corpus")
    paths = [_path(comparison, path) for path in files]
    for path, digest in zip(paths, files.values(), strict=True):
        _check_file(path, digest, "the text")
    arguments = comparison.provenance.get("arguments") or {}
    tokenizer, other = (_tokenizer(comparison, side) for side in ("a", "b"))
    corpus = Corpus.from_files(
        paths,
        tokenizer,
        context_length=record["context_length"],
        text_field=arguments.get("text_field") or "text",
        keep_special=record["keep_special"],
        max_tokens=arguments.get("max_tokens"),
        extra_special_ids=other.all_special_ids,
    )
    made = {"sha256": corpus.sha256, "tokens": corpus.n_tokens, "kept": corpus.n_kept}
    for name, value in made.items():
        if value != record[name]:
            raise ValueError(f"the text must come out as in the run, {name} {record[name]}, got {value}")
    return corpus, tokenizer


def reopened(comparison: Comparison, dictionaries: Mapping[str, Dictionary] | None = None) -> Comparison:
    """Return the comparison with the dictionaries and the decoder directions of all features, which a run leaves out.

    Parameters
    ----------
    comparison : Comparison
    dictionaries : mapping of {"a", "b"} to Dictionary, optional
        Those of the run; by default they are loaded again, see `reopen_dictionaries`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `reopen_dictionaries`; or if a dictionary that was passed is not the one of the run.
    """
    given = reopen_dictionaries(comparison) if dictionaries is None else dictionaries
    spaces = {}
    for side, space in comparison.spaces.items():
        if side not in given:
            raise ValueError(f"dictionaries must hold those of a and of b, got {', '.join(given) or 'none'}")
        dictionary = given[side]
        _check_same(dictionary, _record(comparison, side, space.site), f"dictionaries[{side!r}]")
        if dictionary.n_features != space.labels.n_features:
            raise ValueError(
                f"dictionaries[{side!r}] must have the {space.labels.n_features} features of {space.site}, "
                f"got {dictionary.n_features}"
            )
        w_dec = dictionary.w_dec
        directions = None if w_dec is None else w_dec.detach().cpu().float().numpy()
        spaces[side] = replace(space, dictionary=dictionary, directions=directions)
    return replace(comparison, spaces=spaces)


def _dictionary(comparison: Comparison, side: str, site: str) -> Dictionary:
    record = _record(comparison, side, site)
    if record.get("format") == "neurons":
        return _model(comparison, side, site).dictionaries[site]
    arguments = comparison.provenance.get("arguments") or {}
    activation = arguments.get("activation") or "post"
    if (saved := comparison.spaces[side].saved_dictionary) is not None:
        return load_dictionary(saved, site=site, activation=activation)
    if record.get("path") is None:
        raise ValueError(
            f"the dictionary of {site} cannot be loaded again: this run does not say which folder it came from; pass it"
        )
    folder = _path(comparison, record["path"])
    if not folder.exists():
        raise FileNotFoundError(f"the dictionary of {site} cannot be loaded again: {folder} is gone")
    dictionary = load_dictionary(folder, site=site, activation=activation)
    _check_same(dictionary, record, str(folder))
    if record.get("config_sha256") is not None and dictionary.files is not None:
        _check_file(dictionary.files.config or folder, record["config_sha256"], f"the dictionary of {site}")
    return dictionary


def _model(comparison: Comparison, side: str, site: str) -> Side:
    """Load a model with the neurons of a site."""
    record = _check_model(comparison, side)
    loaded = load_side(_name(comparison, record), sites=[site])[0]
    revision = getattr(loaded.model.config, "_commit_hash", None)
    if revision != record["revision"]:
        raise ValueError(f"{record['name']} must be at revision {record['revision']}, as in the run, got {revision}")
    return loaded


def _tokenizer(comparison: Comparison, side: str) -> PreTrainedTokenizerFast:
    from transformers import AutoTokenizer

    record = _check_model(comparison, side)
    at = {} if record["revision"] is None else {"revision": record["revision"]}
    return AutoTokenizer.from_pretrained(_name(comparison, record), **at)


def _check_model(comparison: Comparison, side: str) -> dict[str, Any]:
    """Return the record of a model whose files are those of the run; a hub's name is taken at its revision."""
    if side == "a" and comparison.provenance.get("role") == "rerandomized":
        raise ValueError("the model of side A cannot be loaded again: baseline rerandomized drew its weights anew")
    record = (comparison.provenance.get("models") or {}).get(side) or {}
    if not record.get("name"):
        raise ValueError(f"the model of side {side.upper()} cannot be loaded again: this run does not say its name")
    for name, digest in record["sha256"].items():
        _check_file(Path(_name(comparison, record)) / name, digest, f"the model of side {side.upper()}")
    return dict(record)


def _name(comparison: Comparison, record: Mapping[str, Any]) -> str:
    """Return a model's folder, or the name that a hub has it by: then no file of it was recorded."""
    return str(_path(comparison, record["name"])) if record["sha256"] else str(record["name"])


def _path(comparison: Comparison, recorded: str) -> Path:
    """Return a path of the manifest, a relative one from where the run was made, or from here if it is not there."""
    here = Path(recorded)
    there = Path(comparison.provenance.get("directory") or "", recorded)
    return here if here.exists() and not there.exists() else there


def _record(comparison: Comparison, side: str, site: str) -> dict[str, Any]:
    return dict(((comparison.provenance.get("dictionaries") or {}).get(side) or {}).get(site) or {})


def _check_same(dictionary: Dictionary, record: Mapping[str, Any], name: str) -> None:
    recorded = record.get("sha256")
    if recorded is not None and dictionary.sha256 is not None and dictionary.sha256 != recorded:
        raise ValueError(f"{name} must be the dictionary that this run was made with, but its SHA-256 differs")


def _check_file(path: Path, digest: str, what: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{what} cannot be loaded again: {path} is gone")
    if sha256(path) != digest:
        raise ValueError(f"{what} must be that of the run, but the SHA-256 of {path} differs")
