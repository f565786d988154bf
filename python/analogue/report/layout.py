"""How every table of a report is laid out, and how its cells are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..comparison import Comparison

if TYPE_CHECKING:
    from rich.table import Table


def name_of(comparison: Comparison) -> str:
    """Return the two sites."""
    return f"{comparison.spaces['a'].site} x {comparison.spaces['b'].site}"


def title_of(comparison: Comparison) -> str:
    """Return the two sites, after what the comparison is where it is no cell."""
    return f"{beside(comparison.provenance.get('role'))}{name_of(comparison)}"


def beside(role: str | None) -> str:
    """Return what stands before the sites of a comparison that is no cell: "control, ", "rerandomized, "."""
    return "" if role in (None, "run", "cell") else f"{role}, "


def matched_by(named: dict[str, Comparison]) -> str:
    """Say what partners were ranked by, of all comparisons."""
    return ", ".join(dict.fromkeys(comparison.matched_by for comparison in named.values()))


def new_table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """Return an empty table; columns on the left hold words, those on the right numbers."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, show_edge=False, collapse_padding=True
    )
    for column in left:
        table.add_column(column, no_wrap=column in ("stage", "measure"), overflow="fold")
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def number(value: float | None, form: str = ".3f") -> str:
    """Write a number, or a dash for none."""
    return "-" if value is None else format(value, f"z{form}")


def note_below(table: Table, notes: Iterable[tuple[str, str]]) -> None:
    """Write every note once, below the table, after the comparisons it is about.

    Parameters
    ----------
    notes : iterable of (str, str)
        The comparison's name and what is said about it; without a name it is about all.
    """
    names: dict[str, list[str]] = {}
    for name, said in notes:
        names.setdefault(said, []).append(name)
    lines = [f"{', '.join(dict.fromkeys(about))}: {said}" if any(about) else said for said, about in names.items()]
    if lines:
        table.caption = "\n".join(lines)
        table.caption_justify = "left"


def printable(text: str) -> str:
    r"""Spell out control characters, line breaks and all else that is not seen: a tab as "\t".

    Text of a corpus can then neither steer a terminal nor turn the direction of what stands around it.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
