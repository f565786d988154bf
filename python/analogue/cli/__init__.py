"""The command line: one module a command, in the order of `analogue --help`."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from .ablation import ablation_command
from .compare import compare_command
from .concepts import concepts_command
from .demo import demo_command
from .explain import explain_command
from .inspect import inspect_command
from .show import show_command

app = typer.Typer(
    help="Do two language models represent the same things?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo_command)
app.command("compare")(compare_command)
app.command("explain")(explain_command)
app.command("inspect")(inspect_command)
app.command("show")(show_command)
app.command("ablation")(ablation_command)
app.command("concepts")(concepts_command)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        print(f"analogue {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compare the features of two language models."""


def main() -> None:
    """Run the command line; bad input is one sentence on stderr and exit status 2."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        with warnings.catch_warnings():
            # One sentence, without the line of code that it came from.
            warnings.showwarning = lambda message, *_, **__: print(f"analogue: {message}", file=sys.stderr)
            app()
    except (ValueError, TypeError, OSError, MemoryError) as error:
        print(f"analogue: {error}", file=sys.stderr)
        raise SystemExit(2) from None
