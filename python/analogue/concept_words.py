"""What the words of concepts have in a comparison: features, pairs and agreement, and how specific features are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from . import _checks
from .comparison import Comparison
from .concept import Concept
from .concept_entries import as_concepts, capped, check_asked, pairing_of
from .concept_keywords import word_table
from .concept_pairs import word_hits
from .corpus import Corpus
from .keywords import Where

if TYPE_CHECKING:
    import pyarrow

    from .concepts import Concepts


def concept_keywords(
    comparison: Comparison,
    concepts: Concepts | Concept | Iterable[Concept],
    *,
    approach: str = "both-sides",
    side: str = "b",
    where: Where = "word",
    max_per_keyword: int | None = None,
) -> pyarrow.Table:
    """Count for every word of every concept its features, and the concept's pairs after all filters that fire on it.

    The pairs are those that `compare_concepts` scores. `keyword_table` counts any pairs, such as the comparison's own.

    Parameters
    ----------
    comparison, concepts, approach, side, where, max_per_keyword
        See `compare_concepts`.

    Returns
    -------
    pyarrow.Table
        The columns of `keyword_table`; with ``max_per_keyword`` features are those that are left. A word with many
        features counts as often in a score.

    Raises
    ------
    TypeError, ValueError
        As `compare_concepts`.
    """
    import pyarrow as pa

    asked = as_concepts(concepts)
    if max_per_keyword is not None:
        _checks.integer("max_per_keyword", max_per_keyword, minimum=1)
    check_asked(comparison, approach, side)
    pairing = pairing_of(comparison, comparison.settings, approach, side)
    sides = (word_hits(labels, asked.concepts, where) for labels in comparison.labels)
    tables = []
    for concept, hits_a, hits_b in zip(asked, *sides, strict=True):
        hits = capped(pairing, (hits_a, hits_b), max_per_keyword)
        pairs = pairing.among(hits[0].features, hits[1].features)
        tables.append(word_table(pairs, *hits, concept.name, concept.words))
    return pa.concat_tables(tables)


def concept_specificity(
    comparison: Comparison,
    concepts: Concepts | Concept | Iterable[Concept],
    corpus: Corpus,
    *,
    where: Where = "word",
) -> pyarrow.Table:
    """Say how much of the activation of every concept's features lies on its words; see `Concepts.specificity`.

    Parameters
    ----------
    comparison : Comparison
        With activations.
    concepts : Concepts, Concept, or iterable of Concept
    corpus : Corpus
        The text that both models read; of a saved run, what `reopen_corpus` returns.
    where : {"word", "token", "window", "phrase", "substring"}
        What makes a feature one of the concept, see `keyword_hits`.

    Returns
    -------
    pyarrow.Table
        A row a concept and side: ``concept``, ``side``, ``features``, and over these ``mean`` and ``median`` of the
        share from 0 to 1, null without features.

    Raises
    ------
    TypeError, ValueError
        If there are no activations, or they were captured on another text.
    """
    import pyarrow as pa

    asked = as_concepts(concepts)
    rows = []
    for side, space in comparison.spaces.items():
        shares = asked.specificity(space.recorded_activations(), corpus)
        for name, features in asked.features(space.labels, where).items():
            own = shares[name][features]
            found = {"mean": float(np.mean(own)), "median": float(np.median(own))} if len(own) else {}
            rows.append({"concept": name, "side": side, "features": len(own)} | found)
    text, number = pa.string(), pa.float64()
    schema = {"concept": text, "side": text, "features": pa.int64(), "mean": number, "median": number}
    return pa.Table.from_pylist(rows, pa.schema(schema))
