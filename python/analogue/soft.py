"""Soft matching: optimal transport of a part of the features' mass over their candidates (needs POT)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _checks, rules
from .matches import Matches

CELLS = 1 << 24  # features of A x features of B; the solver holds several arrays of 8 bytes a cell
_NOTHING = 1e-12
_ITERATIONS = 10_000_000  # of the network simplex, which stops when it is done


class SoftPlan(NamedTuple):
    """How much of the mass goes from which feature to which, by ascending A, then B.

    ``feature_a``, ``feature_b``: ids, shape (n,). ``mass``: shape (n,), always positive. ``moved``: its sum, which is
    below the mass asked for where features have too few candidates.
    """

    feature_a: NDArray[np.int64]
    feature_b: NDArray[np.int64]
    mass: NDArray[np.float64]
    moved: float


def soft_match(matches: Matches, mass: float = 1.0) -> SoftPlan:
    """Transport a share of the features' mass from A to B at the least cost.

    Partial optimal transport (Chapel, Alaya and Gasso 2020) by POT. Every feature with a candidate of positive weight
    holds the same mass, 1 over the number of such features of its side; a unit from a to b costs 1 - weight, and 1
    where the two are no candidates of each other. Solved exactly; what goes between features that are no
    candidates is left out of the plan. At ``mass=1`` with as many features on either side this is the assignment,
    where one matches all of them.

    Parameters
    ----------
    matches : Matches
        With ``top`` candidates a feature.
    mass : float
        The share to transport, above 0 and at most 1.

    Raises
    ------
    ModuleNotFoundError
        If POT is not installed (``pip install 'analogue[soft]'``).
    ValueError
        If ``mass`` is not in (0, 1], or features of A times features of B exceed 2^24.
    """
    if not isinstance(matches, Matches):
        raise TypeError(f"matches must be Matches, got {type(matches).__name__}")
    _checks.number_or_none("mass", mass)
    if mass is None or not 0 < mass <= 1:
        raise ValueError(f"mass must be above 0 and at most 1, got {mass}")
    edges = rules.edges(matches.candidates)
    (ids_a, a), (ids_b, b) = (np.unique(ids, return_inverse=True) for ids in (edges.feature_a, edges.feature_b))
    shape = (len(ids_a), len(ids_b))
    if shape[0] * shape[1] > CELLS:
        raise ValueError(
            f"soft matching takes at most {CELLS} features of A x features of B, got {shape[0]} x {shape[1]}; "
            "raise min_activations, or use the rule assignment, which has no such limit"
        )
    if not len(edges.weight):
        return SoftPlan(ids_a, ids_b, np.empty(0), 0.0)
    try:
        from ot.partial import partial_wasserstein
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("soft matching needs POT: pip install 'analogue[soft]'") from error
    cost = np.ones(shape)
    cost[a, b] -= edges.weight
    supply, demand = (np.full(n, 1 / n) for n in shape)
    share = min(float(mass), supply.sum(), demand.sum())  # sums of 1 / n fall short of 1 by rounding
    plan = partial_wasserstein(supply, demand, cost, m=share, numItermax=_ITERATIONS)
    carried = plan[a, b]
    rows = carried > _NOTHING
    return SoftPlan(edges.feature_a[rows], edges.feature_b[rows], carried[rows], float(carried[rows].sum()))
