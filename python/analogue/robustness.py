"""Robustness: whether pairs hold on text they were not chosen on, and whether they settle as the text grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .activations import FeatureActivations
from .correlations import in_memory, pair_correlations
from .given import with_group_ids
from .matching import match
from .pairs import Filter, Pairs, as_filters

if TYPE_CHECKING:
    import pyarrow

Sides = tuple[FeatureActivations, FeatureActivations]

_DRAWS = 32  # of halves; the most even one is taken
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class SplitHalf:
    """Pairs chosen on one half of the text, looked at on the other half.

    Attributes
    ----------
    tokens, tokens_held_out : int
        Tokens of the half that was matched, and of the other; as even as documents allow.
    documents : int or None
        Documents of the half that was matched; None where the tokens were cut in the middle.
    pairs : int
        Pairs chosen on the first half.
    mean_correlation, mean_correlation_held_out : float or None
        Their mean plain correlation on the first half, and on the other; None without pairs.
    mean_given_token, mean_given_token_held_out : float or None
        The same given the token's identity; None without token ids too.
    found_again : float or None
        The share of them that matching on the other half chooses too.
    """

    tokens: int
    tokens_held_out: int
    documents: int | None
    pairs: int
    mean_correlation: float | None
    mean_correlation_held_out: float | None
    mean_given_token: float | None
    mean_given_token_held_out: float | None
    found_again: float | None


def split_half(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    rule: str = "mutual",
    *,
    k: int | None = None,
    direction: str = "b_to_a",
    filters: Filter | Iterable[Filter] = (),
    seed: int = 0,
    **matching: Any,
) -> SplitHalf:
    """Match on half of the documents, and correlate the pairs on the other half.

    Choosing the largest of many correlations makes them too large; the other half says by how much.

    Parameters
    ----------
    acts_a, acts_b : FeatureActivations
        Activations on the same tokens. With the ids of two documents or more the halves are documents drawn at
        random, in the most even of 32 draws by tokens, else the first and the second half of the tokens.
    rule, k, direction
        See `Matches.pairs`.
    filters : Filter or iterable of Filter
        Applied to the pairs of either half.
    seed : int
        Seed of the draw of documents.
    **matching
        Arguments of `match`; group ids in ``given`` are cut as the activations are.

    Raises
    ------
    ValueError
        If there are fewer than 2 tokens, or the two sides do not hold the same tokens.
    """
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    chosen_by: dict[str, Any] = {"rule": rule, "k": k, "direction": direction}
    filters = as_filters(filters)
    sides = in_memory(acts_a, acts_b)
    matching = with_group_ids(*sides, matching)
    if acts_a.n_tokens < 2:
        raise ValueError(f"acts_a must hold at least 2 tokens to be split, got {acts_a.n_tokens}")
    first, documents = _first_half(_ids("document_ids", sides), acts_a.n_tokens, rng)
    pairs, again = (
        match(*_at(sides, rows), **_cut(matching, rows)).pairs(**chosen_by).filter(*filters) for rows in (first, ~first)
    )
    held_out = _at(sides, ~first)
    tokens = _ids("token_ids", held_out)
    return SplitHalf(
        tokens=int(first.sum()),
        tokens_held_out=int((~first).sum()),
        documents=documents,
        pairs=len(pairs),
        mean_correlation=_mean(pairs.correlation),
        mean_correlation_held_out=_mean(_correlations(held_out, pairs)),
        mean_given_token=_mean(pairs.correlation_given_token),
        mean_given_token_held_out=None if tokens is None else _mean(_correlations(held_out, pairs, tokens)),
        found_again=_mean(_found(pairs, again)),
    )


def convergence(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    at: Sequence[float] = FRACTIONS,
    rule: str = "mutual",
    *,
    k: int | None = None,
    direction: str = "b_to_a",
    filters: Filter | Iterable[Filter] = (),
    score: Callable[[Pairs], Mapping[str, Any]] | None = None,
    **matching: Any,
) -> pyarrow.Table:
    """Pair over growing parts of the text, in its order: pairs and scores should settle.

    Parameters
    ----------
    acts_a, acts_b : FeatureActivations
        Activations on the same tokens.
    at : sequence of float or int
        Where to stop: fractions of the tokens in (0, 1] as floats, or counts of tokens as integers. All tokens are
        always the last.
    rule, k, direction
        See `Matches.pairs`.
    filters : Filter or iterable of Filter
        Applied to the pairs of every part.
    score : callable, optional
        Scores of some pairs by name (`permutation_test` on their decoder rows, say): adds three columns each.
    **matching
        Arguments of `match`; group ids in ``given`` are cut as the activations are.

    Returns
    -------
    pyarrow.Table
        A row a part: tokens, documents begun (null without document ids), pairs, candidates_a and candidates_b (the
        features that are candidates on this part), mean_correlation, mean_correlation_given_token, found (the share
        of the last row's pairs that stand in this row's too), found_of_candidates (the same among those whose two
        features are candidates on this part; null where there are none), and for every score its observed value, z
        and p, null where they are undefined.

    Notes
    -----
    ``min_activations`` is a floor in tokens: in a small part most features do not reach it, and ``found`` is small
    for that alone. ``found_of_candidates`` says how the others settle. Both are 1 in the last row by definition.
    """
    import pyarrow as pa

    chosen_by: dict[str, Any] = {"rule": rule, "k": k, "direction": direction}
    filters = as_filters(filters)
    sides = in_memory(acts_a, acts_b)
    matching = with_group_ids(*sides, matching)
    documents = _ids("document_ids", sides)
    ends = _ends(at, acts_a.n_tokens)
    rows, parts, candidates = [], [], []
    for end in ends:
        part = _at(sides, np.arange(acts_a.n_tokens) < end)
        matches = match(*part, **_cut(matching, slice(end)))
        pairs = matches.pairs(**chosen_by).filter(*filters)
        scores = {} if score is None else score(pairs)
        parts.append(pairs)
        candidates.append((matches.candidates.best_b[:, 0] >= 0, matches.candidates.best_a[:, 0] >= 0))
        rows.append(
            {
                "tokens": end,
                "documents": None if documents is None else len(np.unique(documents[:end])),
                "pairs": len(pairs),
                "candidates_a": int(candidates[-1][0].sum()),
                "candidates_b": int(candidates[-1][1].sum()),
                "mean_correlation": _mean(pairs.correlation),
                "mean_correlation_given_token": _mean(pairs.correlation_given_token),
            }
            | {
                column: getattr(scored, value)
                for name, scored in scores.items()
                for column, value in ((name, "observed"), (f"{name}_z", "z"), (f"{name}_p_value", "p_value"))
            }
        )
    last = parts[-1]
    for row, pairs, (of_a, of_b) in zip(rows, parts, candidates, strict=True):
        found = _found(last, pairs)
        row["found"] = _mean(found)
        row["found_of_candidates"] = _mean(found[of_a[last.feature_a] & of_b[last.feature_b]])
    counts = ("tokens", "documents", "pairs", "candidates_a", "candidates_b")
    numbers = ("mean_correlation", "mean_correlation_given_token", "found", "found_of_candidates")
    scored = [name for name in rows[-1] if name not in (*counts, *numbers)]
    schema = dict.fromkeys(counts, pa.int64()) | dict.fromkeys((*numbers, *scored), pa.float64())
    return pa.Table.from_pylist(rows, pa.schema(schema))


def _first_half(
    documents: NDArray[np.int64] | None, n_tokens: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], int | None]:
    _, where, sizes = np.unique([] if documents is None else documents, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return np.arange(n_tokens) < n_tokens // 2, None
    best, least = np.empty(0, dtype=np.int64), math.inf
    for _ in range(_DRAWS):
        order = rng.permutation(len(sizes))
        uneven = np.abs(2 * np.cumsum(sizes[order])[:-1] - n_tokens)
        cut = int(uneven.argmin())
        if uneven[cut] < least:
            best, least = order[: cut + 1], uneven[cut]
    return np.isin(where, best), len(best)


def _ends(at: Sequence[float], n_tokens: int) -> list[int]:
    if isinstance(at, str) or not isinstance(at, Iterable):
        raise TypeError(f"at must be a sequence of fractions in (0, 1] or counts of tokens, got {at!r}")
    ends = {n_tokens}
    for point in at:
        if isinstance(point, int | np.integer) and not isinstance(point, bool):
            ends.add(min(_checks.integer("at", point, minimum=1), n_tokens))
        elif isinstance(point, float | np.floating) and 0 < point <= 1:
            ends.add(math.ceil(point * n_tokens))
        else:
            raise ValueError(f"at must hold fractions in (0, 1] or counts of tokens, got {point!r}")
    return sorted(ends)


def _correlations(sides: Sides, pairs: Pairs, given: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    return pair_correlations(*sides, pairs.feature_a, pairs.feature_b, given)


def _at(sides: Sides, kept: NDArray[np.bool_]) -> Sides:
    if kept.all():
        return sides
    rows = np.flatnonzero(kept)
    return sides[0].take(rows), sides[1].take(rows)


def _cut(matching: dict[str, Any], rows: NDArray[np.bool_] | slice) -> dict[str, Any]:
    given = matching.get("given")
    return matching | {"given": given[rows]} if isinstance(given, np.ndarray) else matching


def _ids(name: str, sides: Sides) -> NDArray[np.int64] | None:
    return next((ids for acts in sides if (ids := getattr(acts, name)) is not None), None)


def _found(pairs: Pairs, others: Pairs) -> NDArray[np.bool_]:
    """Say of every pair whether it stands among the others."""
    width = int(max(pairs.feature_b.max(initial=0), others.feature_b.max(initial=0))) + 1
    return np.isin(pairs.feature_a * width + pairs.feature_b, others.feature_a * width + others.feature_b)


def _mean(values: NDArray[Any] | None) -> float | None:
    return float(values.mean()) if values is not None and len(values) else None
