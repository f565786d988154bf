"""What is asked of a concept's pairs: the row null, other pairs of the same quality, and other candidates."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .concept_comparison import QUESTIONS, ScoredPairs
from .concept_pairs import ConceptPairing, Ids
from .labels import Labels
from .nulls import Score, TooFewError
from .nulls.permutations import ORIGINAL
from .pairs import Filter, Pairs
from .rematch import Redraw, pair_subset, rematched
from .scoring import choose_null, score_pairs, scored_rows
from .settings import Settings
from .similarity import MEASURES, UndefinedError, paired_rows
from .tokens import shared_ids

LEAST_REACHED = 0.5  # of the draws, for those that have so many pairs to stand for all
DRAWS = 200
_FIRST, _FEW = 20, 0.2  # draws after which it is clear that less than half of them reach

_CIRCULAR = "pairs were matched by the correlation of the very rows that are scored"


@dataclass(frozen=True, eq=False, repr=False)
class ConceptTest:
    """Scores the pairs that come of a concept's features.

    Attributes
    ----------
    pairing : ConceptPairing
    labels : tuple of Labels
        Of all features of A and of B.
    settings : Settings
        The comparison's, with a row null.
    rows : {"decoder", "activations"}
        What would be scored; "activations" are not, since they chose the pairs.
    draws : int or None
        Of the nulls with other pairs; None: 200, or by the preset "original".
    """

    pairing: ConceptPairing
    labels: tuple[Labels, Labels]
    settings: Settings
    rows: str
    draws: int | None = None

    def pairs(self, stage: str, features_a: Ids, features_b: Ids) -> Pairs:
        """Return the pairs of a concept's features before the filters, or after them."""
        make = self.pairing.candidates if stage == "before" else self.pairing.among
        return make(features_a, features_b)

    def scored(
        self, stage: str, features_a: Ids, features_b: Ids, questions: Collection[str] = tuple(QUESTIONS)
    ) -> ScoredPairs:
        """Return the pairs of a concept's features and the answers to the questions about them."""
        pairs = self.pairs(stage, features_a, features_b)
        if self.rows == "activations":
            return ScoredPairs(pairs, {question: self._none(question, len(pairs), _CIRCULAR) for question in questions})
        # Candidates are many to one, whatever the rule that follows.
        settings = self.settings if stage == "after" else _of_candidates(self.settings)
        x, y = self.pairing.procedure.rows(pairs)
        scores = {"rows": score_pairs(pairs, self.labels, {"a": x, "b": y}, settings, self._rates, adjust=False).scores}
        best = self._one_per_token(pairs)
        new = reached = None
        if "pair-subset" in questions:
            scores["pair-subset"], new = self._among_pairs(stage, best)
        if "rematched" in questions:
            scores["rematched"], reached = self._rematched(stage, best, features_a, features_b)
        return ScoredPairs(pairs, scores, new, reached)

    def observed(self, pairs: Pairs) -> dict[str, float | None]:
        """Return every measure on the rows that the row null scores, None where it has no value."""
        null = choose_null(pairs, self.labels, self.settings).name
        best = pairs.select(scored_rows(pairs, self.labels, null))
        found: dict[str, float | None] = dict.fromkeys(self.settings.measures)
        if len(best) < self.settings.min_pairs or self.rows == "activations":
            return found
        rows = paired_rows(*self.pairing.procedure.rows(best))
        for measure in found:
            try:
                found[measure] = MEASURES[measure].prepare(*rows).observed
            except UndefinedError:
                continue
        return found

    def _among_pairs(self, stage: str, best: Pairs) -> tuple[dict[str, Score], int | None]:
        """Score pairs against others of the comparison that have their r and firing rate."""
        name = "pair-subset"
        if (few := self._too_few(best)) is not None:
            return self._none(name, len(best), few), None
        own = self._own_pairs(stage)
        new = len(best) - int(_known(best, own).sum())
        everything, chosen = beside(best, self._one_per_token(own), self.labels)
        try:
            redraw = pair_subset(self.pairing.procedure, everything, chosen)
        except TooFewError:
            only = f"no other of the {len(everything)} pairs has the r and firing rate of any of these {len(best)}"
            return self._none(name, len(best), only), new
        return self._test(redraw, best), new

    def _rematched(
        self, stage: str, best: Pairs, features_a: Ids, features_b: Ids
    ) -> tuple[dict[str, Score], float | None]:
        """Score pairs against those of as many random features."""
        if (few := self._too_few(best)) is not None:
            return self._none("rematched", len(best), few), None
        procedure = self.pairing.procedure
        # A side whose features need not match has none to draw; 1 is drawn there and not looked at.
        live_a, live_b = procedure.live()
        size_a, size_b = (
            max(1, int(np.isin(own, live).sum())) for own, live in ((features_a, live_a), (features_b, live_b))
        )
        drawn = self._for_draws.candidates if stage == "before" else self._for_draws.among
        redraw = rematched(procedure, size_a, size_b, len(best), among=lambda a, b: self._one_per_token(drawn(a, b)))
        reached = _reached(redraw, min(_FIRST, self._draws(len(best))), self.settings.seed)
        if reached >= _FEW:
            scores = self._test(redraw, best)
            reached = redraw.reached or 0.0
            if reached >= LEAST_REACHED:
                return scores, reached
        made = f"only {reached:.0%} of the draws of random features made {len(best)} pairs"
        return self._none("rematched", len(best), f"{made}, and a score needs {LEAST_REACHED:.0%}"), reached

    @cached_property
    def _rates(self) -> dict[str, NDArray[np.float64]]:
        """The firing rates of all features, which "stratified" needs."""
        sides = {"a": self.pairing.procedure.acts_a, "b": self.pairing.procedure.acts_b}
        return {side: acts.firing_counts / max(acts.n_tokens, 1) for side, acts in sides.items()}

    @cached_property
    def _for_draws(self) -> ConceptPairing:
        needs_tokens = self.settings.min_correlation_given_token is not None
        return self.pairing if needs_tokens else self.pairing.without_tokens()

    def _test(self, redraw: Redraw, best: Pairs) -> dict[str, Score]:
        settings, (x, y) = self.settings, self.pairing.procedure.rows(best)
        draws = self._draws(len(best))
        return redraw.test(x, y, settings.measures, draws=draws, seed=settings.seed, min_pairs=settings.min_pairs)

    def _draws(self, n: int) -> int:
        if self.draws is not None:
            return self.draws
        return DRAWS if self.settings.permutations != ORIGINAL else 100 if n > 100 else 1000

    @cached_property
    def _own(self) -> dict[str, Pairs]:
        return {}

    def _own_pairs(self, stage: str) -> Pairs:
        """Return the pairs that the comparison makes of all features in the same way."""
        if stage not in self._own:
            acts = (self.pairing.procedure.acts_a, self.pairing.procedure.acts_b)
            everything = (np.arange(own.n_features, dtype=np.int64) for own in acts)
            self._own[stage] = self.pairs(stage, *everything)
        return self._own[stage]

    def _one_per_token(self, pairs: Pairs) -> Pairs:
        def keeps(pairs: Pairs) -> NDArray[np.bool_]:
            kept = np.zeros(len(pairs), dtype=bool)
            kept[scored_rows(pairs, self.labels, "one-per-token")] = True
            return kept

        return pairs.filter(Filter("one per token", keeps))

    def _too_few(self, pairs: Pairs) -> str | None:
        least = max(2, self.settings.min_pairs)
        return None if len(pairs) >= least else f"too few pairs: {len(pairs)}, at least {least} wanted"

    def _none(self, null: str, n: int, why: str) -> dict[str, Score]:
        return {
            name: Score.without_numbers(name, null, "draws", n=n, insufficient=why) for name in self.settings.measures
        }


def beside(chosen: Pairs, others: Pairs, labels: tuple[Labels, Labels]) -> tuple[Pairs, Ids]:
    """Put pairs among others so that no two share a feature or a top token, where neither list has two that do.

    Of the others those go that share either with a chosen pair: that pair takes their place.

    Returns
    -------
    pairs : Pairs
        The chosen, then the others that are left.
    positions : ndarray of int64
        Those of the chosen.
    """
    apart = np.ones(len(others), dtype=bool)
    for side, own in zip("ab", labels, strict=True):
        of_chosen, of_others = (getattr(pairs, f"feature_{side}") for pairs in (chosen, others))
        texts = [[own.top_token[feature] for feature in features.tolist()] for features in (of_chosen, of_others)]
        tokens, other_tokens = shared_ids(*texts)
        apart &= ~np.isin(of_others, of_chosen) & ~np.isin(other_tokens, tokens[tokens >= 0])
    left = others.select(apart)
    joined = Pairs(
        np.concatenate([chosen.feature_a, left.feature_a]),
        np.concatenate([chosen.feature_b, left.feature_b]),
        np.concatenate([chosen.correlation, left.correlation]),
    )
    return joined, np.arange(len(chosen), dtype=np.int64)


def _known(pairs: Pairs, others: Pairs) -> NDArray[np.bool_]:
    """Say of every pair whether it is among others."""
    ids = set(zip(others.feature_a.tolist(), others.feature_b.tolist(), strict=True))
    return np.array(
        [pair in ids for pair in zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True)], dtype=bool
    )


def _reached(redraw: Redraw, draws: int, seed: int) -> float:
    """Return the share of a few draws that have pairs enough."""
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        try:
            redraw(rng)
        except TooFewError:
            continue
    return redraw.reached or 0.0


def _of_candidates(settings: Settings) -> Settings:
    """Return the settings that choose a null for candidates: many B features may have one A."""
    one_to_one = settings.pairs in ("mutual", "assignment")
    return replace(settings, pairs="b_to_a") if one_to_one else settings
