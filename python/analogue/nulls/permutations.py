"""The engine: permute the rows of one side, and score every measure on the same permutations."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from ..similarity import MEASURES, Prepared, UndefinedError, paired_rows
from .score import Score

_METHOD = "permutation"
_BATCH = 32  # permutations drawn at once: enough to keep every core busy, and progress frequent

Permutations = NDArray[np.int64]


def _all_rows(rng: np.random.Generator, n: int, count: int) -> Permutations:
    """Draw ``count`` uniform permutations of n rows, shape (count, n)."""
    return rng.permuted(np.tile(np.arange(n, dtype=np.int64), (count, 1)), axis=1)


NULLS: dict[str, Callable[[np.random.Generator, int, int], Permutations]] = {"pairing": _all_rows}


def permutation_test(
    x: ArrayLike,
    y: ArrayLike,
    measures: str | Iterable[str] = ("svcca", "rsa"),
    null: str = "pairing",
    *,
    permutations: int = 1000,
    seed: int = 0,
    min_pairs: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Score]:
    """Score paired rows against the same rows paired at random.

    What a row permutation leaves unchanged (bases, ranks, Gram matrices) is computed once per measure. All measures see
    the same permutations, which depend on ``seed``, n and the null alone.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns; the rows of y are permuted.
    measures : str or iterable of str
        Names in `similarity.MEASURES`.
    null : {"pairing"}
        ``pairing`` permutes all rows. It holds where rows are exchangeable: one-to-one pairs without siblings
        (features of one dictionary that are alike because they share a token).
    permutations : int
        R, at least 1; the smallest p is 1 / (1 + R).
    seed : int
        Seed of the permutations.
    min_pairs : int
        With fewer rows there is no score, see `Score.insufficient`.
    progress : callable, optional
        Called as ``progress(done, permutations)`` at the start and after every batch.

    Returns
    -------
    dict of str to Score
        By measure, in the order given.

    Raises
    ------
    ValueError, TypeError
        If a name is unknown, a number is out of range, the sides differ in rows, or a value is NaN or infinite.
    """
    names = measure_names(measures)
    draw = NULLS[_checks.choice("null", null, NULLS)]
    total = _checks.integer("permutations", permutations, minimum=1)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    minimum = _checks.integer("min_pairs", min_pairs, minimum=1)
    rows_x, rows_y = paired_rows(x, y)
    n = len(rows_x)

    prepared: dict[str, Prepared] = {}
    reasons: dict[str, str] = {}
    for name in names:
        if n < minimum:
            reasons[name] = f"too few pairs: {n}, at least {minimum} wanted"
            continue
        try:
            prepared[name] = MEASURES[name].prepare(rows_x, rows_y)
        except UndefinedError as reason:
            reasons[name] = f"undefined: {reason}"

    draws = {name: np.empty(total) for name in prepared}
    if progress is not None and prepared:
        progress(0, total)
    for start in range(0, total if prepared else 0, _BATCH):
        batch = draw(rng, n, min(_BATCH, total - start))
        for name, measure in prepared.items():
            draws[name][start : start + len(batch)] = measure.draws(batch)
        if progress is not None:
            progress(start + len(batch), total)

    return {
        name: Score(name, null, _METHOD, n, insufficient=reasons[name])
        if name in reasons
        else Score.from_draws(
            name,
            null,
            _METHOD,
            n=n,
            observed=prepared[name].observed,
            draws=draws[name],
            rounding=prepared[name].rounding,
            kx=prepared[name].kx,
            ky=prepared[name].ky,
        )
        for name in names
    }


def measure_names(measures: str | Iterable[str]) -> list[str]:
    """Return the names of one measure or several, each once; unknown ones are refused."""
    names = [measures] if isinstance(measures, str) else list(dict.fromkeys(measures))
    if not names:
        raise ValueError(f"measures must name at least one of {', '.join(MEASURES)}, got none")
    return [_checks.choice("measures", name, MEASURES) for name in names]
