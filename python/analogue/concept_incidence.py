"""Which features have which words of concepts, as a sparse matrix of ones: what counts of words come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .concept import Concept
from .concepts import Concepts
from .keywords import KeywordHits, Where, keyword_hits
from .labels import Labels, check_covers
from .pairs import Pairs

if TYPE_CHECKING:
    import pyarrow

Hits = tuple[NDArray[np.int64], NDArray[np.int64]]  # feature, and the place of the word in its concept


def checked_concepts(given: Concept | Concepts) -> Concepts:
    """Return one concept or several as Concepts."""
    if isinstance(given, Concept):
        return Concepts((given,))
    if not isinstance(given, Concepts):
        raise TypeError(f"concept must be a Concept or Concepts, got {type(given).__name__}")
    return given


def words_of(concepts: Concepts) -> tuple[list[str], list[str]]:
    """Return concept and word of every place."""
    return [own.name for own in concepts for _ in own.words], [word for own in concepts for word in own.words]


def hits_of(labels: Labels, concepts: Concepts, where: Where) -> KeywordHits:
    """Look for the words of all concepts in one pass."""
    return keyword_hits(labels, [concept.group for concept in concepts], where)


def place_of(hits: KeywordHits, concepts: Concepts) -> NDArray[np.int64]:
    """Return the place of every hit's word among those of all concepts."""
    sizes = [len(concept.words) for concept in concepts]
    places: NDArray[np.int64] = np.cumsum([0, *sizes])[hits.group] + hits.keyword
    return places


def incidence(labels: Labels, concepts: Concepts, where: Where) -> Any:
    """Return features by words of all concepts as a sparse matrix of ones (F, W)."""
    from scipy.sparse import csr_array

    hits = hits_of(labels, concepts, where)
    shape = (labels.n_features, sum(len(concept.words) for concept in concepts))
    return csr_array((np.ones(len(hits), np.int64), (hits.feature, place_of(hits, concepts))), shape=shape)


def of_both(pairs: Pairs, labels_a: Labels, labels_b: Labels, concepts: Concepts, where: Where) -> tuple[Any, Any]:
    """Return `incidence` of both sides, whose labels must be those of the pairs."""
    if not isinstance(pairs, Pairs):
        raise TypeError(f"pairs must be Pairs, got {type(pairs).__name__}")
    labels = {"a": labels_a, "b": labels_b}
    a, b = (
        incidence(check_covers(f"labels_{side}", own, pairs, side), concepts, where) for side, own in labels.items()
    )
    return a, b


def lists(rows: Any, values: Any) -> pyarrow.Array:
    """Return for every row of a sparse matrix the values of the columns that it has."""
    import pyarrow as pa

    rows.sort_indices()
    texts = pa.array(values)
    return pa.ListArray.from_arrays(pa.array(rows.indptr, pa.int32()), texts.take(pa.array(rows.indices)))


def of_hits(pairs: Pairs, hits_a: Hits, hits_b: Hits, words: int) -> tuple[Any, Any]:
    """Return `incidence` of both sides by so many words of a concept, of hits that were found before."""
    from scipy.sparse import csr_array

    def side(hits: Hits, ids: NDArray[np.int64]) -> Any:
        feature, word = hits
        rows = 1 + max(int(feature.max(initial=-1)), int(ids.max(initial=-1)))
        return csr_array((np.ones(len(feature), np.int64), (feature, word)), shape=(rows, words))

    return side(hits_a, pairs.feature_a), side(hits_b, pairs.feature_b)
