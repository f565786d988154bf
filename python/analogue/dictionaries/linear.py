"""Autoencoders of Goodfire and of DeepSeek-R1: one ``.pt`` file with two linear layers and a ReLU between."""

from __future__ import annotations

import re
from pathlib import Path

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, fired
from .nonlinearities import ReLU
from .tensors import Weights

GOODFIRE = ("encoder_linear.weight", "encoder_linear.bias", "decoder_linear.weight", "decoder_linear.bias")
DEEPSEEK = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load one layer's file: ReLU of the encoder's linear layer, with nothing subtracted before."""
    weights = Weights(file)
    names, maker = (GOODFIRE, "goodfire") if GOODFIRE[0] in weights else (DEEPSEEK, "deepseek")
    w_enc, b_enc, w_dec, b_dec = weights.affine(names, encoder="rows", decoder="columns")
    weights.refuse_rest(f"an autoencoder of {maker}")
    return SparseAutoencoder(
        format=maker,
        site=site or site_of(file),
        activation=activation,
        files=CheckpointFiles(file, None, file),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=None,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, ReLU()),
    )


def site_of(file: Path) -> str | None:
    """Return the block that the file's name ends in, such as ``-l19.pt``; None when it names none."""
    layer = re.search(r"(?:^|[-_.])l(\d+)(?:[-_.]|$)", file.stem)
    return f"layers.{layer[1]}" if layer else None
