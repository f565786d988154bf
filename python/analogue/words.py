"""Words: the whole words that a token is part of, and the text some words to either side of it."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from itertools import groupby

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
    if _in_word(text[start]):
        while start and _in_word(text[start - 1]):
            start -= 1
    if _in_word(text[end - 1]):
        while end < len(text) and _in_word(text[end]):
            end += 1
    words = ["".join(run) for inside, run in groupby(text[start:end], _in_word) if inside]
    return words or [stripped for stripped in [token.strip()] if stripped]


def folded(word: str) -> str:
    """Return a word without differences of case or of Unicode form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())


def _in_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


class WordWindows:
    """The words of one text, to cut windows from; here a word is whatever stands between white space."""

    def __init__(self, text: str) -> None:
        self._spans = [match.span() for match in _RUN.finditer(text)]
        self._starts = [start for start, _ in self._spans]
        self._ends = [end for _, end in self._spans]

    def around(self, start: int, end: int, words: int) -> tuple[int, int]:
        """Return where the window of a token ``start:end`` begins and ends, so many words to either side.

        What is left of the token's own words is in it, and counts as none of them.
        """
        first = max(bisect_right(self._ends, start) - words, 0)
        last = min(bisect_left(self._starts, end) - 1 + words, len(self._spans) - 1)
        left = self._starts[first] if first < len(self._starts) else start
        right = self._ends[last] if last >= 0 else end
        return min(left, start), max(right, end)
