"""Why a feature matches a concept, or why it does not: words, contexts, near misses and removed words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .concept import Concept
from .keywords import KeywordGroup, Where, keyword_hits
from .labels import Labels


class ConceptHit(NamedTuple):
    """A word of a concept that stands in a context of a feature."""

    concept: str
    word: str
    context: int
    """Rank of the context among the feature's, from 0: that of the largest activation."""


@dataclass(frozen=True)
class ConceptExplanation:
    """What the concepts find in the top contexts of one feature.

    Attributes
    ----------
    feature : int
    where : {"token", "word", "window", "phrase", "substring"}
        What had to be a word of a concept.
    contexts : tuple of (str, str, str)
        Left, token, right; the largest activation first.
    hits : tuple of ConceptHit
        What counts.
    near : tuple of ConceptHit
        Words that only stand somewhere in the window, and so do not count.
    removed : tuple of (ConceptHit, str)
        Words that would count had they not been removed from the concept, with the reason.
    """

    feature: int
    where: Where
    contexts: tuple[tuple[str, str, str], ...]
    hits: tuple[ConceptHit, ...]
    near: tuple[ConceptHit, ...]
    removed: tuple[tuple[ConceptHit, str], ...]

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts that the feature matches."""
        return tuple(dict.fromkeys(hit.concept for hit in self.hits))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "feature": self.feature,
            "where": self.where,
            "concepts": list(self.concepts),
            "contexts": [list(context) for context in self.contexts],
            "hits": [hit._asdict() for hit in self.hits],
            "near": [hit._asdict() for hit in self.near],
            "removed": [hit._asdict() | {"reason": why} for hit, why in self.removed],
        }

    def __str__(self) -> str:
        if not self.contexts:
            return f"feature {self.feature} has no label, so it matches no concept"
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if not self.hits:
            yield f"feature {self.feature} matches no concept by {self.where}"
        for hit in self.hits:
            yield f"feature {self.feature} matches {hit.concept}: {hit.word!r} in {self._context(hit)}"
        for hit in self.near:
            yield f"{hit.concept} has {hit.word!r}, which only stands near in {self._context(hit)}"
        for hit, why in self.removed:
            yield f"{hit.word!r} was removed from {hit.concept} ({why}): {self._context(hit)}"

    def _context(self, hit: ConceptHit) -> str:
        left, token, right = self.contexts[hit.context]
        return f"context {hit.context}, {left!r} [{token!r}] {right!r}"


def by_context(labels: Labels, rows: slice = slice(None)) -> Labels:
    """Return rows of the labels, each in the place of a feature, so that hits tell the contexts apart."""
    token = labels.token[rows]
    return replace(
        labels,
        offsets=np.arange(len(token) + 1),
        activation=labels.activation[rows],
        token=token,
        left=labels.left[rows],
        right=labels.right[rows],
        document_id=labels.document_id[rows],
        position=labels.position[rows],
        top_token=[None] * len(token),
    )


def explain_feature(labels: Labels, concepts: Sequence[Concept], feature: int, where: Where) -> ConceptExplanation:
    """See `Concepts.explain`."""
    contexts = by_context(labels, slice(labels.offsets[feature], labels.offsets[feature + 1]))
    kept = [concept.group for concept in concepts]
    gone = [group for group in map(_removed_group, concepts) if group is not None]
    hits = _hits(contexts, kept, where)
    counted = set(hits)
    wide = any(contexts.left) or any(contexts.right)
    near = [hit for hit in _hits(contexts, kept, "window") if hit not in counted] if wide else []
    why = {(concept.name, word): reason for concept in concepts for word, reason in concept.removed.items()}
    removed = [(hit, why[hit.concept, hit.word]) for hit in _hits(contexts, gone, where)]
    return ConceptExplanation(feature, where, tuple(labels.contexts(feature)), tuple(hits), tuple(near), tuple(removed))


def _removed_group(concept: Concept) -> KeywordGroup | None:
    words = tuple(word for word in concept.removed if any(map(str.isalnum, word)))
    return replace(concept.group, keywords=words) if words else None


def _hits(contexts: Labels, groups: Sequence[KeywordGroup], where: Where) -> list[ConceptHit]:
    if not groups:
        return []
    found = keyword_hits(contexts, groups, where)
    rows = zip(found.group.tolist(), found.keyword.tolist(), found.feature.tolist(), strict=True)
    return [ConceptHit(groups[group].name, groups[group].keywords[word], context) for group, word, context in rows]
