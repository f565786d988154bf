"""The embedded pair: two small language models, their SAEs, a never-trained control, and held-out text."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from .compare_models import compare_grid
from .corpus import Corpus
from .grid import Grid
from .progress import Progress
from .settings import Settings
from .sides import load_side, shared_context_length

SITES = {"model_a": ("layers.2", "layers.3"), "model_b": ("layers.3", "layers.4"), "control": ("layers.2",)}
_SAES = {"model_a": "sae_a", "model_b": "sae_b", "control": "sae_control"}


def folder() -> Path:
    """Return the folder of the embedded checkpoints and text; its README says how they were made."""
    return Path(str(resources.files("analogue"))) / "data" / "demo"


def run_demo(
    settings: Settings | None = None,
    *,
    max_tokens: int | None = None,
    device: str = "auto",
    arguments: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Grid:
    """Compare the embedded models at two sites each, with the never-trained model as control."""
    sides, tokenizers = {}, {}
    for name, sites in SITES.items():
        saes = [folder() / _SAES[name]] * len(sites)
        sides[name], tokenizers[name] = load_side(folder() / name, saes, sites)
    corpus = Corpus.from_files(
        [folder() / "held_out.jsonl"],
        tokenizers["model_a"],
        context_length=shared_context_length(sides.values()),
        max_tokens=max_tokens,
    )
    return compare_grid(
        sides["model_a"],
        sides["model_b"],
        corpus,
        settings,
        control=sides["control"],
        device=device,
        arguments=arguments,
        progress=progress,
    )
