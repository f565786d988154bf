"""Compare one pair of feature spaces: match, choose pairs, filter, score, and look at what led there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .comparison import MATCHED, Comparison
from .direction_matches import DirectionMatches
from .directions import match_directions, rows_in_common
from .filters import firing
from .given import count_alone
from .matches import Matches
from .matching import match
from .multiplicity import BANDS, correlation_by_multiplicity, hubs, multiplicity_bands
from .nulls import Score
from .pairs import Pairs
from .procedure import Procedure
from .progress import Progress
from .robustness import convergence, split_half
from .scoring import score_pairs, score_redrawn
from .scoring_result import Scoring
from .settings import REDRAWN, Settings, settings_or_default
from .spaces import FeatureSpace, paired_rows
from .token_conditional import token_conditional


def compare_spaces(
    a: FeatureSpace,
    b: FeatureSpace,
    settings: Settings | None = None,
    *,
    device: str = "auto",
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two feature spaces that were captured on the same tokens.

    The stages are candidates, pairing rule, the filters in the order of ``settings.stages``, score. Pairs that are
    matched by directions must fire often enough before all other filters.
    """
    settings = settings_or_default(settings)
    acts = (a.recorded_activations(), b.recorded_activations())
    matching = matching_of(settings, device)
    spaces, labels = {"a": a, "b": b}, (a.labels, b.labels)
    stages = settings.filters(*labels)
    found: DirectionMatches | None = None
    if settings.by == "directions":
        pair = (a.loaded_dictionary(), b.loaded_dictionary())
        found = match_directions(*pair, on=rows_in_common(*pair), top=settings.partners, device=device)
        matches = found.matches(*acts)
        stages.insert(0, firing(*acts, settings.min_activations))
    else:
        matches = match(*acts, **matching)
    pairs = matches.pairs(**settings.rule).filter(*stages)
    rows = "decoder" if a.has_decoder and b.has_decoder else "activations"
    directions = paired_rows(spaces, pairs, rows)

    scoring = _scoring(spaces, pairs, rows, directions, settings, matching, progress)
    same_null = replace(settings, null=scoring.null.name)

    def scored(part: Pairs) -> dict[str, Score]:
        rates = _rates(spaces)
        return score_pairs(part, labels, paired_rows(spaces, part, rows), same_null, rates, adjust=False).scores

    again = {**settings.rule, **matching, "filters": stages}
    choices = {"a": matches.pairs("b_to_a"), "b": matches.pairs("a_to_b")}
    return Comparison(
        spaces=spaces,
        pairs=pairs,
        scoring=scoring,
        rows=rows,
        directions=directions,
        matched=_matched(matches, choices),
        direction_match=None if found is None else found.to_dict(*acts),
        hubs={side: hubs(chosen, side, labels=labels) for side, chosen in choices.items()},
        multiplicity={side: correlation_by_multiplicity(chosen, side) for side, chosen in choices.items()},
        split_half=split_half(*acts, **again, seed=settings.seed) if settings.split_half else None,
        # Rows of activations are those of the whole text, whatever the part: no scores then.
        convergence=(
            convergence(*acts, **again, score=None if rows == "activations" else scored)
            if settings.convergence
            else None
        ),
        settings=settings,
        provenance=provenance or {},
    )


def scores_by_multiplicity(
    comparison: Comparison, side: str = "a", bands: Sequence[int] = BANDS
) -> dict[str, dict[str, Score]]:
    """Score the kept pairs in bands of how many of them their feature has.

    Every band is scored under the null of the comparison, so under "one-per-token" it keeps the best pair of every top
    token; `Comparison.caveat` holds for every band.

    Parameters
    ----------
    comparison : Comparison
        With its directions, which a run that was saved without activations may lack.
    side, bands
        See `correlation_by_multiplicity`.

    Returns
    -------
    dict of str to dict of str to Score
        By band, then by measure.
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison must be a Comparison, such as a grid's cell, got {type(comparison).__name__}")
    directions = comparison.directions
    if directions is None:
        raise ValueError("comparison must hold the rows that were scored, but they were not saved with this run")
    names, band_of = multiplicity_bands(comparison.pairs, side, bands)
    same_null = replace(comparison.settings, null=comparison.null.name)
    rates = None
    if same_null.null == "stratified":
        rates = _rates(comparison.spaces)
    scores = {}
    for band, name in enumerate(names):
        inside = np.flatnonzero(band_of == band)
        rows = {key: all_rows[inside] for key, all_rows in directions.items()}
        part = comparison.pairs.select(inside)
        scores[name] = score_pairs(part, comparison.labels, rows, same_null, rates, adjust=False).scores
    return scores


def _scoring(
    spaces: Mapping[str, FeatureSpace],
    pairs: Pairs,
    rows: str,
    directions: Mapping[str, NDArray[np.float32]],
    settings: Settings,
    matching: Mapping[str, Any],
    progress: Progress | None,
) -> Scoring:
    """Score pairs under their null, and test their mean correlation where the settings ask for it."""
    labels = (spaces["a"].labels, spaces["b"].labels)
    if settings.null in REDRAWN and rows == "activations":
        raise ValueError(f"null={settings.null} needs decoder rows on both sides, and these have activations only")
    if settings.null in REDRAWN:
        # A null would hardly pass the correlation bands.
        unbanded = procedure_of(spaces, settings, matching, bands=False)
        scoring = score_redrawn(unbanded, pairs, labels, settings, progress)
    else:
        scoring = score_pairs(pairs, labels, directions, settings, _rates(spaces), progress=progress)
    if settings.token_null is None:
        return scoring
    shown = None if progress is None else lambda done, total: progress("token-conditional null", done, total)
    unbanded = procedure_of(spaces, settings, matching, bands=False)
    found = token_conditional(unbanded, draws=settings.token_null, seed=settings.seed, progress=shown)
    return replace(scoring, token_null=found)


def matching_of(settings: Settings, device: str = "auto") -> dict[str, Any]:
    """Return the arguments of `match` that settings stand for."""
    return {
        "top": settings.partners,
        "min_activations": settings.min_activations,
        "device": device,
        "metric": settings.metric,
        "given": settings.given,
    }


def procedure_of(
    spaces: Mapping[str, FeatureSpace], settings: Settings, matching: Mapping[str, Any], *, bands: bool
) -> Procedure:
    """Return the way from activations to rows, with or without the correlation bands."""
    a, b = spaces["a"], spaces["b"]
    acts_a, acts_b = a.recorded_activations(), b.recorded_activations()
    # Without a decoder no rows are asked for.
    rows_a, rows_b = (
        np.empty((space.labels.n_features, 0)) if space.directions is None else space.directions for space in (a, b)
    )
    return Procedure(
        acts_a,
        acts_b,
        rows_a,
        rows_b,
        **settings.rule,
        filters=settings.filters(a.labels, b.labels, bands=bands),
        matching=matching,
    )


def _rates(spaces: Mapping[str, FeatureSpace]) -> dict[str, NDArray[np.float64]]:
    return {side: space.firing_rates() for side, space in spaces.items()}


def _matched(matches: Matches, choices: Mapping[str, Pairs]) -> dict[str, Any]:
    """Describe the choices of either side: ``unique`` counts the partners that were chosen, not those who chose."""
    found: dict[str, dict[str, Any]] = {name: {} for name in MATCHED[:-1]}
    candidates = matches.candidates
    firsts = {"a": candidates.best_b[:, 0], "b": candidates.best_a[:, 0]}
    for side, other in (("a", "b"), ("b", "a")):
        choosing = np.flatnonzero(firsts[side] >= 0)
        partners = firsts[side][choosing]
        times = np.unique(partners, return_counts=True)[1]
        partners_of, features = np.unique(times, return_counts=True)
        n = len(choosing)
        found["candidates"][side] = n
        found["mean_best_correlation"][side] = choices[other].counts.mean_correlation
        found["mutual_fraction"][side] = float((firsts[other][partners] == choosing).mean()) if n else None
        found["many_to_one"][other] = [[int(m), int(k)] for m, k in zip(partners_of, features, strict=True)]
        found["unique_fraction"][other] = len(times) / n if n else None
    return found | {"tokens_alone": _tokens_alone(matches)}


def _tokens_alone(matches: Matches) -> int | None:
    """Count the tokens that carry nothing given their id, or what matching was given: no other has the same."""
    token_ids = matches.token_ids
    return matches.tokens_alone if matches.given is not None or token_ids is None else count_alone(token_ids)
