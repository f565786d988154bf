"""Documents: texts from lists, files and datasets, tokenised once, with the place of every token in its text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_DOCUMENTS_AT_ONCE = 64

Document = tuple[str, str, NDArray[np.int32], NDArray[np.int32]]
"""Name, text, token ids (tokens,), and the tokens' spans of characters in the text (tokens, 2)."""


class Spans(Protocol):
    """Documents, and the spans of characters that rows of activations stand for."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of every document."""

    @property
    def document_offsets(self) -> tuple[NDArray[np.int32], ...]:
        """The spans of every document, by position: shape (positions, 2)."""


def read_file(path: Path, text_field: str) -> Iterator[tuple[str, str]]:
    """Read the documents of a ``.txt`` or ``.jsonl`` file, with their names."""
    if path.suffix == ".txt":
        yield str(path), _decoded(path.read_bytes(), str(path))
        return
    with path.open("rb") as lines:  # bytes: text mode would also break lines at a lone carriage return
        for number, line in enumerate(lines, start=1):
            name = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(_decoded(line, name))
            except json.JSONDecodeError as error:
                raise ValueError(f"{name} must be a JSON object: {error}") from None
            if not isinstance(row, dict):
                raise ValueError(f"{name} must be a JSON object, got {type(row).__name__}")
            yield name, _text(name, row, text_field)


def read_rows(dataset: Iterable[Mapping[str, Any]], text_field: str) -> Iterator[tuple[str, str]]:
    """Read the documents of a dataset, with their names."""
    for number, row in enumerate(dataset):
        if not isinstance(row, Mapping):
            raise TypeError(f"dataset must give rows with named columns (one split of it), got {row!r}")
        yield f"row {number}", _text(f"row {number}", row, text_field)


def tokenised(named: Iterable[tuple[str, Any]], tokenizer: PreTrainedTokenizerFast) -> Iterator[Document]:
    """Tokenise many documents at a time: a fast tokenizer works on them in parallel."""
    waiting = iter(named)
    while batch := list(islice(waiting, _DOCUMENTS_AT_ONCE)):
        for name, text in batch:
            _check_text(name, text)
        encoded = tokenizer(
            [text for _, text in batch],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for (name, text), ids, offsets in zip(batch, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            if not ids:
                raise ValueError(f"{name} must have at least one token, got the text {text[:20]!r}")
            yield name, text, np.array(ids, dtype=np.int32), np.array(offsets, dtype=np.int32)


def cut(documents: Iterable[Document], max_tokens: int | None) -> Iterator[Document]:
    """Cut the stream of documents after so many tokens."""
    left = max_tokens
    for name, text, ids, offsets in documents:
        yield name, text, ids[:left], offsets[:left]
        if left is not None:
            left -= len(ids)
            if left <= 0:
                return


def check_fast(tokenizer: Any) -> None:
    """Refuse what is not a fast tokenizer."""
    if not getattr(tokenizer, "is_fast", False):
        raise TypeError(
            "tokenizer must be a fast tokenizer of transformers, which knows where in the text a token stands, "
            f"got {type(tokenizer).__name__}"
        )


def special_ids(tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Return the ids of a tokenizer's special tokens: those that have a role, and those added as special."""
    added = (i for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    return frozenset((*tokenizer.all_special_ids, *added))


def added_ids(tokenizer: PreTrainedTokenizerFast) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that the tokenizer's template puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, added = encoded["input_ids"], encoded["special_tokens_mask"]
    own = [i for i, is_added in enumerate(added) if not is_added] or [len(ids)]
    return tuple(ids[: own[0]]), tuple(ids[own[-1] + 1 :])


def _text(name: str, row: Mapping[str, Any], text_field: str) -> str:
    if text_field not in row:
        raise ValueError(f"{name} must have its text in {text_field!r}, got the fields {', '.join(row) or '(none)'}")
    text = row[text_field]
    if not isinstance(text, str):
        raise ValueError(f"{name} must have a string in {text_field!r}, got {type(text).__name__}")
    return text


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be UTF-8, got byte 0x{content[error.start]:02x} at {error.start}") from None


def _check_text(name: str, text: Any) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, got {type(text).__name__}")
    if not text.strip():
        raise ValueError(f"{name} must hold text, but it is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must be Unicode text, got half a surrogate pair at character {error.start}") from None
