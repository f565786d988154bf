"""Which words of a concept have features, how many, and whether the two sides of a pair fire on the same one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .concept import Concept
from .concepts import Concepts
from .keywords import KeywordHits, Where, keyword_hits
from .labels import Labels, check_covers
from .pairs import Pairs

if TYPE_CHECKING:
    import pyarrow


def keyword_table(
    pairs: Pairs, labels_a: Labels, labels_b: Labels, concept: Concept | Concepts, where: Where = "word"
) -> pyarrow.Table:
    """Count for every word of a concept its features on each side, and the pairs that fire on it.

    Parameters
    ----------
    pairs : Pairs
        Those that were kept.
    labels_a, labels_b : Labels
        Of the full dictionaries.
    concept : Concept or Concepts
    where : {"word", "token", "window", "phrase", "substring"}
        See `keyword_hits`.

    Returns
    -------
    pyarrow.Table
        One row a word of a concept, those without a feature too: ``concept``, ``word``, the features with the word in a
        top context, ``features_a`` and ``features_b``, the pairs whose side has it, ``pairs_a`` and ``pairs_b``, and
        those whose two sides have it, ``pairs_both``.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else, or the labels are of another dictionary than the pairs.
    """
    import pyarrow as pa

    concepts = _concepts(concept)
    a, b = _sides(pairs, labels_a, labels_b, concepts, where)
    in_a, in_b = a[pairs.feature_a], b[pairs.feature_b]
    names, words = _words(concepts)
    return pa.table(
        {
            "concept": names,
            "word": words,
            "features_a": a.sum(axis=0),
            "features_b": b.sum(axis=0),
            "pairs_a": in_a.sum(axis=0),
            "pairs_b": in_b.sum(axis=0),
            "pairs_both": in_a.multiply(in_b).sum(axis=0),
        }
    )


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
    import pyarrow as pa

    if not isinstance(concept, Concept):
        raise TypeError(f"concept must be a Concept, got {type(concept).__name__}")
    concepts = Concepts((concept,))
    a, b = _sides(pairs, labels_a, labels_b, concepts, where)
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
            "words_a": _lists(in_a[rows], concept.words),
            "words_b": _lists(in_b[rows], concept.words),
        }
    )
    return SameKeyword(int((has_a | has_b).sum()), int((has_a & has_b).sum()), int(same.sum()), table)


def keyword_incidence(labels: Labels, concepts: Concept | Concepts, where: Where = "word") -> pyarrow.Table:
    """Say which features have which words of which concepts in their top contexts.

    Returns
    -------
    pyarrow.Table
        One row a feature and word of a concept: ``feature``, ``concept``, ``word``, and ``contexts``, the number of the
        feature's top contexts with the word, each counted once however often it is there.
    """
    import pyarrow as pa

    own = _concepts(concepts)
    hits = _hits(labels, own, where)
    names, words = _words(own)
    place = _place(hits, own)
    return pa.table(
        {
            "feature": hits.feature,
            "concept": pa.array(names, pa.string()).take(place),
            "word": pa.array(words, pa.string()).take(place),
            "contexts": hits.contexts,
        }
    )


def keyword_duplicates(
    labels: Labels, concepts: Concept | Concepts, where: Where = "word", *, most: int = 1
) -> pyarrow.Table:
    """List the words that more than ``most`` features have: a score over such features counts one word several times.

    Returns
    -------
    pyarrow.Table
        Most features first: ``concept``, ``word``, ``n`` and the ``features``, a list.
    """
    import pyarrow as pa

    _checks.integer("most", most, minimum=1)
    own = _concepts(concepts)
    names, words = _words(own)
    of_words = _incidence(labels, own, where).T.tocsr()
    of_words.sort_indices()
    sizes = np.diff(of_words.indptr)
    rows = np.argsort(-sizes, kind="stable")[: (sizes > most).sum()]
    return pa.table(
        {
            "concept": pa.array([names[row] for row in rows], pa.string()),
            "word": pa.array([words[row] for row in rows], pa.string()),
            "n": sizes[rows].astype(np.int64),
            "features": _lists(of_words[rows], np.arange(labels.n_features)),
        }
    )


@dataclass(frozen=True, eq=False)
class KeywordsPerFeature:
    """How many words and concepts every feature has in its top contexts.

    Attributes
    ----------
    words, concepts : ndarray of int64, shape (F,)
        Words count once, whatever their case and however many concepts have them. A feature that has a word of a
        concept has that concept too where it was inherited with the word.
    """

    words: NDArray[np.int64]
    concepts: NDArray[np.int64]

    @property
    def several_words(self) -> float | None:
        """The share of features with more than one word among those with any; None without these."""
        return _share(self.words)

    @property
    def several_concepts(self) -> float | None:
        """The share of features with more than one concept among those with any; None without these."""
        return _share(self.concepts)


def keywords_per_feature(labels: Labels, concepts: Concept | Concepts, where: Where = "word") -> KeywordsPerFeature:
    """Count the words and concepts of every feature: one that stands for one thing has one; see `keyword_table`."""
    own = _concepts(concepts)
    hits = _hits(labels, own, where)
    _, distinct = np.unique([word.casefold() for word in _words(own)[1]], return_inverse=True)
    words, groups = (
        np.unique(np.stack([hits.feature, what]), axis=1)[0] for what in (distinct[_place(hits, own)], hits.group)
    )
    return KeywordsPerFeature(*(np.bincount(features, minlength=labels.n_features) for features in (words, groups)))


def _share(counts: NDArray[np.int64]) -> float | None:
    return float((counts > 1).sum() / (counts > 0).sum()) if counts.any() else None


def _concepts(given: Concept | Concepts) -> Concepts:
    if isinstance(given, Concept):
        return Concepts((given,))
    if not isinstance(given, Concepts):
        raise TypeError(f"concept must be a Concept or Concepts, got {type(given).__name__}")
    return given


def _words(concepts: Concepts) -> tuple[list[str], list[str]]:
    """Return concept and word of every place."""
    return [own.name for own in concepts for _ in own.words], [word for own in concepts for word in own.words]


def _hits(labels: Labels, concepts: Concepts, where: Where) -> KeywordHits:
    return keyword_hits(labels, [concept.group for concept in concepts], where)


def _place(hits: KeywordHits, concepts: Concepts) -> NDArray[np.int64]:
    """Return the place of every hit's word among those of all concepts."""
    sizes = [len(concept.words) for concept in concepts]
    places: NDArray[np.int64] = np.cumsum([0, *sizes])[hits.group] + hits.keyword
    return places


def _incidence(labels: Labels, concepts: Concepts, where: Where) -> Any:
    """Return features by words of all concepts as a sparse matrix of ones (F, W)."""
    from scipy.sparse import csr_array

    hits = _hits(labels, concepts, where)
    shape = (labels.n_features, sum(len(concept.words) for concept in concepts))
    return csr_array((np.ones(len(hits), np.int64), (hits.feature, _place(hits, concepts))), shape=shape)


def _sides(pairs: Pairs, labels_a: Labels, labels_b: Labels, concepts: Concepts, where: Where) -> tuple[Any, Any]:
    """Return `_incidence` of both sides, whose labels must be those of the pairs."""
    if not isinstance(pairs, Pairs):
        raise TypeError(f"pairs must be Pairs, got {type(pairs).__name__}")
    labels = {"a": labels_a, "b": labels_b}
    a, b = (
        _incidence(check_covers(f"labels_{side}", own, pairs, side), concepts, where) for side, own in labels.items()
    )
    return a, b


def _lists(rows: Any, values: Any) -> pyarrow.Array:
    """Return for every row of a sparse matrix the values of the columns that it has."""
    import pyarrow as pa

    rows.sort_indices()
    texts = pa.array(values)
    return pa.ListArray.from_arrays(pa.array(rows.indptr, pa.int32()), texts.take(pa.array(rows.indices)))
