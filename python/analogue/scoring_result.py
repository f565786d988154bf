"""Scored pairs: which null was taken and why, the scores under it, and how they stand on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .nulls import RATE_ADJUSTED, Score
from .token_conditional import TokenConditional
from .verdict import LEAST_MOVABLE

_OF_OTHER_QUESTIONS = {
    "shift": "a small p says that the two streams are not independent, which is false for any two models that read one "
    "text, and is never evidence of shared geometry",
    "subset": "the null is random features paired at random: a small p mixes how features were selected with whether "
    "the sides are related",
}
# What a never-trained model reaches under the pairing null, by pairing rule.
_NEVER_TRAINED = {
    "assignment": ": a never-trained model reaches CKA z = 4 on assignment pairs",
    "b_to_a": ": a never-trained model reaches CKA z = 24 on pairs of many to one",
    "a_to_b": ": a never-trained model reaches CKA z = 24 on pairs of many to one",
}
_TOKEN_NULL = "token_conditional"
_PREFIX = "rate_adjusted_"  # what the names of such draws begin with

Draws = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class ChosenNull:
    """The null that pairs were scored under, and what their sibling groups are.

    Siblings are features of one dictionary with the same top token: alike in their own model, whatever the other does.
    A sibling group holds pairs that are joined by siblings or repeats on either side.

    Attributes
    ----------
    name : str
        The row null, see `permutation_test`.
    reason : str
        Why this one.
    pairs, scored : int
        Pairs that were kept, and those of them that the null scores: under "one-per-token" the best of every top token.
    groups, largest_group : int
        Sibling groups of the kept pairs, and the pairs of the largest.
    with_siblings : int
        Pairs that are not alone in their group.
    rows_movable : float
        Share of the pairs whose group has another of its size to change places with.
    rule : str or None
        The pairing rule that made the pairs.
    """

    name: str
    reason: str
    pairs: int
    scored: int
    groups: int
    largest_group: int
    with_siblings: int
    rows_movable: float
    rule: str | None = None

    @property
    def caveat(self) -> str | None:
        """One sentence where the null does not hold for these pairs, or cannot say much, else None."""
        if self.name == "pairing" and self.with_siblings:
            repeated = "" if self.rule in ("mutual", "assignment") else " or repeat a feature"
            quoted = _NEVER_TRAINED.get(self.rule or "", "")
            return (
                f"{self.with_siblings} of {self.pairs} pairs have siblings (features of one token, alike in their own "
                f"model){repeated}, and the pairing null does not hold for these{quoted}"
            )
        if self.name in _OF_OTHER_QUESTIONS:
            return _OF_OTHER_QUESTIONS[self.name]
        if self.name == "siblings" and self.rows_movable < LEAST_MOVABLE:
            return (
                f"only {self.rows_movable:.0%} of the pairs can change places, and the others stay paired in the null: "
                "a large p says little, and the effect above the null shrinks"
            )
        return None


@dataclass(frozen=True, eq=False)
class Scoring:
    """Everything that is tested about a set of pairs.

    Attributes
    ----------
    null : ChosenNull
        The null of the scores, why it was taken, and the sibling groups of the pairs.
    scores : dict of str to Score
        By measure.
    rate_adjusted : dict of str to Score
        The same scores after either side's log firing rate was regressed out of its rows, of rsa, cka and mutual_knn
        alone where any of these was asked for: where they fall far below, the sides agree along an axis of firing rate.
        Up to three rows are left out of them, see `without_rates`.
    token_null : TokenConditional or None
        Mean r against what the token's identity explains, where the settings ask for it.
    """

    null: ChosenNull
    scores: dict[str, Score]
    rate_adjusted: dict[str, Score]
    token_null: TokenConditional | None = None

    def draws(self) -> dict[str, NDArray[np.float64]]:
        """Return the draws of every null by name, the content of ``nulls.npz``."""
        sets = (("", self.scores), (_PREFIX, self.rate_adjusted))
        listed = {prefix + name: score.draws for prefix, scores in sets for name, score in scores.items()}
        if self.token_null is not None:
            listed[_TOKEN_NULL] = self.token_null.draws
        return {name: draws for name, draws in listed.items() if draws is not None}

    def summary(self) -> dict[str, Any]:
        """Return the null and the token-conditional test as plain JSON values."""
        found = None if self.token_null is None else asdict(self.token_null)
        if found is not None:
            del found["draws"]
        return {"null": asdict(self.null), "token_null": found}

    @classmethod
    def from_saved(cls, scores: Iterable[Mapping[str, Any]], summary: Mapping[str, Any], draws: Draws) -> Self:
        """Build from saved scores (`Score.to_dict`), what `summary` returned, and `draws`."""
        plain: dict[str, Score] = {}
        adjusted: dict[str, Score] = {}
        for saved in scores:
            name, by_rate = saved["measure"], saved["null"].endswith(RATE_ADJUSTED.name)
            own = draws.get(_PREFIX + name if by_rate else name)
            (adjusted if by_rate else plain)[name] = Score.from_dict(saved, draws=own)
        token_null = None
        if summary["token_null"] is not None:
            token_null = TokenConditional(**summary["token_null"], draws=draws[_TOKEN_NULL])
        return cls(ChosenNull(**summary["null"]), plain, adjusted, token_null)
