"""Concepts on paper: the tables, the figure and the folder of what they score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..concept_comparison import QUESTIONS, ConceptResult, ConceptScores
from ..files import staged_folder, write_json
from ..nulls import Score
from ..verdict import ALPHA
from .layout import beside, new_table, note_below, number

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

_ANSWERS = tuple(QUESTIONS)


def concept_tables(found: ConceptScores) -> Iterator[Table]:
    """Yield what concepts score in one comparison: features and pairs, scores after the filters, dropped words."""
    yield _counts(found)
    yield _words(found)
    for question in QUESTIONS:
        if any(question in result.after.scores for result in found):
            yield _scores(found, question)
    if any(result.without_word for result in found):
        yield _without_words(found)


def save_concepts(
    found: Sequence[ConceptScores], directory: str | Path, measure: str | None = None, *, overwrite: bool = False
) -> None:
    """Write ``concepts.json``, ``concepts.parquet`` and ``concepts.png`` into a folder, whole or not at all.

    Parameters
    ----------
    found : sequence of ConceptScores
        One a comparison: the run, or every cell of a grid and its control.
    directory : path
        The folder to make.
    measure : str, optional
        What the figure shows; None: the first measure.
    overwrite : bool
        Replace the folder of an earlier call; any other is left as it is.

    Raises
    ------
    FileExistsError
        If the folder exists and ``overwrite`` is false, or it is none of these.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target, names = Path(directory), {"concepts.json", "concepts.parquet", "concepts.png"}
    if overwrite and target.is_dir() and not {path.name for path in target.iterdir()} <= names:
        raise FileExistsError(f"{target} holds more than the files of concepts and will not be overwritten")
    with staged_folder(target, overwrite=overwrite) as folder:
        write_json(folder / "concepts.json", {"comparisons": [each.to_dict() for each in found]})
        records = [record for each in found for record in each.records()]
        pq.write_table(pa.Table.from_pylist(records, concept_schema()), folder / "concepts.parquet")
        figure = concept_figure(found, measure)
        figure.savefig(folder / "concepts.png", metadata={"Software": None})


def concept_schema() -> pyarrow.Schema:
    """Return the columns of `ConceptScores.records` as a table, the same whatever the scores."""
    import pyarrow as pa

    text, count, number, truth = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    texts = ("site_a", "site_b", "comparison", "approach", "side", "where", "concept", "role", "of")
    moments = ("null_mean", "null_std", "null_q05", "null_median", "null_q95", "null_q99", "null_skewness")
    return pa.schema(
        {
            **dict.fromkeys(texts, text),
            **dict.fromkeys(("features_a", "features_b"), count),
            **dict.fromkeys(("words_a", "words_b"), pa.list_(text)),
            "stage": text,
            "pairs": count,
            **dict.fromkeys(("mean_correlation", "mean_correlation_given_token"), number),
            "new_pairs": count,
            "reached": number,
            "same_keyword": number,
            **dict.fromkeys(("question", "measure", "null", "method"), text),
            **dict.fromkeys(("n", "permutations"), count),
            **dict.fromkeys(("observed", *moments, "z", "p_value", "p_error"), number),
            "stopped": truth,
            "calibrated": number,
            **dict.fromkeys(("kx", "ky", "forced_ones"), count),
            "saturated": truth,
            **dict.fromkeys(("groups", "largest_group"), count),
            "rows_movable": number,
            **dict.fromkeys(("note", "fallback", "insufficient"), text),
            "p_bh": number,
        }
    )


def concept_figure(found: Sequence[ConceptScores], measure: str | None = None) -> Figure:
    """Draw concept x layer pair: z of one measure under every null, after the filters.

    A star is a p of at most 0.05, for concepts adjusted for their number in that comparison; a dash is no score.
    """
    from matplotlib.figure import Figure

    measures = found[0].settings["measures"]
    shown = measures[0] if measure is None else measure
    if shown not in measures:
        raise ValueError(f"measure must be one of {', '.join(measures)}, got {shown!r}")
    rows = list(dict.fromkeys(result.name for each in found for result in each))
    size = (2.5 + len(_ANSWERS) * max(2.6, 1.1 * len(found)), 1.8 + 0.28 * len(rows))
    figure = Figure(figsize=size, layout="constrained", dpi=130)
    axes = figure.subplots(1, len(_ANSWERS), sharey=True)
    z = {question: np.full((len(rows), len(found)), np.nan) for question in _ANSWERS}
    stars = {question: np.zeros((len(rows), len(found)), dtype=bool) for question in _ANSWERS}
    for column, each in enumerate(found):
        for result in each:
            for question, scores in result.after.scores.items():
                score = scores[shown]
                row = rows.index(result.name)
                z[question][row, column] = np.nan if score.z is None else score.z
                p = _p(each, result, score, question)
                stars[question][row, column] = p is not None and p <= ALPHA
    ends = [float(np.nanmax(np.abs(values))) for values in z.values() if np.isfinite(values).any()]
    end = max(ends, default=1.0)
    for ax, question in zip(axes, _ANSWERS, strict=True):
        image = _panel(ax, z[question], stars[question], end)
        ax.set_title({"rows": "rows change places"}.get(question, question), fontsize="medium")
        ax.set_xticks(range(len(found)), [_name(each) for each in found], rotation=30, ha="right", fontsize="small")
        ax.set_yticks(range(len(rows)), [row.removeprefix("control: ") for row in rows], fontsize="small")
    figure.suptitle(
        f"z of {shown}, {found[0].approach}, by {found[0].where}; * p ≤ {ALPHA:g} (of concepts: BH)", fontsize="medium"
    )
    figure.colorbar(image, ax=axes, shrink=0.8, label="z")
    return figure


def _panel(ax: Axes, values: NDArray[np.float64], stars: NDArray[np.bool_], end: float) -> Any:
    image = ax.imshow(values, cmap="RdBu_r", aspect="auto", vmin=-end, vmax=end)
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        text = "-" if np.isnan(value) else f"{value:.1f}{'*' if stars[row, column] else ''}"
        dark = np.isfinite(value) and abs(value) > 0.6 * end
        ax.text(column, row, text, ha="center", va="center", fontsize="small", color="white" if dark else "black")
    return image


def _counts(found: ConceptScores) -> Table:
    table = new_table(
        f"{_name(found)}: features that match by {found.where}; their pairs ({_how(found)}) before and after filters",
        ("concept",),
        ("of A", "of B", "before", "mean r", "after", "mean r", "given token"),
    )
    last: str | None = None
    for result in found:
        if last == "concept" and result.role != "concept":
            table.add_section()
        last = result.role
        before, after = result.before, result.after
        numbers = [str(len(result.features[side])) for side in "ab"]
        numbers += [str(len(before.pairs)), number(before.mean_correlation, ".2f")]
        numbers += [str(len(after.pairs)), number(after.mean_correlation, ".2f")]
        table.add_row(
            result.name.removeprefix("control: "), *numbers, number(after.mean_correlation_given_token, ".2f")
        )
    notes = [("", "scores below are of the pairs after the filters; those before stand in --json and --out")]
    note_below(table, notes + [(name, f"left out, {why}") for name, why in found.settings["left_out"].items()])
    return table


def _words(found: ConceptScores) -> Table:
    """Show how many words have features, and of the pairs that fire on a word those that fire on one, both sides."""
    table = new_table(
        f"{_name(found)}: words with features, and pairs after the filters whose two sides fire on one word",
        ("concept",),
        ("words", "of A", "of B", "pairs", "on one", "share"),
    )
    for result in found:
        same = result.after.same_keyword
        if same is None:
            continue
        words = [str(len(result.words)), *(str(len(result.words_with_features(side))) for side in "ab")]
        counts = (str(same.pairs), str(same.same), number(same.rate, ".2f"))
        table.add_row(result.name.removeprefix("control: "), *words, *counts)
    note_below(table, [("", "each word and pair: --keywords, and --json")])
    return table


def _scores(found: ConceptScores, question: str) -> Table:
    """Show one question's scores; a concept without any has a line below the table."""
    asked = {result.name: (result, result.after.scores.get(question, {})) for result in found}
    nulls = " and ".join(sorted({score.null for _, scores in asked.values() for score in scores.values()}))
    table = new_table(
        f"{_name(found)}: {QUESTIONS[question]} (null: {nulls}; BH: p adjusted for the number of concepts with one)",
        ("concept", "measure"),
        ("observed", "null", "z", "p", "BH", "n"),
    )
    notes: list[tuple[str, str]] = []
    few: dict[str, list[str]] = {}
    for name, (result, scores) in asked.items():
        short = name.removeprefix("control: ")
        if (least := _few(scores)) is not None:
            few.setdefault(least, []).append(f"{short} ({next(iter(scores.values())).n})")
            continue
        notes += [(short, note) for note in _notes(result, question)]
        if not any(score.observed is not None for score in scores.values()):
            continue
        table.add_section()
        for place, score in enumerate(scores.values()):
            null = "-" if score.null_mean is None else f"{number(score.null_mean)}±{number(score.null_std)}"
            cells = (number(score.observed), null, number(score.z, ".1f"), score.p_display or "-")
            adjusted = number(found.p_adjusted(name, score.measure, question), ".2g")
            table.add_row(short if place == 0 else "", score.measure, *cells, adjusted, str(score.n))
    notes += [("", f"no score, too few pairs ({least}): {', '.join(listed)}") for least, listed in few.items()]
    if found.settings["caveat"] is not None:
        notes.append(("", found.settings["caveat"]))
    note_below(table, notes)
    return table


def _few(scores: Mapping[str, Score]) -> str | None:
    """Return how many pairs a score needs, in words, where there is no score for want of them; else None."""
    start, reasons = "too few pairs: ", {score.insufficient or "" for score in scores.values()}
    if len(reasons) != 1 or not (reason := reasons.pop()).startswith(start):
        return None
    return reason.removeprefix(start).partition(", ")[2]


def _notes(result: ConceptResult, question: str) -> Iterator[str]:
    """Say why there is no score, once where all measures have one reason, and which pairs the comparison has not."""
    why: dict[str, list[str]] = {}
    scores = result.after.scores.get(question, {})
    for measure, score in scores.items():
        if score.insufficient is not None:
            why.setdefault(score.insufficient, []).append(measure)
    for reason, measures in why.items():
        of = "" if len(measures) == len(scores) else f" of {', '.join(measures)}"
        yield f"no score{of}, {reason}"
    if question == "pair-subset" and result.after.new_pairs:
        n = max(score.n for score in scores.values())
        yield f"{result.after.new_pairs} of these {n} pairs are not among the comparison's own"


def _without_words(found: ConceptScores) -> Table:
    """Show the words without which a concept has other pairs, and name those that change none."""
    measures = found.settings["measures"]
    table = new_table(
        f"{_name(found)}: every concept without one of its words",
        ("concept", "without"),
        ("A", "B", "pairs", *measures),
    )
    notes = []
    for result in (result for result in found if result.without_word):
        table.add_section()
        scores = result.after.scores["rows"]
        whole = [str(len(result.features["a"])), str(len(result.features["b"])), str(len(result.after.pairs))]
        table.add_row(result.name, "(none)", *whole, *(number(scores[name].observed) for name in measures))
        same = []
        for left in result.without_word:
            if left.pairs == len(result.after.pairs) and left.mean_correlation == result.after.mean_correlation:
                same.append(left.word)
                continue
            sizes = (str(left.features_a), str(left.features_b), str(left.pairs))
            table.add_row("", left.word, *sizes, *(number(left.observed[name]) for name in measures))
        notes += [(result.name, f"the pairs are the same without {', '.join(same)}")] if same else []
    note_below(table, notes)
    return table


def _p(found: ConceptScores, result: ConceptResult, score: Score, question: str) -> float | None:
    return found.p_adjusted(result.name, score.measure, question) if result.role == "concept" else score.p_value


def _name(found: ConceptScores) -> str:
    role = beside(found.role)
    return f"{role}{found.sites['a']} x {found.sites['b']}"


def _how(found: ConceptScores) -> str:
    return found.approach if found.approach == "both-sides" else f"{found.approach}, word on {found.side}"
