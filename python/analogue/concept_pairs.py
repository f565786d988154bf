"""The pairs of a concept: of features that match its words on both sides, or of one side with their best partners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .concept import Concept
from .given import group_ids
from .keywords import Where, keyword_hits
from .labels import Labels
from .matches import Matches
from .pairs import Filter, Pairs, as_filters
from .procedure import Procedure

APPROACHES = ("both-sides", "best-partner")
HIT_SIDES = ("b", "a", "either", "both")

Ids = NDArray[np.int64]


class WordHits(NamedTuple):
    """The features of one side that a concept's words match: one row a feature and word, by feature, then word.

    ``feature`` holds ids of the full dictionary, ``word`` the places of the words in `Concept.words`.
    """

    feature: Ids
    word: Ids

    @property
    def features(self) -> Ids:
        """The features, each once, in increasing order."""
        return np.unique(self.feature)

    def without(self, word: int) -> WordHits:
        """Return the hits of all other words; a feature that only this one matched is no longer there."""
        kept = self.word != word
        return WordHits(self.feature[kept], self.word[kept])

    def of(self, features: Ids) -> WordHits:
        """Return the hits of some features."""
        kept = np.isin(self.feature, features)
        return WordHits(self.feature[kept], self.word[kept])


def word_hits(labels: Labels, concepts: Sequence[Concept], where: Where = "word") -> list[WordHits]:
    """Find the features that every concept's words match, in one pass over all labels.

    Parameters
    ----------
    labels : Labels
        Of all features of one side.
    concepts : sequence of Concept
        Of different names.
    where : {"word", "token", "window", "phrase", "substring"}
        See `keyword_hits`.

    Returns
    -------
    list of WordHits
        One for each concept, in their order.
    """
    hits = keyword_hits(labels, [concept.group for concept in concepts], where)
    of = [hits.group == place for place in range(len(concepts))]
    return [WordHits(hits.feature[rows], hits.keyword[rows]) for rows in of]


def union_hits(hits: Sequence[WordHits]) -> WordHits:
    """Return the hits of several concepts as those of one; words are numbered anew and keep to their concept."""
    features, words, first = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for own in hits:
        features.append(own.feature)
        words.append(own.word + first)
        first += int(own.word.max(initial=-1)) + 1
    joined = WordHits(np.concatenate(features), np.concatenate(words))
    order = np.lexsort((joined.word, joined.feature))
    return WordHits(joined.feature[order], joined.word[order])


@dataclass(frozen=True, eq=False, repr=False)
class ConceptPairing:
    """How pairs come of the features that a concept's words match.

    Ids are those of the full dictionaries throughout, whatever is left out.

    Attributes
    ----------
    procedure : Procedure
        How the comparison made its own pairs: matching, pairing rule, and the filters that follow.
    approach : {"both-sides", "best-partner"}
        "both-sides": only features that match the concept, on A and on B, are correlated and paired, as if there were
        no others. "best-partner": all features are matched, and of the pairs those are kept whose features match the
        concept on ``side``, whatever their partner fires on; one-to-one and all filters then act on what is left.
    side : {"b", "a", "either", "both"}
        Whose feature must match, for "best-partner" alone.
    """

    procedure: Procedure
    approach: str = "both-sides"
    side: str = "b"

    def __post_init__(self) -> None:
        _checks.choice("approach", self.approach, APPROACHES)
        _checks.choice("side", self.side, HIT_SIDES)
        if self.side != "b" and self.approach != "best-partner":
            raise ValueError(f"side goes with approach=best-partner only, got {self.side} with {self.approach}")

    def among(self, features_a: Ids, features_b: Ids) -> Pairs:
        """Return the pairs after all filters, of features that match the concept on either side."""
        pairs = self._pairs(self.procedure.rule, features_a, features_b)
        return pairs.filter(*self._hit(features_a, features_b), *as_filters(self.procedure.filters))

    def candidates(self, features_a: Ids, features_b: Ids) -> Pairs:
        """Return the pairs before the one-to-one and all other filters: every feature with its best partner.

        Every B feature has its best A, or under rules that let A choose every A feature its best B (under "union"
        both); an A may serve many.
        """
        own = self.procedure.direction if self.procedure.rule == "capacity" else self.procedure.rule
        pairs = self._pairs(own if own in ("a_to_b", "union") else "b_to_a", features_a, features_b)
        return pairs.filter(*self._hit(features_a, features_b))

    def best_correlation(self, features_a: Ids, features_b: Ids) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what every feature's best partner was ranked by, shapes (F_A,) and (F_B,); -inf without one."""
        found = self._matches(features_a, features_b).candidates
        best = ((found.best_b, found.weight_b), (found.best_a, found.weight_a))
        a, b = (np.where(partner[:, 0] >= 0, weight[:, 0], -np.inf) for partner, weight in best)
        return a, b

    def without_tokens(self) -> ConceptPairing:
        """Return the same pairing without correlations given the token, which take a third of the time of a draw.

        What matching is given stays; a filter on r given the token has nothing to act on.
        """
        a, b = self.procedure.acts_a, self.procedure.acts_b
        given = self.procedure.matching.get("given")
        matching = dict(self.procedure.matching)
        if isinstance(given, str):
            matching["given"] = group_ids(a, b, given)
        a, b = (replace(acts, token_ids=None, document_ids=None, positions=None) for acts in (a, b))
        return replace(self, procedure=replace(self.procedure, acts_a=a, acts_b=b, matching=matching))

    def _pairs(self, rule: str, features_a: Ids, features_b: Ids) -> Pairs:
        if self.approach == "best-partner":
            if rule not in self._of_all:
                self._of_all[rule] = self._by_rule(self._all_matches, rule)
            return self._of_all[rule]
        return self._by_rule(self._matches(features_a, features_b), rule)

    def _by_rule(self, matches: Matches, rule: str) -> Pairs:
        k = self.procedure.k if rule == self.procedure.rule else None
        return matches.pairs(rule, k=k, direction=self.procedure.direction)

    def _matches(self, features_a: Ids, features_b: Ids) -> Matches:
        if self.approach == "best-partner":
            return self._all_matches
        acts_a, acts_b = self.procedure.acts_a, self.procedure.acts_b
        return self.procedure.matches(acts_a.only(features_a), acts_b.only(features_b))

    @cached_property
    def _all_matches(self) -> Matches:
        return self.procedure.matches()

    @cached_property
    def _of_all(self) -> dict[str, Pairs]:
        """The pairs of all features, by rule: the same whatever the concept."""
        return {}

    def _hit(self, features_a: Ids, features_b: Ids) -> tuple[Filter, ...]:
        if self.approach != "best-partner":
            return ()

        def keeps(pairs: Pairs) -> NDArray[np.bool_]:
            hit_a, hit_b = np.isin(pairs.feature_a, features_a), np.isin(pairs.feature_b, features_b)
            return {"a": hit_a, "b": hit_b, "either": hit_a | hit_b, "both": hit_a & hit_b}[self.side]

        return (Filter(f"concept on {self.side}", keeps),)


def most_per_word(hits: WordHits, weight: NDArray[np.float64], most: int) -> WordHits:
    """Return the hits of the features that are left when no word has more than so many.

    Features are taken by falling weight (the lower id on ties), and one is passed over when any word that matches it
    has its number already: a feature of two words counts for both.

    Parameters
    ----------
    hits : WordHits
    weight : ndarray, shape (F,)
        Of every feature of the dictionary, see `ConceptPairing.best_correlation`.
    most : int
    """
    _checks.integer("most", most, minimum=1)
    words: dict[int, list[int]] = defaultdict(list)
    for feature, word in zip(hits.feature.tolist(), hits.word.tolist(), strict=True):
        words[feature].append(word)
    taken: dict[int, int] = defaultdict(int)
    kept = []
    for feature in sorted(words, key=lambda feature: (-weight[feature], feature)):
        if all(taken[word] < most for word in words[feature]):
            kept.append(feature)
            for word in words[feature]:
                taken[word] += 1
    return hits.of(np.array(kept, dtype=np.int64))
