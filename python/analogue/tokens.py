"""Top tokens: the token that a feature gives most of its activation to, which siblings share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .activations import FeatureActivations
from .documents import Spans
from .given import Activations


def top_tokens(acts: Activations) -> NDArray[np.int64]:
    """Return the token id that every feature gives most of its activation to, shape (F,).

    That is the id with the largest activation summed over all kept tokens, the lowest id on ties; -1 for a feature with
    no positive sum. It is not the token of the largest activation, which `top_positions` finds: one strong outlier does
    not make a feature a sibling of another.

    Parameters
    ----------
    acts : FeatureActivations or ActivationShards
        With ``token_ids``.

    Raises
    ------
    ValueError
        If they carry no token ids.
    """
    from scipy.sparse import csr_array

    ids = acts.token_ids
    if ids is None:
        raise ValueError("acts must carry token_ids, got none; capture them from a corpus")
    vocabulary, which = np.unique(ids, return_inverse=True)
    summed, start = csr_array((len(vocabulary), acts.n_features)), 0
    for part in (acts,) if isinstance(acts, FeatureActivations) else acts:
        stop = start + part.n_tokens
        codes = csr_array((part.values, part.indices, part.indptr), shape=(part.n_tokens, part.n_features))
        ones = np.ones(part.n_tokens)  # float64: sums of float32 activations tie where they should
        occurs = csr_array((ones, (which[start:stop], np.arange(part.n_tokens))), (len(vocabulary), part.n_tokens))
        summed, start = summed + occurs @ codes, stop
    most = np.zeros(acts.n_features)
    np.maximum.at(most, summed.indices, summed.data)
    best = (summed.data == most[summed.indices]) & (summed.data > 0)
    rows = np.repeat(np.arange(len(vocabulary)), np.diff(summed.indptr))[best]
    found = np.full(acts.n_features, -1)
    found[summed.indices[best][::-1]] = vocabulary[rows][::-1]  # of several the last is written: the lowest id
    return found


def top_token_texts(acts: Activations, corpus: Spans) -> list[str | None]:
    """Return the text of every feature's top token, stripped and in lower case; None where it has none.

    The text is the piece of the corpus that the token stands for where it is first kept, so that pieces of one word
    read as they do in the text. Features of equal text share a token, be they of one dictionary or of two.

    Parameters
    ----------
    acts : FeatureActivations or ActivationShards
        Captured on ``corpus``, with token ids, document ids and positions.
    corpus : Corpus or AlignedCorpus
        The text.
    """
    tokens = top_tokens(acts)
    if acts.token_ids is None or acts.document_ids is None or acts.positions is None:
        raise ValueError("acts must carry document_ids and positions, got none; capture them from the corpus")
    ids, first = np.unique(acts.token_ids, return_index=True)
    texts: dict[int, str | None] = {-1: None}
    for token in np.unique(tokens[tokens >= 0]).tolist():
        row = first[np.searchsorted(ids, token)]
        document = int(acts.document_ids[row])
        start, end = corpus.document_offsets[document][acts.positions[row]]
        texts[token] = corpus.texts[document][start:end].strip().lower()
    return [texts[token] for token in tokens.tolist()]


def shared_ids(*sides: Iterable[str | None]) -> tuple[NDArray[np.int64], ...]:
    """Return every side's texts as ids: one id a text, whatever its side, and -1 for None.

    >>> shared_ids(["war", None, "peace"], ["peace"])
    (array([ 0, -1,  1]), array([1]))
    """
    ids: dict[str | None, int] = {None: -1}
    return tuple(np.array([ids.setdefault(text, len(ids) - 1) for text in side], dtype=np.int64) for side in sides)
