"""Terminal tables of a result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..comparison import Comparison
from ..grid import Grid
from ..nulls import Score

if TYPE_CHECKING:
    import pyarrow
    from rich.table import Table


def tables(result: Comparison | Grid, top: int = 8) -> Iterator[Table]:
    """Yield the tables of a result: what was matched, row counters, best pairs, hubs, robustness, scores.

    Parameters
    ----------
    result : Comparison or Grid
    top : int
        Pairs and hubs to show; of a grid, those of the cell with the most correlation beyond the token.
    """
    named = _named(result)
    yield _matching(named)
    yield _counters(named)
    cells = [comparison for name, comparison in named.items() if name != "control"]
    shown = max(cells, key=_beyond_token)
    yield _best_pairs(shown, top)
    yield _hubs(shown, top)
    yield _correlations(named)
    if any(comparison.direction_match is not None for comparison in named.values()):
        yield _directions(named)
        yield _shared_by_rate(named)
    if any(comparison.split_half is not None for comparison in named.values()):
        yield _split_halves(named)
    for name, comparison in named.items():
        if comparison.convergence is not None:
            yield _convergence(name, comparison.convergence, comparison.caveat)
    yield _scores(named)


def _named(result: Comparison | Grid) -> dict[str, Comparison]:
    if isinstance(result, Comparison):
        return {_name(result): result}
    named = {_name(cell): cell for cell in result.cells.values()}
    return named if result.control is None else named | {"control": result.control}


def _name(comparison: Comparison) -> str:
    return f"{comparison.spaces['a'].site} x {comparison.spaces['b'].site}"


def _matched_by(named: dict[str, Comparison]) -> str:
    return ", ".join(dict.fromkeys(comparison.matched_by for comparison in named.values()))


def _beyond_token(comparison: Comparison) -> float:
    given = comparison.summary["mean_correlation_given_token"]
    return -np.inf if given is None else given


def _new(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
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


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, f"z{form}")


def _matching(named: dict[str, Comparison]) -> Table:
    """Show what stood before any rule: unique counts the features that the other side chose, mutual its own."""
    assigned = any(comparison.summary["assignment"] for comparison in named.values())
    table = _new(
        f"Matching by {_matched_by(named)}; alone: tokens that no other has, which carry nothing given it",
        ("A x B", "of"),
        ("candidates", "unique", "mutual", "alone", *(("total", "at most", "gap") if assigned else ())),
    )
    for name, comparison in named.items():
        table.add_section()
        matched, optimum = comparison.matched, comparison.summary["assignment"] or {}
        both = [_number(matched["tokens_alone"], ".0f"), *(_number(value, ".1f") for value in optimum.values())]
        for row, side in enumerate(("a", "b")):
            shares = (matched["unique_fraction"][side], matched["mutual_fraction"][side])
            cells = (side.upper(), str(matched["candidates"][side]), *map(_number, shares))
            table.add_row(name if row == 0 else "", *cells, *(both if row == 0 else ()))
    return table


def _counters(named: dict[str, Comparison]) -> Table:
    table = _new(
        f"Pairs after every stage, matched by {_matched_by(named)}: unique features, and the most pairs of one",
        ("A x B", "stage"),
        ("pairs", "of A", "of B", "most", "mean r"),
    )
    for name, comparison in named.items():
        table.add_section()
        for row, stage in enumerate(comparison.pairs.stages):
            counts = stage.counts
            sizes = (counts.pairs, counts.unique_a, counts.unique_b, counts.highest_multiplicity)
            table.add_row(name if row == 0 else "", stage.name, *map(str, sizes), _number(counts.mean_correlation))
    return table


def _best_pairs(comparison: Comparison, top: int) -> Table:
    """Show the pairs with the most correlation given the token; plain r is mostly a shared word."""
    from rich.markup import escape

    table = _new(
        f"Pairs of {_name(comparison)} that agree most beyond the token",
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
        table.add_row(
            *map(escape, tokens), str(a), str(b), _number(pairs.correlation[row], ".2f"), _number(given, ".2f")
        )
    return table


def _hubs(comparison: Comparison, top: int) -> Table:
    """Show the features that most features of the other side choose as their best partner."""
    from rich.markup import escape

    table = _new(
        f"Hubs of {_name(comparison)}: features that are the best partner of most, by {comparison.matched_by}",
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
                _number(hub["cumulative_share"]),
                _number(hub["mean_correlation"], ".2f"),
            )
    return table


def _split_halves(named: dict[str, Comparison]) -> Table:
    table = _new(
        f"Pairs of one half of the text, matched by {_matched_by(named)}, on that half and on the other",
        ("A x B", "half"),
        ("tokens", "pairs", "mean r", "given token", "found again"),
    )
    for name, comparison in named.items():
        if (half := comparison.split_half) is not None:
            table.add_section()
            own = (half.mean_correlation, half.mean_given_token)
            other = (half.mean_correlation_held_out, half.mean_given_token_held_out, half.found_again)
            table.add_row(name, "matched", str(half.tokens), str(half.pairs), *map(_number, own))
            table.add_row("", "held out", str(half.tokens_held_out), "", *map(_number, other))
    return table


def _directions(named: dict[str, Comparison]) -> Table:
    """Show what two dictionaries of one space share; "chance" is the mean max cosine of random directions."""
    table = _new(
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
                table.add_row(name if row == 0 else "", kind, *map(_number, numbers))
                if same is not None and same > 0.5:
                    table.caption = (
                        "same id: most latents have their own number's partner, so the dictionaries began with the\n"
                        "same weights, and share what training left of these"
                    )
                    table.caption_justify = "left"
    return table


def _shared_by_rate(named: dict[str, Comparison]) -> Table:
    table = _new(
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
                cells = (cell for band in (a, b) for cell in (str(band["features"]), _number(band["share"])))
                table.add_row(name if row == 0 else "", rates, *cells)
    return table


def _convergence(name: str, convergence: pyarrow.Table, caveat: str | None) -> Table:
    rows = convergence.to_pylist()
    measures = [column.removesuffix("_z") for column in rows[0] if column.endswith("_z")]
    table = _new(
        f"{name} on growing parts of the text: share of the final pairs found, z of every score",
        (),
        ("tokens", "of A", "of B", "pairs", "mean r", "given\ntoken", "found", "of these", *measures),
    )
    for row in rows:
        counts = (row["tokens"], row["candidates_a"], row["candidates_b"], row["pairs"])
        names = ("mean_correlation", "mean_correlation_given_token", "found", "found_of_candidates")
        scores = (_number(row[f"{measure}_z"], ".1f") for measure in measures)
        table.add_row(*map(str, counts), *(_number(row[name]) for name in names), *scores)
    few = "of A, of B: candidates (in small parts few features fire often enough); of these: found among their pairs"
    _note(table, [few] if caveat is None or not measures else [few, caveat])
    return table


def _note(table: Table, notes: list[str]) -> None:
    if notes:
        table.caption = "\n".join(dict.fromkeys(notes))
        table.caption_justify = "left"


def _correlations(named: dict[str, Comparison]) -> Table:
    """Show the means of the kept pairs, and of what they were matched by where that is not plain r."""
    columns = {
        "mean r": "mean_correlation",
        "matched": "mean_value",
        "mean r given token": "mean_correlation_given_token",
        "share above 0.1": "share_given_token_above_0.1",
    }
    by = _matched_by(named)
    if by == "r":
        del columns["matched"]
    table = _new(
        f"Correlation of the kept pairs, matched by {by}, plain and given the token",
        ("A x B",),
        ("pairs", *columns),
    )
    for name, comparison in named.items():
        summary = comparison.summary
        table.add_row(name, str(summary["pairs"]), *(_number(summary[key]) for key in columns.values()))
    return table


def _scores(named: dict[str, Comparison]) -> Table:
    nulls = {score.null for comparison in named.values() for score in comparison.scores.values()}
    kinds = {comparison.settings.pairs for comparison in named.values()}
    rows = {comparison.rows for comparison in named.values()}
    table = _new(
        f"Similarity of {', '.join(sorted(kinds))} pairs ({' and '.join(sorted(rows))} rows), "
        f"null: {', '.join(sorted(nulls))}",
        ("A x B", "measure"),
        ("observed", "null", "z", "p", "n/kx/ky"),
    )
    notes: list[str] = []
    for name, comparison in named.items():
        table.add_section()
        notes += [] if comparison.caveat is None else [f"{name}: {comparison.caveat}"]
        for row, score in enumerate(comparison.scores.values()):
            table.add_row(name if row == 0 else "", score.measure, *_score_cells(score))
            notes += [f"{name}: {note}" for note in _notes(score)]
    _note(table, notes)
    return table


def _score_cells(score: Score) -> tuple[str, ...]:
    null = "-" if score.null_mean is None else f"{_number(score.null_mean)}±{_number(score.null_std)}"
    sizes = "/".join(str(size) for size in (score.n, score.kx, score.ky) if size is not None)
    return _number(score.observed), null, _number(score.z, ".1f"), _number(score.p_value, ".2g"), sizes


def _notes(score: Score) -> list[str]:
    if score.insufficient is not None:
        return [f"no score, {score.insufficient}"]
    return [] if score.warning is None else [score.warning]
