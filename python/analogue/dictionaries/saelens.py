"""Checkpoints of SAELens, before and after version 6: standard, TopK and JumpReLU."""

from __future__ import annotations

import re
from pathlib import Path

from ..files import sha256
from .autoencoder import JumpReLU, Nonlinearity, ReLU, SparseAutoencoder, TopK
from .checkpoint import Config, Weights, fired

WEIGHTS = "sae_weights.safetensors"

_ARCHITECTURES = ("standard", "topk", "jumprelu")
_OLD_NAMES = {"hook_point": "hook_name", "activation_fn_str": "activation_fn"}


def load(folder: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load one folder: ``cfg.json`` and ``sae_weights.safetensors``.

    Features follow `SAE.encode` of sae-lens 6.54. A config with a ``metadata`` object is read as version 6 writes it,
    a flat one as versions 2 to 5 did. An input factor left in ``activation_scaler.json`` is folded into the weights.

    Parameters
    ----------
    folder : Path
    site : str or None
        The site, where the caller knows better than the config.
    activation : {"post", "pre"}

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        One sentence naming the file, the field or tensor, what came and what is wanted.
    """
    config = _read(folder)
    about = _about(config)
    architecture = _architecture(config)
    d, F = config.integer("d_in"), config.integer("d_sae")
    k = _k(config, F) if architecture == "topk" else None
    rescaled = architecture == "topk" and config.flag("rescale_acts_by_decoder_norm", default=False)
    subtracted = config.flag("apply_b_dec_to_input", default=True)
    context_length = about.optional_integer("context_size")
    factor = _input_factor(config, folder)
    _refuse_other_inputs(config, about)
    place = site or site_of(folder)

    weights = Weights(folder / WEIGHTS)
    b_dec = weights.take("b_dec", (d,), "d_in")
    w_enc = weights.take("W_enc", (d, F), "d_in, latents").T
    b_enc = weights.take("b_enc", (F,), "latents")
    w_dec = weights.take("W_dec", (F, d), "latents, d_in")
    nonlinearity = TopK(k) if k is not None else _elementwise(weights, architecture, F)
    weights.take_ones("scaling_factor")
    weights.take_ones("finetuning_scaling_factor")
    weights.refuse_rest(f"architecture {architecture}")
    if factor is not None:
        w_enc, w_dec, b_dec = w_enc * factor, w_dec / factor, b_dec / factor
    return SparseAutoencoder(
        format="saelens",
        site=place,
        context_length=context_length,
        activation=activation,
        path=folder,
        sha256=sha256(weights.file),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=b_dec if subtracted else None,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, nonlinearity),
        scale=w_dec.norm(dim=1) if rescaled else None,
    )


def site_of(folder: Path) -> str | None:
    """Return the module path of the hook that the config names, None when it names none.

    Raises
    ------
    ValueError
        If the hook is no output of a block, of an MLP or of attention.
    """
    about = _about(_read(folder))
    if (path := about.optional_text("hf_hook_name")) is not None:
        if path.endswith(".input"):
            raise about.unsupported("hf_hook_name", path, "the output of a module")
        return re.sub(r"^(model|transformer|gpt_neox)\.|\.output$", "", path)
    if (hook := about.optional_text("hook_name")) is None:
        return None
    wanted = "blocks.N.hook_resid_post, hook_resid_pre (N >= 1), hook_mlp_out or hook_attn_out"
    found = re.fullmatch(r"blocks\.(\d+)\.hook_(resid_pre|resid_post|mlp_out|attn_out)", hook)
    if found is None:
        raise about.unsupported("hook_name", hook, wanted)
    block, kind = int(found[1]), found[2]
    if kind == "resid_pre":  # the same tensor as the output of the block before
        if block == 0:
            raise about.unsupported("hook_name", f"{hook} (the embedding)", wanted)
        return f"layers.{block - 1}"
    return f"layers.{block}" + {"resid_post": "", "mlp_out": ".mlp", "attn_out": ".attention"}[kind]


def _read(folder: Path) -> Config:
    return Config.read(folder / "cfg.json").renamed(_OLD_NAMES)


def _about(config: Config) -> Config:
    """Return where the model, the hook and the context are written: version 6 has a section for them."""
    return config.section("metadata") if "metadata" in config else config


def _architecture(config: Config) -> str:
    architecture = config.choice("architecture", _ARCHITECTURES, default="standard")
    if "metadata" in config:
        return architecture
    function = config.choice("activation_fn", ("relu", "topk"), default="topk" if architecture == "topk" else "relu")
    if (architecture, function) in (("jumprelu", "topk"), ("topk", "relu")):
        raise config.unsupported("activation_fn", function, f"one that goes with architecture {architecture}")
    return "topk" if function == "topk" else architecture


def _k(config: Config, F: int) -> int:
    kwargs = config.section("activation_fn_kwargs")
    source = kwargs if "k" in kwargs else config
    if (k := source.integer("k")) > F:
        raise ValueError(f"{source.name('k')} must be at most d_sae, {F}, got {k}")
    return k


def _input_factor(config: Config, folder: Path) -> float | None:
    """Return what activations are multiplied by before they are encoded, None when the weights hold it already.

    Raises
    ------
    ValueError
        If the input is normalised in another way, or by a factor that the checkpoint does not hold.
    """
    field, factor = "normalize_activations", "expected_average_only_in"
    if config.choice(field, ("none", factor), default="none", flags=("none", factor)) == "none":
        return None
    scaler = folder / "activation_scaler.json"
    if not scaler.is_file():
        raise config.unsupported(field, factor, f"none, or {scaler.name} beside it with the factor")
    return Config.read(scaler).number("scaling_factor")


def _refuse_other_inputs(config: Config, about: Config) -> None:
    """Refuse inputs that are not the site's plain activations: split heads, or a residual stream made mean-free."""
    hook = about.text("hook_name", "")
    config.choice("reshape_activations", ("none",), default="hook_z" if "hook_z" in hook else "none")
    about.section("model_from_pretrained_kwargs").refuse_flag("center_writing_weights")


def _elementwise(weights: Weights, architecture: str, F: int) -> Nonlinearity:
    if architecture == "standard":
        return ReLU()
    if "log_threshold" in weights:  # training checkpoints
        return JumpReLU(weights.take("log_threshold", (F,), "latents").exp())
    return JumpReLU(weights.take("threshold", (F,), "latents"))
