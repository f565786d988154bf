"""Procedure: how a comparison came from activations to paired rows, to be gone through again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .activations import FeatureActivations
from .correlations import in_memory
from .given import with_group_ids
from .matches import Matches
from .matching import match
from .pairs import Filter, Pairs, as_filters

Rows = NDArray[np.floating]


@dataclass(frozen=True, eq=False, repr=False)
class Procedure:
    """How a comparison came from activations to paired rows, to be gone through again.

    Attributes
    ----------
    acts_a, acts_b : FeatureActivations
        Activations on the same tokens, in memory.
    rows_a, rows_b : array_like, shapes (F_A, d_a) and (F_B, d_b)
        What is scored of every feature: its decoder direction.
    rule, k, direction
        See `Matches.pairs`.
    filters : Filter or iterable of Filter
        Applied to the pairs in this order.
    matching : mapping
        Arguments of `match`.

    Raises
    ------
    ValueError, TypeError
        If the two sides do not hold the same tokens, are not in memory, or have not one row a feature.
    """

    acts_a: FeatureActivations
    acts_b: FeatureActivations
    rows_a: ArrayLike
    rows_b: ArrayLike
    rule: str = "mutual"
    k: int | None = None
    direction: str = "b_to_a"
    filters: Filter | Iterable[Filter] = ()
    matching: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        acts = in_memory(self.acts_a, self.acts_b)
        for name, side in zip(("rows_a", "rows_b"), acts, strict=True):
            rows = np.asarray(getattr(self, name))
            if rows.ndim != 2 or len(rows) != side.n_features:
                raise ValueError(f"{name} must have one row for each of {side.n_features} features, got {rows.shape}")
            object.__setattr__(self, name, rows)
        object.__setattr__(self, "filters", as_filters(self.filters))
        object.__setattr__(self, "matching", with_group_ids(*acts, self.matching))

    def matches(self, acts_a: FeatureActivations | None = None, acts_b: FeatureActivations | None = None) -> Matches:
        """Match its own activations, or others in their place."""
        sides = (self.acts_a if acts_a is None else acts_a, self.acts_b if acts_b is None else acts_b)
        return match(*sides, **self.matching)

    def pairs(self, acts_a: FeatureActivations | None = None, acts_b: FeatureActivations | None = None) -> Pairs:
        """Match, pair and filter: its own activations, or others in their place."""
        pairs = self.matches(acts_a, acts_b).pairs(self.rule, k=self.k, direction=self.direction)
        return pairs.filter(*as_filters(self.filters))

    def among(self, features_a: ArrayLike, features_b: ArrayLike) -> Pairs:
        """Match, pair and filter some features of either side; ids are those of the full dictionaries."""
        return self.pairs(self.acts_a.only(features_a), self.acts_b.only(features_b))

    def rows(self, pairs: Pairs) -> tuple[Rows, Rows]:
        """Return the rows of both sides, one a pair."""
        return np.asarray(self.rows_a)[pairs.feature_a], np.asarray(self.rows_b)[pairs.feature_b]

    def live(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the features of either side that fire often enough to be candidates."""
        least = max(1, self.matching.get("min_activations", 1))
        return np.flatnonzero(self.acts_a.firing_counts >= least), np.flatnonzero(self.acts_b.firing_counts >= least)
