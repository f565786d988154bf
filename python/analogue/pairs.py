"""Pairs: which feature of A goes with which feature of B, and why the others went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow


class Counts(NamedTuple):
    """The row counter, taken after every stage."""

    pairs: int
    unique_a: int
    unique_b: int
    highest_multiplicity: int
    mean_correlation: float | None

    @classmethod
    def of(cls, a: NDArray[np.int64], b: NDArray[np.int64], correlation: NDArray[np.float64]) -> Counts:
        """Count rows given as two id arrays and their correlations."""
        if not len(a):
            return cls(0, 0, 0, 0, None)
        (_, times_a), (_, times_b) = np.unique(a, return_counts=True), np.unique(b, return_counts=True)
        highest = int(max(times_a.max(), times_b.max()))
        return cls(len(a), len(times_a), len(times_b), highest, float(correlation.mean()))


@dataclass(frozen=True, eq=False)
class Stage:
    """One step from candidates to kept pairs: what was left after it, and the pairs it took."""

    name: str
    counts: Counts
    dropped: Pairs | None = None


class Filter(NamedTuple):
    """A named rule that says of every pair whether it stays."""

    name: str
    keeps: Callable[[Pairs], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Feature pairs; ids are always those of the full dictionaries.

    Attributes
    ----------
    feature_a, feature_b : ndarray of int64, shape (n,)
        The feature of each side.
    correlation : ndarray of float64, shape (n,)
        Pearson correlation over kept tokens.
    correlation_given_token : ndarray of float64, shape (n,), or None
        The same after subtracting, within each token id, both features' means; 0 where a feature does not vary
        within any token id. None when the activations carry no token ids.
    stages : tuple of Stage
        Every stage so far, in order, with its row counter and what it dropped.
    """

    feature_a: NDArray[np.int64]
    feature_b: NDArray[np.int64]
    correlation: NDArray[np.float64]
    correlation_given_token: NDArray[np.float64] | None = None
    stages: tuple[Stage, ...] = ()

    def __len__(self) -> int:
        return len(self.feature_a)

    @property
    def counts(self) -> Counts:
        """The row counter of these pairs."""
        return Counts.of(self.feature_a, self.feature_b, self.correlation)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Pairs:
        """Return the pairs at ``rows`` (a mask or positions); stages are carried over unchanged."""
        given = self.correlation_given_token
        return replace(
            self,
            feature_a=self.feature_a[rows],
            feature_b=self.feature_b[rows],
            correlation=self.correlation[rows],
            correlation_given_token=None if given is None else given[rows],
        )

    def stage(self, name: str, keep: NDArray[np.bool_]) -> Pairs:
        """Return the pairs where ``keep`` is true, with the others recorded under the stage's name.

        A name that stands already gets a number, so that ``dropped_by`` is never ambiguous.
        """
        taken = {stage.name for stage in self.stages}
        if name in taken:
            name = next(numbered for i in range(2, len(taken) + 3) if (numbered := f"{name} ({i})") not in taken)
        kept = self.select(keep)
        dropped = replace(self.select(~keep), stages=())
        return replace(kept, stages=(*self.stages, Stage(name, kept.counts, dropped)))

    def filter(self, *filters: Filter) -> Pairs:
        """Apply filters in the order given; each becomes a stage.

        >>> kept = pairs.filter(an.filters.correlation(0.1, None), an.filters.one_to_one("best"))  # doctest: +SKIP
        """
        pairs = self
        for rule in filters:
            pairs = pairs.stage(rule.name, rule.keeps(pairs))
        return pairs

    def to_arrow(self) -> pyarrow.Table:
        """Return all pairs as one table, the kept first; ``dropped_by`` names the stage that took a pair, else null."""
        import pyarrow as pa

        parts = [(self, None)] + [(s.dropped, s.name) for s in self.stages if s.dropped is not None and len(s.dropped)]
        given = [p.correlation_given_token for p, _ in parts]
        return pa.table(
            {
                "feature_a": np.concatenate([p.feature_a for p, _ in parts]),
                "feature_b": np.concatenate([p.feature_b for p, _ in parts]),
                "correlation": np.concatenate([p.correlation for p, _ in parts]),
                "correlation_given_token": pa.nulls(sum(len(p) for p, _ in parts), pa.float64())
                if any(values is None for values in given)
                else np.concatenate([values for values in given if values is not None]),
                "kept": np.concatenate([np.full(len(p), stage is None) for p, stage in parts]),
                "dropped_by": pa.array([stage for p, stage in parts for _ in range(len(p))], pa.string()),
            }
        )

    @classmethod
    def from_arrow(cls, table: pyarrow.Table, counters: list[tuple[str, Counts]]) -> Pairs:
        """Read back what `to_arrow` returned, given the name and row counter of every stage."""
        given = table["correlation_given_token"]
        everything = cls(
            table["feature_a"].to_numpy(),
            table["feature_b"].to_numpy(),
            table["correlation"].to_numpy(),
            None if given.null_count else given.to_numpy(),
        )
        dropped_by = np.array(table["dropped_by"].to_pylist(), dtype=object)
        stages = tuple(Stage(name, counts, everything.select(dropped_by == name)) for name, counts in counters)
        return replace(everything.select(table["kept"].to_numpy()), stages=stages)
