"""The tables of what was found: correlations, nulls, scores, verdicts, and what a grid makes of its p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..comparison import Comparison
from ..grid import Grid
from ..nulls import Score
from ..verdict import ALPHA, EFFECT, VOTES
from .layout import matched_by, new_table, note_below, number

if TYPE_CHECKING:
    from rich.table import Table


_LESS_RATE = (
    "less rate: firing rate regressed out of the rows, which leaves out up to 3 of them; "
    f"of {', '.join(VOTES)} and {EFFECT} only, or of all where none of these was asked for"
)
_OF_MEASURES = {"heldout_r2": "its null hardly varies (sd near .0003), so its z compares with no other measure's"}


def correlations(named: dict[str, Comparison]) -> Table:
    """Show the means of the kept pairs, and of what they were matched by where that is not plain r."""
    columns = {
        "mean r": "mean_correlation",
        "matched": "mean_value",
        "mean r given token": "mean_correlation_given_token",
        "share above 0.1": "share_given_token_above_0.1",
    }
    by = matched_by(named)
    if by == "r":
        del columns["matched"]
    table = new_table(
        f"Correlation of the kept pairs, matched by {by}, plain and given the token",
        ("A x B",),
        ("pairs", *columns),
    )
    for name, comparison in named.items():
        summary = comparison.summary
        table.add_row(name, str(summary["pairs"]), *(number(summary[key]) for key in columns.values()))
    said = ((name, comparison.provenance.get("baseline")) for name, comparison in named.items())
    note_below(table, [(name, what) for name, what in said if what is not None])
    return table


def token_nulls(named: dict[str, Comparison]) -> Table:
    """Show mean r beside what it is when B's activations change places among occurrences of the same token."""
    table = new_table(
        "Mean r against the token-conditional null (of pairs without a correlation band)",
        ("A x B",),
        ("pairs", "mean r", "null", "z", "p", "given token", "its null"),
    )
    for name, comparison in named.items():
        if (found := comparison.token_null) is not None:
            null = "-" if found.null_mean is None else f"{number(found.null_mean)}±{number(found.null_std)}"
            beyond = (found.mean_given_token, found.null_mean_given_token)
            tested = (number(found.z, ".1f"), number(found.p_value, ".2g"))
            table.add_row(name, str(found.pairs), number(found.mean_correlation), null, *tested, *map(number, beyond))
    return table


def nulls(named: dict[str, Comparison]) -> Table:
    """Show which null every comparison was scored under, the sibling groups of its pairs, and why that one."""
    table = new_table(
        "Nulls: the pairs kept and scored, their sibling groups, the largest, and the share that can move",
        ("A x B", "null"),
        ("pairs", "scored", "groups", "largest", "movable"),
    )
    notes = []
    for name, comparison in named.items():
        null = comparison.null
        sizes = (null.pairs, null.scored, null.groups, null.largest_group)
        table.add_row(name, null.name, *map(str, sizes), f"{null.rows_movable:.0%}")
        notes.append((name, f"{null.name}, {null.reason}"))
    note_below(table, notes)
    return table


def scores(named: dict[str, Comparison]) -> Table:
    """Show every measure with its null, and z once more with the firing rate regressed out of the rows.

    The last is of rsa, cka and mutual_knn, or of all where none of these was asked for; the others have a dash. Notes
    below name the measures they are about.
    """
    of_all = [score for comparison in named.values() for score in comparison.scores.values()]
    kinds = {comparison.settings.pairs for comparison in named.values()}
    rows = {comparison.rows for comparison in named.values()}
    table = new_table(
        f"Similarity of {', '.join(sorted(kinds))} pairs ({' and '.join(sorted(rows))} rows), "
        f"null: {', '.join(sorted({score.null for score in of_all}))}",
        ("A x B, measure",),
        ("observed", "null", "z", "p", "z less\nrate", "n/kx/ky"),
    )
    notes: list[tuple[str, str]] = []
    for name, comparison in named.items():
        table.add_section()
        table.add_row(name)
        notes += [] if comparison.caveat is None else [(name, comparison.caveat)]
        notes += [(name, note) for note in _notes(comparison)]
        for score in comparison.scores.values():
            adjusted = comparison.rate_adjusted.get(score.measure)
            cells = _score_cells(score, None if adjusted is None else adjusted.z)
            table.add_row(f"  {score.measure}", *cells)
    if any(comparison.rate_adjusted for comparison in named.values()):
        notes.append(("", _LESS_RATE))
    note_below(table, notes)
    return table


def verdicts(named: dict[str, Comparison]) -> Table:
    """Show the verdict of every comparison and the numbers it rests on."""
    table = new_table(
        "Verdict, by two votes that must agree and an effect",
        ("A x B", "verdict"),
        (*(f"p of {vote}" for vote in VOTES), f"{EFFECT} - null", "n"),
    )
    notes = []
    for name, comparison in named.items():
        said = comparison.verdict
        votes = (
            (comparison.scores[vote].p_display if vote in (said.p_values or {}) else None) or "-" for vote in VOTES
        )
        numbers = (*votes, number(said.effect), "-" if said.n is None else str(said.n))
        table.add_row(name, said.word or "none", *numbers)
        notes += [] if said.word is not None else [(name, f"no verdict, {said.reason}")]
    note_below(table, notes)
    return table


def many_cells(grid: Grid) -> Table:
    """Show the p-values of a grid adjusted for its number of cells, and what the best cell is worth."""
    table = new_table(
        "p of every cell; adjusted for their number (BH, under any dependence BY); the best cell's (Sidak)",
        ("measure", "A x B"),
        ("p", "BH", "BY", "Sidak"),
    )
    records = [record for record in grid.records() if record["role"] == "cell"]
    for measure in dict.fromkeys(record["measure"] for record in records):
        table.add_section()
        own = [record for record in records if record["measure"] == measure]
        best = min((r for r in own if r["p_value"] is not None), key=lambda r: r["p_value"], default=None)
        for row, record in enumerate(own):
            own_p = Score.from_dict(record).p_display or "-"
            adjusted = (number(record[key], ".2g") for key in ("p_bh", "p_by"))
            least = number(record["p_sidak"], ".2g") if record is best else ""
            sites = f"{record['site_a']} x {record['site_b']}"
            table.add_row(measure if row == 0 else "", sites, own_p, *adjusted, least)
    return table


def _score_cells(score: Score, adjusted_z: float | None) -> tuple[str, ...]:
    null = "-" if score.null_mean is None else f"{number(score.null_mean)}±{number(score.null_std)}"
    sizes = "/".join(str(size) for size in (score.n, score.kx, score.ky) if size is not None)
    z = (number(score.z, ".1f"), score.p_display or "-", number(adjusted_z, ".1f"))
    return (number(score.observed), null, *z, sizes)


def _notes(comparison: Comparison) -> list[str]:
    """Say what must be known to read the scores of a comparison, each after the measures it is about."""
    measures: dict[str, list[str]] = {}
    for score in comparison.scores.values():
        for said in _about(score):
            measures.setdefault(said, []).append(score.measure)
    for score in comparison.rate_adjusted.values():
        if score.insufficient is not None:
            measures.setdefault(f"no score less rate, {score.insufficient}", []).append(score.measure)
    notes = [said if said.startswith(f"{of[0]} ") else f"{', '.join(of)}: {said}" for said, of in measures.items()]
    stopped = "; ".join(
        f"{score.measure} stopped after {score.permutations} draws, {_p_with_error(score)}"
        for score in comparison.scores.values()
        if score.stopped
    )
    return [*notes, *([stopped] if stopped else []), *_less_rate(comparison.rate_adjusted)]


def _about(score: Score) -> list[str]:
    if score.insufficient is not None:
        return [f"no score, {score.insufficient}"]
    fallback = None if score.fallback is None else f"permuted ({score.fallback})"
    unsure = None
    if not score.stopped and score.p_value is not None and score.p_error is not None:
        near = abs(score.p_value - ALPHA) < 2 * score.p_error
        unsure = f"{_p_with_error(score)}, within two standard errors of {ALPHA:g}" if near else None
    notes = (score.warning, fallback, score.note, _OF_MEASURES.get(score.measure), unsure)
    return [note for note in notes if note is not None]


def _p_with_error(score: Score) -> str:
    return f"p = {score.p_display} ± {number(score.p_error, '.2g')}"


def _less_rate(adjusted: dict[str, Score]) -> list[str]:
    found = [score for score in adjusted.values() if score.observed is not None]
    if not found:
        return []
    scores = ", ".join(f"{score.measure} {number(score.observed)}" for score in found)
    return [f"observed less rate, of {found[0].n} rows: {scores}"]
