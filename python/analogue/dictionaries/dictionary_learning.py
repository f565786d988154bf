"""Checkpoints of dictionary_learning: ``ae.pt`` and ``config.json``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, Config, fired
from .nonlinearities import JumpReLU, Nonlinearity, ReLU, TopK, gated, one_threshold
from .tensors import Affine, Weights

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "ae.pt"

_LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight")
_PLAIN = ("W_enc", "b_enc", "W_dec", "b_dec")
_BIASES = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias", "AutoEncoderTopK": "b_dec", "BatchTopKSAE": "b_dec"}
_AS_IT_IS = ("AutoEncoderNew", "JumpReluAutoEncoder")  # the others subtract the decoder's bias before encoding
_CLASSES = (*_BIASES, "GatedAutoEncoder", "JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE")


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load ``ae.pt``, a pickle of which only tensors are read, with the ``config.json`` beside it.

    Features follow what `load_dictionary` of dictionary-learning 0.1 gives: an `AutoEncoder` has its decoder rows
    scaled to length 1, a batch-TopK dictionary fires above its threshold.
    """
    config = Config.read(file.parent / "config.json")
    trainer, buffer = config.section("trainer"), config.section("buffer")
    kind = trainer.choice("dict_class", _CLASSES)
    d, F = trainer.integer("activation_dim"), trainer.integer("dict_size")
    k = trainer.integer("k") if "TopK" in kind else 1
    if k > F:
        raise ValueError(f"{trainer.name('k')} must be at most dict_size, {F}, got {k}")
    context_length, bos = buffer.optional_integer("ctx_len"), buffer.optional_flag("add_special_tokens")
    place = site or site_of(file)

    weights = Weights(file)
    if "TopK" in kind and "k" in weights and (held := weights.integer("k")) != k:
        raise ValueError(f"{trainer.name('k')} must be {held}, as {file} holds, got {k}")
    nonlinearity: Nonlinearity
    if kind == "GatedAutoEncoder":
        (w_enc, b_enc, w_dec, b_dec), nonlinearity = _gated(weights, F, d)
    else:
        w_enc, b_enc, w_dec, b_dec = _affine(weights, kind, F, d)
        nonlinearity = _nonlinearity(weights, kind, F, k)
    weights.refuse_rest(f"a dictionary of class {kind}")
    if kind == "AutoEncoder":
        w_enc, b_enc, w_dec = _unit_rows(w_enc, b_enc, w_dec)
    return SparseAutoencoder(
        format="dictionary_learning",
        site=place,
        context_length=context_length,
        bos=True if buffer.flag("remove_bos", default=False) else bos,
        activation=activation,
        promised_l0=float(k) if "TopK" in kind else None,
        files=CheckpointFiles(file, config.file, file.parent),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=None if kind in _AS_IT_IS else b_dec,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, nonlinearity),
    )


def site_of(file: Path) -> str | None:
    """Return the site of the trainer's layer and submodule, None when no layer is named."""
    config = Config.read(file.parent / "config.json")
    trainer = config.section("trainer")
    if "layer" not in trainer:
        return None
    layer, name = trainer.integer("layer", minimum=0), trainer.text("submodule_name", "").lower()
    part = ".mlp" if "mlp" in name else ".attention" if "att" in name else ""
    side = config.section("buffer").choice("io", ("in", "out"), default="out")
    return f"layers.{layer}{part}" + (".input" if side == "in" else "")


def _affine(weights: Weights, kind: str, F: int, d: int) -> Affine:
    if kind in _BIASES:
        return weights.affine((*_LINEAR, _BIASES[kind]), encoder="rows", decoder="columns", widths=(F, d))
    return weights.affine(_PLAIN, encoder="columns", decoder="rows", widths=(F, d))


def _gated(weights: Weights, F: int, d: int) -> tuple[Affine, Nonlinearity]:
    b_dec = weights.take("decoder_bias", (d,), "d")
    w_enc = weights.take("encoder.weight", (F, d), "latents, d")
    w_dec = weights.take("decoder.weight", (d, F), "d, latents").T.contiguous()
    r_mag, b_mag, b_gate = (weights.take(name, (F,), "latents") for name in ("r_mag", "mag_bias", "gate_bias"))
    w_enc, b_enc, nonlinearity = gated(w_enc, r_mag, b_mag, b_gate)
    return Affine(w_enc, b_enc, w_dec, b_dec), nonlinearity


def _nonlinearity(weights: Weights, kind: str, F: int, k: int) -> Nonlinearity:
    if kind == "JumpReluAutoEncoder":
        return JumpReLU(weights.take("threshold", (F,), "latents"))
    if "TopK" not in kind:
        return ReLU()
    weights.pop("group_sizes")
    if kind == "AutoEncoderTopK":
        weights.pop("threshold")  # kept beside k, and not used
        return TopK(k)
    if (threshold := weights.scalar("threshold")) < 0:
        raise ValueError(
            f"{weights.file}: threshold must be at least 0, got {threshold}, which {kind} has before it is set"
        )
    return one_threshold(threshold, F)


def _unit_rows(w_enc: Tensor, b_enc: Tensor, w_dec: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same autoencoder with decoder rows of length 1; a row of zeros stays."""
    lengths = w_dec.norm(dim=1)
    lengths = lengths.masked_fill(lengths == 0, 1)
    return w_enc * lengths[:, None], b_enc * lengths, w_dec / lengths[:, None]
