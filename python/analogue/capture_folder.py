"""The folder that a capture fills: a store of shards for every site, and what they were captured from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .corpus import Corpus
from .devices import weights_in_memory
from .dictionaries import Dictionary
from .files import claim_folder, read_json, replace_json
from .shard_writer import ShardWriter
from .shards import ActivationShards

if TYPE_CHECKING:
    import hashlib

    from transformers import PreTrainedModel

_FORMAT = "analogue.capture/1"
_RECORD = "capture.json"
_NAMED = {
    "model": "model",
    "corpus": "corpus",
    "sites": "set of sites and dictionaries",
    "batch_size": "batch size",
    "device": "kind of device",
}
_NOT_THE_MODEL = ("_name_or_path", "transformers_version")  # where it came from, and who saved it


def capture_record(
    model: PreTrainedModel, corpus: Corpus, dictionaries: Mapping[str, Dictionary], batch_size: int, device: str
) -> dict[str, Any]:
    """Return what decides the bits of a capture, with a SHA-256 of the model, the corpus and every dictionary.

    The batch size and the kind of device are part of it: both change how float32 sums round.
    """
    config = {key: value for key, value in model.config.to_dict().items() if key not in _NOT_THE_MODEL}
    blocks = (corpus.token_ids, corpus.attention_mask, corpus.kept, corpus.document_ids, corpus.block_starts)
    return {
        "model": _model_sha256(config, model),
        "corpus": _sha256(*blocks),
        "sites": {site: _sha256(dictionary) for site, dictionary in sorted(dictionaries.items())},
        "batch_size": batch_size,
        "device": device.partition(":")[0],
    }


@contextmanager
def open_stores(
    path: str | Path,
    record: Mapping[str, Any],
    widths: Mapping[str, int],
    max_entries: int,
    *,
    overwrite: bool,
    resume: bool,
) -> Iterator[dict[str, ShardWriter]]:
    """Open a writer for every site; without an error in the block, all stores are finished at its end.

    Parameters
    ----------
    path : path
        The folder; the store of a site has the site's name.
    record : mapping
        As `capture_record` gives it; kept in the folder, and compared when resumed.
    widths : mapping of str to int
        F of every site.
    max_entries, overwrite, resume
        As for `ActivationShards.writer`.

    Raises
    ------
    FileExistsError
        If the folder is not empty and neither ``overwrite`` nor ``resume`` is given, or it holds anything else.
    FileNotFoundError, ValueError
        If the folder to go on with was captured from something else, and as `ActivationShards.writer` does.
    """
    folder = Path(path)
    goes_on = claim_folder(folder, _is_capture, "a capture", overwrite=overwrite, resume=resume)
    if goes_on and (folder / _RECORD).is_file():
        _check_record(folder, record)
    else:
        replace_json(folder / _RECORD, {"format": _FORMAT, **record})
    with ExitStack() as stack:
        yield {
            site: stack.enter_context(ActivationShards.writer(folder / site, width, max_entries, resume=True))
            for site, width in widths.items()
        }


def _is_capture(folder: Path) -> bool:
    return (folder / _RECORD).is_file() or all(child.name == f".{_RECORD}" for child in folder.iterdir())


def _check_record(folder: Path, record: Mapping[str, Any]) -> None:
    written = read_json(folder / _RECORD)
    if not isinstance(written, dict) or written.get("format") != _FORMAT:
        raise ValueError(f"{folder / _RECORD} must hold {_FORMAT}")
    changed = [named for key, named in _NAMED.items() if written.get(key) != record[key]]
    if changed:
        raise ValueError(f"{folder} was captured with another {' and another '.join(changed)}; it cannot be resumed")


def _model_sha256(config: Mapping[str, Any], model: PreTrainedModel) -> str:
    import hashlib

    digest = hashlib.sha256()
    _feed(digest, config)
    for entry in weights_in_memory(model):
        _feed(digest, entry)
    return digest.hexdigest()


def _sha256(*values: Any) -> str:
    import hashlib

    digest = hashlib.sha256()
    for value in values:
        _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, value: Any) -> None:
    """Feed a value with its kind and size, so that borders count; of tensors and arrays every byte."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, torch.nn.Module):
        _feed(digest, value.state_dict())
    elif dataclasses.is_dataclass(value):
        digest.update(type(value).__qualname__.encode())
        for field in dataclasses.fields(value):
            if field.name != "files":  # where it lies
                _feed(digest, (field.name, getattr(value, field.name)))
    elif isinstance(value, Mapping):
        _feed(digest, tuple(sorted(value.items(), key=lambda item: repr(item[0]))))
    elif isinstance(value, tuple | list):
        digest.update(f"{len(value)}:".encode())
        for item in value:
            _feed(digest, item)
    else:
        text = repr(value).encode()
        digest.update(f"{len(text)}:".encode() + text)
