"""Scoring: the null that fits a set of pairs, and the scores of their rows under it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .labels import Labels, check_covers
from .nulls import Score, movable, one_per_token, permutation_test, sibling_groups
from .pairs import Pairs
from .procedure import Procedure
from .progress import Progress
from .rematch import shift, subset
from .scoring_result import ChosenNull, Scoring
from .settings import AUTO, Settings
from .tokens import shared_ids
from .verdict import ALPHA, EFFECT, LEAST_MOVABLE, VOTES

Sides = tuple[Labels, Labels]
Rows = Mapping[str, NDArray[np.float32]]
Rates = Mapping[str, NDArray[np.float64]]

_STRATA = 5
_WINDOW = 256


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
    if settings.null != AUTO:
        name, reason = settings.null, "as was asked for"
    elif settings.method == "analytic":
        name, reason = "one-per-token", "closed forms hold for rows that move one by one"
    elif settings.pairs != "mutual":
        name, reason = "one-per-token", f"{settings.pairs} pairs have many siblings, and it has more power there"
    elif found.rows_movable < LEAST_MOVABLE:
        name, reason = (
            "one-per-token",
            "less than half of the pairs can change places with a sibling group of their size",
        )
    else:
        name, reason = (
            "siblings",
            "at least half of the mutual pairs can change places with a sibling group of their size",
        )
    return ChosenNull(
        name,
        reason,
        pairs=len(pairs),
        scored=len(scored_rows(pairs, labels, name)),
        groups=found.groups,
        largest_group=found.largest_group,
        with_siblings=int((np.bincount(groups)[groups] > 1).sum()) if len(groups) else 0,
        rows_movable=found.rows_movable,
        rule=settings.pairs,
    )


def score_pairs(
    pairs: Pairs,
    labels: Sides,
    rows: Rows,
    settings: Settings,
    rates: Rates | None = None,
    *,
    adjust: bool = True,
    progress: Progress | None = None,
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
        Score once more with the rates regressed out, where they are known: of the measures asked for those that a
        verdict rests on (rsa, cka, mutual_knn), or all where none of these is among them.
    progress : callable, optional
        Called with a stage's name, what is done and the total.
    """
    null = choose_null(pairs, labels, settings)
    kept = scored_rows(pairs, labels, null.name)
    own_rates = None
    if rates is not None:
        own_rates = (rates["a"][pairs.feature_a[kept]], rates["b"][pairs.feature_b[kept]])

    def test(
        stage: str, measures: Iterable[str], adjusted: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    ) -> dict[str, Score]:
        return permutation_test(
            rows["a"][kept],
            rows["b"][kept],
            measures=measures,
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

    scores = test("permutations", settings.measures)
    if not adjust or own_rates is None:
        return Scoring(null, scores, {})
    checked = [name for name in settings.measures if name in (*VOTES, EFFECT)] or settings.measures
    return Scoring(null, scores, test("permutations without firing rate", checked, own_rates))


def score_redrawn(
    procedure: Procedure, pairs: Pairs, labels: Sides, settings: Settings, progress: Progress | None = None
) -> Scoring:
    """Score pairs under a null that makes other rows: "shift" (studentised) or "subset", see `analogue.rematch`.

    As many draws as the settings have permutations, or as the null has where these are fewer: `Score.note` says so.
    Windows of "shift" are 256 tokens, or documents where there are more of these than draws.
    """
    asked, windows = int(settings.permutations), ""
    if settings.null == "shift":
        documents = procedure.acts_a.document_ids
        enough = documents is not None and len(np.unique(documents)) > asked
        redraw = shift(procedure, window=None if enough else _WINDOW)
        windows = f"windows are {'documents' if enough else f'{_WINDOW} tokens'}; "
    else:
        redraw = subset(procedure, max(1, len(pairs)))
    scores = redraw.test(
        *procedure.rows(pairs),
        settings.measures,
        draws=min(asked, redraw.most or asked),
        seed=settings.seed,
        studentised=settings.null == "shift",
        min_pairs=settings.min_pairs,
        progress=None if progress is None else lambda done, total: progress("draws", done, total),
    )
    null = choose_null(pairs, labels, settings)
    found = [r for r in redraw.mean_correlation if r is not None]
    if found:
        made = f"{windows}its draws made {np.mean(redraw.pairs):.0f} pairs on average, of mean r {np.mean(found):.3f}"
        null = replace(null, reason=f"{null.reason}; {made}")
    return Scoring(null, {name: _with_draws(score, asked) for name, score in scores.items()}, {})


def _with_draws(score: Score, asked: int) -> Score:
    """Add to a score's note that it has fewer draws than were asked, and the least p of so few."""
    if not 0 < score.permutations < asked:
        return score
    few, least = f"{score.permutations} of {asked} draws asked", 1 / (1 + score.permutations)
    if least > ALPHA:
        few += f", so the least p that can come out is {least:.2g}"
    return replace(score, note=few if score.note is None else f"{score.note}; {few}")


def _tokens(pairs: Pairs, labels: Sides) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sides = list(zip(labels, (pairs.feature_a, pairs.feature_b), strict=True))
    for side, own in zip("ab", labels, strict=True):
        check_covers(f"labels of {side.upper()}", own, pairs, side)
    a, b = shared_ids(*([own.top_token[feature] for feature in features.tolist()] for own, features in sides))
    return a, b


def _strata(rates: tuple[NDArray[np.float64], NDArray[np.float64]] | None) -> NDArray[np.int64]:
    """Return the fifth of the firing rate of its B feature for every pair: permuted rows keep the profile of rates."""
    if rates is None:
        raise ValueError("null=stratified needs firing rates, and the activations were not saved with this run")
    order = np.argsort(np.argsort(rates[1], kind="stable"))
    return order * _STRATA // max(len(order), 1)
