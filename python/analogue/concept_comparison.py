"""What concepts score in one comparison: features, pairs and scores of each, with their p-values side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .nulls import Score, benjamini_hochberg
from .pairs import Pairs
from .same_keyword import SameKeyword

if TYPE_CHECKING:
    import pyarrow

STAGES = ("before", "after")
QUESTIONS = {
    "rows": "do the geometries agree: rows of B change places, under siblings or one-per-token",
    "pair-subset": "better than matched pairs of the same quality: others of the same r and firing rate",
    "rematched": "better than any candidate set: as many random features, paired and filtered in the same way",
}
ROLES = ("concept", "pooled", "control", "with removed")


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """The pairs of a concept at one stage, and what they score.

    Attributes
    ----------
    pairs : Pairs
        Ids are those of the full dictionaries.
    scores : dict of str to dict of str to Score
        By question (see `QUESTIONS`), then by measure; a question that was not asked is absent.
    new_pairs : int or None
        Of the pairs that "pair-subset" scores, those that the comparison does not have itself; None without that null.
    reached : float or None
        The share of the draws of "rematched" with at least as many pairs as were scored.
    same_keyword : SameKeyword or None
        Whether both sides fire on one word; None for what has no words of its own.
    """

    pairs: Pairs
    scores: dict[str, dict[str, Score]]
    new_pairs: int | None = None
    reached: float | None = None
    same_keyword: SameKeyword | None = None

    @property
    def mean_correlation(self) -> float | None:
        """Mean plain correlation of the pairs, None without one."""
        return self.pairs.counts.mean_correlation

    @property
    def mean_correlation_given_token(self) -> float | None:
        """Mean correlation given the token's identity, None without pairs or token ids."""
        given = self.pairs.correlation_given_token
        return float(given.mean()) if given is not None and len(given) else None


@dataclass(frozen=True)
class WithoutWord:
    """What is left of a concept without one of its words: features, pairs after all filters, and their scores.

    ``observed`` is None for a measure that has no value on these pairs, or too few of them.
    """

    word: str
    features_a: int
    features_b: int
    pairs: int
    mean_correlation: float | None
    observed: Mapping[str, float | None]


@dataclass(frozen=True, eq=False)
class ConceptResult:
    """One concept, or one control, in a comparison.

    Attributes
    ----------
    name : str
    role : {"concept", "pooled", "control", "with removed"}
        "with removed" is a concept with the words put back that were taken out of it for a second meaning.
    of : str or None
        The concept that a control of its own, or one with removed words, belongs to.
    words : tuple of str
        The words that were looked for; none for random features and for pooled concepts.
    features : dict of {"a", "b"} to ndarray of int64
        Features that match, by ids of the full dictionary, firing often enough or not.
    before, after : ScoredPairs
        Before the one-to-one and all other filters, and after them.
    without_word : tuple of WithoutWord
        Where that control was asked for: one for each word that has a feature.
    keywords : pyarrow.Table or None
        Of every word its features and the pairs after the filters, see `concept_keywords`; None as there.
    """

    name: str
    role: str
    of: str | None
    words: tuple[str, ...]
    features: dict[str, NDArray[np.int64]]
    before: ScoredPairs
    after: ScoredPairs
    without_word: tuple[WithoutWord, ...] = ()
    keywords: pyarrow.Table | None = None

    def words_with_features(self, side: str) -> list[str]:
        """Return the words that have a feature on a side."""
        rows = [] if self.keywords is None else self.keywords.to_pylist()
        return [row["word"] for row in rows if row[f"features_{side}"]]

    @property
    def reason(self) -> str | None:
        """Why there is no score after the filters, in a sentence; None where any question has one."""
        scores = [score for of in self.after.scores.values() for score in of.values()]
        if any(score.insufficient is None for score in scores) or not scores:
            return None
        return scores[0].insufficient


@dataclass(frozen=True, eq=False, repr=False)
class ConceptScores:
    """What concepts score in one comparison; ``scores["time"]`` is one result, iteration yields all.

    Attributes
    ----------
    sites : dict of {"a", "b"} to str
    role : str or None
        What the comparison is: "run", "cell" or "control".
    approach, side, where : str
        See `compare_concepts`.
    settings : mapping
        What else it was asked for, and the caveat of the comparison where it has one.
    results : tuple of ConceptResult
        Concepts in their order, then what else was scored.
    """

    sites: dict[str, str]
    role: str | None
    approach: str
    side: str
    where: str
    settings: Mapping[str, Any]
    results: tuple[ConceptResult, ...]

    def __repr__(self) -> str:
        return f"ConceptScores({self.sites['a']} x {self.sites['b']}, {', '.join(own.name for own in self.results)})"

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[ConceptResult]:
        return iter(self.results)

    def __getitem__(self, name: str) -> ConceptResult:
        names = [result.name for result in self.results]
        _checks.choice("concept", name, names)
        return self.results[names.index(name)]

    def p_adjusted(self, name: str, measure: str, question: str = "rows", stage: str = "after") -> float | None:
        """Return the p of a concept adjusted for the number of concepts that have one (Benjamini and Hochberg 1995).

        A family is one measure, one question, one stage and all concepts of this comparison; None for what is no
        concept (pooled, controls, with removed words) or has no p.
        """
        _checks.choice("question", question, QUESTIONS)
        _checks.choice("stage", stage, STAGES)
        return self._adjusted.get((stage, question, name, measure))

    @cached_property
    def _adjusted(self) -> dict[tuple[str, str, str, str], float]:
        """The adjusted p by stage, question, concept and measure, where there is one."""
        concepts = [result for result in self.results if result.role == "concept"]
        found: dict[tuple[str, str, str, str], float] = {}
        for stage, question in product(STAGES, QUESTIONS):
            scores = {own.name: getattr(own, stage).scores.get(question, {}) for own in concepts}
            for measure in dict.fromkeys(name for of in scores.values() for name in of):
                adjusted = benjamini_hochberg([of[measure].p_value for of in scores.values()])
                found |= {
                    (stage, question, name, measure): p
                    for name, p in zip(scores, adjusted.tolist(), strict=True)
                    if not math.isnan(p)
                }
        return found

    def records(self) -> list[dict[str, Any]]:
        """Return one record for each result, stage, question and measure, as plain JSON values."""
        found = []
        for result in self.results:
            own = self._about(result)
            for stage in STAGES:
                scored: ScoredPairs = getattr(result, stage)
                counts = {
                    "stage": stage,
                    "pairs": len(scored.pairs),
                    "mean_correlation": scored.mean_correlation,
                    "mean_correlation_given_token": scored.mean_correlation_given_token,
                    "new_pairs": scored.new_pairs,
                    "reached": scored.reached,
                    "same_keyword": None if scored.same_keyword is None else scored.same_keyword.rate,
                }
                for question, scores in scored.scores.items():
                    for measure, score in scores.items():
                        adjusted = self.p_adjusted(result.name, measure, question, stage)
                        found.append(own | counts | {"question": question} | score.to_dict() | {"p_bh": adjusted})
        return found

    def _about(self, result: ConceptResult) -> dict[str, Any]:
        return {
            "site_a": self.sites["a"],
            "site_b": self.sites["b"],
            "comparison": self.role,
            "approach": self.approach,
            "side": self.side,
            "where": self.where,
            "concept": result.name,
            "role": result.role,
            "of": result.of,
            "features_a": len(result.features["a"]),
            "features_b": len(result.features["b"]),
            "words_a": result.words_with_features("a"),
            "words_b": result.words_with_features("b"),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values, the pairs by id."""
        return {
            "sites": self.sites,
            "role": self.role,
            "approach": self.approach,
            "side": self.side,
            "where": self.where,
            "settings": dict(self.settings),
            "questions": QUESTIONS,
            "concepts": [self._result(result) for result in self.results],
        }

    def _result(self, result: ConceptResult) -> dict[str, Any]:
        return {
            "name": result.name,
            "role": result.role,
            "of": result.of,
            "words": list(result.words),
            "keywords": None if result.keywords is None else result.keywords.drop_columns(["concept"]).to_pylist(),
            "features": {side: ids.tolist() for side, ids in result.features.items()},
            **{stage: self._stage(result, stage) for stage in STAGES},
            "reason": result.reason,
            "without_word": [{**vars(without), "observed": dict(without.observed)} for without in result.without_word],
        }

    def _stage(self, result: ConceptResult, stage: str) -> dict[str, Any]:
        scored: ScoredPairs = getattr(result, stage)
        pairs = scored.pairs
        return {
            "stages": [step.to_dict() for step in pairs.stages],
            "pairs": [
                {"feature_a": a, "feature_b": b, "correlation": r}
                for a, b, r in zip(
                    pairs.feature_a.tolist(), pairs.feature_b.tolist(), pairs.correlation.tolist(), strict=True
                )
            ],
            "mean_correlation": scored.mean_correlation,
            "mean_correlation_given_token": scored.mean_correlation_given_token,
            "new_pairs": scored.new_pairs,
            "reached": scored.reached,
            "same_keyword": None if scored.same_keyword is None else scored.same_keyword.to_dict(),
            "scores": [
                {"question": question} | score.to_dict() | {"p_bh": self.p_adjusted(result.name, name, question, stage)}
                for question, scores in scored.scores.items()
                for name, score in scores.items()
            ],
        }
