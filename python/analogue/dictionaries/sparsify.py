"""Checkpoints of EleutherAI's sparsify (``sae`` before 2025): sparse coders and transcoders."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from .autoencoder import SparseAutoencoder
from .checkpoint import CheckpointFiles, Config, fired
from .nonlinearities import AbsTopK, GroupMax, TopK
from .tensors import Weights

WEIGHTS, CONFIG = "sae.safetensors", "cfg.json"


def load(file: Path, site: str | None, activation: str) -> SparseAutoencoder:
    """Load ``sae.safetensors`` with the ``cfg.json`` beside it.

    Features follow `SparseCoder.encode` of eai-sparsify 1.3: the k largest of
    ``relu((x - b_dec) @ encoder.weight.T + encoder.bias)``, also for checkpoints trained with `multi_topk`, or the
    largest of each of k groups. Transcoders take ``x`` as it is: the input of the module whose output they
    reconstruct. Checkpoints of June to August 2024 may be `signed`: the k largest in magnitude, of either sign.
    """
    config = Config.read(file.parent / CONFIG)
    d = config.integer("d_in")
    F = config.integer("num_latents", minimum=0, default=0) or d * config.integer("expansion_factor")
    nonlinearity = _nonlinearity(config, F)
    transcodes = config.flag("transcode", default=False)
    skips = config.flag("skip_connection", default=False)
    context_length = _context_length(file.parent)

    weights = Weights(file)
    b_dec = weights.take("b_dec", (d,), "d_in")
    w_enc = weights.take("encoder.weight", (F, d), "latents, d_in")
    b_enc = weights.take("encoder.bias", (F,), "latents")
    w_dec = weights.take("W_dec", (F, d), "latents, d_in")
    w_skip = weights.take("W_skip", (d, d), "d_in, d_in") if skips else None
    weights.refuse_rest("a sparse coder without skip_connection" if not skips else "a sparse coder")
    return SparseAutoencoder(
        format="sparsify",
        site=site or site_of(file),
        site_out=_hookpoint(file) if transcodes else None,
        context_length=context_length,
        activation=activation,
        promised_l0=float(nonlinearity.groups if isinstance(nonlinearity, GroupMax) else nonlinearity.k),
        files=CheckpointFiles(file, config.file, file.parent),
        w_enc=w_enc,
        b_enc=b_enc,
        b_pre=None if transcodes else b_dec,
        w_dec=w_dec,
        b_dec=b_dec,
        nonlinearity=fired(activation, nonlinearity),
        w_skip=w_skip,
    )


def save(sae: SparseAutoencoder, folder: Path) -> None:
    """Write a TopK sparse coder in float32, whose features `load` gives back to the bit.

    Parameters
    ----------
    sae : SparseAutoencoder
        Of `training.train_topk`; its ``promised_l0`` is written as k, so that it may be of rectified pre-activations.
    folder : Path
        To be made; its name is the site's.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    named = {"encoder.weight": sae.w_enc, "encoder.bias": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    save_file({name: tensor.detach().cpu().float().contiguous() for name, tensor in named.items()}, folder / WEIGHTS)
    config = {"activation": "topk", "d_in": sae.d_in, "num_latents": sae.n_features, "k": round(sae.promised_l0 or 0)}
    config |= {"normalize_decoder": True, "multi_topk": False, "skip_connection": False, "transcode": False}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def site_of(file: Path) -> str | None:
    """Return the hookpoint, which is the folder's name, or the input of that module, for a transcoder."""
    hookpoint = _hookpoint(file)
    transcodes = Config.read(file.parent / CONFIG).flag("transcode", default=False)
    return f"{hookpoint}.input" if transcodes and hookpoint else hookpoint


def _hookpoint(file: Path) -> str | None:
    """Return the name of the folder (of its parent, when the folder is one of several seeds)."""
    parts = Path(os.path.abspath(file.parent)).parts
    return next((part for part in reversed(parts) if not re.fullmatch(r"seed\d+", part)), None)


def _nonlinearity(config: Config, F: int) -> TopK | AbsTopK | GroupMax:
    activation = config.choice("activation", ("topk", "groupmax"), default="topk")
    if (k := config.integer("k")) > F:
        raise ValueError(f"{config.name('k')} must be at most the number of latents, {F}, got {k}")
    if config.flag("signed", default=False):
        if activation != "topk":
            raise config.unsupported("activation", f"{activation} with signed", "topk")
        return AbsTopK(k)
    if activation == "topk":
        return TopK(k)
    if F % k:
        raise ValueError(f"{config.name('k')} must divide the number of latents, {F}, for groupmax, got {k}")
    return GroupMax(k)


def _context_length(folder: Path) -> int | None:
    """Return ``ctx_len`` of the training run, whose config may lie above the hook folder, its seed or ``best``."""
    for parent in list(Path(os.path.abspath(folder)).parents)[:3]:
        if (parent / "config.json").is_file():
            return Config.read(parent / "config.json").optional_integer("ctx_len")
    return None
