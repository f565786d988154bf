"""What of a comparison is to be scored: the features that words of concepts and controls match, and their pairing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from . import _checks
from .compare import matching_of, procedure_of
from .comparison import Comparison
from .concept import Concept
from .concept_controls import keyword_controls
from .concept_pairs import APPROACHES, HIT_SIDES, ConceptPairing, WordHits, most_per_word, union_hits, word_hits
from .concepts import Concepts
from .keywords import Where
from .settings import Settings


@dataclass(frozen=True, eq=False)
class Entry:
    """A concept or a control: the words that were looked for, none if it has none of its own, and what they match."""

    name: str
    role: str
    words: tuple[str, ...]
    hits: tuple[WordHits, WordHits]
    of: str | None = None


def entries(
    comparison: Comparison, concepts: Concepts, where: Where, controls: tuple[str, ...], with_removed: bool, seed: int
) -> list[Entry]:
    """Look for the words of concepts and controls in the labels of both sides, in one pass a side."""
    listed: list[tuple[Concept, str, str | None]] = [(concept, "concept", None) for concept in concepts]
    if with_removed:
        names = {concept.name: f"{concept.name} with removed words" for concept in concepts if concept.removed}
        listed += [
            (replace(concept.restored(), name=names[concept.name]), "with removed", concept.name)
            for concept in concepts
            if concept.name in names
        ]
    listed += [
        (control, "control", None) for control in keyword_controls(comparison.labels, concepts, where, controls, seed)
    ]
    everything = [concept for concept, _, _ in listed]
    sides = [word_hits(labels, everything, where) for labels in comparison.labels]
    found = [
        Entry(concept.name, role, concept.words, (hits_a, hits_b), of)
        for (concept, role, of), hits_a, hits_b in zip(listed, *sides, strict=True)
    ]
    if "pooled" in controls and len(concepts) > 1:
        pooled = [union_hits(hits[: len(concepts)]) for hits in sides]
        found.insert(len(concepts), Entry("control: pooled", "pooled", (), (pooled[0], pooled[1])))
    return found


def pairing_of(comparison: Comparison, settings: Settings, approach: str, side: str) -> ConceptPairing:
    """Return how pairs come of features in a comparison."""
    procedure = procedure_of(comparison.spaces, settings, matching_of(settings), bands=True)
    return ConceptPairing(procedure, approach, side)


def check_asked(comparison: Comparison, approach: str, side: str) -> None:
    """Refuse what is no comparison, one whose pairs are no correlations, and names of no approach or side."""
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison must be a Comparison, such as a grid's cell, got {type(comparison).__name__}")
    if comparison.settings.by != "activations":
        raise ValueError("comparison must be matched by activations: concepts correlate features, got by=directions")
    _checks.choice("approach", approach, APPROACHES)
    _checks.choice("side", side, HIT_SIDES)


def capped(pairing: ConceptPairing, hits: tuple[WordHits, WordHits], most: int | None) -> tuple[WordHits, WordHits]:
    """Return the hits of at most so many features a word on either side, those whose best partner has the largest r."""
    if most is None:
        return hits
    best = pairing.best_correlation(hits[0].features, hits[1].features)
    a, b = (most_per_word(own, weight, most) for own, weight in zip(hits, best, strict=True))
    return a, b


def as_concepts(given: Concepts | Concept | Iterable[Concept]) -> Concepts:
    """Return one concept or several as Concepts."""
    if isinstance(given, Concepts):
        return given
    if isinstance(given, str):
        raise TypeError(f"concepts must be Concepts (see Concepts.load), got the string {given!r}")
    return Concepts((given,) if isinstance(given, Concept) else tuple(given))
