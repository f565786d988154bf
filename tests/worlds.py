"""Simulated pairs of dictionaries in which it is known what they share; see `WORLDS` for what each one holds.

Two models read a stream of 1600 tokens of 40 types. Each has 100 features with one home token each. What their decoders
hold is up to the world: noise, a vector for the home token that the model's own siblings share, the feature's own
firing rate, or a vector for the home token that both models share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

FEATURES, TYPES, TOKENS, DOCUMENT, BAND = 100, 40, 1600, 40, 12
DIMENSIONS = (6, 8)
COMMON = 4  # dimensions of what both models share


@dataclass(frozen=True)
class World:
    """What the decoders of both models hold, beside independent Gaussian noise in every entry.

    Attributes
    ----------
    shared_stream : bool
        Whether both models read the same tokens.
    siblings : float
        Size of the Gaussian vector of a feature's home token, drawn for each model.
    rate : float
        Size of the standardised log firing rate times one vector for each model.
    common : float
        Size of the vector of a feature's home token that both models share, in 4 dimensions, each model seeing it
        through a Gaussian map of its own, over 2.
    """

    shared_stream: bool
    siblings: float = 0.0
    rate: float = 0.0
    common: float = 0.0


WORLDS = {
    "c0": World(shared_stream=False),
    "c1": World(shared_stream=False, rate=1.5),
    "c2": World(shared_stream=False, siblings=1.5),
    "d0": World(shared_stream=True),
    "d1": World(shared_stream=True, siblings=1.5),
    "d2": World(shared_stream=True, siblings=1.5, rate=1.5),
    "h1": World(shared_stream=True, siblings=0.7, common=0.7),
}


@dataclass(frozen=True, eq=False)
class Side:
    """One model in one world: activations (T, F), decoder (F, d) and every feature's home token."""

    stream: np.ndarray
    activations: np.ndarray
    decoder: np.ndarray
    home: np.ndarray

    @property
    def rate(self) -> np.ndarray:
        """The share of the tokens that every feature fires on, shape (F,)."""
        return (self.activations > 0).mean(axis=0)


@dataclass(frozen=True, eq=False)
class Pairing:
    """Features of A and of B, pair by pair, with their correlation."""

    a: np.ndarray
    b: np.ndarray
    correlation: np.ndarray


def draw(world: World, rng: np.random.Generator) -> tuple[Side, Side]:
    """Draw both models of a world."""
    first = stream(rng)
    streams = (first, first if world.shared_stream else stream(rng))
    common = rng.standard_normal((TYPES, COMMON)) if world.common else None
    return tuple(_side(world, tokens, width, common, rng) for tokens, width in zip(streams, DIMENSIONS, strict=True))


def stream(rng: np.random.Generator) -> np.ndarray:
    """Draw tokens: in 2 of 5 places one of the document's own 12 neighbouring types, else a common one."""
    documents = TOKENS // DOCUMENT
    first = np.repeat(rng.integers(0, TYPES - BAND + 1, documents), DOCUMENT)
    own = first + rng.integers(0, BAND, TOKENS)
    anywhere = np.searchsorted(_cumulative(1.0), rng.random(TOKENS), side="right")
    return np.where(rng.random(TOKENS) < 0.4, own, anywhere)


def log_rate(activations: np.ndarray) -> np.ndarray:
    """Return the standardised logarithm of every feature's firing rate."""
    logs = np.log((activations > 0).mean(axis=0) + 0.001)
    return (logs - logs.mean()) / logs.std()


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlate every column of a with every column of b, shape (F_A, F_B); -2 for a column that does not vary."""
    unit_a, unit_b = _unit_columns(a), _unit_columns(b)
    found = unit_a.T @ unit_b
    found[~unit_a.any(axis=0)] = -2.0
    found[:, ~unit_b.any(axis=0)] = -2.0
    return found


def pair(a: np.ndarray, b: np.ndarray, rule: str = "mutual") -> Pairing:
    """Pair columns by correlation: ``many`` takes the best A of every B, ``mutual`` those that choose each other."""
    r = correlations(a, b)
    best_a, best_b = r.argmax(axis=0), r.argmax(axis=1)
    features_b = np.flatnonzero(r.max(axis=0) > -2.0)
    if rule == "mutual":
        features_b = features_b[best_b[best_a[features_b]] == features_b]
    return Pairing(best_a[features_b], features_b, r[best_a[features_b], features_b])


def shifted(activations: np.ndarray, offset: int) -> np.ndarray:
    """Return the rows moved on by ``offset``, the last ones first."""
    return np.roll(activations, offset, axis=0)


def top_tokens(side: Side) -> np.ndarray:
    """Return the token type on which each feature's activations sum to most."""
    occurs = (np.arange(TYPES)[:, None] == side.stream).astype(np.float32)
    return (occurs @ side.activations).argmax(axis=0)


def planted(n: int, strength: float, rng: np.random.Generator, dimensions=DIMENSIONS) -> tuple[np.ndarray, np.ndarray]:
    """Draw n paired rows that share 4 dimensions, through a Gaussian map for each side, over 2, in Gaussian noise."""
    common = rng.standard_normal((n, COMMON))
    x, y = (strength * common @ rng.standard_normal((COMMON, d)) / 2 + rng.standard_normal((n, d)) for d in dimensions)
    return x, y


def _side(world: World, tokens: np.ndarray, width: int, common: np.ndarray | None, rng: np.random.Generator) -> Side:
    home = np.searchsorted(_cumulative(0.5), rng.random(FEATURES), side="right")
    chance = np.full((TYPES, FEATURES), 0.004, dtype=np.float32)
    chance[home, np.arange(FEATURES)] = rng.uniform(0.2, 0.9, FEATURES)
    fires = rng.random((TOKENS, FEATURES), dtype=np.float32) < chance[tokens]
    activations = np.zeros((TOKENS, FEATURES), dtype=np.float32)
    activations[fires] = 0.3 + rng.standard_exponential(int(fires.sum()))
    decoder = rng.standard_normal((FEATURES, width))
    if world.siblings:
        decoder += world.siblings * rng.standard_normal((TYPES, width))[home]
    if world.rate:
        decoder += world.rate * log_rate(activations)[:, None] * rng.standard_normal(width)
    if common is not None:
        decoder += world.common * common[home] @ rng.standard_normal((COMMON, width)) / 2
    return Side(tokens, activations, decoder, home)


@cache
def _cumulative(power: float) -> np.ndarray:
    weights = 1 / (np.arange(TYPES) + 3) ** power
    return np.cumsum(weights)[:-1] / weights.sum()


def _unit_columns(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    return np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-4)
