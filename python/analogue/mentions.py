"""Mentions: the tokens of a corpus that belong to a word of a concept, and what features spend on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ._core import mentions as core_mentions
from .corpus import Corpus
from .given import Activations
from .keywords import KeywordGroup, checked_groups
from .places import token_places

_ROWS_AT_ONCE = 1 << 16


class Mentions:
    """Where the words of keywords stand in the texts of a corpus, by the rules of ``where="word"``.

    Nothing is cut, as in a context it may be: a token is marked if its whole word is a word of the group.

    Raises
    ------
    TypeError, ValueError
        As for `analogue.keywords.keyword_hits`.
    """

    def __init__(self, corpus: Corpus, groups: Sequence[KeywordGroup]) -> None:
        groups = checked_groups(groups)
        text, group, start, end = core_mentions(list(corpus.texts), [own.plain for own in groups])
        lengths = np.array([len(content) + 1 for content in corpus.texts])
        origin = np.cumsum(lengths) - lengths  # all texts on one axis of characters, on which nothing joins two
        words = np.stack([start, end]) + origin[text]
        self._words = [words[:, group == place] for place in range(len(groups))]
        self._origin = origin
        self._ends = np.cumsum([len(own) for own in corpus.document_offsets])
        self._spans = np.concatenate(corpus.document_offsets)

    def marks(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of tokens, given by place among those of all documents, whether each group has a word of theirs.

        Returns
        -------
        ndarray of bool, shape (groups, places)
        """
        documents = np.searchsorted(self._ends, places, side="right")
        starts, ends = (self._spans[places] + self._origin[documents, None]).T
        marked = np.zeros((len(self._words), len(places)), dtype=bool)
        for own, (first, last) in zip(marked, self._words, strict=True):
            # Words do not overlap: one lies on a token if more have begun before its end than ended by its start.
            own[:] = np.searchsorted(first, ends) > np.searchsorted(last, starts, side="right")
        return marked


def specificity(acts: Activations, corpus: Corpus, groups: Sequence[KeywordGroup]) -> NDArray[np.float64]:
    """Return the share of every feature's positive activation that lies on words of each group.

    Parameters
    ----------
    acts : FeatureActivations or ActivationShards
        Captured on ``corpus``; shards are read once.
    corpus : Corpus
    groups : sequence of KeywordGroup

    Returns
    -------
    ndarray of float64, shape (groups, F)
        NaN for a feature that never fires.

    Raises
    ------
    TypeError, ValueError
        If the activations were captured on another corpus, and as for `analogue.keywords.keyword_hits`.
    """
    from scipy.sparse import csr_array

    places = token_places(acts, corpus)
    mentions = Mentions(corpus, groups)
    on_words, total = np.zeros((len(groups), acts.n_features)), np.zeros(acts.n_features)
    for start in range(0, acts.n_tokens, _ROWS_AT_ONCE):
        part = acts.rows(start, min(start + _ROWS_AT_ONCE, acts.n_tokens))
        positive = np.maximum(part.values, 0, dtype=np.float64)
        codes = csr_array((positive, part.indices, part.indptr), shape=(part.n_tokens, part.n_features))
        marked = csr_array(mentions.marks(places[start : start + part.n_tokens]), dtype=np.float64)
        on_words += (marked @ codes).toarray()
        total += np.bincount(part.indices, positive, part.n_features)
    return np.divide(on_words, total, out=np.full_like(on_words, np.nan), where=total > 0)
