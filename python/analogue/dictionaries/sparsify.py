"""Checkpoints of EleutherAI's sparsify (``sae`` before 2025): TopK sparse coders."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..files import sha256
from .autoencoder import SparseAutoencoder, TopK
from .checkpoint import Config, Weights, fired

WEIGHTS = "sae.safetensors"


def load(folder: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load one hook folder: ``cfg.json`` and ``sae.safetensors``.

    Features follow `SparseCoder.encode` of eai-sparsify 1.3: the k largest of
    ``relu((x - b_dec) @ encoder.weight.T + encoder.bias)``, also for checkpoints trained with `multi_topk`.

    Parameters
    ----------
    folder : Path
    site : str or None
        The site, where the caller knows better than the folder's name.
    activation : {"post", "pre"}

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        One sentence naming the file, the field or tensor, what came and what is wanted.
    """
    config = Config.read(folder / "cfg.json")
    config.choice("activation", ("topk",), default="topk")
    for flag in ("signed", "transcode", "skip_connection"):
        config.refuse_flag(flag)
    d = config.integer("d_in")
    F = config.integer("num_latents", minimum=0, default=0) or d * config.integer("expansion_factor")
    k = config.integer("k")
    if k > F:
        raise ValueError(f"{config.name('k')} must be at most the number of latents, {F}, got {k}")
    context_length = _context_length(folder)

    weights = Weights(folder / WEIGHTS)
    b_dec = weights.take("b_dec", (d,), "d_in")
    w_enc = weights.take("encoder.weight", (F, d), "latents, d_in")
    b_enc = weights.take("encoder.bias", (F,), "latents")
    w_dec = weights.take("W_dec", (F, d), "latents, d_in")
    weights.refuse_rest("a TopK sparse coder")
    return SparseAutoencoder(
        format="sparsify",
        site=site or site_of(folder),
        context_length=context_length,
        activation=activation,
        promised_l0=float(k),
        path=folder,
        sha256=sha256(weights.file),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=b_dec,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, TopK(k)),
    )


def site_of(folder: Path) -> str | None:
    """Return the hookpoint, which is the folder's name (its parent's, when the folder is one of several seeds)."""
    parts = Path(os.path.abspath(folder)).parts
    return next((part for part in reversed(parts) if not re.fullmatch(r"seed\d+", part)), None)


def _context_length(folder: Path) -> int | None:
    """Return ``ctx_len`` of the training run, whose config lies above the hook folder and its seed, if anywhere."""
    for parent in list(Path(os.path.abspath(folder)).parents)[:2]:
        if (parent / "config.json").is_file():
            return Config.read(parent / "config.json").optional_integer("ctx_len")
    return None
