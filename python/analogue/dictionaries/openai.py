"""Autoencoders that OpenAI published for GPT-2 small: a ``.pt`` file with ``pre_bias`` and ``latent_bias``."""

from __future__ import annotations

import re
from pathlib import Path

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, fired
from .inputs import LayerNorm
from .nonlinearities import Nonlinearity, ReLU, TopK
from .tensors import Weights

NAMES = ("pre_bias", "latent_bias", "encoder.weight", "decoder.weight")

_STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
_SITES = {
    "resid_post_mlp": "layers.{}",
    "resid_post_attn": "layers.{}.middle",
    "resid_delta_mlp": "layers.{}.mlp",
    "resid_delta_attn": "layers.{}.attention",
    "mlp_post_act": "layers.{}.mlp.neurons",
}


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load an autoencoder of Gao et al. (2024), trained on contexts of 64 tokens.

    ``encoder.weight @ (x - pre_bias) + latent_bias``, of which a TopK keeps the k largest; exactly then is ``x``
    normalised token by token before.
    """
    weights = Weights(file)
    ranked, nonlinearity = _nonlinearity(weights)
    F, d = weights.length("latent_bias", "latents"), weights.length("pre_bias", "d")
    if isinstance(nonlinearity, TopK) and nonlinearity.k > F:
        raise ValueError(f"{file}: k must be at most the number of latents, {F}, got {nonlinearity.k}")
    b_enc, b_dec = weights.take("latent_bias", (F,), "latents"), weights.take("pre_bias", (d,), "d")
    w_enc = weights.take("encoder.weight", (F, d), "latents, d")
    w_dec = weights.take("decoder.weight", (d, F), "d, latents").T.contiguous()
    for name in _STATISTICS:
        weights.pop(name)
    weights.refuse_rest("an autoencoder of OpenAI")
    return SparseAutoencoder(
        format="openai",
        site=site or site_of(file),
        context_length=64,
        activation=activation,
        promised_l0=float(nonlinearity.k) if isinstance(nonlinearity, TopK) else None,
        files=CheckpointFiles(file, None, file),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=b_dec,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, nonlinearity),
        normalisation=LayerNorm() if ranked else None,
    )


def site_of(file: Path) -> str | None:
    """Return the site that the path names as OpenAI does (``resid_post_mlp_v5_32k/autoencoders/8.pt``), else None."""
    layer = re.fullmatch(r"(\d+)\.pt", file.name)
    places = [place for name, place in _SITES.items() for part in file.absolute().parts if part.startswith(name)]
    return places[0].format(layer[1]) if layer and len(places) == 1 else None


def _nonlinearity(weights: Weights) -> tuple[bool, Nonlinearity]:
    name, state = weights.pop("activation"), weights.pop("activation_state_dict")
    if name in (None, "ReLU"):
        return False, ReLU()
    if name != "TopK":
        raise ValueError(f"{weights.file}: activation is {name!r:.60}, which is not supported; wanted ReLU or TopK")
    if not isinstance(state, dict):
        raise ValueError(f"{weights.file}: activation_state_dict must hold k and postact_fn, got {state!r:.60}")
    k, after = state.get("k"), state.get("postact_fn", "ReLU")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"{weights.file}: activation_state_dict.k must be a positive integer, got {k!r:.60}")
    if after != "ReLU":
        raise ValueError(
            f"{weights.file}: activation_state_dict.postact_fn is {after!r:.60}, which is not supported; wanted ReLU"
        )
    return True, TopK(k)
