"""Showing: what a feature, a pair or a hub of a run fires on, the pairs that a stage dropped, and pairs to grade."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .comparison import Comparison
from .correlations import pair_correlations
from .pair_settings import STAGES
from .pairs import Pairs

KEPT = "kept"


@dataclass(frozen=True)
class Context:
    """One of a feature's top tokens: its activation, its text with that before and after it, and where it stands."""

    activation: float
    left: str
    token: str
    right: str
    document_id: int
    position: int


@dataclass(frozen=True)
class ShownFeature:
    """A feature with what it fires on.

    Attributes
    ----------
    side : {"a", "b"}
    site : str
    feature : int
    top_token : str or None
        The token with the largest summed activation, see `top_tokens`.
    firing_rate : float or None
        Share of the kept tokens it fires on; None for a run that was saved without activations.
    contexts : tuple of Context
        Largest activation first; none for a feature that never fires.
    """

    side: str
    site: str
    feature: int
    top_token: str | None
    firing_rate: float | None
    contexts: tuple[Context, ...]


@dataclass(frozen=True)
class ShownPair:
    """A feature of A beside one of B.

    Attributes
    ----------
    a, b : ShownFeature
    correlation, correlation_given_token : float or None
        None where they are not known: the activations carry no token ids, or were not saved and the features are no
        pair of the run.
    stage : str or None
        "kept", or the stage that dropped the pair; None where the features are no pair of the run.
    """

    a: ShownFeature
    b: ShownFeature
    correlation: float | None
    correlation_given_token: float | None
    stage: str | None


@dataclass(frozen=True)
class Shown:
    """What there is to look at.

    Attributes
    ----------
    title : str
    features : tuple of ShownFeature
        Those that were asked for.
    pairs : tuple of ShownPair
        Those that were asked for, or that the features stand in.
    """

    title: str
    features: tuple[ShownFeature, ...] = ()
    pairs: tuple[ShownPair, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return asdict(self)


def feature(comparison: Comparison, side: str, feature: int) -> Shown:
    """Show a feature, with the pairs of the run that it stands in, kept or dropped.

    Parameters
    ----------
    comparison : Comparison
    side : {"a", "b"}
    feature : int
        Its id in the full dictionary.
    """
    own = _feature(comparison, _checks.choice("side", side, ("a", "b")), feature)
    found = []
    for stage, pairs in _stages(comparison):
        rows = np.flatnonzero(getattr(pairs, f"feature_{side}") == own.feature)
        found += _pairs(comparison, pairs, rows, stage)
    return Shown(f"{side.upper()} {own.feature} and its pairs", (own,), tuple(found))


def pair(comparison: Comparison, feature_a: int, feature_b: int) -> Shown:
    """Show two features side by side, be they a pair of the run or not.

    Parameters
    ----------
    comparison : Comparison
    feature_a, feature_b : int
    """
    return Shown(f"A {feature_a} beside B {feature_b}", (), (_pair(comparison, feature_a, feature_b),))


def hub(comparison: Comparison, side: str, feature: int) -> Shown:
    """Show a hub beside the features of the other side that chose it as their best partner, the best ten.

    Parameters
    ----------
    comparison : Comparison
    side : {"a", "b"}
    feature : int
        One of those that `Comparison.hubs` lists.
    """
    own = _feature(comparison, _checks.choice("side", side, ("a", "b")), feature)
    hubs = {row["feature"]: row for row in comparison.hubs[side].to_pylist()}
    if own.feature not in hubs:
        listed = ", ".join(map(str, hubs)) or "none"
        raise ValueError(
            f"hub must be one of the {len(hubs)} features of {side.upper()} with most partners, {listed}, "
            f"got {own.feature}"
        )
    partners = hubs[own.feature]["partners"]
    ids = [(own.feature, other) if side == "a" else (other, own.feature) for other in partners]
    other = "B" if side == "a" else "A"
    times = hubs[own.feature]["pairs"]
    title = f"{side.upper()} {own.feature}, the best partner of {times} features of {other}; here of {len(ids)}"
    return Shown(title, (own,), tuple(_pair(comparison, a, b) for a, b in ids))


def stage(comparison: Comparison, stage: str = KEPT, top: int | None = 10) -> Shown:
    """Show the pairs that were kept, or that a stage dropped: those of largest correlation first.

    Parameters
    ----------
    comparison : Comparison
    stage : str
        "kept"; or the name of a stage, such as "mutual", or that of its setting, such as "junk" or "correlation".
    top : int or None
        How many; None: all.
    """
    if top is not None:
        _checks.integer("top", top, minimum=1)
    parts = _parts(comparison, stage)
    found = [
        (float(pairs.correlation[row]), place, row)
        for place, (_, pairs) in enumerate(parts)
        for row in np.argsort(-pairs.correlation, kind="stable")[:top].tolist()
    ]
    found = sorted(found, key=lambda one: -one[0])[:top]
    shown = tuple(one for _, place, row in found for one in _pairs(comparison, parts[place][1], [row], parts[place][0]))
    return Shown(f"{_said(parts)}; here the {len(shown)} of largest r", (), shown)


def sample(comparison: Comparison, n: int, seed: int = 0, stage: str = KEPT) -> Shown:
    """Draw pairs at random, to be graded by hand: every kept pair is as likely, or every one that a stage dropped.

    Parameters
    ----------
    comparison : Comparison
    n : int
        Different pairs, in random order.
    seed : int
    stage : str
        See `stage`.

    Raises
    ------
    ValueError
        If there are fewer than ``n`` pairs.
    """
    parts = _parts(comparison, stage)
    places = [(place, row) for place, (_, pairs) in enumerate(parts) for row in range(len(pairs))]
    if _checks.integer("n", n, minimum=1) > len(places):
        raise ValueError(f"n must be at most the {len(places)} pairs there are, got {n}")
    drawn = np.random.default_rng(_checks.integer("seed", seed, minimum=0)).choice(len(places), n, replace=False)
    chosen = [places[index] for index in drawn.tolist()]
    shown = tuple(one for place, row in chosen for one in _pairs(comparison, parts[place][1], [row], parts[place][0]))
    return Shown(f"{_said(parts)}; here {n} drawn with seed {seed}", (), shown)


def _stages(comparison: Comparison) -> list[tuple[str, Pairs]]:
    """Return the pairs of the run in parts: the kept, then what every stage dropped."""
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison must be a Comparison, such as a grid's cell, got {type(comparison).__name__}")
    pairs = comparison.pairs
    after = pairs.stages[1:]  # the first drops nothing
    return [(KEPT, pairs), *((each.name, each.dropped) for each in after if each.dropped is not None)]


def _parts(comparison: Comparison, stage: str) -> list[tuple[str, Pairs]]:
    parts = _stages(comparison)
    names = {name: [name] for name, _ in parts}
    for setting, rules in comparison.settings.filters_by_stage(*comparison.labels).items():
        names[setting] = [rule.name for rule in rules]
    if stage not in names:
        off = ", which was not asked for in this run" if stage in STAGES else ""
        raise ValueError(f"stage must be one of {', '.join(names)}, got {stage!r}{off}")
    return [part for part in parts if part[0] in names[stage]]


def _said(parts: list[tuple[str, Pairs]]) -> str:
    count = sum(len(pairs) for _, pairs in parts)
    names = " and ".join(f"'{name}'" for name, _ in parts)
    return f"{count} pairs were kept" if parts[0][0] == KEPT else f"{names} dropped {count} pairs"


def _feature(comparison: Comparison, side: str, feature: int) -> ShownFeature:
    space = comparison.spaces[side]
    labels, top = space.labels, space.labels.n_features - 1
    if not 0 <= _checks.integer("feature", feature, minimum=0) <= top:
        raise ValueError(f"feature must be at most {top} on side {side.upper()}, got {feature}")
    first, last = labels.offsets[feature], labels.offsets[feature + 1]
    contexts = tuple(
        Context(
            float(labels.activation[row]),
            labels.left[row],
            labels.token[row],
            labels.right[row],
            int(labels.document_id[row]),
            int(labels.position[row]),
        )
        for row in range(first, last)
    )
    rate = None if space.activations is None else float(space.firing_rates()[feature])
    return ShownFeature(side, space.site, feature, labels.top_token[feature], rate, contexts)


def _pairs(
    comparison: Comparison, pairs: Pairs, rows: Iterable[int] | NDArray[np.int64], stage: str
) -> list[ShownPair]:
    """Return the pairs at some rows."""
    given = pairs.correlation_given_token
    return [
        ShownPair(
            _feature(comparison, "a", int(pairs.feature_a[row])),
            _feature(comparison, "b", int(pairs.feature_b[row])),
            float(pairs.correlation[row]),
            None if given is None else float(given[row]),
            stage,
        )
        for row in rows
    ]


def _pair(comparison: Comparison, feature_a: int, feature_b: int) -> ShownPair:
    for stage, pairs in _stages(comparison):
        rows = np.flatnonzero((pairs.feature_a == feature_a) & (pairs.feature_b == feature_b))
        if len(rows):
            return _pairs(comparison, pairs, rows, stage)[0]
    a, b = _feature(comparison, "a", feature_a), _feature(comparison, "b", feature_b)
    acts_a, acts_b = (space.activations for space in comparison.spaces.values())
    if acts_a is None or acts_b is None:
        return ShownPair(a, b, None, None, None)
    ids = (np.array([feature_a]), np.array([feature_b]))
    tokens = acts_a.token_ids if acts_a.token_ids is not None else acts_b.token_ids
    plain, beyond = (
        None if nothing else float(pair_correlations(acts_a, acts_b, *ids, given)[0])
        for given, nothing in ((None, False), (tokens, tokens is None))
    )
    return ShownPair(a, b, plain, beyond, None)
