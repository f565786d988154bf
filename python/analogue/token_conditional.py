"""Whether features go together beyond the token: B's activations exchanged among occurrences of the same token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .activations import PER_TOKEN, FeatureActivations
from .given import group_ids
from .procedure import Procedure

_ROUNDING = 1e-12  # of a mean of correlations


@dataclass(frozen=True)
class TokenConditional:
    """The mean correlation of pairs, and what it is when nothing but the token's identity is shared.

    Attributes
    ----------
    pairs : int
        Pairs of the procedure.
    mean_correlation : float or None
        Their mean plain correlation; None without pairs.
    mean_given_token : float or None
        Their mean correlation given the token's identity; None without token ids too.
    null_mean, null_std : float or None
        Of the mean correlation over the draws (population form).
    z : float or None
        ``(mean_correlation - null_mean) / null_std``; None where all draws are equal.
    p_value : float or None
        ``(1 + #{draws >= mean_correlation}) / (1 + R)`` (Phipson and Smyth 2010).
    permutations : int
        R, the draws that made a pair.
    null_pairs : float or None
        Mean number of pairs of the draws.
    null_mean_given_token : float or None
        Mean over the draws of their mean correlation given the token: what choosing the best of many makes of 0.
    tokens_movable : float
        Share of the tokens, 0 to 1, that have another occurrence to change places with.
    draws : ndarray of float64, shape (R,)
        The mean correlation of every draw.
    """

    pairs: int
    mean_correlation: float | None
    mean_given_token: float | None
    null_mean: float | None
    null_std: float | None
    z: float | None
    p_value: float | None
    permutations: int
    null_pairs: float | None
    null_mean_given_token: float | None
    tokens_movable: float
    draws: NDArray[np.float64] = field(repr=False, compare=False)


def token_conditional(
    procedure: Procedure,
    *,
    given: str | ArrayLike = "token",
    draws: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TokenConditional:
    """Compare the mean correlation of pairs with what the token's identity alone explains.

    Permuted: the rows of B's activations among the occurrences of the same token; then all is matched, paired and
    filtered again. Kept: every feature's activations on every token id, on both sides, so all that the two models share
    by reading the same words, and the procedure. A small p says that features go together beyond the token's identity:
    they share something of the context. It says nothing about geometry, nor how much is shared: read
    ``mean_given_token`` for that.

    Parameters
    ----------
    procedure : Procedure
        Its filters act on every draw; a band of correlations is best left out of them, since it fixes from below what
        is measured.
    given : {"token", "bigram"} or array_like of int, shape (T,)
        Whose occurrences change places, see `match`.
    draws : int
        R, at least 1; the smallest p is 1 / (1 + R).
    seed : int
        Seed of the permutations.
    progress : callable, optional
        Called as ``progress(done, draws)`` at the start and after every draw.

    Raises
    ------
    ValueError
        If the activations do not carry what ``given`` needs, or no token occurs twice.
    """
    if not isinstance(procedure, Procedure):
        raise TypeError(f"procedure must be a Procedure, got {type(procedure).__name__}")
    total = _checks.integer("draws", draws, minimum=1)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    ids = group_ids(procedure.acts_a, procedure.acts_b, given)
    _, sizes = np.unique(ids, return_counts=True)
    movable = float(sizes[sizes > 1].sum() / len(ids)) if len(ids) else 0.0
    if not movable:
        raise ValueError(f"given must have tokens that occur twice, got {len(ids)} tokens that are all different")
    observed = procedure.pairs()
    counts, plain, given_token = [], [], []
    if progress is not None:
        progress(0, total)
    for done in range(total):
        pairs = procedure.pairs(acts_b=_exchanged(procedure.acts_b, ids, rng))
        counts.append(len(pairs))
        plain += _mean(pairs.correlation)
        given_token += _mean(pairs.correlation_given_token)
        if progress is not None:
            progress(done + 1, total)
    r, values = observed.counts.mean_correlation, np.array(plain)
    mean, std = (float(values.mean()), float(values.std())) if plain else (None, None)
    return TokenConditional(
        pairs=len(observed),
        mean_correlation=r,
        mean_given_token=next(iter(_mean(observed.correlation_given_token)), None),
        null_mean=mean,
        null_std=std,
        z=None if r is None or mean is None or std is None or std <= _ROUNDING else (r - mean) / std,
        p_value=None if r is None or not plain else (1 + int((values >= r - _ROUNDING).sum())) / (1 + len(values)),
        permutations=len(values),
        null_pairs=float(np.mean(counts)),
        null_mean_given_token=float(np.mean(given_token)) if given_token else None,
        tokens_movable=movable,
        draws=values,
    )


def _exchanged(acts: FeatureActivations, ids: NDArray[np.int64], rng: np.random.Generator) -> FeatureActivations:
    """Return the activations with rows permuted within every id; the per-token arrays stay where they are."""
    places, rows = np.argsort(ids, kind="stable"), np.lexsort((rng.random(len(ids)), ids))
    moved = np.empty_like(rows)
    moved[places] = rows
    return replace(acts.take(moved), **{name: getattr(acts, name) for name in PER_TOKEN})


def _mean(values: NDArray[np.float64] | None) -> list[float]:
    """Return the mean in a list, which is empty where there is none."""
    return [float(values.mean())] if values is not None and len(values) else []
