"""Keywords: which features fire on which words, looked for as whole words and never as pieces of longer ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._core import keyword_hits as core_keyword_hits
from .labels import Labels

Where = Literal["token", "word", "window", "phrase", "substring"]
WHERE = ("token", "word", "window", "phrase", "substring")


@dataclass(frozen=True)
class KeywordGroup:
    """Keywords that go together under a name.

    Attributes
    ----------
    name : str
    keywords : tuple of str
        Words or phrases, none of them blank.
    case_sensitive : bool
        Otherwise keyword and text are compared without case ("Straße" is "STRASSE").
    regex : bool
        The keywords are regular expressions in the syntax of Rust's regex crate (no look-around, no references back).
        They stand in for lemmas: ``kings?|queens?`` has both numbers of both words.
    compounds : bool
        Whether a keyword may be part of a compound, as "man" is of "old-man". Words that a hyphen joins make one,
        and a token that is looked at alone is part of none.

    Raises
    ------
    TypeError, ValueError
        If there is no name or no keyword, or a keyword is blank or no string.
    """

    name: str
    keywords: tuple[str, ...]
    case_sensitive: bool = False
    regex: bool = False
    compounds: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, got {self.name!r}")
        if not self.name.strip():
            raise ValueError(f"name must not be blank, got {self.name!r}")
        if isinstance(self.keywords, str):
            raise TypeError(f"keywords of group {self.name!r} must be a tuple of strings, got {self.keywords!r}")
        object.__setattr__(self, "keywords", tuple(self.keywords))
        if not self.keywords:
            raise ValueError(f"keywords of group {self.name!r} must hold at least one, got none")
        for place, keyword in enumerate(self.keywords):
            if not isinstance(keyword, str):
                raise TypeError(f"keywords of group {self.name!r} must be strings, got {keyword!r} at {place}")
            if not keyword.strip():
                raise ValueError(f"keywords of group {self.name!r} must not be blank, got {keyword!r} at {place}")

    @property
    def plain(self) -> tuple[str, list[str], bool, bool, bool]:
        """The group as the compiled core takes it."""
        return self.name, list(self.keywords), self.case_sensitive, self.regex, self.compounds


@dataclass(frozen=True, eq=False)
class KeywordHits:
    """Which keywords stand in the contexts of which features, one row a feature and keyword.

    Rows are sorted by feature, group and keyword; a keyword that stands in none of a feature's contexts has no row.

    Attributes
    ----------
    feature : ndarray of int64, shape (hits,)
        Ids of the full dictionary.
    group, keyword : ndarray of int64, shape (hits,)
        The group's place among the groups, and the keyword's in its group.
    contexts : ndarray of int64, shape (hits,)
        The number of the feature's top contexts in which the keyword stands, each counted once.
    """

    feature: NDArray[np.int64]
    group: NDArray[np.int64]
    keyword: NDArray[np.int64]
    contexts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.feature)


def keyword_hits(labels: Labels, groups: Sequence[KeywordGroup], where: Where = "word") -> KeywordHits:
    r"""Look for all keywords of all groups in the top contexts of all features, in one pass.

    A word is a run of letters, digits and combining marks, with apostrophes inside and points or commas between
    digits: "man" is not in "Brockman", but in "old-man", "(man)" and "man's", whose s is a word of its own. Newlines
    end a word, as raw characters or as a backslash and an n. Scripts that are written without spaces (Chinese,
    Japanese, Thai, Lao, Burmese, Khmer) have a word a character, and a keyword is a run of them. A word with a
    replacement character, the piece of a character that a token splits, is not known and matches nothing else. Marks
    match composed and combining, and straight apostrophes match curly ones.

    Parameters
    ----------
    labels : Labels
    groups : sequence of KeywordGroup
        Their names differ.
    where : {"token", "word", "window", "phrase", "substring"}
        "token": the keyword is the activating token, punctuation and white space around it left off, whatever stands
        beside it. "word": its words are whole words of the context, and the activating token belongs to one of them.
        "window": they are whole words anywhere in the context. "phrase": likewise, with the same punctuation between
        and around them ("New York" is not in "New-York"). "substring": the keyword is any piece of the activating
        token. It finds "eat" in "great" and "son" in "person", so it is wrong, and there to reproduce results that
        were found that way.

        Words of a keyword always follow each other. A regular expression must match all of a word (of the token, where
        that is looked at; for "phrase", of any run of words; for "substring", any piece). For "phrase", an expression
        with an assertion (``^``, ``\b``) is tried on every run, any other only in windows that it occurs in.

    Returns
    -------
    KeywordHits

    Raises
    ------
    TypeError, ValueError
        If two groups have one name; if the labels have no contexts or a keyword has no letter or digit, unless
        ``where`` is "token" or "substring"; or if a regular expression is none.

    Notes
    -----
    The notebooks that this package follows matched by "substring" first, and last by the token: white space around it
    left off and without case it had to be the keyword, and so had some piece of the two tokens before it, the token
    itself and the one after, cut at spaces and with ``. , ? !`` deleted. "token" is nearest to that; it also finds
    "man's", "(man)" and "man:", which they missed, and takes every tail of a longer word, which they took only where
    the whole word stood near.

    A word that reaches the edge of the context, with text on that side, may be the piece of a longer word that the
    window cuts, and matches nothing: the last word of most windows does not count, and with a window of one token an
    activating word of four tokens may not.
    """
    if not isinstance(labels, Labels):
        raise TypeError(f"labels must be Labels, got {type(labels).__name__}")
    _checks.choice("where", where, WHERE)
    groups = checked_groups(groups)
    bare = where in ("token", "substring")
    if not bare and np.any(labels.position > 0) and not (any(labels.left) or any(labels.right)):
        raise ValueError(f"labels must have a window of at least 1 for where={where!r}, got none")
    offsets = _checks.array("labels.offsets", labels.offsets, ndim=1, dtype=np.int64)
    plain = [group.plain for group in groups]
    return KeywordHits(*core_keyword_hits(offsets, labels.left, labels.token, labels.right, plain, where))


def checked_groups(groups: Sequence[KeywordGroup]) -> list[KeywordGroup]:
    """Refuse what is no group, and two of one name."""
    groups = list(groups)
    for group in groups:
        if not isinstance(group, KeywordGroup):
            raise TypeError(f"groups must hold KeywordGroup, got {group!r}")
    name, most = Counter(group.name for group in groups).most_common(1)[0] if groups else ("", 0)
    if most > 1:
        raise ValueError(f"groups must have different names, got {name!r} {most} times")
    return groups
