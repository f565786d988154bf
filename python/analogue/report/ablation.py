"""The tables of an ablation: every set of filters, its pairs, its scores, and as many random pairs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .layout import beside, new_table, note_below, number

if TYPE_CHECKING:
    import pyarrow
    from rich.table import Table

_RANDOM = (
    "random: as many pairs drawn from those without filters, mean and sd; p: that random pairs reach what was observed"
)


def ablation_tables(found: pyarrow.Table) -> Iterator[Table]:
    """Yield a table for each comparison of an `ablation`, or of several joined."""
    for (role, *sites), rows in groupby(found.to_pylist(), itemgetter("role", "site_a", "site_b")):
        yield _table(f"{beside(role)}{' x '.join(sites)}", list(rows))


def _table(name: str, rows: list[dict[str, Any]]) -> Table:
    table = new_table(
        f"{name}: filters one by one (null: {rows[0]['null']})",
        ("filters, measure",),
        ("pairs", "mean r", "observed", "null", "z", "random", "p"),
    )
    notes = []
    for filters, scored in groupby(rows, itemgetter("filters")):
        of_filters = list(scored)
        first = of_filters[0]
        table.add_row(filters, str(first["pairs"]), number(first["mean_correlation"]))
        for row in of_filters:
            values = (number(row["observed"]), number(row["null_mean"]), number(row["z"], ".1f"))
            mean = row["random_mean"]
            random = "-" if mean is None else f"{number(mean)}±{number(row['random_std'])}"
            table.add_row(f"  {row['measure']}", "", "", *values, random, number(row["random_p"], ".2g"))
            if row["insufficient"] is not None:
                notes.append((f"{filters}, {row['measure']}", row["insufficient"]))
    note_below(table, [*notes, ("", _RANDOM)])
    return table
