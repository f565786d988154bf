"""Alignment: where the tokens of two tokenizers end together in a text, and the units of text in between."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .words import in_word

Ints = NDArray[np.int64]

_NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Characters:
    """The texts of all documents, joined by a line break each, and what their C characters are.

    Attributes
    ----------
    starts : ndarray of int64, shape (documents + 1,)
        Where every document begins; the last entry is where another would.
    blank, joining, in_word : ndarray of bool, shape (C,)
        White space; characters that a normaliser may compose with the one before them; parts of words.
    """

    starts: Ints
    blank: NDArray[np.bool_]
    joining: NDArray[np.bool_]
    in_word: NDArray[np.bool_]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Characters:
        """Look at the characters of documents; every code point is asked about once."""
        starts = np.concatenate([[0], np.cumsum([len(text) + 1 for text in texts], dtype=np.int64)])
        codes = np.frombuffer(("\n".join(texts) + "\n").encode("utf-32-le"), dtype=np.uint32)
        distinct = np.flatnonzero(np.bincount(codes))

        def where(holds: Callable[[str], bool]) -> NDArray[np.bool_]:
            table = np.zeros(distinct[-1] + 1, dtype=bool)
            table[distinct] = [holds(chr(code)) for code in distinct.tolist()]
            return np.asarray(table[codes])

        return cls(starts, where(str.isspace), where(joins), where(in_word))


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of one tokenizer in the same documents, one after the other: T of them.

    Attributes
    ----------
    firsts : ndarray of int64, shape (documents + 1,)
        The first token of every document; the last entry is T.
    spans : ndarray of int64, shape (T, 2)
        The characters that a token stands for, counted over all documents.
    """

    firsts: Ints
    spans: Ints

    @classmethod
    def of(cls, offsets: Sequence[NDArray[np.int32]], characters: Characters) -> Tokens:
        """Join the spans of documents, shapes (tokens, 2)."""
        sizes = [len(spans) for spans in offsets]
        before = np.repeat(characters.starts[:-1], sizes)
        return cls(np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]), np.concatenate(offsets) + before[:, None])

    def until(self, end: int) -> Tokens:
        """Leave out the tokens at the end that go beyond a character."""
        number = int(np.searchsorted(self.reach, end, side="right"))
        return Tokens(np.minimum(self.firsts, number), self.spans[:number])

    @cached_property
    def empty(self) -> NDArray[np.bool_]:
        """Whether a token stands for no character, shape (T,)."""
        return self.spans[:, 0] >= self.spans[:, 1]

    @cached_property
    def reach(self) -> Ints:
        """How far the tokens go up to each one, it included, shape (T,)."""
        return np.maximum.accumulate(np.where(self.empty, 0, self.spans[:, 1]))

    @cached_property
    def begin(self) -> Ints:
        """Where the tokens begin from each one on, it included, shape (T + 1,); behind the last they do nowhere."""
        starts = np.append(np.where(self.empty, _NOWHERE, self.spans[:, 0]), _NOWHERE)
        return np.minimum.accumulate(starts[::-1])[::-1]


def joins(character: str) -> bool:
    """Say whether a normaliser may compose a character with the one before it.

    Marks, the vowels and final consonants of decomposed Hangul, and the voicing marks of half-width Katakana do. To
    `tokenizers` what was composed stands for the first character alone, so no unit may end before such a character.
    """
    return unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff" or character in "\uff9e\uff9f"


def token_ends(tokens: Tokens, characters: Characters) -> tuple[Ints, Ints]:
    """Return the tokens that end where a character does, and where that is, both shape (n,) and increasing.

    A token ends behind its last character that is not white space, one of white space alone behind that: a full stop
    with a line break ends where a bare one does. A token has no end of its own when it stands for no character (a
    prefix space), when the token behind it begins in the same character (bytes of one, or what a normaliser made of
    it), and when the character behind it joins the one before. Characters that join and belong to no token belong to
    the one before them.
    """
    behind = tokens.begin[1:]
    last = np.flatnonzero(~tokens.empty & (tokens.reach <= behind))
    ends = tokens.reach[last]
    if characters.joining.any():
        places = np.where(characters.joining, _NOWHERE, np.arange(len(characters.joining)))
        ends = np.minimum.accumulate(places[::-1])[::-1][ends]
        whole = ends <= behind[last]
        last, ends = last[whole], ends[whole]
    places = np.where(characters.blank, 0, np.arange(1, len(characters.blank) + 1))
    trimmed = np.maximum.accumulate(places)[ends - 1]
    return last, np.where(trimmed > tokens.spans[last, 0], trimmed, ends)


@dataclass(frozen=True, eq=False)
class Units:
    """The pieces of text between characters behind which a token ends on both sides: U of them, in their order.

    Attributes
    ----------
    sides : tuple of two Tokens
        Of A and of B.
    ends : ndarray of int64, shape (U,)
        Where units end; they begin behind the one before, or with the document.
    documents : ndarray of int64, shape (U,)
    first, last : tuple of two ndarrays of int64, shape (U,)
        The unit's first and last token on either side.
    """

    sides: tuple[Tokens, Tokens]
    ends: Ints
    documents: Ints
    first: tuple[Ints, ...]
    last: tuple[Ints, ...]

    @classmethod
    def of(cls, a: Tokens, b: Tokens, characters: Characters, *, words: bool = False) -> Units:
        """Find the units; with ``words`` none ends within a word, a run of letters, digits and their marks."""
        (last_a, ends_a), (last_b, ends_b) = (token_ends(tokens, characters) for tokens in (a, b))
        found = np.searchsorted(ends_b, ends_a)
        inside = found < len(ends_b)
        same = np.flatnonzero(inside)[ends_b[found[inside]] == ends_a[inside]]
        if words:
            ends = ends_a[same]
            same = same[~(characters.in_word[ends - 1] & characters.in_word[ends])]
        ends, last = ends_a[same], (last_a[same], last_b[found[same]])
        documents = np.searchsorted(characters.starts, ends, side="left") - 1
        first = tuple(
            np.maximum(tokens.firsts[documents], np.append(0, of_side + 1)[:-1])
            for tokens, of_side in zip((a, b), last, strict=True)
        )
        return cls((a, b), ends, documents, first, last)

    def spans(self) -> Ints:
        """Return the characters that the tokens of units stand for on either side, shape (U, 2)."""
        begin = np.minimum(*(tokens.begin[first] for tokens, first in zip(self.sides, self.first, strict=True)))
        reach = np.maximum(*(tokens.reach[last] for tokens, last in zip(self.sides, self.last, strict=True)))
        return np.stack([begin, np.maximum(reach, self.ends)], axis=1)

    def ids(self, token_ids: Sequence[NDArray[np.integer]]) -> Ints:
        """Return an id for every unit, shape (U,): the same where both sides have the same tokens in it.

        Ids are 0, 1, ... in the order of A's token ids, then B's; units of several tokens come last.
        """
        a, b = (
            sequence_ids(ids.astype(np.int64), first, last)
            for ids, first, last in zip(token_ids, self.first, self.last, strict=True)
        )
        ids: Ints = np.unique(a * (int(b.max()) + 1) + b, return_inverse=True)[1]
        return ids

    def block_starts(self, rooms: Sequence[int]) -> tuple[Ints, ...]:
        """Cut both sides into blocks of the same units: as many as fit the room of either side.

        What follows the last unit of a document goes with it where it fits; a unit that fits no block has its own.

        Parameters
        ----------
        rooms : two ints
            The most tokens of a block of A and of B.

        Returns
        -------
        tuple of two ndarrays of int64
            The tokens that blocks of either side begin with.
        """
        documents = np.arange(len(self.sides[0].firsts) - 1)
        pieces = np.concatenate([self.documents, documents])
        order = np.argsort(pieces, kind="stable")
        pieces = pieces[order]
        following = np.searchsorted(pieces, pieces, side="right")
        firsts = []
        for tokens, first, last, room in zip(self.sides, self.first, self.last, rooms, strict=True):
            rest = tokens.firsts[:-1].copy()
            np.maximum.at(rest, self.documents, last + 1)
            begin = np.append(np.concatenate([first, rest])[order], len(tokens.spans))
            following = np.minimum(following, np.searchsorted(begin, begin[:-1] + room, side="right") - 1)
            firsts.append(begin)
        jumps = np.maximum(following, np.arange(len(pieces)) + 1).tolist()
        chosen, piece = [], 0
        while piece < len(pieces):
            chosen.append(piece)
            piece = jumps[piece]
        return tuple(
            _no_longer(np.append(begin[chosen], begin[-1]), room) for begin, room in zip(firsts, rooms, strict=True)
        )


def sequence_ids(tokens: Ints, first: Ints, last: Ints) -> Ints:
    """Give every run of tokens ``first`` to ``last`` (both included) an id: the same for the same sequence.

    Parameters
    ----------
    tokens : ndarray of int64, shape (T,)
        Not negative.
    first, last : ndarray of int64, shape (n,)

    Returns
    -------
    ndarray of int64, shape (n,)
        A run of one token has its id; those of longer runs are larger than all tokens.
    """
    ids = tokens[first]
    base = size = int(tokens.max(initial=0)) + 1
    longer = np.flatnonzero(last > first)
    depth = 1
    while len(longer):
        _, which = np.unique(ids[longer] * size + tokens[first[longer] + depth], return_inverse=True)
        ids[longer] = base + which
        base += int(which.max()) + 1
        depth += 1
        longer = longer[last[longer] >= first[longer] + depth]
    return ids


def _no_longer(borders: Ints, room: int) -> Ints:
    """Return the starts of the pieces between borders, cut where they are longer than the room; empty ones go."""
    parts = -(-np.diff(borders) // room)
    within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    starts: Ints = np.repeat(borders[:-1], parts) + within * room
    return starts
