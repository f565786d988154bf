"""`analogue inspect`: says whether an SAE is at the right site of the right model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..corpus import Corpus
from ..inspect import inspect
from ..sides import load_side, shared_context_length
from .options import Device, DeviceMap, Dtype
from .output import print_json

_SPREAD = 8  # the tokens are taken evenly out of so many times their number


def inspect_command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A transformers checkpoint: a folder or a hub id.")],
    sae: Annotated[str, typer.Argument(metavar="SAE", help="A hook folder, or its repository.")],
    text: Annotated[list[Path], typer.Option(help="Text for the model to read: .txt or .jsonl; may be repeated.")],
    site: Annotated[str | None, typer.Option(help="Where the SAE is to be used; none: the site it names.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens to read.", min=1)] = 2048,
    context_length: Annotated[
        int | None, typer.Option(help="Tokens a block; default: 256 or the model's limit.")
    ] = None,
    text_field: Annotated[str, typer.Option(help="The field of a .jsonl line that holds the text.")] = "text",
    device: Device = "auto",
    device_map: DeviceMap = None,
    dtype: Dtype = "float32",
    as_json: Annotated[bool, typer.Option("--json", help="Print all readings as JSON, and nothing else.")] = False,
) -> None:
    """Say how well an SAE reconstructs its site, and whether it fits a site near by clearly better.

    Exit status 1 when something seems wrong.
    """
    side, tokenizer = load_side(model, [sae], [] if site is None else [site], dtype=dtype, device_map=device_map)
    ((place, dictionary),) = side.dictionaries.items()
    corpus = Corpus.from_files(
        text,
        tokenizer,
        context_length=shared_context_length((side,), context_length),
        text_field=text_field,
        max_tokens=_SPREAD * max_tokens,
    )
    found = inspect(side.model, dictionary, corpus, place, max_tokens=max_tokens, device=device)
    if as_json:
        print_json(found.to_dict())
    else:
        print(found)
    if not found.ok:
        raise typer.Exit(1)
