"""Corpus: texts cut into token blocks, and which of the tokens enter the statistics."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .documents import added_ids, check_fast, cut, read_file, read_rows, special_ids, tokenised
from .files import sha256

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DEFAULT_CONTEXT = 256


@dataclass(frozen=True, eq=False, repr=False)
class Corpus:
    """Documents as token blocks of one context length; a block never holds tokens of two documents.

    Make one with `from_texts`, `from_files` or `from_dataset`. Every document is tokenised once and cut into N blocks;
    where the tokenizer adds ids of its own (BOS, or CLS and SEP), every block gets them. Blocks are padded on the right
    to L, the length of the longest. Kept are tokens of a document that are not special and not first in their block:
    the attention sink sits there.

    Attributes
    ----------
    texts, names : tuple of str, one a document
        The text as it was read, and what it is called.
    document_token_ids : tuple of ndarray of int32, shape (tokens,), one a document
        The document's own tokens, without any that the tokenizer adds.
    document_offsets : tuple of ndarray of int32, shape (tokens, 2), one a document
        Token `t` stands for ``text[start:end]``, in characters. Tokens that are pieces of one character share its span.
    context_length : int
        The most tokens in a block, those that the tokenizer adds included.
    prefix, suffix : tuple of int
        Ids that stand before and after the document's tokens in every block.
    special_ids : frozenset of int
        The special tokens, by id.
    keep_special : bool
        Whether special tokens in the text are kept.
    files : mapping of str to str
        SHA-256 of the files that were read, by path.
    cuts : tuple of ndarray of int64, one a document, or None
        The document's tokens that its blocks begin with; None: all blocks of a document but its last are full.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]
    document_token_ids: tuple[NDArray[np.int32], ...]
    document_offsets: tuple[NDArray[np.int32], ...]
    context_length: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    special_ids: frozenset[int]
    keep_special: bool
    files: Mapping[str, str] = field(default_factory=dict)
    cuts: tuple[NDArray[np.int64], ...] | None = None

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        tokenizer: PreTrainedTokenizerFast,
        context_length: int | None = None,
        *,
        keep_special: bool = False,
        max_tokens: int | None = None,
        names: Sequence[str] | None = None,
        extra_special_ids: Iterable[int] = (),
    ) -> Self:
        """Tokenise texts, one document each.

        Parameters
        ----------
        texts : iterable of str
            Read only as far as ``max_tokens`` asks.
        tokenizer : PreTrainedTokenizerFast
            A fast tokenizer: only these know where in the text a token stands.
        context_length : int, optional
            The most tokens in a block; by default 256, or what the tokenizer says its model takes if that is less.
        keep_special : bool
            Keep special tokens that stand in a text; those that the tokenizer adds are never kept.
        max_tokens : int, optional
            Stop after so many tokens of the documents; the last document may be cut.
        names : sequence of str, optional
            What the documents are called; by default ``texts[0]``, ``texts[1]``, ...
        extra_special_ids : iterable of int
            Ids to treat as special beside the tokenizer's own, such as those of a second tokenizer.

        Raises
        ------
        TypeError, ValueError
            If a text is no string or has no token, if the tokenizer is not a fast one, or if a number is out of range.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list of strings, got one string")
        if names is None:
            named: Iterable[tuple[str, Any]] = ((f"texts[{i}]", text) for i, text in enumerate(texts))
        else:
            listed = list(texts)
            if len(names) != len(listed):
                raise ValueError(f"names must have one entry for each of the {len(listed)} texts, got {len(names)}")
            named = zip(names, listed, strict=True)
        return cls._build(named, tokenizer, context_length, keep_special, max_tokens, extra_special_ids)

    @classmethod
    def from_files(
        cls,
        paths: str | Path | Iterable[str | Path],
        tokenizer: PreTrainedTokenizerFast,
        context_length: int | None = None,
        *,
        text_field: str = "text",
        keep_special: bool = False,
        max_tokens: int | None = None,
        extra_special_ids: Iterable[int] = (),
    ) -> Self:
        """Read UTF-8 files: a ``.txt`` file is one document, and so is every line of a ``.jsonl`` file.

        Parameters
        ----------
        paths : path or iterable of paths
            Documents are called by their file, or by file and line number: ``speeches.jsonl:3``.
        text_field : str
            Where the text stands in a JSONL line; blank lines are passed over.
        tokenizer, context_length, keep_special, max_tokens, extra_special_ids
            As in `from_texts`.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        TypeError, ValueError
            If a file has another ending or is not UTF-8, if a line is no JSON object with a string in ``text_field``,
            and as in `from_texts`.
        """
        files = [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
        for path in files:
            if path.suffix not in (".txt", ".jsonl"):
                raise ValueError(f"a text file must end in .txt or .jsonl, got {path}")
            if not path.is_file():
                raise FileNotFoundError(f"text file {path} does not exist")
        named = (document for path in files for document in read_file(path, text_field))
        corpus = cls._build(named, tokenizer, context_length, keep_special, max_tokens, extra_special_ids)
        return replace(corpus, files={str(path): sha256(path) for path in files})

    @classmethod
    def from_dataset(
        cls,
        dataset: Iterable[Mapping[str, Any]],
        tokenizer: PreTrainedTokenizerFast,
        context_length: int | None = None,
        *,
        text_field: str = "text",
        keep_special: bool = False,
        max_tokens: int | None = None,
        extra_special_ids: Iterable[int] = (),
    ) -> Self:
        """Read a Hugging Face dataset, map-style or streaming; a row is a document.

        Parameters
        ----------
        dataset : datasets.Dataset or datasets.IterableDataset
            One split. Rows with a blank text are passed over (wikitext is full of them); documents are called by their
            row: ``row 7``.
        text_field : str
            The column that holds the text.
        tokenizer, context_length, keep_special, max_tokens, extra_special_ids
            As in `from_texts`.

        Raises
        ------
        TypeError, ValueError
            If a row has no string in ``text_field``, and as in `from_texts`.
        """
        named = (document for document in read_rows(dataset, text_field) if document[1].strip())
        return cls._build(named, tokenizer, context_length, keep_special, max_tokens, extra_special_ids)

    @classmethod
    def _build(
        cls,
        named: Iterable[tuple[str, Any]],
        tokenizer: PreTrainedTokenizerFast,
        context_length: int | None,
        keep_special: bool,
        max_tokens: int | None,
        extra_special_ids: Iterable[int],
    ) -> Self:
        check_fast(tokenizer)
        prefix, suffix = added_ids(tokenizer)
        if context_length is None:
            context_length = min(DEFAULT_CONTEXT, tokenizer.model_max_length)
        # The first position of a block is left out, so a block that holds one more token is the least of use.
        least = max(len(prefix), 1) + 1 + len(suffix)
        length = _checks.integer("context_length", context_length, minimum=least)
        if max_tokens is not None:
            _checks.integer("max_tokens", max_tokens, minimum=1)
        special = {_checks.integer("extra_special_ids", i, minimum=0) for i in extra_special_ids}
        special |= special_ids(tokenizer)
        documents = list(cut(tokenised(named, tokenizer), max_tokens))
        if not documents:
            raise ValueError("a corpus must hold at least one document, got none")
        names, texts, ids, offsets = zip(*documents, strict=True)
        return cls(texts, names, ids, offsets, length, prefix, suffix, frozenset(special), keep_special)

    def __repr__(self) -> str:
        counts = f"{self.n_documents} documents, {self.n_blocks} blocks, {self.n_tokens} tokens, {self.n_kept} kept"
        return f"Corpus({counts}, context_length={self.context_length})"

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.texts)

    @property
    def n_blocks(self) -> int:
        """N, the number of blocks."""
        return len(self.document_ids)

    @cached_property
    def n_tokens(self) -> int:
        """Number of tokens in all blocks, padding not counted."""
        return int(self.attention_mask.sum())

    @cached_property
    def n_kept(self) -> int:
        """Number of tokens that enter the statistics."""
        return int(self.kept.sum())

    @property
    def masked(self) -> dict[str, int]:
        """How many of the `n_tokens` are not kept, and why.

        ``first_position``: first in their block; ``special``: any other special token, in the text or added.
        """
        return {"first_position": self.n_blocks, "special": self.n_tokens - self.n_blocks - self.n_kept}

    @cached_property
    def document_ids(self) -> NDArray[np.int64]:
        """The document of every block, shape (N,)."""
        if self.cuts is not None:
            blocks = [len(starts) for starts in self.cuts]
        else:
            blocks = [-(-len(ids) // self.room) for ids in self.document_token_ids]
        return np.repeat(np.arange(self.n_documents, dtype=np.int64), blocks)

    @cached_property
    def block_starts(self) -> NDArray[np.int64]:
        """Where in its document the block's first document token stands, in tokens, shape (N,)."""
        if self.cuts is not None:
            return np.concatenate(self.cuts)
        first_block = np.searchsorted(self.document_ids, self.document_ids)
        starts: NDArray[np.int64] = (np.arange(self.n_blocks) - first_block) * self.room
        return starts

    @cached_property
    def token_ids(self) -> NDArray[np.int32]:
        """Vocabulary ids, shape (N, L); 0 where there is padding, which the attention mask hides."""
        block_ids = np.zeros(self._in_document.shape, dtype=np.int32)
        block_ids[self._in_document] = np.concatenate(self.document_token_ids)
        block_ids[:, : len(self.prefix)] = self.prefix
        ends = len(self.prefix) + self._lengths
        for i, added in enumerate(self.suffix):
            block_ids[np.arange(self.n_blocks), ends + i] = added
        return block_ids

    @cached_property
    def attention_mask(self) -> NDArray[np.bool_]:
        """True where there is a token, false where there is padding, shape (N, L)."""
        ends = len(self.prefix) + self._lengths + len(self.suffix)
        return np.arange(self._in_document.shape[1]) < ends[:, None]

    @cached_property
    def special_mask(self) -> NDArray[np.bool_]:
        """True where there is a special token, by id, shape (N, L)."""
        return self.attention_mask & np.isin(self.token_ids, list(self.special_ids))

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """True where a token enters the statistics, shape (N, L)."""
        kept = self._in_document if self.keep_special else self._in_document & ~self.special_mask
        return kept & (np.arange(kept.shape[1]) > 0)

    @property
    def kept_token_ids(self) -> NDArray[np.int64]:
        """Vocabulary ids of the kept tokens, block by block, shape (`n_kept`,)."""
        return self.token_ids[self.kept].astype(np.int64)

    @property
    def kept_document_ids(self) -> NDArray[np.int64]:
        """Documents of the kept tokens, shape (`n_kept`,)."""
        return self.document_ids[np.nonzero(self.kept)[0]]

    @property
    def kept_positions(self) -> NDArray[np.int64]:
        """Positions of the kept tokens in their document's own tokens, shape (`n_kept`,)."""
        blocks, columns = np.nonzero(self.kept)
        positions: NDArray[np.int64] = self.block_starts[blocks] + columns - len(self.prefix)
        return positions

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the texts, in hexadecimal; each goes in behind its length, so that their borders count."""
        import hashlib

        digest = hashlib.sha256()
        for text in self.texts:
            content = text.encode()
            digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()

    @property
    def room(self) -> int:
        """The most tokens of a document in a block: the context length without what the tokenizer adds."""
        return self.context_length - len(self.prefix) - len(self.suffix)

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        """Document tokens in every block, shape (N,)."""
        sizes = np.array([len(ids) for ids in self.document_token_ids], dtype=np.int64)
        lengths: NDArray[np.int64] = sizes[self.document_ids] - self.block_starts
        within = np.flatnonzero(np.diff(self.document_ids) == 0)
        lengths[within] = np.diff(self.block_starts)[within]
        return lengths

    @cached_property
    def _in_document(self) -> NDArray[np.bool_]:
        """True where a document's own token stands, shape (N, L); row by row these are the documents' tokens."""
        first = len(self.prefix)
        columns = np.arange(first + self._lengths.max() + len(self.suffix))
        return (columns >= first) & (columns < first + self._lengths[:, None])


def same_tokenizer(a: PreTrainedTokenizerFast, b: PreTrainedTokenizerFast) -> bool:
    """Say whether two fast tokenizers give every token, the special ones included, the same id."""
    check_fast(a)
    check_fast(b)
    return bool(a.get_vocab() == b.get_vocab())
