"""Pairs: which feature of A goes with which feature of B, and why the others went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .assignment import Optimum

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
    """One step from candidates to kept pairs: what was left after it, and the pairs it took.

    ``optimum`` is there for the pairing rule "assignment": the total weight, and what a search of all pairs can reach.
    """

    name: str
    counts: Counts
    dropped: Pairs | None = None
    optimum: Optimum | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return name, row counter and optimum as plain JSON values."""
        return {
            "name": self.name,
            **self.counts._asdict(),
            "optimum": None if self.optimum is None else self.optimum._asdict() | {"gap": self.optimum.gap},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Stage:
        """Read back what `to_dict` returned."""
        found = saved["optimum"]
        return cls(
            saved["name"],
            Counts(**{name: saved[name] for name in Counts._fields}),
            optimum=None if found is None else Optimum(found["total"], found["upper_bound"]),
        )


class Filter(NamedTuple):
    """A named rule that says of every pair whether it stays."""

    name: str
    keeps: Callable[[Pairs], NDArray[np.bool_]]


def as_filters(filters: Filter | Iterable[Filter]) -> tuple[Filter, ...]:
    """Return one filter or several as a tuple; anything else is refused by name."""
    several = (filters,) if isinstance(filters, Filter | str) or not isinstance(filters, Iterable) else tuple(filters)
    for given in several:
        if not isinstance(given, Filter):
            raise TypeError(f"filters must be made by analogue.filters, got {given!r}")
    return several


@dataclass(frozen=True, eq=False, repr=False)
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
    metric : {"pearson", "cosine", "jaccard"}
        What the pairs were chosen by.
    value : ndarray of float64, shape (n,), or None
        The metric, where it is not plain Pearson (with "pearson": the partial correlation that matching was given).
    stages : tuple of Stage
        Every stage so far, in order, with its row counter and what it dropped.
    n_features : tuple of (int, int), or None
        The features of both dictionaries, by which labels of another are told; None where it is not known.
    """

    feature_a: NDArray[np.int64]
    feature_b: NDArray[np.int64]
    correlation: NDArray[np.float64]
    correlation_given_token: NDArray[np.float64] | None = None
    metric: str = "pearson"
    value: NDArray[np.float64] | None = None
    stages: tuple[Stage, ...] = ()
    n_features: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.feature_a)

    def __repr__(self) -> str:
        mean = "" if not len(self) else f", mean r {self.correlation.mean():.3f}"
        given = " given groups" if self.metric == "pearson" and self.value is not None else ""
        return f"Pairs({len(self)} pairs{mean}, {len(self.stages)} stages, by {self.metric}{given})"

    @property
    def counts(self) -> Counts:
        """The row counter of these pairs."""
        return Counts.of(self.feature_a, self.feature_b, self.correlation)

    @property
    def weight(self) -> NDArray[np.float64]:
        """What a better pair has more of: ``value`` where there is one, else the correlation."""
        return self.correlation if self.value is None else self.value

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Pairs:
        """Return the pairs at ``rows`` (a mask or positions); stages are carried over unchanged."""
        given, value = self.correlation_given_token, self.value
        return replace(
            self,
            feature_a=self.feature_a[rows],
            feature_b=self.feature_b[rows],
            correlation=self.correlation[rows],
            correlation_given_token=None if given is None else given[rows],
            value=None if value is None else value[rows],
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
        for rule in as_filters(filters):
            pairs = pairs.stage(rule.name, rule.keeps(pairs))
        return pairs

    def entering(self, stage: str) -> Pairs:
        """Return the pairs that a stage was given: those kept, then what it and every later stage dropped.

        Raises
        ------
        ValueError
            If there is no stage of that name.
        """
        names = [each.name for each in self.stages]
        if stage not in names:
            raise ValueError(f"stage must be one of {', '.join(names)}, got {stage!r}")
        at = names.index(stage)
        parts = [self, *(each.dropped for each in self.stages[at:] if each.dropped is not None)]

        def column(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else np.concatenate(values)

        joined = {name: column(name) for name in (*_IDS, *_NUMBERS)}
        return replace(self, **joined, stages=self.stages[:at])

    def to_arrow(self) -> pyarrow.Table:
        """Return all pairs as one table, the kept first; ``dropped_by`` names the stage that took a pair, else null."""
        import pyarrow as pa

        parts = [(self, None)] + [(s.dropped, s.name) for s in self.stages if s.dropped is not None and len(s.dropped)]
        sizes = [len(p) for p, _ in parts]

        def column(name: str) -> Any:
            values = [getattr(p, name) for p, _ in parts]
            missing = any(part is None for part in values)
            return pa.nulls(sum(sizes), pa.float64()) if missing else np.concatenate(values)

        names = pa.array([stage for _, stage in parts], pa.string())
        return pa.table(
            {name: column(name) for name in (*_IDS, *_NUMBERS)}
            | {
                "kept": np.repeat([stage is None for _, stage in parts], sizes),
                "dropped_by": names.take(pa.array(np.repeat(np.arange(len(parts)), sizes))),
            }
        )

    @classmethod
    def from_arrow(
        cls,
        table: pyarrow.Table,
        stages: Iterable[Stage],
        metric: str = "pearson",
        n_features: tuple[int, int] | None = None,
    ) -> Pairs:
        """Read back what `to_arrow` returned, given all stages (without what they dropped) and what is no column."""
        given, value = (None if table[name].null_count else table[name].to_numpy() for name in _NUMBERS[1:])
        a, b, plain = (table[name].to_numpy() for name in (*_IDS, "correlation"))
        everything = cls(a, b, plain, given, metric, value, n_features=n_features)
        dropped_by = np.array(table["dropped_by"].to_pylist(), dtype=object)
        stages = tuple(replace(stage, dropped=everything.select(dropped_by == stage.name)) for stage in stages)
        return replace(everything.select(table["kept"].to_numpy()), stages=stages)


_IDS = ("feature_a", "feature_b")
_NUMBERS = ("correlation", "correlation_given_token", "value")
