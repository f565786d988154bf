"""Checkpoints of Gemma Scope 1: ``params.npz``, with no config; the path says what it is."""

from __future__ import annotations

import re
from pathlib import Path

from ..hooks import hook_site
from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, fired, number_in
from .nonlinearities import JumpReLU
from .tensors import Weights

WEIGHTS = "params.npz"

_HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z", "transcoders": "ln2.hook_normalized"}


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load ``params.npz`` (Lieberum et al. 2024): JumpReLU of ``x @ W_enc + b_enc``, with one threshold a feature.

    Repository and folder, as Google named them, say what it was trained on: ``gemma-scope-2b-pt-res/layer_20/...``.
    Transcoders read the normalised residual stream without the norm's gain. Autoencoders of the embedding were
    trained before Gemma multiplies it by ``sqrt(d)``; that factor is folded in.
    """
    kind = _kind(file)
    place = site or site_of(file)
    weights = Weights(file)
    for name in ("W_enc", "W_dec"):
        weights.rename(name.lower(), name)
    w_enc, b_enc, w_dec, b_dec = weights.affine(("W_enc", "b_enc", "W_dec", "b_dec"), encoder="columns", decoder="rows")
    threshold = weights.take("threshold", b_enc.shape, "latents")
    weights.take_ones("scaling_factor")
    weights.refuse_rest("an autoencoder of Gemma Scope")
    if kind == "embedding":
        factor = len(b_dec) ** 0.5
        w_enc, w_dec, b_dec = w_enc / factor, w_dec * factor, b_dec * factor
    return SparseAutoencoder(
        format="gemma-scope",
        site=place,
        site_out=hook_site(f"blocks.{_layer(file)}.hook_mlp_out") if kind == "transcoders" else None,
        context_length=1024,
        bos=True,
        activation=activation,
        promised_l0=_l0(file),
        files=CheckpointFiles(file, None, file.parent),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=None,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, JumpReLU(threshold)),
    )


def site_of(file: Path) -> str | None:
    """Return the site that the path names; refuse one that names none."""
    kind = _kind(file)
    if kind is None:
        named = ", ".join(_HOOKS)
        raise ValueError(
            f"{file}: the path must name a repository such as gemma-scope-2b-pt-res ({named}), or site be given"
        )
    return hook_site("hook_embed" if kind == "embedding" else f"blocks.{_layer(file)}.{_HOOKS[kind]}")


def _l0(file: Path) -> float | None:
    found = re.fullmatch(r"average_l0_(\d+)", file.absolute().parent.name)
    return float(found[1]) if found else None


def _layer(file: Path) -> int:
    return number_in(r"^layer_(\d+)$", file, "the layer, as in layer_20")


def _kind(file: Path) -> str | None:
    parts = file.absolute().parent.parts
    if "embedding" in parts:
        return "embedding"
    found = (re.search(r"gemma-scope-\w+-(?:pt|it)-(res|mlp|att|transcoders)$", part) for part in reversed(parts))
    return next((match[1] for match in found if match), None)
