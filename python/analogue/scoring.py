"""Scoring: the null that fits a set of pairs, and the scores of their rows under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .labels import Labels
from .nulls import Score, movable, one_per_token, permutation_test, sibling_groups
from .pairs import Pairs
from .settings import AUTO, Settings
from .tokens import shared_ids

Sides = tuple[Labels, Labels]
Rows = Mapping[str, NDArray[np.float32]]
Rates = Mapping[str, NDArray[np.float64]]

_LEAST_MOVABLE = 0.5  # of the rows, for a permutation of whole groups to say something
_STRATA = 5


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
    """

    name: str
    reason: str
    pairs: int
    scored: int
    groups: int
    largest_group: int
    with_siblings: int
    rows_movable: float

    @property
    def caveat(self) -> str | None:
        """One sentence where the null does not hold for these pairs, or cannot say much, else None."""
        if self.name == "pairing" and self.with_siblings:
            return (
                f"{self.with_siblings} of {self.pairs} pairs have siblings (features of one token, alike in their own "
                "model) or repeat a feature, and the pairing null does not hold for these: a never-trained model "
                "reaches CKA z = 4 on assignment pairs, 24 on pairs of many to one"
            )
        if self.name == "siblings" and self.rows_movable < _LEAST_MOVABLE:
            return f"only {self.rows_movable:.0%} of the pairs can change places, so a large p says little"
        return None


@dataclass(frozen=True, eq=False)
class Scoring:
    """Scores by measure, the same after the firing rate was regressed out of the rows, and their null."""

    null: ChosenNull
    scores: dict[str, Score]
    rate_adjusted: dict[str, Score]


def groups_of(pairs: Pairs, labels: Sides) -> NDArray[np.int64]:
    """Return the sibling group of every pair, shape (n,), see `nulls.sibling_groups`."""
    return sibling_groups(pairs.feature_a, pairs.feature_b, *_tokens(pairs, labels))


def scored_rows(pairs: Pairs, labels: Sides, null: str) -> NDArray[np.int64]:
    """Return the positions of the pairs that a null scores, ascending: all but for "one-per-token".

    That null keeps the best pair of every top token of B, then of A, by what the pairs were matched by.
    """
    if null != "one-per-token":
        return np.arange(len(pairs))
    return one_per_token(*_tokens(pairs, labels), pairs.weight)


def choose_null(pairs: Pairs, labels: Sides, settings: Settings) -> ChosenNull:
    """Choose the null that the settings ask for, or with "auto" the one that fits the pairs.

    Mutual pairs: "siblings", where at least half of the rows can change places; all others, which have more siblings
    and repeats, and closed forms, which hold for rows: "one-per-token".
    """
    groups = groups_of(pairs, labels)
    found = movable(groups)
    share = f"{found.rows_movable:.0%} of the pairs can change places with a sibling group of their size"
    if settings.null != AUTO:
        name, reason = settings.null, "as was asked for"
    elif settings.method == "analytic":
        name, reason = "one-per-token", "closed forms hold for rows that move one by one"
    elif settings.pairs != "mutual":
        name, reason = "one-per-token", f"{settings.pairs} pairs have many siblings, and it has more power on them"
    elif found.rows_movable < _LEAST_MOVABLE:
        name, reason = "one-per-token", f"only {share}"
    else:
        name, reason = "siblings", f"mutual pairs, and {share}"
    return ChosenNull(
        name,
        reason,
        pairs=len(pairs),
        scored=len(scored_rows(pairs, labels, name)),
        groups=found.groups,
        largest_group=found.largest_group,
        with_siblings=int((np.bincount(groups)[groups] > 1).sum()) if len(groups) else 0,
        rows_movable=found.rows_movable,
    )


def score_pairs(
    pairs: Pairs,
    labels: Sides,
    rows: Rows,
    settings: Settings,
    rates: Rates | None = None,
    *,
    adjust: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Scoring:
    """Score pairs under the null that the settings ask for or that fits.

    Parameters
    ----------
    pairs : Pairs
    labels : tuple of Labels
        Those of all features of A and of B.
    rows : dict of {"a", "b"} to ndarray, shape (n, d)
        What is scored, one row a pair.
    settings : Settings
    rates : dict of {"a", "b"} to ndarray, shape (F,), optional
        The firing rates of all features; "stratified" needs them.
    adjust : bool
        Score once more with the rates regressed out, where they are known.
    progress : callable, optional
        Called with a stage's name, what is done and the total.
    """
    null = choose_null(pairs, labels, settings)
    kept = scored_rows(pairs, labels, null.name)
    own_rates = None
    if rates is not None:
        own_rates = (rates["a"][pairs.feature_a[kept]], rates["b"][pairs.feature_b[kept]])

    def test(stage: str, adjusted: tuple[NDArray[np.float64], NDArray[np.float64]] | None) -> dict[str, Score]:
        return permutation_test(
            rows["a"][kept],
            rows["b"][kept],
            measures=settings.measures,
            null=null.name,
            method=settings.method,
            groups=groups_of(pairs, labels) if null.name in ("siblings", "stratified") else None,
            strata=_strata(own_rates) if null.name == "stratified" else None,
            rates=adjusted,
            permutations=settings.permutations,
            stop=settings.stop,
            seed=settings.seed,
            min_pairs=settings.min_pairs,
            progress=None if progress is None else lambda done, total: progress(stage, done, total),
        )

    scores = test("permutations", None)
    again = test("permutations without firing rate", own_rates) if adjust and own_rates is not None else {}
    return Scoring(null, scores, again)


def _tokens(pairs: Pairs, labels: Sides) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sides = zip(labels, (pairs.feature_a, pairs.feature_b), strict=True)
    a, b = shared_ids(*([own.top_token[feature] for feature in features.tolist()] for own, features in sides))
    return a, b


def _strata(rates: tuple[NDArray[np.float64], NDArray[np.float64]] | None) -> NDArray[np.int64]:
    """Return the fifth of the firing rate of its B feature for every pair: permuted rows keep the profile of rates."""
    if rates is None:
        raise ValueError("null=stratified needs firing rates, and the activations were not saved with this run")
    order = np.argsort(np.argsort(rates[1], kind="stable"))
    return order * _STRATA // max(len(order), 1)
