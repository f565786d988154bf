"""Options that several commands have, with their help, and how their text is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..nulls.permutations import ORIGINAL

Out = Annotated[Path, typer.Option(help="Run folder to write.")]
Permutations = Annotated[str, typer.Option(help="Row permutations for every null; original: 100 or 1000.")]
Seed = Annotated[int, typer.Option(help="Seed of the permutations and of the halves.")]
MaxTokens = Annotated[int | None, typer.Option(help="Read at most this many tokens.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[str, typer.Option(help="Of the model: float32, bfloat16 or float16; SAEs encode in float32.")]
DeviceMap = Annotated[
    str | None,
    typer.Option(help="Spread the model over devices by accelerate: auto, balanced, ...; default: --device."),
]
NoActivations = Annotated[bool, typer.Option("--no-activations", help="Leave the activations out of the run folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run that stands at --out.")]
Json = Annotated[bool, typer.Option("--json", help="Print scores and counters as JSON, and nothing else, to stdout.")]


def permutations_of(given: str) -> int | str:
    """Read a number of permutations, or the name of a preset."""
    if given == ORIGINAL:
        return given
    try:
        return int(given)
    except ValueError:
        raise ValueError(f"permutations must be a number or {ORIGINAL}, got {given!r}") from None


def names_of(given: str) -> list[str]:
    """Read names with commas between."""
    return [name.strip() for name in given.split(",") if name.strip()]
