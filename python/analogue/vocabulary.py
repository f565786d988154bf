"""Vocabulary: the words that features fire on, those that could make a concept."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Set
from functools import cache

from .junk_lists import is_junk
from .labels import Labels


def count_words(labels: Labels, known: Set[str]) -> dict[str, tuple[int, int]]:
    """Count the features and the contexts of every word that an activating token belongs to, folded.

    Known words are left out, and so are numerals, junk and the function words of English (data/function_words.toml).
    """
    known = known | _function_words()
    contexts: Counter[str] = Counter()
    features: Counter[str] = Counter()
    for feature in range(labels.n_features):
        new = [_words(*context) - known for context in labels.contexts(feature)]
        for words in new:
            contexts.update(words)
        features.update(set().union(*new))
    return {word: (features[word], times) for word, times in contexts.items()}


def _words(left: str, token: str, right: str) -> set[str]:
    """Return the words that the activating token belongs to, folded; junk, numerals and what the edge cuts are none."""
    if is_junk(token):
        return set()
    before, after = left[left.rfind(" ") + 1 :], right.partition(" ")[0]  # no word goes on beyond a space
    text, start, end = before + token + after, len(before), len(before) + len(token)
    first_cut, last_cut = bool(left) and before == left, bool(right) and after == right
    words = set()
    for match in _word_pattern().finditer(text):
        cut = (first_cut and match.start() == 0) or (last_cut and match.end() == len(text))
        if match.start() < end and match.end() > start and not cut:
            words.add(unicodedata.normalize("NFC", match[0]).casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return {word for word in words if not any(map(str.isdigit, word))}


@cache
def _word_pattern() -> re.Pattern[str]:
    """Match runs of letters, digits and marks, with apostrophes inside, save that of a final s."""
    marks = "".join(mark for mark in map(chr, range(0x300, 0x20000)) if unicodedata.category(mark).startswith("M"))
    run = rf"(?:[^\W_]+|[{re.escape(marks)}]+)+"
    return re.compile(rf"{run}(?:['\N{{RIGHT SINGLE QUOTATION MARK}}](?![sS]\b){run})*")


@cache
def _function_words() -> frozenset[str]:
    import tomllib
    from importlib import resources

    text = (resources.files("analogue") / "data" / "function_words.toml").read_text(encoding="utf-8")
    return frozenset(tomllib.loads(text)["words"])
