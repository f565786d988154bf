"""`analogue explain`: what a score of a saved run hangs on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import report
from ..comparison import Comparison
from ..explain import explain
from ..grid import load_comparison
from ..similarity import MEASURES
from .output import print_json, print_tables

ExplanationJson = Annotated[
    bool, typer.Option("--json", help="Print pairs and groups as JSON, and nothing else, to stdout.")
]


def explain_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, a cell of one, or a grid: then all cells.")],
    measure: Annotated[str, typer.Option(help=f"The score to explain: {', '.join(MEASURES)}.")] = "cka",
    top: Annotated[int, typer.Option(help="Pairs, and groups, to list.", min=1)] = 10,
    as_json: ExplanationJson = False,
) -> None:
    """List the pairs, and the groups of alike pairs, that a score hangs on.

    The list of svcca is exact for the 20 pairs of largest influence only, and those of rsa keep the ranks of all pairs.
    """
    result = load_comparison(run)
    comparisons = [result] if isinstance(result, Comparison) else list(result.comparisons.values())
    explanations = [explain(comparison, measure) for comparison in comparisons]
    if as_json:
        found = [explanation.to_dict(top) for explanation in explanations]
        print_json(found[0] if isinstance(result, Comparison) else {"cells": found})
    else:
        print_tables(table for each in explanations for table in report.explanation_tables(each, top))
