"""Controls of concepts: words that no meaning holds together, words of no concept, and random features."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from .concept import Concept
from .concept_pairs import ConceptPairing, Ids, word_hits
from .concepts import Concepts
from .keywords import Where
from .labels import Labels

CONTROLS = ("pooled", "unrelated", "random-keywords", "random-features", "drop-one-word")


def keyword_controls(
    labels: tuple[Labels, Labels], concepts: Concepts, where: Where, controls: Collection[str], seed: int
) -> list[Concept]:
    """Draw the controls that are words, as far as they were asked for and the labels have the words.

    "unrelated" has one word of each of the package's concepts, of those words that features of both sides match where
    there are any. "random-keywords" has words that features of B fire on and no concept has: as many as the concepts
    have with a feature of B, on average.
    """
    found = []
    if "unrelated" in controls:
        found.append(
            replace(_with_features(labels, Concepts.load(), where).mixed_control(seed), name="control: unrelated")
        )
    if "random-keywords" in controls:
        words = [len(np.unique(hits.word)) for hits in word_hits(labels[1], concepts.concepts, where)]
        wanted = max(1, round(sum(words) / len(words)))
        there = concepts.suggest(labels[1], wanted).num_rows
        if there:
            control = concepts.random_control(labels[1], there, seed)
            found.append(replace(control, name="control: random-keywords"))
    return found


def random_features(
    pairing: ConceptPairing, features_a: Ids, features_b: Ids, rng: np.random.Generator
) -> tuple[Ids, Ids]:
    """Draw as many features of either side as there are given, of those that fire often enough."""
    live_a, live_b = pairing.procedure.live()
    a, b = (
        np.sort(rng.choice(live, np.isin(own, live).sum(), replace=False)).astype(np.int64)
        for live, own in ((live_a, features_a), (live_b, features_b))
    )
    return a, b


def _with_features(labels: tuple[Labels, Labels], concepts: Concepts, where: Where) -> Concepts:
    """Return the concepts with the words alone that features of both sides match; those with none keep all."""
    sides = [word_hits(own, concepts.concepts, where) for own in labels]
    kept = []
    for concept, hits_a, hits_b in zip(concepts, *sides, strict=True):
        words = tuple(concept.words[place] for place in np.intersect1d(hits_a.word, hits_b.word).tolist())
        kept.append(replace(concept, words=words) if words else concept)
    return Concepts(tuple(kept))
