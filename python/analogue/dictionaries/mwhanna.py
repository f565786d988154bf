"""Transcoders as mwhanna publishes them for circuit tracing: ``layer_0.safetensors``, one file a layer."""

from __future__ import annotations

from pathlib import Path

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, fired, number_in
from .nonlinearities import ReLU
from .tensors import Weights

WEIGHTS = "layer_*.safetensors"


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load one layer's file: ReLU of ``x @ W_enc.T + b_enc``, from the input of the MLP to its output."""
    place = site_of(file)
    weights = Weights(file)
    w_enc, b_enc, w_dec, b_dec = weights.affine(("W_enc", "b_enc", "W_dec", "b_dec"), encoder="rows", decoder="rows")
    weights.refuse_rest("a transcoder of ReLUs")
    return SparseAutoencoder(
        format="mwhanna",
        site=site or place,
        site_out=place.removesuffix(".input"),
        activation=activation,
        files=CheckpointFiles(file, None, file),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=None,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, ReLU()),
    )


def site_of(file: Path) -> str:
    """Return the input of the MLP of the block whose number the file has."""
    layer = number_in(r"^layer_(\d+)\.safetensors$", file, "the layer, as in layer_0.safetensors")
    return f"layers.{layer}.mlp.input"
