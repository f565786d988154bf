"""Multiplicity: the hubs that many features choose, and how correlation goes with the number of partners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .labels import Labels, check_covers
from .matches import Matches
from .pairs import Pairs
from .rules import rank_within

if TYPE_CHECKING:
    import pyarrow

BANDS = (1, 10, 50)
BINS = tuple(np.linspace(-1.0, 1.0, 81).tolist())
_LISTED = 10  # partners of a hub that are named, best first


def hubs(
    found: Pairs | Matches, side: str = "a", top: int = 20, labels: tuple[Labels, Labels] | None = None
) -> pyarrow.Table:
    """List the features with the most pairs.

    Parameters
    ----------
    found : Pairs or Matches
        Of matches, the choices of the other side: ``b_to_a`` for side a, ``a_to_b`` for side b.
    side : {"a", "b"}
        Whose features are listed.
    top : int
        Features to list, most pairs first, then the lowest id.
    labels : tuple of Labels, optional
        Of side A and of side B; adds the tokens of the hub and the first token of its partners.

    Returns
    -------
    pyarrow.Table
        A row a feature: feature, pairs, cumulative_share (of all pairs, with the rows above), mean_correlation,
        lowest_correlation, highest_correlation, mean_correlation_given_token (null without token ids), partners
        (ids of the 10 of largest weight, best first), label and partner_labels (null without labels).
    """
    import pyarrow as pa

    _checks.integer("top", top, minimum=1)
    pairs, hub, partner = _sided(found, side)
    if labels is not None:
        for name, their in zip("ab", labels, strict=True):
            check_covers(f"labels of {name.upper()}", their, pairs, name)
    features, where, times = np.unique(hub, return_inverse=True, return_counts=True)
    order = np.argsort(-times, kind="stable")[:top]
    correlation, given = pairs.correlation, pairs.correlation_given_token
    lowest, highest = np.full(len(features), np.inf), np.full(len(features), -np.inf)
    np.minimum.at(lowest, where, correlation)
    np.maximum.at(highest, where, correlation)
    ranks = rank_within(hub, np.argsort(-pairs.weight, kind="stable"))
    best = np.flatnonzero(np.isin(where, order) & (ranks < _LISTED))
    best = best[np.lexsort((ranks[best], where[best]))]
    listed = {feature: partner[best[where[best] == feature]].tolist() for feature in order.tolist()}
    own, other = (None, None) if labels is None else labels if side == "a" else labels[::-1]
    number, text = pa.float64(), pa.list_(pa.string())
    columns = {
        "feature": (features[order], pa.int64()),
        "pairs": (times[order], pa.int64()),
        "cumulative_share": (np.cumsum(times[order]) / max(len(pairs), 1), number),
        "mean_correlation": (_means(where, times, correlation)[order], number),
        "lowest_correlation": (lowest[order], number),
        "highest_correlation": (highest[order], number),
        "mean_correlation_given_token": (
            [None] * len(order) if given is None else _means(where, times, given)[order],
            number,
        ),
        "partners": (list(listed.values()), pa.list_(pa.int64())),
        "label": ([None if own is None else own.tokens(f) for f in features[order].tolist()], text),
        "partner_labels": (
            [None if other is None else [(other.tokens(f) or [""])[0] for f in ids] for ids in listed.values()],
            text,
        ),
    }
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


def correlation_by_multiplicity(
    found: Pairs | Matches,
    side: str = "a",
    bands: Sequence[int] = BANDS,
    bins: Sequence[float] = BINS,
) -> pyarrow.Table:
    """Count the pairs by correlation, in bands of how many pairs their feature has.

    Parameters
    ----------
    found, side
        See `hubs`.
    bands : sequence of int
        The largest number of pairs of every band but the last, which is open; (1, 10, 50): 1, 2-10, 11-50, 51+.
    bins : sequence of float
        Edges of the histogram, ascending; what lies beyond them counts in the first and the last bin.

    Returns
    -------
    pyarrow.Table
        A row a band: band, features, pairs, mean_correlation and mean_correlation_given_token (null where there is
        none), edges and counts of the histogram.
    """
    import pyarrow as pa

    edges = _rising("bins", bins)
    if len(edges) < 2:
        raise ValueError(f"bins must have at least 2 edges, got {len(edges)}")
    found, hub, _ = _sided(found, side)
    names, band_of = multiplicity_bands(found, side, bands)
    within = np.clip(found.correlation, edges[0], edges[-1])
    given = found.correlation_given_token
    rows = []
    for band, name in enumerate(names):
        mine = band_of == band
        some = bool(mine.any())
        rows.append(
            {
                "band": name,
                "features": len(np.unique(hub[mine])),
                "pairs": int(mine.sum()),
                "mean_correlation": float(found.correlation[mine].mean()) if some else None,
                "mean_correlation_given_token": float(given[mine].mean()) if some and given is not None else None,
                "edges": edges.tolist(),
                "counts": np.histogram(within[mine], edges)[0].tolist(),
            }
        )
    count, number = pa.int64(), pa.float64()
    schema = {
        "band": pa.string(),
        **dict.fromkeys(("features", "pairs"), count),
        **dict.fromkeys(("mean_correlation", "mean_correlation_given_token"), number),
        "edges": pa.list_(number),
        "counts": pa.list_(count),
    }
    return pa.Table.from_pylist(rows, pa.schema(schema))


def multiplicity_bands(
    pairs: Pairs, side: str = "a", bands: Sequence[int] = BANDS
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of the bands ("1", "2-10", ..., "51+") and the band of every pair, shape (n,)."""
    ends = _rising("bands", [_checks.integer("bands", end, minimum=1) for end in bands])
    _, hub, _ = _sided(pairs, side)
    _, where, times = np.unique(hub, return_inverse=True, return_counts=True)
    lowest = [1, *(end + 1 for end in bands)]
    names = [str(low) if low == high else f"{low}-{high}" for low, high in zip(lowest, bands, strict=False)]
    return [*names, f"{lowest[-1]}+"], np.searchsorted(ends, times)[where]


def _sided(found: Pairs | Matches, side: str) -> tuple[Pairs, NDArray[np.int64], NDArray[np.int64]]:
    _checks.choice("side", side, ("a", "b"))
    if not isinstance(found, Pairs | Matches):
        raise TypeError(f"found must be Pairs or Matches, got {type(found).__name__}")
    pairs = found if isinstance(found, Pairs) else found.pairs("b_to_a" if side == "a" else "a_to_b")
    ids = (pairs.feature_a, pairs.feature_b)
    return pairs, *(ids if side == "a" else ids[::-1])


def _means(where: NDArray[np.int64], times: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.bincount(where, values, minlength=len(times)) / times
    return means


def _rising(name: str, values: Sequence[float]) -> NDArray[np.float64]:
    edges: NDArray[np.float64] = _checks.array(name, values, ndim=1, dtype=np.float64)
    if (np.diff(edges) <= 0).any():
        raise ValueError(f"{name} must rise, got {', '.join(f'{edge:g}' for edge in edges)}")
    return edges
