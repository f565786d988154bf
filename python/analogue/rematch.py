"""Nulls that match again: rows that come about as a comparison's did, from other activations or other pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .activations import concatenate
from .given import group_ids
from .nulls import Score, TooFewError, draw_test
from .pairs import Pairs
from .procedure import Procedure, Rows

Among = Callable[[NDArray[np.int64], NDArray[np.int64]], Pairs]

_QUINTILES, _TERTILES = 5, 3


@dataclass(frozen=True)
class Drawn:
    """One draw: rows of either side, the pairs it made, and their mean correlation (None without pairs)."""

    x: Rows
    y: Rows
    pairs: int
    mean_correlation: float | None


class Redraw:
    """A null that makes rows of both sides, one draw after the other: ``redraw(rng) -> (x, y)``.

    A new generator begins a new series; the record is that of the last one.

    Attributes
    ----------
    null : str
        Its name.
    n : int or None
        Rows every draw is cut to; a draw with fewer raises `TooFewError`.
    most : int or None
        Draws that a series can have; None for no limit.
    pairs : list of int
        The pairs that each draw of the series made, before the cut.
    mean_correlation : list of float or None
        Their mean correlation.
    """

    def __init__(
        self,
        null: str,
        series: Callable[[np.random.Generator], Iterator[Drawn]],
        *,
        n: int | None = None,
        most: int | None = None,
    ) -> None:
        self.null, self.n, self.most = null, n, most
        self.pairs: list[int] = []
        self.mean_correlation: list[float | None] = []
        self._series = series
        self._rng: np.random.Generator | None = None
        self._draws: Iterator[Drawn] = iter(())

    def __repr__(self) -> str:
        return f"Redraw({self.null}, {len(self.pairs)} drawn)"

    def __call__(self, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Make the next draw of the generator's series.

        Raises
        ------
        TooFewError
            If the draw has fewer than ``n`` pairs.
        ValueError
            If the series is at its end.
        """
        if rng is not self._rng:
            self._rng, self._draws, self.pairs, self.mean_correlation = rng, self._series(rng), [], []
        drawn = next(self._draws, None)
        if drawn is None:
            raise ValueError(f"{self.null} has {self.most} distinct draws, and all of them were made")
        self.pairs.append(drawn.pairs)
        self.mean_correlation.append(drawn.mean_correlation)
        if self.n is not None and drawn.pairs < self.n:
            raise TooFewError(f"too few pairs: {drawn.pairs}, {self.n} wanted")
        if self.n is not None and len(drawn.x) > self.n:
            kept = np.sort(rng.choice(len(drawn.x), self.n, replace=False))
            return drawn.x[kept], drawn.y[kept]
        return drawn.x, drawn.y

    @property
    def reached(self) -> float | None:
        """The share of the draws that made at least ``n`` pairs; None without ``n``, or before the first draw."""
        if self.n is None or not self.pairs:
            return None
        return float(np.mean(np.array(self.pairs) >= self.n))

    def test(
        self,
        x: ArrayLike,
        y: ArrayLike,
        measures: str | Iterable[str] = ("svcca", "rsa"),
        *,
        draws: int = 200,
        seed: int = 0,
        studentised: bool = False,
        min_pairs: int = 10,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Score]:
        """Score rows against this null by `draw_test`, under its name; refuse more draws than there can be."""
        if self.most is not None and _checks.integer("draws", draws, minimum=1) > self.most:
            raise ValueError(f"draws must be at most {self.most}, the distinct draws of {self.null}, got {draws}")
        options = {"draws": draws, "seed": seed, "min_pairs": min_pairs}
        return draw_test(x, y, self, measures, self.null, studentised=studentised, progress=progress, **options)


def shift(procedure: Procedure, *, window: int | None = None, n: int | None = None) -> Redraw:
    """Shift B's stream against A's by whole windows, then match, pair and filter as before.

    Permuted: B's tokens move on together by an offset, the last coming first; offsets are distinct. Kept: each side's
    own stream, with every correlation inside it, and the procedure. A small p says that the two streams are not
    independent, which is false for any two models that read one text. It is never evidence of shared geometry, even
    studentised: siblings alone make it small. Its use is as a floor: how many pairs, and with which correlation,
    matching finds in unrelated streams (`Redraw.pairs`, `Redraw.mean_correlation`).

    Shifted pairs are others, fewer and rarer than the observed: scores compare only with ``studentised=True``, and
    only for a procedure without a correlation filter, which almost no shifted pair passes.

    Parameters
    ----------
    procedure : Procedure
        Per-token ids are not carried along: a filter on r given the token has nothing to act on. Where matching is
        ``given`` something, that stays with A's tokens.
    window : int, optional
        Tokens of a window. None: windows are documents, and B moves on to where another one begins.
    n : int, optional
        Cut every draw at random to so many pairs.

    Raises
    ------
    ValueError
        If there are fewer than 2 windows, or no document ids where windows are documents.
    """
    a, b = procedure.acts_a, procedure.acts_b
    offsets = _offsets(procedure, window)
    given = procedure.matching.get("given")
    if isinstance(given, str):
        procedure = replace(procedure, matching={**procedure.matching, "given": group_ids(a, b, given)})
    a, b = (replace(acts, token_ids=None, document_ids=None, positions=None) for acts in (a, b))

    def series(rng: np.random.Generator) -> Iterator[Drawn]:
        for offset in rng.permutation(offsets).tolist():
            moved = concatenate([b.rows(b.n_tokens - offset, b.n_tokens), b.rows(0, b.n_tokens - offset)])
            yield _drawn(procedure, procedure.pairs(a, moved))

    return Redraw("shift", series, n=_size(n), most=len(offsets))


def rematched(
    procedure: Procedure, candidates_a: int, candidates_b: int, n: int, *, among: Among | None = None
) -> Redraw:
    """Take as many random features as a concept has candidates, then match, pair, filter and cut to its pairs.

    Permuted: which features are candidates, drawn from those that fire often enough. Kept: their numbers, the tokens,
    the procedure, and n. A small p says that the concept's pairs agree better than those that as many features of any
    kind would give. It does not say that the concept is shared: its pairs may be better matched, or fire more often,
    and a concept's features are siblings more often than random ones (see `pair_subset`). Draws that do not reach n
    are not scored: read `Redraw.reached`, and no score where it is small.

    Parameters
    ----------
    procedure : Procedure
        As it made the concept's pairs of its candidates.
    candidates_a, candidates_b : int
        Features of either side that were candidates for the concept.
    n : int
        The concept's pairs.
    among : callable, optional
        ``among(features_a, features_b) -> Pairs``: how pairs come of candidates; by default `Procedure.among`.
    """
    made = procedure.among if among is None else among
    live_a, live_b = procedure.live()
    for name, count, live in (("candidates_a", candidates_a, live_a), ("candidates_b", candidates_b, live_b)):
        if _checks.integer(name, count, minimum=1) > len(live):
            raise ValueError(f"{name} must be at most the {len(live)} features that fire often enough, got {count}")

    def series(rng: np.random.Generator) -> Iterator[Drawn]:
        while True:
            chosen_a = rng.choice(live_a, candidates_a, replace=False)
            chosen_b = rng.choice(live_b, candidates_b, replace=False)
            yield _drawn(procedure, made(chosen_a, chosen_b))

    return Redraw("rematched", series, n=_size(n))


def subset(procedure: Procedure, n: int) -> Redraw:
    """Take n random features of either side, paired at random.

    Permuted: everything about the pairs. Kept: n, and that features fire often enough. A small p says that the pairs
    are not random features paired at random, be it that their features are of another kind (more frequent, more alike)
    or that the sides are related: the two are mixed, so this null describes, and is no evidence of a relation.
    """
    live_a, live_b = procedure.live()
    size = _checks.integer("n", n, minimum=1)
    if size > min(len(live_a), len(live_b)):
        raise ValueError(f"n must be at most the {min(len(live_a), len(live_b))} live features of a side, got {n}")
    rows_a, rows_b = np.asarray(procedure.rows_a), np.asarray(procedure.rows_b)

    def series(rng: np.random.Generator) -> Iterator[Drawn]:
        while True:
            chosen_a, chosen_b = (rng.choice(live, size, replace=False) for live in (live_a, live_b))
            yield Drawn(rows_a[chosen_a], rows_b[chosen_b], size, None)

    return Redraw("subset", series)


def pair_subset(procedure: Procedure, pairs: Pairs, chosen: ArrayLike) -> Redraw:
    """Take as many random matched pairs of the same correlation and firing rate as some of the pairs have.

    Permuted: which pairs are chosen, within cells of correlation (quintiles of all pairs) and firing rate (tertiles of
    the geometric mean of both sides' rates). Kept: n and its numbers in every cell, and the pairing. A small p says
    that the chosen pairs agree better than other matched pairs of the same quality. It does not say that the two models
    agree, which all matched pairs may; and neighbourhoods of a space pass more often than random subsets of it.

    Parameters
    ----------
    procedure : Procedure
        How the pairs came about; only its activations and rows are used.
    pairs : Pairs
        All matched pairs.
    chosen : array_like of int, shape (n,)
        Positions of the subset among them, each once.

    Raises
    ------
    ValueError
        If positions are out of range or repeated; `TooFewError` if the subset fills every cell it has pairs in.
    """
    positions = _checks.array("chosen", chosen, ndim=1, dtype=np.int64)
    if not len(positions):
        raise ValueError("chosen must hold the position of at least one pair, got none")
    if not 0 <= positions.min() <= positions.max() < len(pairs):
        raise ValueError(f"chosen must lie in 0..{len(pairs)}, got {positions.min()} to {positions.max()}")
    twice = np.flatnonzero(np.bincount(positions) > 1)
    if len(twice):
        raise ValueError(f"chosen must hold every position once, got {twice[0]} more than once")
    a, b = procedure.acts_a, procedure.acts_b
    rate = np.log(a.firing_counts[pairs.feature_a] + 1.0) + np.log(b.firing_counts[pairs.feature_b] + 1.0)
    cell = _bands(pairs.correlation, _QUINTILES) * _TERTILES + _bands(rate, _TERTILES)
    wanted = np.bincount(cell[positions], minlength=_QUINTILES * _TERTILES)
    members = [np.flatnonzero(cell == index) for index in range(len(wanted))]
    if all(count in (0, len(own)) for count, own in zip(wanted, members, strict=True)):
        raise TooFewError(
            f"chosen must leave other pairs of the same quality to draw, got all {len(positions)} of them"
        )
    x, y = procedure.rows(pairs)

    def series(rng: np.random.Generator) -> Iterator[Drawn]:
        while True:
            drawn = np.concatenate(
                [rng.choice(own, count, replace=False) for own, count in zip(members, wanted, strict=True)]
            )
            yield Drawn(x[drawn], y[drawn], len(drawn), float(pairs.correlation[drawn].mean()))

    return Redraw("pair-subset", series)


def _drawn(procedure: Procedure, pairs: Pairs) -> Drawn:
    return Drawn(*procedure.rows(pairs), len(pairs), pairs.counts.mean_correlation)


def _size(n: int | None) -> int | None:
    return None if n is None else _checks.integer("n", n, minimum=1)


def _offsets(procedure: Procedure, window: int | None) -> NDArray[np.int64]:
    """Return the distinct offsets by which whole windows move on; 0, which moves nothing, is not one."""
    total = procedure.acts_a.n_tokens
    if window is not None:
        offsets = np.arange(_checks.integer("window", window, minimum=1), total, window)
        if not len(offsets):
            raise ValueError(f"window must leave at least 2 windows of {total} tokens, got {window}")
        return offsets
    ids = next((of for acts in (procedure.acts_a, procedure.acts_b) if (of := acts.document_ids) is not None), None)
    if ids is None:
        raise ValueError("window must be a number of tokens for activations without document ids, got None")
    starts = np.flatnonzero(np.diff(ids)) + 1
    if not len(starts):
        raise ValueError("window must be a number of tokens where there is one document only, got None")
    return total - starts


def _bands(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the quantile band, 0 to count - 1, of every value; equal values share one."""
    edges = np.quantile(values, np.arange(1, count) / count) if len(values) else values
    return np.searchsorted(edges, values, side="right")
