"""The tables of what a feature, a pair or a hub fires on; the activating token is marked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from ..showing import Context, Shown, ShownFeature, ShownPair
from .layout import new_table, note_below, number, printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

MARKS = ("«", "»")


def shown_tables(shown: Shown, *, listed: bool = False) -> Iterator[Table]:
    """Yield a table of contexts for every feature and every pair, both sides side by side.

    Parameters
    ----------
    shown : Shown
    listed : bool
        List the pairs in one table instead, with their top tokens only.
    """
    for feature in shown.features:
        yield _contexts(feature)
    if listed:
        yield _list(shown)
        return
    for pair in shown.pairs:
        yield _side_by_side(pair)


def marked(context: Context) -> str:
    """Write a context with its token marked, on one line and without control characters."""
    return f"{printable(context.left)}{MARKS[0]}{printable(context.token)}{MARKS[1]}{printable(context.right)}"


def about(feature: ShownFeature) -> str:
    """Say which feature it is and how often it fires."""
    rate = "" if feature.firing_rate is None else f", fires on {feature.firing_rate:.2%}"
    return f"{feature.side.upper()} {feature.feature} of {feature.site}{rate}"


def numbers(pair: ShownPair) -> str:
    """Say how the two sides correlate and what became of the pair."""
    fate = {None: "no pair of this run", "kept": "kept"}.get(pair.stage, f"dropped by '{pair.stage}'")
    given = number(pair.correlation_given_token, ".2f")
    return f"r {number(pair.correlation, '.2f')}, given token {given}, {fate}"


def _text(context: Context) -> Text:
    from rich.text import Text

    token = (f"{MARKS[0]}{printable(context.token)}{MARKS[1]}", "bold")
    return Text.assemble(printable(context.left), token, printable(context.right))


def _contexts(feature: ShownFeature) -> Table:
    from rich.markup import escape

    top = "never fires" if feature.top_token is None else f"most of it on {printable(feature.top_token)!r}"
    table = new_table(escape(f"{about(feature)}, {top}"), ("context",), ("activation", "document", "position"))
    for context in feature.contexts:
        places = (str(context.document_id), str(context.position))
        table.add_row(_text(context), number(context.activation, ".3g"), *places)
    return table


def _side_by_side(pair: ShownPair) -> Table:
    from rich.markup import escape

    table = new_table(escape(numbers(pair)), (about(pair.a), about(pair.b)), ())
    for a, b in zip_longest(pair.a.contexts, pair.b.contexts):
        table.add_row(*("" if context is None else _text(context) for context in (a, b)))
    return table


def _list(shown: Shown) -> Table:
    from rich.markup import escape

    table = new_table(escape(shown.title), ("tokens of A", "tokens of B", "stage"), ("A", "B", "r", "r given token"))
    for pair in shown.pairs:
        tokens = (" ".join(repr(context.token) for context in side.contexts[:3]) for side in (pair.a, pair.b))
        ids = (str(pair.a.feature), str(pair.b.feature))
        values = (number(value, ".2f") for value in (pair.correlation, pair.correlation_given_token))
        table.add_row(*map(escape, tokens), escape(pair.stage or "-"), *ids, *values)
    note_below(table, [] if shown.pairs else [("", "none")])
    return table
