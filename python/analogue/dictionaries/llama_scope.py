"""Checkpoints of Llama Scope as first published: ``hyperparams.json`` and ``checkpoints/final.safetensors``."""

from __future__ import annotations

from pathlib import Path

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, Config, fired, named_site
from .nonlinearities import JumpReLU
from .tensors import Weights

WEIGHTS = ("pruned.safetensors", "final.safetensors")  # the first that is there


def fits(file: Path) -> bool:
    """Say whether a file is the one that the library would load."""
    beside = [file.with_name(name) for name in WEIGHTS]
    return (folder_of(file) / "hyperparams.json").is_file() and next((b for b in beside if b.is_file()), None) == file


def folder_of(file: Path) -> Path:
    """Return the dictionary's folder, which is above its weights."""
    return file.parent.parent


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load the weights, with the ``hyperparams.json`` above them.

    The library trains on activations of average norm ``sqrt(d)``, and folds the factor ``s`` into biases and decoder
    before it is used. Then a feature is ``z = x @ W + b / s`` where ``z`` times its decoder row's length is above one
    threshold for all.
    """
    config = Config.read(folder_of(file) / "hyperparams.json")
    config.choice("act_fn", ("jumprelu",), default="jumprelu")
    config.choice("norm_activation", ("dataset-wise",), default="dataset-wise")
    config.refuse_flag("use_glu_encoder")
    d, F = config.integer("d_model"), config.integer("d_sae")
    threshold, norms = config.number("jump_relu_threshold"), config.section("dataset_average_activation_norm")
    s_in, s_out = (d**0.5 / norms.number(side) for side in ("in", "out"))
    by_length = config.flag("sparsity_include_decoder_norm", default=True)
    subtracted = config.flag("apply_decoder_bias_to_pre_encoder", default=False)
    place = site or site_of(file)
    hooks = [config.text(f"hook_point_{side}", "") for side in ("in", "out")]
    place_out = named_site(config, "hook_point_out") if hooks[1] != hooks[0] else None

    weights = Weights(file)
    names = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
    w_enc, b_enc, w_dec, b_dec = weights.affine(names, encoder="rows", decoder="columns", widths=(F, d))
    weights.refuse_rest("an autoencoder of Llama Scope")
    w_dec, b_dec = w_dec * (s_in / s_out), b_dec / s_out
    lengths = w_dec.norm(dim=1) if by_length else w_dec.new_ones(F)
    return SparseAutoencoder(
        format="llama-scope",
        site=place,
        site_out=place_out,
        context_length=1024,
        bos=True,
        activation=activation,
        files=CheckpointFiles(file, config.file, folder_of(file)),
        w_enc=w_enc,
        b_enc=b_enc / s_in,
        b_pre=b_dec if subtracted else None,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, JumpReLU(threshold / lengths)),
    )


def site_of(file: Path) -> str | None:
    """Return the site of the hook that the config names, None when it names none."""
    return named_site(Config.read(folder_of(file) / "hyperparams.json"), "hook_point_in")
