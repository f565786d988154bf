"""Words: the whole words that a token is part of, and the text some words to either side of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

_RUN = re.compile(r"\S+")


def words_at(left: str, token: str, right: str) -> list[str]:
    """Return the whole words that a token touches, as they stand in the text around it.

    A word is a run of letters, digits and the marks on them, so an apostrophe or hyphen ends it. A token without any is
    its own word, stripped: "+" may be what a feature is about. A blank token touches none.

    >>> words_at("of Birm", "ingham", ", in")
    ['Birmingham']
    >>> words_at("a", " +", " b")
    ['+']
    """
    text, start, end = left + token + right, len(left), len(left) + len(token)
    if start == end:
        return []
    if in_word(text[start]):
        while start and in_word(text[start - 1]):
            start -= 1
    if in_word(text[end - 1]):
        while end < len(text) and in_word(text[end]):
            end += 1
    words = ["".join(run) for inside, run in groupby(text[start:end], in_word) if inside]
    return words or [stripped for stripped in [token.strip()] if stripped]


def folded(word: str) -> str:
    """Return a word without differences of case or of Unicode form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())


def in_word(character: str) -> bool:
    """Say whether a character is part of a word: a letter, a digit or a mark on one."""
    return character.isalnum() or unicodedata.category(character)[0] == "M"


class WordWindows:
    """The words of texts, to cut windows from; here a word is whatever stands between white space."""

    def __init__(self, texts: Sequence[str]) -> None:
        spans = [[match.span() for match in _RUN.finditer(text)] for text in texts]
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        # All texts lie on one axis of characters, each from its origin, and their words in one list.
        self._origin = np.cumsum(lengths) - lengths
        self._until = np.cumsum([len(own) for own in spans], dtype=np.int64)
        self._from = np.concatenate([[0], self._until[:-1]]).astype(np.int64)
        words = np.array([span for own in spans for span in own], dtype=np.int64).reshape(-1, 2)
        words += np.repeat(self._origin, self._until - self._from)[:, None]
        self._starts, self._ends = words.T

    def around(
        self,
        texts: NDArray[np.int64],
        starts: NDArray[np.integer],
        ends: NDArray[np.integer],
        before: int,
        after: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the windows of tokens ``starts:ends`` of these texts begin and end, so many words to each side.

        What is left of a token's own words is in it, and counts as none of them.
        """
        origin, of_text, until = self._origin[texts], self._from[texts], self._until[texts]
        starts, ends = starts + origin, ends + origin
        ended = np.clip(np.searchsorted(self._ends, starts, side="right"), of_text, until)
        begun = np.clip(np.searchsorted(self._starts, ends, side="left"), of_text, until)
        first = np.maximum(ended - before, of_text)
        last = np.minimum(begun - 1 + after, until - 1)
        there = len(self._starts) - 1
        left = np.where(first < until, self._starts[np.clip(first, 0, there)] if there >= 0 else starts, starts)
        right = np.where(last >= of_text, self._ends[np.clip(last, 0, there)] if there >= 0 else ends, ends)
        return np.minimum(left, starts) - origin, np.maximum(right, ends) - origin
