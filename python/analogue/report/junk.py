"""The tables of junk: where in the range of correlation it is, and what its filter dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..comparison import Comparison
from ..junk import dropped_by_kind
from .layout import name_of, new_table, number

if TYPE_CHECKING:
    from rich.table import Table


def junk_tables(named: dict[str, Comparison], shown: Comparison) -> Iterator[Table]:
    """Yield the share of junk by decile of correlation, and what was dropped of one comparison, by kind."""
    yield _by_correlation(named)
    if (table := shown.junk_tables.get("junk_dropped")) is not None and len(table):
        yield _dropped(shown, dropped_by_kind(table).to_pylist(), len(table))


def _by_correlation(named: dict[str, Comparison]) -> Table:
    settings = next(iter(named.values())).settings
    off = settings.junk == "off"
    asked = "majority" if off else f"{settings.junk}" if isinstance(settings.junk, str) else f"at least {settings.junk}"
    table = new_table(
        f"Share of junk among the pairs {'kept' if off else 'before its filter'}, by decile of correlation "
        f"(lowest first; {asked}, {settings.junk_list.name})",
        ("A x B",),
        ("pairs", *map(str, range(1, 11))),
    )
    for name, comparison in named.items():
        rows = comparison.junk_tables["junk_by_correlation"].to_pylist()
        shares = [f"{row['share']:.0%}" for row in rows]
        table.add_row(name, str(sum(row["pairs"] for row in rows)), *shares, *[""] * (10 - len(rows)))
    return table


def _dropped(comparison: Comparison, kinds: list[dict[str, Any]], pairs: int) -> Table:
    from rich.markup import escape

    table = new_table(
        f"Junk dropped of {name_of(comparison)}, {pairs} pairs: features of either side by kind, and their pairs",
        ("kind", "tokens"),
        ("of A", "of B", "pairs", "mean r"),
    )
    for kind in kinds:
        tokens = escape(" ".join(map(repr, kind["tokens"])))
        counts = (kind["features_a"], kind["features_b"], kind["pairs"])
        table.add_row(kind["kind"], tokens, *map(str, counts), number(kind["mean_correlation"], ".2f"))
    return table
