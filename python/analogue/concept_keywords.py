"""Which words of a concept have features, and how many: a score over many features of one word counts it often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .concept import Concept
from .concept_incidence import Hits, checked_concepts, hits_of, incidence, lists, of_both, of_hits, place_of, words_of
from .concepts import Concepts
from .keywords import Where
from .labels import Labels
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
    concepts = checked_concepts(concept)
    return _counted(pairs, *of_both(pairs, labels_a, labels_b, concepts, where), *words_of(concepts))


def word_table(pairs: Pairs, hits_a: Hits, hits_b: Hits, name: str, words: Sequence[str]) -> pyarrow.Table:
    """Return `keyword_table` of hits that were found before: features, and places of words in their concept."""
    return _counted(pairs, *of_hits(pairs, hits_a, hits_b, len(words)), [name] * len(words), list(words))


def _counted(pairs: Pairs, a: Any, b: Any, names: list[str], words: list[str]) -> pyarrow.Table:
    import pyarrow as pa

    in_a, in_b = a[pairs.feature_a], b[pairs.feature_b]
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


def keyword_incidence(labels: Labels, concepts: Concept | Concepts, where: Where = "word") -> pyarrow.Table:
    """Say which features have which words of which concepts in their top contexts.

    Returns
    -------
    pyarrow.Table
        One row a feature and word of a concept: ``feature``, ``concept``, ``word``, and ``contexts``, the number of the
        feature's top contexts with the word, each counted once however often it is there.
    """
    import pyarrow as pa

    own = checked_concepts(concepts)
    hits = hits_of(labels, own, where)
    names, words = words_of(own)
    place = place_of(hits, own)
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
    own = checked_concepts(concepts)
    names, words = words_of(own)
    of_words = incidence(labels, own, where).T.tocsr()
    of_words.sort_indices()
    sizes = np.diff(of_words.indptr)
    rows = np.argsort(-sizes, kind="stable")[: (sizes > most).sum()]
    return pa.table(
        {
            "concept": pa.array([names[row] for row in rows], pa.string()),
            "word": pa.array([words[row] for row in rows], pa.string()),
            "n": sizes[rows].astype(np.int64),
            "features": lists(of_words[rows], np.arange(labels.n_features)),
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
    own = checked_concepts(concepts)
    hits = hits_of(labels, own, where)
    _, distinct = np.unique([word.casefold() for word in words_of(own)[1]], return_inverse=True)
    words, groups = (
        np.unique(np.stack([hits.feature, what]), axis=1)[0] for what in (distinct[place_of(hits, own)], hits.group)
    )
    return KeywordsPerFeature(*(np.bincount(features, minlength=labels.n_features) for features in (words, groups)))


def _share(counts: NDArray[np.int64]) -> float | None:
    return float((counts > 1).sum() / (counts > 0).sum()) if counts.any() else None
