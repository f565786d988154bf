"""Whether the two sides of a pair fire on the same word of a concept, and which pairs do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .concept import Concept
from .concept_incidence import Hits, lists, of_both, of_hits
from .concepts import Concepts
from .keywords import Where
from .labels import Labels
from .pairs import Pairs

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, eq=False)
class SameKeyword:
    """Whether the two sides of pairs fire on the same word of a concept.

    Attributes
    ----------
    pairs : int
        Pairs with a word of the concept on at least one side.
    both : int
        Those with one on both sides, be it the same or not.
    same : int
        Those with the same word on both sides.
    disagreeing : pyarrow.Table
        The ``pairs`` that are not among ``same``: ``pair`` (the row), ``feature_a``, ``feature_b``, ``correlation``,
        and the words of each side, ``words_a`` and ``words_b``: lists, of which one may be empty.
    """

    pairs: int
    both: int
    same: int
    disagreeing: pyarrow.Table

    @property
    def rate(self) -> float | None:
        """``same / pairs``; None without a pair."""
        return self.same / self.pairs if self.pairs else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        counts = {"pairs": self.pairs, "both": self.both, "same": self.same, "rate": self.rate}
        return counts | {"disagreeing": self.disagreeing.to_pylist()}


def same_keyword(
    pairs: Pairs, labels_a: Labels, labels_b: Labels, concept: Concept, where: Where = "word"
) -> SameKeyword:
    """Compare the words of a concept that the two features of every pair fire on.

    That a pair matches a concept on both sides does not say that it does by one word: "day" and "night" are of time.

    Parameters
    ----------
    pairs, labels_a, labels_b, where
        See `keyword_table`.
    concept : Concept
        A word is the same if it is the same entry: "day" and "days" differ.

    Raises
    ------
    TypeError, ValueError
        As for `keyword_table`.
    """
    if not isinstance(concept, Concept):
        raise TypeError(f"concept must be a Concept, got {type(concept).__name__}")
    return _compared(pairs, *of_both(pairs, labels_a, labels_b, Concepts((concept,)), where), concept.words)


def same_word(pairs: Pairs, hits_a: Hits, hits_b: Hits, words: Sequence[str]) -> SameKeyword:
    """Return `same_keyword` of hits that were found before: features, and places of words in their concept."""
    return _compared(pairs, *of_hits(pairs, hits_a, hits_b, len(words)), words)


def _compared(pairs: Pairs, a: Any, b: Any, words: Sequence[str]) -> SameKeyword:
    import pyarrow as pa

    in_a, in_b = a[pairs.feature_a], b[pairs.feature_b]
    has_a, has_b = (np.diff(side.indptr) > 0 for side in (in_a, in_b))
    same = in_a.multiply(in_b).sum(axis=1) > 0
    rows = np.flatnonzero((has_a | has_b) & ~same)
    table = pa.table(
        {
            "pair": rows,
            "feature_a": pairs.feature_a[rows],
            "feature_b": pairs.feature_b[rows],
            "correlation": pairs.correlation[rows],
            "words_a": lists(in_a[rows], words),
            "words_b": lists(in_b[rows], words),
        }
    )
    return SameKeyword(int((has_a | has_b).sum()), int((has_a & has_b).sum()), int(same.sum()), table)
