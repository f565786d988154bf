"""Sibling groups of pairs: which rows depend on one another, and which of them can change places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks

NO_TOKEN = -1

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Movable:
    """How much a permutation of whole groups can move.

    Attributes
    ----------
    groups : int
        Number of groups.
    largest_group : int
        Rows of the largest group.
    rows_movable : float
        Share of the rows, 0 to 1, whose group has another one to change places with.
    """

    groups: int
    largest_group: int
    rows_movable: float


def sibling_groups(feature_a: ArrayLike, feature_b: ArrayLike, token_a: ArrayLike, token_b: ArrayLike) -> Indices:
    """Return the sibling group of every pair.

    Features of one dictionary with the same top token are alike inside their own model, whatever the other model does;
    so are repeats of one feature. Groups are the connected components of the pairs under: same A feature, same B
    feature, same top token of A, same top token of B. Chains count: the first and the last pair of a component may
    share nothing.

    Parameters
    ----------
    feature_a, feature_b : array_like of int, shape (n,)
        The features of every pair.
    token_a, token_b : array_like of int, shape (n,)
        One integer a top token; -1 for a feature without one, which shares with nobody.

    Returns
    -------
    ndarray of int64, shape (n,)
        Groups 0 to G - 1, numbered in the order in which they first appear.

    Raises
    ------
    ValueError, TypeError
        If the arrays are no integers, differ in length, or a token is below -1.
    """
    features = [
        _checks.array(name, of, ndim=1, dtype=np.int64)
        for name, of in (("feature_a", feature_a), ("feature_b", feature_b))
    ]
    tokens = [_tokens("token_a", token_a), _tokens("token_b", token_b)]
    n = _length(feature_a=features[0], feature_b=features[1], token_a=tokens[0], token_b=tokens[1])
    # Pairs are joined through what they share: one node a pair, then one a feature and one a token.
    nodes, ends, pairs = n, [], []
    for keys, shared in [(keys, np.arange(n)) for keys in features] + [
        (keys, np.flatnonzero(keys != NO_TOKEN)) for keys in tokens
    ]:
        distinct, inverse = np.unique(keys[shared], return_inverse=True)
        ends.append(nodes + inverse.reshape(-1))
        pairs.append(shared)
        nodes += len(distinct)
    return components(np.concatenate(pairs), np.concatenate(ends), nodes)[:n]


def one_per_token(token_a: ArrayLike, token_b: ArrayLike, correlation: ArrayLike) -> Indices:
    """Return the pairs that are left when every top token keeps its best pair: first of B, then of A.

    No two kept pairs share a top token on either side; pairs of many to one keep one pair a feature, since a feature
    has one top token.

    Parameters
    ----------
    token_a, token_b : array_like of int, shape (n,)
        As for `sibling_groups`. A pair without a token competes with nobody on that side.
    correlation : array_like, shape (n,)
        The larger is kept, of equals the one that comes first.

    Returns
    -------
    ndarray of int64
        Positions of the kept pairs, ascending.

    Raises
    ------
    ValueError, TypeError
        If the arrays differ in length, a token is below -1 or no integer, or a correlation is NaN or infinite.
    """
    tokens = _tokens("token_a", token_a), _tokens("token_b", token_b)
    weight = _checks.array("correlation", correlation, ndim=1, dtype=np.float64)
    n = _length(token_a=tokens[0], token_b=tokens[1], correlation=weight)
    kept = np.arange(n, dtype=np.int64)
    for keys in (tokens[1], tokens[0]):
        kept = kept[np.argsort(-weight[kept], kind="stable")]
        alone = kept[keys[kept] == NO_TOKEN]
        named = kept[keys[kept] != NO_TOKEN]
        kept = np.sort(np.concatenate([alone, named[np.unique(keys[named], return_index=True)[1]]]))
    return kept


def movable(groups: ArrayLike, strata: ArrayLike | None = None) -> Movable:
    """Count the groups, and the share of rows that a permutation of whole groups can move.

    Parameters
    ----------
    groups : array_like of int, shape (n,)
        The group of every row.
    strata : array_like of int, shape (n,), optional
        Rows that may move only within their stratum, see `exchangeable`.

    Returns
    -------
    Movable
        Its ``rows_movable`` is 0 without rows.
    """
    return count_movable(exchangeable(groups, strata))


def count_movable(classes: list[Indices]) -> Movable:
    """Count as `movable` does, from what `exchangeable` returned."""
    n = sum(members.size for members in classes)
    moving = sum(members.size for members in classes if len(members) > 1)
    return Movable(
        groups=sum(map(len, classes)),
        largest_group=max((members.shape[1] for members in classes), default=0),
        rows_movable=moving / n if n else 0.0,
    )


def exchangeable(groups: ArrayLike, strata: ArrayLike | None = None) -> list[Indices]:
    """Return the classes of groups that may change places: equal size and, with strata, the same strata.

    A group that lies in several strata changes places with groups that have as many rows in each of them; so a group
    always moves whole, and a row always stays in its stratum.

    Parameters
    ----------
    groups, strata : array_like of int, shape (n,)
        The group and the stratum of every row.

    Returns
    -------
    list of ndarray of int64, shape (groups of the class, rows a group)
        The rows of every group of a class, by stratum, then in order; by size of group, then by strata.

    Raises
    ------
    ValueError, TypeError
        If the arrays are no integers or differ in length.
    """
    group = _checks.array("groups", groups, ndim=1, dtype=np.int64)
    stratum = np.zeros_like(group) if strata is None else _checks.array("strata", strata, ndim=1, dtype=np.int64)
    _length(groups=group, strata=stratum)
    rows = np.lexsort((stratum, group))
    starts = np.unique(group[rows], return_index=True)[1]
    sizes = np.diff(starts, append=len(rows))
    classes: list[Indices] = []
    for size in np.unique(sizes):
        members = rows[starts[sizes == size, None] + np.arange(size)]
        members = members[np.argsort(members.min(axis=1))]
        profiles, profile = np.unique(stratum[members], axis=0, return_inverse=True)
        classes += [members[profile.reshape(-1) == index] for index in range(len(profiles))]
    return classes


def _tokens(name: str, value: ArrayLike) -> Indices:
    tokens: Indices = _checks.array(name, value, ndim=1, dtype=np.int64)
    if tokens.size and tokens.min() < NO_TOKEN:
        raise ValueError(f"{name} must be token numbers from 0, or -1 for none, got {tokens.min()}")
    return tokens


def _length(**arrays: NDArray[np.generic]) -> int:
    """Return the length that all arrays share."""
    (first, reference), *others = arrays.items()
    for name, values in others:
        if len(values) != len(reference):
            raise ValueError(f"{name} must have one entry a pair as {first} has, {len(reference)}, got {len(values)}")
    return len(reference)


def components(first: Indices, second: Indices, nodes: int) -> Indices:
    """Return the connected component of every node, numbered in the order in which they first appear.

    Parameters
    ----------
    first, second : ndarray of int64, shape (edges,)
        The ends of every edge.
    nodes : int
        Number of nodes.

    Returns
    -------
    ndarray of int64, shape (nodes,)
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(nodes, nodes))
    labels = connected_components(graph, directed=False)[1]
    _, earliest, inverse = np.unique(labels, return_index=True, return_inverse=True)
    number = np.empty(len(earliest), dtype=np.int64)
    number[np.argsort(earliest)] = np.arange(len(earliest))
    numbered: Indices = number[inverse.reshape(-1)]
    return numbered
