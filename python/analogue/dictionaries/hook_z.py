"""Attention autoencoders of Kissane et al. for GPT-2 small: ``NAME.pt`` and ``NAME_cfg.json``."""

from __future__ import annotations

from pathlib import Path

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, Config, fired, named_site
from .nonlinearities import ReLU
from .tensors import Weights


def config_of(file: Path) -> Path:
    """Return the config that goes with a file of weights."""
    return file.with_name(f"{file.stem}_cfg.json")


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load one layer's file (Kissane et al. 2024): ReLU of ``(x - b_dec) @ W_enc + b_enc``."""
    config = Config.read(config_of(file))
    widths = config.integer("dict_size"), config.integer("act_size")
    weights = Weights(file)
    w_enc, b_enc, w_dec, b_dec = weights.affine(
        ("W_enc", "b_enc", "W_dec", "b_dec"), encoder="columns", decoder="rows", widths=widths
    )
    weights.refuse_rest("an attention autoencoder")
    return SparseAutoencoder(
        format="hook_z",
        site=site or site_of(file),
        context_length=128,
        bos=True,
        activation=activation,
        files=CheckpointFiles(file, config.file, file),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=b_dec,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, ReLU()),
    )


def site_of(file: Path) -> str | None:
    """Return the site of the hook that the config names, None when it names none."""
    return named_site(Config.read(config_of(file)), "act_name")
