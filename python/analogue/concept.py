"""Concept: a named list of words, each with one meaning, and the words that had to go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from . import _checks
from .keywords import KeywordGroup


@dataclass(frozen=True)
class Concept:
    """Words that stand for one concept.

    ``a | b`` has the words of both, ``a - b`` the words of a that are none of b's.

    Attributes
    ----------
    name : str
    words : tuple of str
        At least one; none blank, none twice.
    case_sensitive : bool
        Whether words are matched with their case, as names are, or without; without, words that differ in case alone
        are the same.
    removed : Mapping of str to str
        Words that were taken out, and why; most have a second meaning.
    parents : tuple of str
        The concepts whose words it took over.
    compounds : bool
        Whether a word counts that is part of a compound, as "man" is of "old-man".

    Raises
    ------
    TypeError, ValueError
        If the name or a word is blank or no text, if there is no word, if one stands twice, or if one is kept and
        removed.
    """

    name: str
    words: tuple[str, ...]
    case_sensitive: bool = False
    removed: Mapping[str, str] = field(default_factory=dict, hash=False)
    parents: tuple[str, ...] = ()
    compounds: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"name must be a text that is not blank, got {self.name!r}")
        if isinstance(self.words, str):
            raise TypeError(f"words of {self.name} must be a list of texts, got {self.words!r}")
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "parents", tuple(self.parents))
        if not self.words:
            raise ValueError(f"words of {self.name} must be at least one, got none")
        seen: set[str] = set()
        for word in self.words:
            check_word(word, f"words of {self.name}")
            if self.key(word) in seen:
                raise ValueError(f"words of {self.name} must stand there once, got {word!r} twice")
            seen.add(self.key(word))
        for word in self.removed:
            check_word(word, f"removed of {self.name}")
            if self.key(word) in seen:
                raise ValueError(f"removed of {self.name} must not hold a word that is kept, got {word!r}")

    @property
    def group(self) -> KeywordGroup:
        """The words as `keyword_hits` takes them."""
        return KeywordGroup(self.name, self.words, case_sensitive=self.case_sensitive, compounds=self.compounds)

    def key(self, word: str) -> str:
        """Return what two equal words have in common: the word itself where case counts, else folded."""
        return word if self.case_sensitive else word.casefold()

    def restored(self) -> Concept:
        """Return the concept with its removed words put back, to see what a score owes to double meanings."""
        return replace(self, words=(*self.words, *self.removed), removed={})

    def __or__(self, other: Concept) -> Concept:
        if not isinstance(other, Concept):
            return NotImplemented
        if self.case_sensitive != other.case_sensitive:
            exact, fold = (self, other) if self.case_sensitive else (other, self)
            raise ValueError(f"a union needs concepts of one case, got {exact.name} (exact) and {fold.name} (fold)")
        words = distinct((*self.words, *other.words), self.case_sensitive)
        kept = {self.key(word) for word in words}
        removed = {word: why for word, why in {**other.removed, **self.removed}.items() if self.key(word) not in kept}
        parents = tuple(dict.fromkeys((*self.parents, *other.parents)))
        compounds = self.compounds or other.compounds
        return Concept(f"{self.name} | {other.name}", words, self.case_sensitive, removed, parents, compounds)

    def __sub__(self, other: Concept) -> Concept:
        if not isinstance(other, Concept):
            return NotImplemented
        words = subtracted(self.words, other.words, self.case_sensitive and other.case_sensitive)
        if not words:
            raise ValueError(f"a difference needs a word that is left, got none in {self.name} - {other.name}")
        return replace(self, name=f"{self.name} - {other.name}", words=words)


def check_word(word: object, where: str) -> None:
    """Refuse what is no text, blank, or has space around it."""
    if not isinstance(word, str):
        raise TypeError(f"{where} must be texts, got {word!r}")
    if not word.strip():
        raise ValueError(f"{where} must not be blank, got {word!r}")
    if word != word.strip():
        raise ValueError(f"{where} must have no space around them, got {word!r}")


def distinct(words: Iterable[str], case_sensitive: bool) -> tuple[str, ...]:
    """Return the words in their order, each once, the first of those that are the same without case."""
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(word if case_sensitive else word.casefold(), word)
    return tuple(first.values())


def subtracted(words: Iterable[str], others: Iterable[str], case_sensitive: bool) -> tuple[str, ...]:
    """Return the words that are none of the others."""
    gone = {word if case_sensitive else word.casefold() for word in others}
    return tuple(word for word in words if (word if case_sensitive else word.casefold()) not in gone)


def mixed_words(concepts: Sequence[Concept], rng: np.random.Generator, n: int | None) -> tuple[str, ...]:
    """Draw one word from each concept, folded, or ``n`` of them in turns; see `Concepts.mixed_control`."""
    words = [list(dict.fromkeys(map(str.casefold, concept.words))) for concept in concepts]
    most = len(set().union(*words))
    if n is not None and _checks.integer("n", n, minimum=1) > most:
        raise ValueError(f"n must be at most {most}, the words of these concepts, got {n}")
    drawn: dict[str, None] = {}
    while True:
        for place in range(len(words)) if n is None else rng.permutation(len(words)):
            left = [word for word in words[place] if word not in drawn]
            if left and len(drawn) != n:
                drawn[left[rng.integers(len(left))]] = None
        if n is None or len(drawn) == n:
            return tuple(drawn)
