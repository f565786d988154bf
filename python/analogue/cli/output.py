"""What the command line prints: progress on stderr, tables or JSON on stdout, and why nothing is left."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import report
from ..comparison import Comparison
from ..grid import Grid
from ..progress import Progress
from ..reopen import reopened

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.table import Table


# What a stage counts, by how its name begins.
_UNITS = {"model": "tokens", "training": "tokens", "concepts": "concepts"}


def print_json(content: Any) -> None:
    """Print plain JSON values, and nothing else."""
    print(json.dumps(content, allow_nan=False))


def print_tables(tables: Iterable[Table], last: str | None = None) -> None:
    """Print tables with a blank line after each, and then a sentence."""
    from rich.console import Console

    console = Console()
    for table in tables:
        console.print(table)
        console.print()
    if last is not None:
        console.print(last, highlight=False, markup=False)


def finish(result: Comparison | Grid, out: Path, *, overwrite: bool, activations: bool, as_json: bool) -> None:
    """Save a result with its figures and print it; refuse one with fewer than 2 pairs in every cell.

    Raises
    ------
    ValueError
        For such a result, once it is saved; it names the stage that took the pairs.
    """
    report.save(result, out, overwrite=overwrite, activations=activations)
    if as_json:
        print_json(result.to_dict())
    else:
        print_tables(report.tables(result), f"Everything is in {out}")
    cells = [result] if isinstance(result, Comparison) else list(result.cells.values())
    if all(len(cell.pairs) < 2 for cell in cells):
        best = max(cells, key=lambda cell: [stage.counts.pairs for stage in cell.pairs.stages])
        raise ValueError(f"fewer than 2 pairs are left in every cell; in {_sites(best)} {_taker(best)}")


def with_rows(result: Comparison | Grid) -> Iterator[Comparison]:
    """Yield a saved run, or every cell and control of a grid, with the dictionaries whose decoder rows are scored.

    Of a control whose dictionary cannot be loaded again, the reason is printed on stderr instead.
    """
    if isinstance(result, Comparison):
        yield _with_rows(result)
        return
    for cell in result.cells.values():
        yield _with_rows(cell)
    for name, control in result.controls.items():
        try:
            found = _with_rows(control)
        except (FileNotFoundError, ValueError) as error:
            print(f"analogue: {name} is left out: {error}", file=sys.stderr)
        else:
            yield found


def _with_rows(comparison: Comparison) -> Comparison:
    return reopened(comparison) if comparison.rows == "decoder" else comparison


def _sites(cell: Comparison) -> str:
    return f"{cell.spaces['a'].site} x {cell.spaces['b'].site}"


def _taker(cell: Comparison) -> str:
    """Say at which stage the pairs went."""
    for side, candidates in cell.matched["candidates"].items():
        if candidates < 2:
            wanted = cell.settings.min_activations
            return f"only {candidates} features of {side.upper()} vary and fire on at least {wanted} tokens"
    before = cell.pairs.stages[0].counts.pairs
    for stage in cell.pairs.stages[1:]:
        if stage.counts.pairs < 2:
            break
        before = stage.counts.pairs
    return f"the stage '{stage.name}' left {stage.counts.pairs} of {before}"


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Draw one bar a stage on stderr, with its rate."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            elapsed = task.finished_time or task.elapsed
            if not elapsed:
                return Text("")
            rate = task.completed / elapsed
            return Text(f"{rate:,.0f} {task.fields['unit']}/s" if rate >= 10 else f"{rate:.1f} {task.fields['unit']}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                unit = next((name for start, name in _UNITS.items() if stage.startswith(start)), "draws")
                tasks[stage] = bars.add_task(stage, unit=unit)
                if unit == "tokens" and not bars.console.is_terminal:  # where bars are drawn at the end only
                    bars.console.print(stage, highlight=False)
            elif done == 0:
                bars.reset(tasks[stage])
            bars.update(tasks[stage], completed=done, total=total)

        yield show
