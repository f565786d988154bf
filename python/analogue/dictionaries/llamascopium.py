"""Checkpoints of OpenMOSS' llamascopium (``lm-saes`` before), and Llama Scope R1, which is written the same way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, Config, fired, named_site
from .inputs import ConstantNorm
from .nonlinearities import JumpReLU, Nonlinearity, ReLU, TopK
from .tensors import Affine, Weights

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "sae_weights.safetensors"

_NORM = "dataset_average_activation_norm"


def fits(file: Path) -> bool:
    """Say whether ``config.json`` stands beside the weights; SAELens writes ``cfg.json``."""
    return (file.parent / "config.json").is_file() and not (file.parent / "cfg.json").is_file()


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load ``sae_weights.safetensors`` with the ``config.json`` beside it.

    Features follow `SparseAutoEncoder.encode` of llamascopium 2.0 on activations that `normalize_activations` has
    scaled to the average norm ``sqrt(d)`` that the file records; the factor is folded in. A folded file
    (``norm_activation`` is ``inference``) is taken as it is. By ``sparsity_include_decoder_norm``, what fires is
    decided as if every decoder row had length 1.
    """
    config = Config.read(file.parent / "config.json")
    config.choice("sae_type", ("sae",), default="sae")
    config.refuse_flag("use_glu_encoder")
    kind = config.choice("act_fn", ("relu", "jumprelu", "topk"))
    norm = config.choice("norm_activation", ("dataset-wise", "token-wise", "inference"), default="dataset-wise")
    hooks = [config.text(f"hook_point_{side}", "") for side in ("in", "out")]
    transcodes = hooks[1] not in ("", hooks[0])
    if transcodes and norm == "token-wise":
        raise config.unsupported("norm_activation", norm, "dataset-wise or inference for a transcoder")
    d = config.integer("d_model")
    F = int(d * config.number("expansion_factor"))
    by_length = config.flag("sparsity_include_decoder_norm", default=True)
    place, place_out = site or site_of(file), named_site(config, "hook_point_out") if transcodes else None
    k = config.integer("top_k") if kind == "topk" else 1
    if k > F:
        raise ValueError(f"{config.name('top_k')} must be at most the number of latents, {F}, got {k}")

    weights = Weights(file)
    w_enc, b_enc, w_dec, b_dec = _affine(weights, config, F, d)
    lengths = w_dec.norm(dim=1) if by_length else None
    nonlinearity = _nonlinearity(weights, kind, F, k, lengths)
    s_in, s_out = _factors(weights, hooks, d) if norm == "dataset-wise" else (1.0, 1.0)
    for name in [name for name in weights.names() if name.startswith(f"{_NORM}.")]:
        weights.pop(name)
    weights.refuse_rest("an autoencoder of llamascopium")
    return SparseAutoencoder(
        format="llamascopium",
        site=place,
        site_out=place_out,
        activation=activation,
        promised_l0=float(k) if kind == "topk" else None,
        files=CheckpointFiles(file, config.file, file.parent),
        w_enc=w_enc * s_in if s_in != 1 else w_enc,
        b_enc=b_enc,
        b_pre=None,
        w_dec=w_dec / s_out if s_out != 1 else w_dec,
        b_dec=b_dec / s_out,
        nonlinearity=fired(activation, nonlinearity),
        normalisation=ConstantNorm() if norm == "token-wise" else None,
    )


def site_of(file: Path) -> str | None:
    """Return the site of the hook that the config names, None when it names none."""
    return named_site(Config.read(file.parent / "config.json"), "hook_point_in")


def _affine(weights: Weights, config: Config, F: int, d: int) -> Affine:
    if "encoder.weight" in weights:  # R1
        names = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
        return weights.affine(names, encoder="rows", decoder="columns", widths=(F, d))
    if config.flag("use_decoder_bias", default=True):
        return weights.affine(("W_E", "b_E", "W_D", "b_D"), encoder="columns", decoder="rows", widths=(F, d))
    b_enc = weights.take("b_E", (F,), "latents")
    w_enc, w_dec = weights.take("W_E", (d, F), "d, latents").T, weights.take("W_D", (F, d), "latents, d")
    return Affine(w_enc, b_enc, w_dec, b_enc.new_zeros(d))


def _nonlinearity(weights: Weights, kind: str, F: int, k: int, lengths: Tensor | None) -> Nonlinearity:
    if kind == "topk":
        return TopK(k, lengths)
    if kind == "relu":
        return ReLU()
    short, long = "log_jumprelu_threshold", "activation_function.log_jumprelu_threshold"
    threshold = weights.take(short if short in weights else long, (F,), "latents").exp()
    return JumpReLU(threshold if lengths is None else threshold / lengths)


def _factors(weights: Weights, hooks: list[str], d: int) -> tuple[float, float]:
    """Return what activations are multiplied by, where they are read and where they are reconstructed."""
    norms = {}
    for hook in dict.fromkeys(hook or hooks[0] for hook in hooks):
        norms[hook] = weights.scalar(f"{_NORM}.{hook}")
        if norms[hook] <= 0:
            raise ValueError(f"{weights.file}: tensor {_NORM}.{hook} must be positive, got {norms[hook]}")
    return d**0.5 / norms[hooks[0]], d**0.5 / norms[hooks[1] or hooks[0]]
