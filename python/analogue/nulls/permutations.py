"""The engine: permute the rows of one side, and score every measure on the same permutations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from ..ops import infer_device
from ..similarity import MEASURES, Prepared, UndefinedError, paired_rows
from ..similarity.cca import Subspaces
from .analytic import CLOSED_NULLS, closed_form, distrust, tail
from .definitions import NULLS, RATE_ADJUSTED
from .groups import Indices, Movable, count_movable, exchangeable
from .rates import without_rates
from .score import Score

METHODS = ("permutation", "analytic")
ORIGINAL = "original"
_BATCH = 32  # permutations drawn at once: enough to keep every core busy, and progress frequent


def permutation_test(
    x: ArrayLike,
    y: ArrayLike,
    measures: str | Iterable[str] = ("svcca", "rsa"),
    null: str = "pairing",
    *,
    method: str = "permutation",
    groups: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    rates: tuple[ArrayLike, ArrayLike] | None = None,
    permutations: int | str = 1000,
    seed: int = 0,
    min_pairs: int = 10,
    stop: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Score]:
    """Score paired rows against the same rows paired at random.

    What a row permutation leaves unchanged (bases, ranks, Gram matrices) is computed once per measure. All measures see
    the same permutations, which depend on ``seed``, n, the null and its groups and strata alone.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns; the rows of y are permuted.
    measures : str or iterable of str
        Names in `similarity.MEASURES`.
    null : {"pairing", "siblings", "one-per-token", "stratified"}
        What is permuted and what a small p means is said in `NULLS`. For ``one-per-token`` x and y hold the pairs that
        `one_per_token` kept.
    method : {"permutation", "analytic"}
        ``analytic`` takes the moments of the null, and its tail where that is trusted, from closed forms, see
        `closed_form`; it wants a null that permutes all rows alike. A measure without a trusted one is permuted after
        all, and `Score.fallback` says why.
    groups : array_like of int, shape (n,), optional
        The group of every row, see `sibling_groups`: wanted by ``siblings``, taken by ``stratified``.
    strata : array_like of int, shape (n,), optional
        The stratum of every row, wanted by ``stratified``. A group over several strata changes places with groups that
        have as many rows in each of them.
    rates : tuple of two array_like, shape (n,), optional
        Firing rates of the features of x and of y: regressed out of both sides first, which leaves up to three rows
        out, see `without_rates`. The name of the null then ends in ", rate-adjusted".
    permutations : int or "original"
        R, at least 1; the smallest p is 1 / (1 + R). "original": 100 for more than 100 rows, else 1000.
    seed : int
        Seed of the permutations.
    min_pairs : int
        With fewer rows there is no score, see `Score.insufficient`.
    stop : int, optional
        End the draws of a measure when so many have reached its observed value (Besag and Clifford 1991): large
        p-values then cost few draws, small ones are what they are without it. 10 gives p to about a third of itself.
    device : str
        Where the draws of SVCCA are made, see `infer_device`: on CUDA by a Triton kernel, which no GPU has run so far.
        All other measures draw on the CPU.
    progress : callable, optional
        Called as ``progress(done, permutations)`` at the start and after every batch.

    Returns
    -------
    dict of str to Score
        By measure, in the order given.

    Raises
    ------
    ValueError, TypeError
        If a name is unknown, a number is out of range, the null lacks its groups or strata, would not use them or has
        no closed form, the sides differ in rows, or a value is NaN or infinite.
    """
    names = measure_names(measures)
    _checks.choice("null", null, NULLS)
    if _checks.choice("method", method, METHODS) == "analytic" and null not in CLOSED_NULLS:
        raise ValueError(f"method='analytic' wants null to be one of {', '.join(CLOSED_NULLS)}, got {null!r}")
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    minimum = _checks.integer("min_pairs", min_pairs, minimum=1)
    place = "cpu" if device == "cpu" else infer_device(device)  # which imports torch
    enough = None if stop is None else _checks.integer("stop", stop, minimum=1)
    rows_x, rows_y = paired_rows(x, y)
    total = _number_of_permutations(permutations, len(rows_x))
    kept, title = np.arange(len(rows_x)), null
    groups, strata = _row_labels(null, len(rows_x), groups, strata)
    if rates is not None:
        rows_x, rows_y, kept = without_rates(rows_x, rows_y, rates)
        title = f"{null}, {RATE_ADJUSTED.name}"
    n = len(kept)
    classes = exchangeable(np.arange(n) if groups is None else groups[kept], None if strata is None else strata[kept])
    movable = None if groups is None and strata is None else count_movable(classes)

    prepared: dict[str, Prepared] = {}
    scores: dict[str, Score] = {}
    too_little = _too_few(n, minimum) or _immovable(classes, strata is not None)
    for name in names:
        reason = too_little
        if reason is None:
            try:
                measure = MEASURES[name].prepare(rows_x, rows_y)
                prepared[name] = replace(measure, device=place) if isinstance(measure, Subspaces) else measure
            except UndefinedError as undefined:
                reason = f"undefined: {undefined}"
        if reason is not None:
            scores[name] = Score.without_numbers(name, title, method, n=n, insufficient=reason, movable=movable)

    doubts: dict[str, str] = {}
    if method == "analytic":
        closed, doubts = _closed_scores(prepared, title, n)
        scores |= closed
        prepared = {name: measure for name, measure in prepared.items() if name in doubts}
    drawn = _draws(prepared, _batches(rng, classes, n, total), total, enough, progress)
    for name, (draws, stopped) in drawn.items():
        measure = prepared[name]
        scores[name] = Score.from_draws(
            name,
            title,
            "permutation",
            n=n,
            observed=measure.observed,
            draws=draws,
            rounding=measure.rounding,
            kx=measure.kx,
            ky=measure.ky,
            stopped=stopped,
            fallback=doubts.get(name),
            movable=movable,
        )
    return {name: scores[name] for name in names}


def draw_permutations(rng: np.random.Generator, classes: list[Indices], n: int, count: int) -> Indices:
    """Draw uniform permutations of n rows under which the groups of every class change places.

    Parameters
    ----------
    rng : Generator
    classes : list of ndarray of int64
        As `exchangeable` returns them; rows that are in none stay.
    n, count : int
        Rows, and permutations.

    Returns
    -------
    ndarray of int64, shape (count, n)
    """
    orders = np.tile(np.arange(n, dtype=np.int64), (count, 1))
    for members in classes:
        if len(members) > 1:
            places = np.tile(np.arange(len(members), dtype=np.int64), (count, 1))
            orders[:, members.reshape(-1)] = members[rng.permuted(places, axis=1)].reshape(count, -1)
    return orders


def _batches(rng: np.random.Generator, classes: list[Indices], n: int, total: int) -> Iterator[Indices]:
    """Yield ``total`` permutations; the first of them are the same for any total, so every batch is drawn whole."""
    for start in range(0, total, _BATCH):
        yield draw_permutations(rng, classes, n, _BATCH)[: total - start]


def _draws(
    prepared: dict[str, Prepared],
    batches: Iterable[Indices],
    total: int,
    enough: int | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, tuple[NDArray[np.float64], bool]]:
    """Score every measure on the batches, up to the draw with which ``enough`` have reached its observed value.

    By measure: its draws, and whether they ended that way.
    """
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in prepared}
    missing: dict[str, float] = dict.fromkeys(prepared, np.inf if enough is None else enough)
    done = 0
    if progress is not None and prepared:
        progress(0, total)
    for batch in batches:
        going = [name for name, hits in missing.items() if hits > 0]
        if not going:
            break
        for name in going:
            values = prepared[name].draws(batch)
            reached = np.flatnonzero(values >= prepared[name].observed - prepared[name].rounding)
            if len(reached) >= missing[name]:
                values = values[: reached[int(missing[name]) - 1] + 1]
            missing[name] -= len(reached)
            drawn[name].append(values)
        done += len(batch)
        if progress is not None:
            progress(done, total)
    if progress is not None and 0 < done < total:
        progress(total, total)  # the rest is not needed
    return {name: (np.concatenate(parts), missing[name] <= 0) for name, parts in drawn.items()}


def _row_labels(
    null: str, n: int, groups: ArrayLike | None, strata: ArrayLike | None
) -> tuple[Indices | None, Indices | None]:
    """Return groups and strata as arrays; refuse what a null lacks or would not use."""
    if null == "siblings" and groups is None:
        raise ValueError("groups must name the sibling group of every row for null='siblings', got none")
    if null == "stratified" and strata is None:
        raise ValueError("strata must name the stratum of every row for null='stratified', got none")
    for name, given, takers in (("groups", groups, ("siblings", "stratified")), ("strata", strata, ("stratified",))):
        if given is not None and null not in takers:
            raise ValueError(f"{name} must be None for null={null!r}, which does not use them")
        if given is not None and np.shape(given) != (n,):
            raise ValueError(f"{name} must have one entry a row, shape ({n},), got shape {np.shape(given)}")
    return (
        None if groups is None else _checks.array("groups", groups, ndim=1, dtype=np.int64),
        None if strata is None else _checks.array("strata", strata, ndim=1, dtype=np.int64),
    )


def _closed_scores(prepared: dict[str, Prepared], null: str, n: int) -> tuple[dict[str, Score], dict[str, str]]:
    """Return the scores by closed forms, and for the other measures why there is none to be trusted."""
    scores: dict[str, Score] = {}
    doubts: dict[str, str] = {}
    for name, measure in prepared.items():
        moments = closed_form(measure)
        if moments is None:
            doubts[name] = "there is no closed form"
            continue
        doubt = distrust(measure, moments)
        if doubt is None and moments.variance <= measure.rounding**2:
            doubt = "all permutations give the same value"
        if doubt is not None:
            doubts[name] = doubt
            continue
        scores[name] = Score.from_moments(
            name,
            null,
            n=n,
            observed=measure.observed,
            mean=moments.mean,
            std=moments.std,
            skewness=moments.skewness,
            p_value=tail(measure, moments),
            kx=measure.kx,
            ky=measure.ky,
        )
    return scores, doubts


def _too_few(n: int, minimum: int) -> str | None:
    return None if n >= minimum else f"too few pairs: {n}, at least {minimum} wanted"


def _immovable(classes: list[Indices], stratified: bool) -> str | None:
    movable: Movable = count_movable(classes)
    if movable.rows_movable > 0:
        return None
    if movable.groups == 1:
        return f"nothing can move: all {movable.largest_group} rows are one group"
    alike = "size and the same strata" if stratified else "size"
    return f"nothing can move: no two of the {movable.groups} groups have the same {alike}"


def _number_of_permutations(permutations: int | str, n: int) -> int:
    if isinstance(permutations, str):
        _checks.choice("permutations", permutations, (ORIGINAL,))
        return 100 if n > 100 else 1000
    return _checks.integer("permutations", permutations, minimum=1)


def measure_names(measures: str | Iterable[str]) -> list[str]:
    """Return the names of one measure or several, each once; unknown ones are refused."""
    names = [measures] if isinstance(measures, str) else list(dict.fromkeys(measures))
    if not names:
        raise ValueError(f"measures must name at least one of {', '.join(MEASURES)}, got none")
    return [_checks.choice("measures", name, MEASURES) for name in names]
