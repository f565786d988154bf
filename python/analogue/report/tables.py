"""Terminal tables of a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..comparison import Comparison
from ..grid import Grid
from .junk import junk_tables
from .layout import matched_by, name_of, new_table, note_below, number
from .scores import correlations, many_cells, nulls, scores, token_nulls, verdicts

if TYPE_CHECKING:
    import pyarrow
    from rich.table import Table


def tables(result: Comparison | Grid, top: int = 8) -> Iterator[Table]:
    """Yield the tables of a result: alignment, matching, counters, junk, pairs, robustness, nulls, scores, verdicts.

    Parameters
    ----------
    result : Comparison or Grid
    top : int
        Pairs and hubs to show; of a grid, those of the cell with the most correlation beyond the token.
    """
    named = _named(result)
    if any(comparison.alignment is not None for comparison in named.values()):
        yield _alignment(named)
    yield _matching(named)
    yield _counters(named)
    cells = [comparison for name, comparison in named.items() if name not in _controls(result)]
    shown = max(cells, key=_beyond_token)
    yield from junk_tables(named, shown)
    yield _best_pairs(shown, top)
    yield _hubs(shown, top)
    yield correlations(named)
    if any(comparison.token_null is not None for comparison in named.values()):
        yield token_nulls(named)
    if any(comparison.direction_match is not None for comparison in named.values()):
        yield _directions(named)
        yield _shared_by_rate(named)
    if any(comparison.split_half is not None for comparison in named.values()):
        yield _split_halves(named)
    for name, comparison in named.items():
        if comparison.convergence is not None:
            yield _convergence(name, comparison.convergence, comparison.caveat)
    yield nulls(named)
    yield scores(named)
    if isinstance(result, Grid) and len(result.cells) > 1:
        yield many_cells(result)
    yield verdicts(named)


def _named(result: Comparison | Grid) -> dict[str, Comparison]:
    if isinstance(result, Comparison):
        return {name_of(result): result}
    named = {name_of(cell): cell for cell in result.cells.values()}
    return named | dict(result.controls)


def _controls(result: Comparison | Grid) -> Mapping[str, Comparison]:
    return result.controls if isinstance(result, Grid) else {}


def _beyond_token(comparison: Comparison) -> float:
    given = comparison.summary["mean_correlation_given_token"]
    return -np.inf if given is None else given


def _alignment(named: dict[str, Comparison]) -> Table:
    """Show how much of the text the two tokenizers have in common; all cells read the same."""
    found = next(comparison.alignment for comparison in named.values() if comparison.alignment is not None)
    by = found["rule"] if found["pool"] is None else f"{found['rule']}, {found['pool']}"
    table = new_table(
        "Aligned tokens: what is called a token below is a unit of text where tokens of both sides end",
        ("by",),
        ("units", "kept", "tokens of A", "tokens of B", "characters"),
    )
    shares = (*found["token_share"].values(), found["character_share"])
    table.add_row(by, str(found["units"]), str(found["kept"]), *map(number, shares))
    note_below(table, [] if found["warning"] is None else [("", found["warning"])])
    return table


def _matching(named: dict[str, Comparison]) -> Table:
    """Show what stood before any rule: unique counts the features that the other side chose, mutual its own."""
    assigned = any(comparison.summary["assignment"] for comparison in named.values())
    table = new_table(
        f"Matching by {matched_by(named)}; alone: tokens that no other has, which carry nothing given it",
        ("A x B", "of"),
        ("candidates", "unique", "mutual", "alone", *(("total", "at most", "gap") if assigned else ())),
    )
    for name, comparison in named.items():
        table.add_section()
        matched, optimum = comparison.matched, comparison.summary["assignment"] or {}
        both = [number(matched["tokens_alone"], ".0f"), *(number(value, ".1f") for value in optimum.values())]
        for row, side in enumerate(("a", "b")):
            shares = (matched["unique_fraction"][side], matched["mutual_fraction"][side])
            cells = (side.upper(), str(matched["candidates"][side]), *map(number, shares))
            table.add_row(name if row == 0 else "", *cells, *(both if row == 0 else ()))
    return table


def _counters(named: dict[str, Comparison]) -> Table:
    table = new_table(
        f"Pairs after every stage, matched by {matched_by(named)}: unique features, and the most pairs of one",
        ("A x B", "stage"),
        ("pairs", "of A", "of B", "most", "mean r"),
    )
    for name, comparison in named.items():
        table.add_section()
        for row, stage in enumerate(comparison.pairs.stages):
            counts = stage.counts
            sizes = (counts.pairs, counts.unique_a, counts.unique_b, counts.highest_multiplicity)
            table.add_row(name if row == 0 else "", stage.name, *map(str, sizes), number(counts.mean_correlation))
    return table


def _best_pairs(comparison: Comparison, top: int) -> Table:
    """Show the pairs with the most correlation given the token; plain r is mostly a shared word."""
    from rich.markup import escape

    table = new_table(
        f"Pairs of {name_of(comparison)} that agree most beyond the token",
        ("tokens of A", "tokens of B"),
        ("A", "B", "r", "r given token"),
    )
    pairs = comparison.pairs
    key = pairs.correlation if pairs.correlation_given_token is None else pairs.correlation_given_token
    labels_a, labels_b = comparison.labels
    for row in np.argsort(-key, kind="stable")[:top].tolist():
        a, b = int(pairs.feature_a[row]), int(pairs.feature_b[row])
        given = None if pairs.correlation_given_token is None else pairs.correlation_given_token[row]
        tokens = (" ".join(map(repr, labels.tokens(f)[:3])) for labels, f in ((labels_a, a), (labels_b, b)))
        table.add_row(*map(escape, tokens), str(a), str(b), number(pairs.correlation[row], ".2f"), number(given, ".2f"))
    return table


def _hubs(comparison: Comparison, top: int) -> Table:
    """Show the features that most features of the other side choose as their best partner."""
    from rich.markup import escape

    table = new_table(
        f"Hubs of {name_of(comparison)}: features that are the best partner of most, by {comparison.matched_by}",
        ("of", "tokens", "partners"),
        ("feature", "chosen by", "so far", "mean r"),
    )
    for side in ("a", "b"):
        table.add_section()
        for row, hub in enumerate(comparison.hubs[side].slice(0, top // 2).to_pylist()):
            tokens = (" ".join(map(repr, list(dict.fromkeys(hub[key]))[:3])) for key in ("label", "partner_labels"))
            table.add_row(
                side.upper() if row == 0 else "",
                *map(escape, tokens),
                str(hub["feature"]),
                str(hub["pairs"]),
                number(hub["cumulative_share"]),
                number(hub["mean_correlation"], ".2f"),
            )
    return table


def _split_halves(named: dict[str, Comparison]) -> Table:
    table = new_table(
        f"Pairs of one half of the text, matched by {matched_by(named)}, on that half and on the other",
        ("A x B", "half"),
        ("tokens", "pairs", "mean r", "given token", "found again"),
    )
    for name, comparison in named.items():
        if (half := comparison.split_half) is not None:
            table.add_section()
            own = (half.mean_correlation, half.mean_given_token)
            other = (half.mean_correlation_held_out, half.mean_given_token_held_out, half.found_again)
            table.add_row(name, "matched", str(half.tokens), str(half.pairs), *map(number, own))
            table.add_row("", "held out", str(half.tokens_held_out), "", *map(number, other))
    return table


def _directions(named: dict[str, Comparison]) -> Table:
    """Show what two dictionaries of one space share; "chance" is the mean max cosine of random directions."""
    table = new_table(
        "Directions in common: mean max cosine, one-to-one mean (PW-MCC), and latents that both sides have",
        ("A x B", "rows"),
        ("A in B", "B in A", "chance", "PW-MCC", "same id", "shared of A", "of B"),
    )
    for name, comparison in named.items():
        if (found := comparison.direction_match) is not None:
            table.add_section()
            for row, (kind, means) in enumerate(found["mean_max_cosine"].items()):
                chance, same = found["mean_max_cosine_by_chance"][kind]["a"], found["same_id"][kind]["a"]
                assigned = found["pw_mcc"]["value"] if row == 0 and found["pw_mcc"] else None
                shared = found["shared"] if row == 0 else {"a": None, "b": None}
                numbers = (means["a"], means["b"], chance, assigned, same, shared["a"], shared["b"])
                table.add_row(name if row == 0 else "", kind, *map(number, numbers))
                if same is not None and same > 0.5:
                    table.caption = (
                        "same id: most latents have their own number's partner, so the dictionaries began with the\n"
                        "same weights, and share what training left of these"
                    )
                    table.caption_justify = "left"
    return table


def _shared_by_rate(named: dict[str, Comparison]) -> Table:
    table = new_table(
        "Latents that both sides have, by how often they fire",
        ("A x B", "firing rate"),
        ("in A", "shared of A", "in B", "shared of B"),
    )
    for name, comparison in named.items():
        if (found := comparison.direction_match) is not None:
            table.add_section()
            bands = found["shared_by_firing_rate"]
            sides = ([band for band in bands if band["side"] == side] for side in ("a", "b"))
            for row, (a, b) in enumerate(zip(*sides, strict=True)):
                rates = f"{a['low']:g} to {a['high']:g}" if a["high"] else "never fires"
                cells = (cell for band in (a, b) for cell in (str(band["features"]), number(band["share"])))
                table.add_row(name if row == 0 else "", rates, *cells)
    return table


def _convergence(name: str, convergence: pyarrow.Table, caveat: str | None) -> Table:
    rows = convergence.to_pylist()
    measures = [column.removesuffix("_z") for column in rows[0] if column.endswith("_z")]
    table = new_table(
        f"{name} on growing parts of the text: share of the final pairs found, z of every score",
        (),
        ("tokens", "of A", "of B", "pairs", "mean r", "given\ntoken", "found", "of these", *measures),
    )
    for row in rows:
        counts = (row["tokens"], row["candidates_a"], row["candidates_b"], row["pairs"])
        names = ("mean_correlation", "mean_correlation_given_token", "found", "found_of_candidates")
        scores = (number(row[f"{measure}_z"], ".1f") for measure in measures)
        table.add_row(*map(str, counts), *(number(row[name]) for name in names), *scores)
    few = "of A, of B: candidates (in small parts few features fire often enough); of these: found among their pairs"
    note_below(table, [("", few)] if caveat is None or not measures else [("", few), ("", caveat)])
    return table
