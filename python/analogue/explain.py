"""Explain: the pairs and groups of pairs that a comparison's score hangs on, with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .comparison import Comparison
from .leverage import Leverage, leverage, repeats
from .nulls.score import forced_by_size, forced_ones, is_saturated
from .scoring import groups_of, scored_rows
from .similarity import MEASURES, paired_rows


@dataclass(frozen=True, eq=False)
class Explanation:
    """What one score of a comparison is without single pairs, and without groups of pairs that are alike.

    Attributes
    ----------
    comparison : Comparison
    rows : ndarray of int64, shape (n,)
        The positions among its pairs that were scored.
    leverage : Leverage
        Of these, in their order. Where its ``exact`` is false (`svcca` beyond the 20 of largest influence, `rsa`)
        what the score is without a pair is approximate.
    kx, ky : int or None
        Directions kept on each side, for a measure that keeps subspaces.
    """

    comparison: Comparison
    rows: NDArray[np.int64]
    leverage: Leverage
    kx: int | None = None
    ky: int | None = None

    @property
    def warning(self) -> str | None:
        """One sentence where the number of pairs alone forces some of the score, else None, as in `Score.warning`."""
        return forced_by_size(self.leverage.measure, len(self.rows), self.kx, self.ky)

    def pairs(self, top: int | None = None) -> list[dict[str, Any]]:
        """Return the pairs of largest influence as plain JSON values, the largest first; None: all."""
        found = self.leverage
        return [
            {
                **self._pair(row),
                "without": _or_none(found.without[row]),
                "influence": _or_none(found.influence[row]),
                "exact": bool(found.exact[row]),
            }
            for row in found.order[:top].tolist()
        ]

    def groups(self, top: int | None = None) -> list[dict[str, Any]]:
        """Return the groups of largest influence, with their pairs, likewise."""
        return [
            {
                "kinds": list(group.kinds),
                "size": len(group.rows),
                "pairs": [self._pair(row) for row in group.rows.tolist()],
                "without": group.without,
                "influence": group.influence,
                "exact": group.exact,
            }
            for group in self.leverage.groups[:top]
        ]

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """Return the score, and the pairs and groups of largest influence, as plain JSON values.

        ``exact_pairs`` counts those of all n pairs that were computed again, the others are ranked by a fast form;
        ``kx``, ``ky``, ``forced_ones`` and ``saturated`` are those of `Score`.
        """
        n, kx, ky = len(self.rows), self.kx, self.ky
        return {
            "sites": {side: space.site for side, space in self.comparison.spaces.items()},
            "role": self.comparison.provenance.get("role"),
            "measure": self.leverage.measure,
            "null": self.comparison.null.name,
            "observed": self.leverage.observed,
            "n": n,
            "kx": kx,
            "ky": ky,
            "forced_ones": forced_ones(n, kx, ky) if kx is not None and ky is not None else None,
            "saturated": is_saturated(n, kx, ky) if kx is not None and ky is not None else None,
            "warning": self.warning,
            "exact_pairs": int(self.leverage.exact.sum()),
            "pairs": self.pairs(top),
            "groups": self.groups(top),
        }

    def _pair(self, row: int) -> dict[str, Any]:
        pairs, at = self.comparison.pairs, int(self.rows[row])
        given = pairs.correlation_given_token
        found: dict[str, Any] = {}
        for side, labels in zip("ab", self.comparison.labels, strict=True):
            feature = int(getattr(pairs, f"feature_{side}")[at])
            found |= {f"feature_{side}": feature, f"top_token_{side}": labels.top_token[feature]}
            found[f"label_{side}"] = labels.tokens(feature)
        found["correlation"] = float(pairs.correlation[at])
        found["correlation_given_token"] = None if given is None else float(given[at])
        return found


def explain(comparison: Comparison, measure: str = "cka", *, near_cosine: float = 0.99) -> Explanation:
    """Say which pairs, and which groups of alike pairs, a score of a comparison hangs on.

    Groups are near-copies (both sides' rows point the same way), repeats of a feature, and siblings. Only pairs that
    were scored are looked at: under "one-per-token" the best of every top token, without repeats or siblings.

    Parameters
    ----------
    comparison : Comparison
        With its directions, which a run that was saved without activations may lack.
    measure : str
        Name in `similarity.MEASURES`; it need not be among the scores. See `leverage` for what each costs.
    near_cosine : float
        See `near_copies`.

    Raises
    ------
    TypeError, ValueError
        If ``comparison`` is none or lacks its rows, or as in `leverage`.
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison must be a Comparison, such as a grid's cell, got {type(comparison).__name__}")
    if comparison.directions is None:
        raise ValueError("comparison must hold the rows that were scored, but they were not saved with this run")
    pairs, labels = comparison.pairs, comparison.labels
    rows = scored_rows(pairs, labels, comparison.null.name)
    scored = pairs.select(rows)
    kinds = {"repeats": repeats(scored.feature_a, scored.feature_b), "siblings": groups_of(scored, labels)}
    x, y = (comparison.directions[side][rows] for side in ("a", "b"))
    found = leverage(x, y, measure, kinds, near_cosine=near_cosine)
    prepared = MEASURES[measure].prepare(*paired_rows(x, y))
    return Explanation(comparison, rows, found, prepared.kx, prepared.ky)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
