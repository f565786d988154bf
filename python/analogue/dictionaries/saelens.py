"""Checkpoints of SAELens, before and after version 6."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, Config, fired, named_site
from .inputs import ConstantNorm, LayerNorm, Normalisation
from .nonlinearities import AbsTopK, JumpReLU, Nonlinearity, ReLU, TopK, gated, one_threshold
from .tensors import Weights

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "sae_weights.safetensors"

_FACTOR = "expected_average_only_in"
_NORMALISATIONS: dict[str, Normalisation] = {"constant_norm_rescale": ConstantNorm(), "layer_norm": LayerNorm()}
_RANKED = ("topk", "abstopk")
_BATCHED = ("batchtopk", "matryoshka_batchtopk")
_TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
_ARCHITECTURES = ("standard", "gated", "jumprelu", *_RANKED, *_BATCHED, *_TRANSCODERS)
_OLD_NAMES = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load ``sae_weights.safetensors`` with the ``cfg.json`` beside it.

    Features follow `SAE.encode` of sae-lens 6.54. A config with a ``metadata`` object is read as version 6 writes it,
    a flat one as versions 2 to 5 did. An input factor that is not in the weights yet (``activation_scaler.json`` of
    training checkpoints, or ``norm_scaling_factor`` in the config) is folded into them. Batch-TopK training
    checkpoints get the threshold that they would have been saved with.
    """
    config = _read(file)
    about = _about(config)
    architecture = _architecture(config)
    transcodes = architecture in _TRANSCODERS
    d, F = config.integer("d_in"), config.integer("d_sae")
    d_out = config.integer("d_out", default=d) if transcodes else d
    k = _k(config, F) if architecture in _RANKED else 0
    batched = architecture in _BATCHED
    rescaled = architecture in (*_RANKED, *_BATCHED) and config.flag("rescale_acts_by_decoder_norm", default=batched)
    subtracted = config.flag("apply_b_dec_to_input", default=not transcodes)
    if subtracted and transcodes:
        raise config.unsupported("apply_b_dec_to_input", True, "false for a transcoder")
    normalisation, factor = _input(config, file.parent, transcodes)
    config.choice("reshape_activations", ("none", "hook_z"), default="none")  # heads are flat at every site here
    if "hook_head_index" in about:
        raise about.unsupported(
            "hook_head_index", about.integer("hook_head_index", minimum=0), "all heads, or no heads"
        )
    centred = about.section("model_from_pretrained_kwargs").flag("center_writing_weights", default=False)
    context_length, bos = about.optional_integer("context_size"), about.optional_flag("prepend_bos")
    place, place_out = site or site_of(file), _site(about, "_out") if transcodes else None

    weights = Weights(file)
    b_dec = weights.take("b_dec", (d_out,), "d_out" if transcodes else "d_in")
    w_enc = weights.take("W_enc", (d, F), "d_in, latents").T
    w_dec = weights.take("W_dec", (F, d_out), "latents, d_out" if transcodes else "latents, d_in")
    if factor is not None:
        w_enc, w_dec, b_dec = w_enc * factor, w_dec / factor, b_dec / factor
    nonlinearity: Nonlinearity
    if architecture == "gated":
        w_enc, b_enc, nonlinearity = _gated(weights, w_enc, F)
    else:
        b_enc = weights.take("b_enc", (F,), "latents")
        nonlinearity = _nonlinearity(weights, architecture, F, k, factor if rescaled else None)
    w_skip = weights.take("W_skip", (d_out, d), "d_out, d_in") if "skip" in architecture else None
    weights.take_ones("scaling_factor")
    weights.take_ones("finetuning_scaling_factor")
    weights.refuse_rest(f"architecture {architecture}")
    return SparseAutoencoder(
        format="saelens",
        site=place,
        site_out=place_out,
        context_length=context_length,
        bos=bos,
        centred=centred,
        activation=activation,
        promised_l0=_promised_l0(config, file, k, batched, F),
        files=CheckpointFiles(file, config.file, file.parent),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=b_dec if subtracted else None,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, nonlinearity),
        scale=w_dec.norm(dim=1) if rescaled else None,
        normalisation=normalisation,
        w_skip=w_skip,
    )


def _promised_l0(config: Config, file: Path, k: int, batched: bool, F: int) -> float | None:
    """Return k, or what the file beside the weights says: log10 of how often every feature fired in training."""
    if k:
        return float(k)
    if batched and "k" in config:
        return config.number("k")
    measured = file.with_name("sparsity.safetensors")
    if not measured.is_file():
        return None
    return float((10 ** Weights(measured).take("sparsity", (F,), "latents")).sum())


def site_of(file: Path) -> str | None:
    """Return the site of the hook that the config names, None when it names none."""
    return _site(_about(_read(file)), "")


def _site(about: Config, end: str) -> str | None:
    path = f"hf_hook_name{end}"  # where both are there, this one is right
    return named_site(about, path, paths=True) if path in about else named_site(about, f"hook_name{end}")


def _read(file: Path) -> Config:
    return Config.read(file.parent / "cfg.json").renamed(_OLD_NAMES)


def _about(config: Config) -> Config:
    """Return where the model, the hook and the context are written: version 6 has a section for them."""
    return config.section("metadata") if "metadata" in config else config


def _architecture(config: Config) -> str:
    architecture = config.choice("architecture", _ARCHITECTURES, default="standard")
    if "metadata" in config:
        return architecture
    ranked = "topk" if architecture == "topk" else "relu"
    function = config.choice("activation_fn", ("relu", "topk"), default=ranked)
    if function == "topk" and architecture in ("standard", "topk"):
        return "topk"
    if function != ranked:
        raise config.unsupported("activation_fn", function, f"one that goes with architecture {architecture}")
    return architecture


def _k(config: Config, F: int) -> int:
    kwargs = config.section("activation_fn_kwargs")
    source = kwargs if "k" in kwargs else config
    if (k := source.integer("k")) > F:
        raise ValueError(f"{source.name('k')} must be at most d_sae, {F}, got {k}")
    return k


def _input(config: Config, folder: Path, transcodes: bool) -> tuple[Normalisation | None, float | None]:
    """Return what is done to every token, and what all are multiplied by, where the weights do not hold it already.

    Raises
    ------
    ValueError
        If the input is normalised in another way, or by a factor that the checkpoint does not hold.
    """
    field = "normalize_activations"
    kind = config.choice(field, ("none", _FACTOR, *_NORMALISATIONS), default="none", flags=("none", _FACTOR))
    if kind == "none":
        return None, None
    if transcodes:
        raise config.unsupported(field, kind, "none for a transcoder")
    if kind in _NORMALISATIONS:
        return _NORMALISATIONS[kind], None
    scaler = folder / "activation_scaler.json"
    if scaler.is_file():
        held = Config.read(scaler)
        held.refuse_flag("has_whitening")
        return None, held.number("scaling_factor")
    if "norm_scaling_factor" in config:
        return None, config.number("norm_scaling_factor")
    raise config.unsupported(field, _FACTOR, f"none, or {scaler.name} beside it with the factor")


def _gated(weights: Weights, w_enc: Tensor, F: int) -> tuple[Tensor, Tensor, Nonlinearity]:
    r_mag, b_mag, b_gate = (weights.take(name, (F,), "latents") for name in ("r_mag", "b_mag", "b_gate"))
    return gated(w_enc, r_mag, b_mag, b_gate)


def _nonlinearity(weights: Weights, architecture: str, F: int, k: int, factor: float | None) -> Nonlinearity:
    if architecture in _BATCHED:
        threshold = weights.scalar("topk_threshold") / (factor or 1)  # in units of the decoder norms, where rescaled
        return one_threshold(threshold, F)
    if architecture == "topk":
        return TopK(k)
    if architecture == "abstopk":
        return AbsTopK(k)
    if "jumprelu" not in architecture:
        return ReLU()
    if "log_threshold" in weights:  # training checkpoints
        return JumpReLU(weights.take("log_threshold", (F,), "latents").exp())
    return JumpReLU(weights.take("threshold", (F,), "latents"))
