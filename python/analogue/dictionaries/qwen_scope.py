"""Checkpoints of Qwen Scope: ``layer0.sae.pt``, with no config; the path says which layer, and k."""

from __future__ import annotations

from pathlib import Path

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, fired, number_in
from .nonlinearities import TopK
from .tensors import Weights

WEIGHTS = "layer*.sae.pt"


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load one layer's file: the k largest of ``x @ W_enc.T + b_enc``; k stands in the name of the repository."""
    k = number_in(r"-L0_(\d+)$", file.parent, "k, as in SAE-Res-Qwen3-1.7B-Base-W32K-L0_50")
    weights = Weights(file)
    w_enc, b_enc, w_dec, b_dec = weights.affine(("W_enc", "b_enc", "W_dec", "b_dec"), encoder="rows", decoder="columns")
    weights.refuse_rest("an autoencoder of Qwen Scope")
    if not 0 < k <= len(b_enc):
        raise ValueError(f"{file}: k in the path must be from 1 to the number of latents, {len(b_enc)}, got {k}")
    return SparseAutoencoder(
        format="qwen-scope",
        site=site or site_of(file),
        activation=activation,
        promised_l0=float(k),
        files=CheckpointFiles(file, None, file),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=None,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, TopK(k)),
    )


def site_of(file: Path) -> str | None:
    """Return the block whose number the file has."""
    layer = number_in(r"^layer(\d+)\.sae\.pt$", file, "the layer, as in layer0.sae.pt")
    return f"layers.{layer}"
