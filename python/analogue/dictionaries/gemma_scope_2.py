"""Checkpoints of Gemma Scope 2: ``params.safetensors``, with a config that names modules of the Hugging Face model."""

from __future__ import annotations

from pathlib import Path

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, Config, fired, named_site
from .nonlinearities import JumpReLU
from .tensors import Weights

WEIGHTS = "params.safetensors"


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load ``params.safetensors`` with the ``config.json`` beside it: JumpReLU of ``x @ w_enc + b_enc``.

    Transcoders, which have a ``hf_hook_point_out``, may have an affine skip connection.
    """
    config = Config.read(file.parent / "config.json")
    config.choice("architecture", ("jump_relu",))
    skips = config.flag("affine_connection", default=False)
    place, place_out = site or site_of(file), named_site(config, "hf_hook_point_out", paths=True)

    weights = Weights(file)
    w_enc, b_enc, w_dec, b_dec = weights.affine(("w_enc", "b_enc", "w_dec", "b_dec"), encoder="columns", decoder="rows")
    threshold = weights.take("threshold", b_enc.shape, "latents")
    d = len(b_dec)
    w_skip = weights.take("affine_skip_connection", (d, d), "d_in, d_out").T if skips else None
    weights.refuse_rest("an autoencoder of Gemma Scope 2 without affine_connection" if not skips else "a transcoder")
    return SparseAutoencoder(
        format="gemma-scope-2",
        site=place,
        site_out=place_out,
        context_length=1024,
        bos=True,
        activation=activation,
        files=CheckpointFiles(file, config.file, file.parent),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=None,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, JumpReLU(threshold)),
        w_skip=w_skip,
    )


def site_of(file: Path) -> str | None:
    """Return the site that the config names, None when it names none."""
    return named_site(Config.read(file.parent / "config.json"), "hf_hook_point_in", paths=True)
