"""What a correlation is given: a group id for every token, its vocabulary id or that and its predecessor's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .activations import FeatureActivations
from .shards import ActivationShards

GIVEN = ("token", "bigram")

Activations = FeatureActivations | ActivationShards


def group_ids(acts_a: Activations, acts_b: Activations, given: str | ArrayLike) -> NDArray[np.int64]:
    """Return a group id for every token, shape (T,).

    Parameters
    ----------
    acts_a, acts_b : FeatureActivations or ActivationShards
        Activations on the same tokens; either may carry their ids.
    given : {"token", "bigram"} or array_like of int, shape (T,)
        ``token``: its vocabulary id; of aligned tokenizers, what both read there, see `AlignedCorpus`. ``bigram``: its
        and its predecessor's in the document, which is unknown where the predecessor is not among the kept tokens. An
        array is taken as it is.

    Raises
    ------
    ValueError
        If the activations do not carry what the name needs, or an array has not one id a token.
    """
    if isinstance(given, str):
        _checks.choice("given", given, GIVEN)
        tokens = _carried(acts_a, acts_b, "token_ids", given)
        if given == "token":
            return tokens
        return _bigrams(
            tokens, _carried(acts_a, acts_b, "document_ids", given), _carried(acts_a, acts_b, "positions", given)
        )
    ids = _checks.array("given", given, ndim=1, dtype=np.int64)
    if len(ids) != acts_a.n_tokens:
        raise ValueError(f"given must have one id for each of the {acts_a.n_tokens} tokens, got {len(ids)}")
    return ids


def with_group_ids(acts_a: Activations, acts_b: Activations, matching: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `match` with group ids in ``given`` checked; a name or None is left as it is."""
    given = matching.get("given")
    if given is None or isinstance(given, str):
        return dict(matching)
    return {**matching, "given": group_ids(acts_a, acts_b, given)}


def count_alone(ids: NDArray[np.int64]) -> int:
    """Return the number of tokens whose group has no other: given the group, they carry nothing."""
    return int((np.unique(ids, return_counts=True)[1] == 1).sum())


def _carried(acts_a: Activations, acts_b: Activations, name: str, given: str) -> NDArray[np.int64]:
    for acts in (acts_a, acts_b):
        values: NDArray[np.int64] | None = getattr(acts, name)
        if values is not None:
            return values
    raise ValueError(f"given={given!r} needs {name}, which neither acts_a nor acts_b carries")


def _bigrams(
    tokens: NDArray[np.int64], documents: NDArray[np.int64], positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    before = np.full(len(tokens), -1, dtype=np.int64)
    follows = (np.diff(documents) == 0) & (np.diff(positions) == 1)
    before[1:][follows] = tokens[:-1][follows]
    _, first = np.unique(tokens, return_inverse=True)
    _, second = np.unique(before, return_inverse=True)
    return np.asarray(first * (second.max(initial=0) + 1) + second, dtype=np.int64)
