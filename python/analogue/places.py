"""Places: where in its corpus every row of the activations stands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .aligned_corpus import AlignedCorpus
from .corpus import Corpus
from .given import Activations


def token_places(acts: Activations, corpus: Corpus | AlignedCorpus) -> NDArray[np.int64]:
    """Return the place of every row among the tokens of all documents, document by document, shape (T,).

    Raises
    ------
    TypeError, ValueError
        If ``corpus`` is none, or the activations carry no document ids and positions, or were captured on another
        corpus or with another tokenizer: a row lies beyond the documents, or has another token there.
    """
    if not isinstance(corpus, Corpus | AlignedCorpus):
        raise TypeError(f"corpus must be a Corpus, got {type(corpus).__name__}")
    documents, positions = acts.document_ids, acts.positions
    if documents is None or positions is None:
        raise ValueError("acts must carry document_ids and positions, got none; capture them from the corpus")
    ids = np.concatenate(corpus.document_token_ids)
    sizes = np.array([len(own) for own in corpus.document_token_ids])
    starts = np.cumsum(sizes) - sizes
    known = (documents >= 0) & (documents < len(sizes)) & (positions >= 0)
    known[known] = positions[known] < sizes[documents[known]]
    if acts.token_ids is not None:
        known[known] = ids[starts[documents[known]] + positions[known]] == acts.token_ids[known]
    if not known.all():
        raise ValueError(
            f"acts must be captured on this corpus, but {np.count_nonzero(~known)} of their {len(known)} tokens "
            "are not in it: it has another text or tokenizer"
        )
    places: NDArray[np.int64] = starts[documents] + positions
    return places
