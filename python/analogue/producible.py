"""Words that a tokenizer loses: whatever tokens a model reads, it never reads them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .documents import check_fast
from .words import folded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def unproducible(words: Sequence[str], tokenizer: PreTrainedTokenizerFast, case_sensitive: bool) -> tuple[str, ...]:
    """Return the words that no sequence of tokens writes, as a model meets them at the start of a text or inside.

    A word is tokenised and decoded; it is lost if it does not come back. That is so where a piece of it is unknown
    (WordPiece, and Unigram without bytes), where the tokenizer strips accents, and where it lower-cases words whose
    case counts. Byte-level BPE loses none. White space, Unicode form (NFKC) and curly apostrophes are not compared.
    """
    check_fast(tokenizer)
    lost = list(words)
    for before in ("", " "):
        if not lost:
            break
        ids = tokenizer([before + word for word in lost], add_special_tokens=False)["input_ids"]
        texts = tokenizer.batch_decode(ids, clean_up_tokenization_spaces=False)
        lost = [word for word, text in zip(lost, texts, strict=True) if not _same(word, text, case_sensitive)]
    return tuple(lost)


def sentence(lost: Mapping[str, Sequence[str]]) -> str | None:
    """List the words that are lost, by concept, in one sentence; None without any."""
    if not lost:
        return None
    listed = "; ".join(f"{name}: {', '.join(words)}" for name, words in lost.items())
    return f"the tokenizer produces no token sequence for these words, so no feature can stand for them: {listed}"


def _same(word: str, text: str, case_sensitive: bool) -> bool:
    one, other = (unicodedata.normalize("NFKC", given) if case_sensitive else folded(given) for given in (word, text))
    return _bare(one) == _bare(other)


def _bare(text: str) -> str:
    return "".join(text.split()).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
