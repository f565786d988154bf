"""`analogue ablation`: what every filter of a saved run does to its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import report
from ..ablation import ablation
from ..files import replace_json
from ..grid import load_comparison
from ..similarity import MEASURES
from .options import names_of
from .output import print_json, print_tables, progress_bars, with_rows

AblationJson = Annotated[bool, typer.Option("--json", help="Print the rows as JSON, and nothing else, to stdout.")]


def ablation_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, a cell of one, or a grid: then all cells.")],
    measures: Annotated[
        str | None,
        typer.Option(help=f"Measures, with commas between: {', '.join(MEASURES)}; default: rsa, cka and mutual_knn."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Random subsets of pairs that every score is compared with.")] = 100,
    out: Annotated[list[Path], typer.Option(help="File to write, .parquet or .json; may be repeated.")] = [],  # noqa: B006
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that stands at --out.")] = False,
    as_json: AblationJson = False,
) -> None:
    """Score without filters, with each alone, with all but each and with all, beside as many random pairs.

    The dictionaries of the run are loaded again from where they were; a baseline whose dictionary is gone is left out.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in out:
        if path.suffix not in (".parquet", ".json"):
            raise ValueError(f"--out must end in .parquet or .json, got {path}")
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already; choose another file, or overwrite it")
    result = load_comparison(run)
    names = None if measures is None else names_of(measures)
    with progress_bars() as progress:
        tables = [ablation(each, names, draws=draws, progress=progress) for each in with_rows(result)]
    found = pa.concat_tables(tables)
    for path in out:
        if path.suffix == ".json":
            replace_json(path, found.to_pylist())
        else:
            pq.write_table(found, path)
    if as_json:
        print_json(found.to_pylist())
    else:
        said = f"The rows are in {' and '.join(map(str, out))}" if out else None
        print_tables(report.ablation_tables(found), said)
