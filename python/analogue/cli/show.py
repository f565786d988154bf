"""`analogue show`: what features and pairs of a saved run fire on, and random pairs for grading."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import report, showing
from ..comparison import Comparison
from ..grid import Grid, load_comparison
from .output import print_json, print_tables

ShownJson = Annotated[bool, typer.Option("--json", help="Print what is shown as JSON, and nothing else, to stdout.")]


def show_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a cell of a grid.")],
    feature: Annotated[str | None, typer.Option(help="A feature with its pairs, such as a:123 or b:45.")] = None,
    pair: Annotated[str | None, typer.Option(help="A feature of A beside one of B, such as 123,45.")] = None,
    hub: Annotated[str | None, typer.Option(help="A hub beside those that chose it, such as a:7.")] = None,
    stage: Annotated[
        str | None, typer.Option(help="Pairs kept, or dropped by a stage: kept, mutual, correlation, junk, ...")
    ] = None,
    top: Annotated[int, typer.Option(help="Pairs of --stage to list, largest r first.")] = 10,
    sample: Annotated[int | None, typer.Option(help="So many random pairs, kept or of --stage, in full.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the sample for grading by hand: .csv or .html.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that stands at --out.")] = False,
    as_json: ShownJson = False,
) -> None:
    """Show what features fire on: one of them, two side by side, a hub, the pairs of a stage, or a random sample."""
    asked = {"--feature": feature, "--pair": pair, "--hub": hub, "--sample": sample}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1 or not (given or stage):
        raise ValueError(f"one of {', '.join(asked)} or --stage must be given, got {' and '.join(given) or 'none'}")
    if stage is not None and given and sample is None:
        raise ValueError(f"--stage goes alone or with --sample, got it with {given[0]}")
    if out is not None and sample is None:
        raise ValueError("--out needs --sample: it writes random pairs for grading")
    comparison = _one(run)
    if feature is not None:
        shown = showing.feature(comparison, *_sided("--feature", feature))
    elif pair is not None:
        shown = showing.pair(comparison, *_two(pair))
    elif hub is not None:
        shown = showing.hub(comparison, *_sided("--hub", hub))
    elif sample is not None:
        shown = showing.sample(comparison, sample, seed, stage or showing.KEPT)
    else:
        shown = showing.stage(comparison, stage or showing.KEPT, top)
    if out is not None:
        report.write_grading(shown, out, overwrite=overwrite)
    if as_json:
        print_json(shown.to_dict())
    elif out is not None:
        print(f"{len(shown.pairs)} pairs to grade are in {out}")
    else:
        print_tables(report.shown_tables(shown, listed=feature is not None or not given))


def _one(run: Path) -> Comparison:
    result = load_comparison(run)
    if isinstance(result, Grid):
        cells = ", ".join(str(run / name) for name in result.comparisons)
        raise ValueError(f"{run} is a grid, whose cells have features of their own; name one of {cells}")
    return result


def _sided(option: str, text: str) -> tuple[str, int]:
    side, colon, number = text.strip().lower().partition(":")
    if side not in ("a", "b") or not colon or not number.strip().isdecimal():
        raise ValueError(f"{option} must be a side and an id, such as a:123, got {text!r}")
    return side, int(number)


def _two(text: str) -> tuple[int, int]:
    ids = [part.strip() for part in text.split(",")]
    if len(ids) != 2 or not all(part.isdecimal() for part in ids):
        raise ValueError(f"--pair must be two ids, of A and of B, such as 123,45, got {text!r}")
    return int(ids[0]), int(ids[1])
