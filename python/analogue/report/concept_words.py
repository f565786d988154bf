"""The tables of what words of concepts hit, which features and pairs they have, and what others are frequent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .layout import new_table, note_below, number

if TYPE_CHECKING:
    import pyarrow
    from rich.table import Table

_COUNTS = ("features_a", "features_b", "pairs_a", "pairs_b", "pairs_both")


def coverage_table(name: str, coverage: pyarrow.Table) -> Table:
    """Show the features and contexts of every word that has any, and name those that have none."""
    table = new_table(
        f"{name}: features with a word in a top context, and these contexts",
        ("concept", "word"),
        ("features A", "features B", "contexts A", "contexts B"),
    )
    numbers = ("features_a", "features_b", "contexts_a", "contexts_b")
    rows = coverage.to_pylist()
    missing: dict[str, list[str]] = {}
    last = None
    for row in rows:
        if not (row["features_a"] or row["features_b"]):
            missing.setdefault(row["concept"], []).append(row["word"])
            continue
        if last is not None and row["concept"] != last:
            table.add_section()
        table.add_row(
            row["concept"] if row["concept"] != last else "", row["word"], *(str(row[key]) for key in numbers)
        )
        last = row["concept"]
    note_below(table, [("", f"{concept}, no feature: {', '.join(words)}") for concept, words in missing.items()])
    return table


def suggestion_table(name: str, sides: dict[str, pyarrow.Table]) -> Table:
    """Show the words that most features fire on and no concept has."""
    table = new_table(f"{name}: words that most features fire on and no concept has", ("of", "word"), ("features",))
    for side, suggested in sides.items():
        table.add_section()
        for place, row in enumerate(suggested.to_pylist()):
            table.add_row(side.upper() if place == 0 else "", row["word"], str(row["features"]))
    return table


def keywords_table(name: str, keywords: pyarrow.Table) -> Table:
    """Show the features and pairs of every word that has a feature, and name the words of several features."""
    table = new_table(
        f"{name}: features with a word in a top context, and the concept's pairs, after the filters, that have it",
        ("concept", "word"),
        ("features A", "features B", "pairs A", "pairs B", "on both"),
    )
    notes = []
    for concept, rows in groupby(keywords.to_pylist(), itemgetter("concept")):
        listed = list(rows)
        table.add_section()
        there = [row for row in listed if row["features_a"] or row["features_b"]]
        for place, row in enumerate(there):
            table.add_row(concept if place == 0 else "", row["word"], *(str(row[key]) for key in _COUNTS))
        several = [row["word"] for row in there if max(row["features_a"], row["features_b"]) > 1]
        missing = [row["word"] for row in listed if row not in there]
        notes += [("", f"{concept}, several features of one word: {', '.join(several)}")] if several else []
        notes += [("", f"{concept}, no feature: {', '.join(missing)}")] if missing else []
    note_below(table, notes)
    return table


def specificity_table(specificity: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """Show the rows of `concept_specificity` by the name of their site."""
    table = new_table(
        "share of a feature's activation, over the whole text, that lies on words of its concept",
        ("site", "concept"),
        ("features", "mean", "median"),
    )
    for name, found in specificity.items():
        table.add_section()
        for place, row in enumerate(found):
            values = (number(row["mean"], ".2f"), number(row["median"], ".2f"))
            table.add_row(name if place == 0 else "", row["concept"], str(row["features"]), *values)
    return table
