"""`analogue concepts`: what a saved run says of concepts, and what their words hit before anything is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import _checks, report
from ..comparison import Comparison
from ..concept_controls import CONTROLS
from ..concept_pairs import APPROACHES, HIT_SIDES
from ..concept_scores import compare_concepts
from ..concepts import Concepts
from ..grid import load_comparison
from ..keywords import WHERE, Where
from ..nulls.permutations import ORIGINAL
from . import concept_views
from .options import Overwrite, Seed, permutations_of
from .output import print_json, print_tables, progress_bars, with_rows

_VIEWS = "--explain, --coverage, --keywords, --specificity and --suggest"

ConceptsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON, and nothing else, to stdout.")]


def concepts_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, a cell of one, or a grid: then all cells.")],
    concepts: Annotated[
        str, typer.Option(help="Concepts, with commas between; none: all of the package and of --files.")
    ] = "",
    files: Annotated[
        list[Path], typer.Option(help="TOML files of your own concepts, or folders of them; may be repeated.")
    ] = [],  # noqa: B006
    approach: Annotated[
        str,
        typer.Option(
            help=f"{APPROACHES[0]}: only features that match on both sides are paired; "
            f"{APPROACHES[1]}: features that match, with their best partner whatever it fires on."
        ),
    ] = APPROACHES[0],
    side: Annotated[
        str | None,
        typer.Option(
            help=f"Who must match under best-partner: {', '.join(HIT_SIDES)} (b); or of --explain: a or b (a)."
        ),
    ] = None,
    where: Annotated[
        str,
        typer.Option(
            help="What must be one of the words: the whole word fired on (word), the token alone (token), any word or "
            "phrase around it (window, phrase), or, wrongly, any piece of it (substring)."
        ),
    ] = "word",
    measures: Annotated[str, typer.Option(help="Measures, with commas between; none: those of the run.")] = "",
    controls: Annotated[
        str, typer.Option(help=f"Controls, with commas between, or none: {', '.join(CONTROLS)}.")
    ] = ",".join(CONTROLS[:-1]),
    max_per_keyword: Annotated[
        int | None, typer.Option(help="At most so many features for every word on either side, the best matched.")
    ] = None,
    permutations: Annotated[
        str | None,
        typer.Option(help=f"Row permutations; none: those of the run; {ORIGINAL}: 1000 up to 100 pairs, else 100."),
    ] = None,
    draws: Annotated[
        int | None, typer.Option(help="Draws of the nulls with other pairs; none: 200, or as original says.")
    ] = None,
    min_pairs: Annotated[
        int | None, typer.Option(help="With fewer pairs there is no score; none: as in the run.")
    ] = None,
    with_removed: Annotated[
        bool, typer.Option("--with-removed", help="Score concepts with their ambiguous words put back, too.")
    ] = False,
    explain: Annotated[
        int | None, typer.Option(help="Say why a feature of --side matches a concept or not, and score nothing.")
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Count what every word hits on both sides, and score nothing.")
    ] = False,
    keywords: Annotated[
        bool,
        typer.Option("--keywords", help="Count features and pairs of every word, and score nothing."),
    ] = False,
    specificity: Annotated[
        bool,
        typer.Option(
            "--specificity", help="Read the text again: how much of its features' activation lies on a concept's words."
        ),
    ] = False,
    suggest: Annotated[
        int | None, typer.Option(help="Propose so many words that features fire on and no concept has; score nothing.")
    ] = None,
    explanations_a: Annotated[
        Path | None,
        typer.Option(
            help="Explanations of A's features that others wrote, see load_explanations, in place of its labels; "
            "with --explain, --coverage or --suggest, of one comparison."
        ),
    ] = None,
    explanations_b: Annotated[Path | None, typer.Option(help="Those of B's features.")] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for concepts.json, .parquet and .png; none: printed only.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: ConceptsJson = False,
) -> None:
    """Score concepts in a saved run: do both models hold them alike, and more so than other pairs.

    The run must hold its activations; its dictionaries are loaded again from where they were, and checked. A baseline
    whose dictionary is gone is left out.
    """
    views = [explain is not None, coverage, keywords, specificity, suggest is not None]
    if sum(views) > 1:
        raise ValueError(f"{_VIEWS} are views of their own: give one of them")
    if any(views) and out is not None:
        raise ValueError(f"out goes with scores: {_VIEWS} are printed only")
    foreign = {"a": explanations_a, "b": explanations_b}
    elsewhere = any(path is not None for path in foreign.values())
    if elsewhere and not (explain is not None or coverage or suggest is not None):
        raise ValueError("explanations go with --explain, --coverage or --suggest, which look at texts alone")
    chosen = Concepts.load(*_names(concepts), files=files)
    result = load_comparison(run)
    comparisons = [result] if isinstance(result, Comparison) else list(result.comparisons.values())
    if elsewhere and len(comparisons) > 1:
        raise ValueError(f"explanations are of one dictionary, got the {len(comparisons)} comparisons of {run}")
    texts = concept_views.texts_of(comparisons, foreign)
    _checks.choice("where", where, WHERE)
    place: Where = where  # type: ignore[assignment]
    pairing = {"approach": approach, "side": side or "b", "where": place, "max_per_keyword": max_per_keyword}
    if explain is not None:
        concept_views.explain(texts, chosen, explain, side or "a", place, as_json)
    if coverage:
        concept_views.coverage(texts, chosen, place, as_json)
    if keywords:
        concept_views.keywords(comparisons, chosen, as_json, **pairing)
    if specificity:
        concept_views.specificity(comparisons, chosen, place, as_json)
    if suggest is not None:
        concept_views.suggest(texts, chosen, suggest, as_json)
    if any(views):
        return
    if out is not None:
        _check_out(out, run, overwrite)
    found = []
    with progress_bars() as progress:
        for comparison in with_rows(result):
            name = report.title_of(comparison)
            scores = compare_concepts(
                comparison,
                chosen,
                **pairing,  # type: ignore[arg-type]
                measures=_names(measures) or None,
                permutations=None if permutations is None else permutations_of(permutations),
                draws=draws,
                controls=() if controls == "none" else _names(controls),
                with_removed=with_removed,
                min_pairs=min_pairs,
                seed=seed,
                progress=lambda stage, done, total, name=name: progress(f"{stage}, {name}", done, total),  # type: ignore[misc]
            )
            found.append(scores)
    if out is not None:
        report.save_concepts(found, out, overwrite=overwrite)
    if as_json:
        print_json(found[0].to_dict() if isinstance(result, Comparison) else {"cells": [s.to_dict() for s in found]})
    else:
        last = None if out is None else f"Everything is in {out}"
        print_tables((table for each in found for table in report.concept_tables(each)), last)


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def _check_out(out: Path, run: Path, overwrite: bool) -> None:
    """Refuse a folder inside the run, whose files are sealed, or one that exists, before anything is scored."""
    folders = [run.resolve(), *run.resolve().parents]
    sealed = next((folder for folder in reversed(folders) if (folder / "manifest.json").is_file()), run.resolve())
    if out.resolve().is_relative_to(sealed):
        raise ValueError(f"out must lie outside of the run, whose files are sealed, got {out}")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists already; choose another folder, or overwrite it")
