"""The tables of an explanation: the pairs and groups that a score hangs on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..explain import Explanation
from .layout import new_table, note_below, number, title_of

if TYPE_CHECKING:
    from rich.table import Table


def explanation_tables(explanation: Explanation, top: int = 10) -> Iterator[Table]:
    """Yield the pairs, then the groups (where there are any), without which the score changes most.

    Parameters
    ----------
    explanation : Explanation
    top : int
        Rows of either table.
    """
    from rich.markup import escape

    found = explanation.leverage
    where = title_of(explanation.comparison)
    score = f"{found.measure} of {number(found.observed)}, n = {len(explanation.rows)}"
    pairs = new_table(
        f"{where}: pairs that {score} hangs on",
        ("tokens of A", "tokens of B"),
        ("A", "B", "r", "without", "influence"),
    )
    for pair in explanation.pairs(top):
        tokens = (_tokens(pair[f"label_{side}"]) for side in "ab")
        features = (str(pair["feature_a"]), str(pair["feature_b"]), number(pair["correlation"], ".2f"))
        pairs.add_row(*map(escape, tokens), *features, *_change(pair))
    listed = explanation.groups(top)
    notes = [] if explanation.warning is None else [explanation.warning]
    notes += _approximate(found.exact)
    notes += [] if listed else [_no_groups(explanation.comparison.null.name)]
    note_below(pairs, [("", note) for note in notes])
    yield pairs
    if not listed:
        return
    groups = new_table(
        f"{where}: groups of alike pairs that {score} hangs on",
        ("alike as", "top tokens of A and B"),
        ("pairs", "without", "influence"),
    )
    for group in listed:
        words = dict.fromkeys(pair[f"top_token_{side}"] for pair in group["pairs"] for side in "ab")
        said = _tokens([word for word in words if word is not None])
        groups.add_row(", ".join(group["kinds"]), escape(said), str(group["size"]), *_change(group))
    note_below(groups, [("", note) for note in _approximate(np.array([group.exact for group in found.groups]))])
    yield groups


def _tokens(tokens: list[str]) -> str:
    return " ".join(map(repr, list(dict.fromkeys(tokens))[:3]))


def _change(found: dict[str, Any]) -> tuple[str, str]:
    without, influence = number(found["without"]), found["influence"]
    return without if found["exact"] else f"~{without}", "-" if influence is None else f"{influence:+.4f}"


def _approximate(exact: NDArray[np.bool_]) -> list[str]:
    if exact.all():
        return []
    again = int(exact.sum())
    beyond = (
        f"; the {again} of largest influence by it were computed again, all others are approximate" if again else ""
    )
    return [f"ranked by a fast form (~){beyond}"]


def _no_groups(null: str) -> str:
    alone = " (under one-per-token no two share a feature or a top token)" if null == "one-per-token" else ""
    return f"no groups: no two of the scored pairs are near-copies, repeats or siblings{alone}"
