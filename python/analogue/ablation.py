"""Ablation: what every filter of a comparison does to its scores, beside what as many random pairs would have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .comparison import Comparison
from .nulls import Score, draw_test
from .nulls.permutations import measure_names
from .pairs import Filter, Pairs
from .progress import Progress
from .scoring import Rates, score_pairs, scored_rows
from .settings import REDRAWN, Settings
from .spaces import paired_rows
from .verdict import EFFECT, VOTES

if TYPE_CHECKING:
    import pyarrow

RANDOM = "random pairs"
_OF_SCORE = ("observed", "null_mean", "null_std", "z", "p_value")
_OF_RANDOM = {"null_mean": "random_mean", "null_std": "random_std", "z": "random_z", "p_value": "random_p"}


def ablation(
    comparison: Comparison,
    measures: str | Iterable[str] | None = None,
    *,
    draws: int = 100,
    progress: Progress | None = None,
) -> pyarrow.Table:
    """Score the pairs without filters, with each filter alone, with all but each, and with all.

    The pairs are those of the pairing rule; filters are applied in the order of ``settings.stages``, and scored under
    the null of the comparison, with its permutations and seed. Scores that the comparison has are not made again.

    A filter that leaves few pairs moves a score by their number alone. So every score stands beside those of random
    subsets, without replacement, of the pairs before all filters, of as many pairs. A small ``random_p`` says that the
    pairs that the filters left agree better than as many of them at random; it does not say why: they may be better
    correlated, or of one kind.

    Parameters
    ----------
    comparison : Comparison
        With the rows that are scored of all its pairs: just made, or reopened with its dictionaries. A run that was
        read back holds those of kept pairs only.
    measures : str or iterable of str, optional
        By default those of rsa, cka and mutual_knn that the comparison scored, or all it scored where there are none.
    draws : int
        Random subsets.
    progress : callable, optional
        Called with what is scored, what is done and the total.

    Returns
    -------
    pyarrow.Table
        A row for each set of filters and measure: site_a, site_b, role; filters ("none", "junk alone", "all but junk",
        "all", ...), stages (their names), pairs, mean_correlation and mean_correlation_given_token; measure, null, n
        (pairs scored), observed, null_mean, null_std, z, p_value; random_mean, random_std, random_z, random_p;
        insufficient (why there is no score). Without a filter there is nothing random to compare with.

    Raises
    ------
    TypeError, ValueError
        If ``comparison`` is none, lacks rows or has no filters, its null is one of other rows, or an argument is out of
        range.
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison must be a Comparison, such as a grid's cell, got {type(comparison).__name__}")
    names = measure_names(_usual(comparison) if measures is None else measures)
    _checks.integer("draws", draws, minimum=1)
    null = comparison.null.name
    if null in REDRAWN:
        raise ValueError(f"comparison must have a null that permutes rows, got {null}")
    stages = comparison.settings.filters_by_stage(*comparison.labels)
    if not stages:
        raise ValueError("comparison must have filters, got none: all of them are off in its settings")
    base = _before_filters(comparison, sum(map(len, stages.values())))
    bench = _Bench(comparison, base, replace(comparison.settings, null=null, measures=tuple(names)), draws, progress)
    rows = []
    for title, chosen in _subsets(list(stages)).items():
        if title == "all":
            rows += bench.rows(title, chosen, comparison.pairs, known=comparison.scores)
            continue
        rules: list[Filter] = [rule for name in chosen for rule in stages[name]]
        rows += bench.rows(title, chosen, base.filter(*rules))
    return _table(rows)


def _usual(comparison: Comparison) -> list[str]:
    asked = list(comparison.scores)
    return [name for name in asked if name in (*VOTES, EFFECT)] or asked


def _subsets(names: list[str]) -> dict[str, list[str]]:
    """Return the filters that are on, by what that is called; with two, all but one is the other alone."""
    found: dict[str, list[str]] = {"none": []}
    if len(names) > 1:
        found |= {f"{name} alone": [name] for name in names}
    if len(names) > 2:
        found |= {f"all but {name}": [other for other in names if other != name] for name in names}
    return found | {"all": names}


def _before_filters(comparison: Comparison, filters: int) -> Pairs:
    """Return the pairs before the first filter, in the order of their rule, on which policies like "first" rest."""
    kept, settings = comparison.pairs, comparison.settings
    pairs = kept.entering(kept.stages[-filters].name)
    chosen = settings.direction if settings.pairs == "capacity" else settings.pairs
    by_b = chosen in ("mutual", "b_to_a")
    keys = (pairs.feature_a, pairs.feature_b) if by_b else (pairs.feature_b, pairs.feature_a)
    return pairs.select(np.lexsort(keys))


class _Bench:
    """Scores parts of the pairs before all filters, and random parts of the same size."""

    def __init__(
        self, comparison: Comparison, base: Pairs, settings: Settings, draws: int, progress: Progress | None
    ) -> None:
        self._comparison, self._base, self._settings, self._draws = comparison, base, settings, draws
        self._progress = progress
        directions = paired_rows(comparison.spaces, base, comparison.rows)
        self._x, self._y = directions["a"], directions["b"]
        self._scored = scored_rows(base, comparison.labels, settings.null)
        self._rates: Rates | None = None
        if settings.null == "stratified":
            self._rates = {side: space.firing_rates() for side, space in comparison.spaces.items()}

    def rows(
        self, title: str, stages: list[str], pairs: Pairs, known: Mapping[str, Score] | None = None
    ) -> list[dict[str, Any]]:
        """Return a record of every measure."""
        where = _positions(self._base, pairs)
        wanted = self._settings.measures
        scores = {name: score for name, score in (known or {}).items() if name in wanted}
        if missing := tuple(name for name in wanted if name not in scores):
            settings = replace(self._settings, measures=missing)
            rows = {"a": self._x[where], "b": self._y[where]}
            scores |= score_pairs(
                pairs, self._comparison.labels, rows, settings, self._rates, adjust=False, progress=self._progress
            ).scores
        random = self._random(title, where[scored_rows(pairs, self._comparison.labels, self._settings.null)])
        given = pairs.correlation_given_token
        spaces = self._comparison.spaces
        of_pairs = {
            "site_a": spaces["a"].site,
            "site_b": spaces["b"].site,
            "role": self._comparison.provenance.get("role"),
            "filters": title,
            "stages": stages,
            "pairs": len(pairs),
            "mean_correlation": pairs.counts.mean_correlation,
            "mean_correlation_given_token": None if given is None or not len(pairs) else float(given.mean()),
        }
        return [of_pairs | _record(scores[name], random.get(name)) for name in wanted]

    def _random(self, title: str, scored: NDArray[np.int64]) -> dict[str, Score]:
        """Score random subsets of the pairs that are scored without filters; none where no pair was left out."""
        n, settings = len(scored), self._settings
        if not n or n >= len(self._scored):
            return {}

        def draw(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            chosen = np.sort(rng.choice(self._scored, n, replace=False))
            return self._x[chosen], self._y[chosen]

        show = self._progress
        return draw_test(
            self._x[scored],
            self._y[scored],
            draw,
            settings.measures,
            RANDOM,
            draws=self._draws,
            seed=settings.seed,
            min_pairs=settings.min_pairs,
            progress=None if show is None else lambda done, total: show(f"{RANDOM}, {title}", done, total),
        )


def _positions(base: Pairs, pairs: Pairs) -> NDArray[np.int64]:
    """Return where pairs stand in ``base``, which holds them all."""
    width = int(base.feature_b.max(initial=0)) + 1
    keys = base.feature_a * width + base.feature_b
    order = np.argsort(keys)
    return order[np.searchsorted(keys, pairs.feature_a * width + pairs.feature_b, sorter=order)]


def _record(score: Score, random: Score | None) -> dict[str, Any]:
    found = {"measure": score.measure, "null": score.null, "n": score.n}
    found |= {name: getattr(score, name) for name in _OF_SCORE}
    found |= {ours: None if random is None else getattr(random, name) for name, ours in _OF_RANDOM.items()}
    return found | {"insufficient": score.insufficient}


def _table(rows: list[dict[str, Any]]) -> pyarrow.Table:
    import pyarrow as pa

    text, count, number = pa.string(), pa.int64(), pa.float64()
    schema = dict.fromkeys(("site_a", "site_b", "role", "filters"), text) | {"stages": pa.list_(text), "pairs": count}
    schema |= dict.fromkeys(("mean_correlation", "mean_correlation_given_token"), number)
    schema |= {"measure": text, "null": text, "n": count}
    schema |= dict.fromkeys((*_OF_SCORE, *_OF_RANDOM.values()), number) | {"insufficient": text}
    return pa.Table.from_pylist(rows, pa.schema(schema))
