"""Nulls whose draws are other rows on both sides: every draw is prepared and scored afresh."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from ..similarity import MEASURES, Prepared, UndefinedError, paired_rows
from ..similarity.measure import Rows
from ..similarity.parallel import one_blas_thread
from .analytic import closed_form
from .permutations import measure_names
from .score import Score

_METHOD = "draws"

Draw = Callable[["np.random.Generator"], tuple[ArrayLike, ArrayLike]]


class TooFewError(UndefinedError):
    """Rows, or a draw of them, are too few to be scored."""


def draw_test(
    x: ArrayLike,
    y: ArrayLike,
    draw: Draw,
    measures: str | Iterable[str],
    null: str,
    *,
    draws: int = 200,
    seed: int = 0,
    studentised: bool = False,
    min_pairs: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Score]:
    """Score paired rows against rows that ``draw`` makes, for nulls that no permutation of the rows can express.

    What a small p means is up to ``draw``: see `analogue.rematch` for those that match activations again. A draw with
    fewer than ``min_pairs`` rows, or on which a measure is undefined, is left out of that measure's null and counted in
    `Score.note`: observed rows that have a score are compared with the draws that have one.

    Parameters
    ----------
    x, y : array_like, shapes (n, d_x) and (n, d_y)
        Paired features as rows, decoder dimensions as columns.
    draw : callable
        ``draw(rng) -> (x, y)``: paired rows, in any number. It may raise `UndefinedError` where there is nothing to
        score, `TooFewError` where that is for want of pairs. It is always called with the same generator.
    measures : str or iterable of str
        Names in `similarity.MEASURES`.
    null : str
        What the draws are, in a word: the null's name in every `Score`. Studentised, ", studentised" is appended.
    draws : int
        R, at least 1; the smallest p is 1 / (1 + R).
    seed : int
        Seed of the generator.
    studentised : bool
        Compare ``(s - m) / sd`` with m and sd the moments of s over all permutations of the same rows (`closed_form`),
        which makes draws of different n, kx and ky comparable. `Score.observed`, ``null_mean``, ``null_std`` and
        ``draws`` are then on that scale, and `Score.note` says so. It has no largest value, so there is no calibrated
        score.
    min_pairs : int
        With fewer rows there is no score.
    progress : callable, optional
        Called as ``progress(done, draws)`` at the start and after every draw.

    Returns
    -------
    dict of str to Score
        By measure, in the order given; `Score.permutations` counts the draws that have a score.

    Raises
    ------
    ValueError, TypeError
        If a name is unknown, a number is out of range, sides differ in rows, a value is NaN or infinite, ``draw``
        returns no pair of arrays, or ``studentised`` is asked of a measure without closed moments.
    """
    names = measure_names(measures)
    total = _checks.integer("draws", draws, minimum=1)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    minimum = _checks.integer("min_pairs", min_pairs, minimum=1)
    rows = paired_rows(x, y)
    tests = [_Test(name, minimum, studentised) for name in names]
    with one_blas_thread():
        for test in tests:
            test.observe(rows)
    open_tests = [test for test in tests if test.insufficient is None]
    sizes = []
    if progress is not None and open_tests:
        progress(0, total)
    for done in range(total if open_tests else 0):
        drawn = _drawn(draw, rng)
        if not isinstance(drawn, UndefinedError):
            sizes.append(len(drawn[0]))
        with one_blas_thread():
            for test in open_tests:
                test.add(drawn)
        if progress is not None:
            progress(done + 1, total)
    name = f"{null}, studentised" if studentised else null
    return {test.measure: test.score(name, len(rows[0]), sizes) for test in tests}


@dataclass
class _Test:
    """One measure: its value on the observed rows, and on every draw that has one."""

    measure: str
    min_pairs: int
    studentised: bool
    prepared: Prepared | None = None
    observed: float = math.nan
    insufficient: str | None = None
    values: list[float] = field(default_factory=list)
    too_few: int = 0
    undefined: int = 0

    def observe(self, rows: tuple[Rows, Rows]) -> None:
        try:
            self.prepared = self._prepare(rows)
            self.observed = self._value(self.prepared)
        except TooFewError as reason:
            self.insufficient = str(reason)
        except UndefinedError as reason:
            self.insufficient = f"undefined: {reason}"

    def add(self, drawn: tuple[Rows, Rows] | UndefinedError) -> None:
        try:
            if isinstance(drawn, UndefinedError):
                raise drawn
            self.values.append(self._value(self._prepare(drawn)))
        except TooFewError:
            self.too_few += 1
        except UndefinedError:
            self.undefined += 1

    def score(self, null: str, n: int, sizes: list[int]) -> Score:
        insufficient = self.insufficient
        if insufficient is None and not self.values:
            insufficient = f"no draw has a score: {self._left_out}"
        if insufficient is not None or self.prepared is None:
            return Score.without_numbers(self.measure, null, _METHOD, n=n, insufficient=insufficient or "")
        score = Score.from_draws(
            self.measure,
            null,
            _METHOD,
            n=n,
            observed=self.observed,
            draws=np.array(self.values),
            rounding=self.prepared.rounding,
            kx=self.prepared.kx,
            ky=self.prepared.ky,
        )
        said = ["observed and null in sd of their own shuffles"] if self.studentised else []
        said += [f"draws of {_range(sizes)} rows"] if set(sizes) != {n} else []
        said += [f"not counted: {self._left_out}"] if self.too_few or self.undefined else []
        return replace(
            score,
            calibrated=None if self.studentised else score.calibrated,
            note="; ".join(said) or None,
        )

    @property
    def _left_out(self) -> str:
        total = len(self.values) + self.too_few + self.undefined
        counts = ((self.too_few, "too few pairs"), (self.undefined, "no value"))
        return " and ".join(f"{count} of {total} draws with {what}" for count, what in counts if count)

    def _prepare(self, rows: tuple[Rows, Rows]) -> Prepared:
        if len(rows[0]) < self.min_pairs:
            raise TooFewError(f"too few pairs: {len(rows[0])}, at least {self.min_pairs} wanted")
        return MEASURES[self.measure].prepare(*rows)

    def _value(self, prepared: Prepared) -> float:
        if not self.studentised:
            return prepared.observed
        moments = closed_form(prepared)
        if moments is None:
            raise ValueError(f"studentised needs measures with closed moments, got {self.measure}")
        if moments.variance <= prepared.rounding**2:
            raise UndefinedError(f"{self.measure} has the same value on every permutation of its rows")
        return (prepared.observed - moments.mean) / math.sqrt(moments.variance)


def _drawn(draw: Draw, rng: np.random.Generator) -> tuple[Rows, Rows] | UndefinedError:
    try:
        drawn = draw(rng)
    except UndefinedError as reason:
        return reason
    if not isinstance(drawn, tuple | list) or len(drawn) != 2:
        raise TypeError(f"draw must return a pair of arrays (x, y), got {type(drawn).__name__}")
    return paired_rows(*drawn)


def _range(sizes: list[int]) -> str:
    least, most = min(sizes), max(sizes)
    return str(least) if least == most else f"{least} to {most}"
