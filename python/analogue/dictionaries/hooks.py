"""Hooks: TransformerLens' names, and module paths of Hugging Face models, as sites."""

from __future__ import annotations

import re

# {} is the block. What a hook is in the usual block, and in one of Gemma 2 or 3, whose attention and MLP end in a norm.
_SITES = {
    "hook_resid_post": "layers.{}",
    "hook_resid_mid": "layers.{}.middle",
    "hook_mlp_in": "layers.{}.middle",
    "hook_mlp_out": "layers.{}.mlp",
    "hook_attn_out": "layers.{}.attention",
    "attn.hook_z": "layers.{}.attention.heads",
    "mlp.hook_in": "layers.{}.mlp.input",
    "mlp.hook_post": "layers.{}.mlp.neurons",
}
_NORMED = {
    "hook_mlp_out": "layers.{}.post_feedforward_layernorm",
    "hook_attn_out": "layers.{}.post_attention_layernorm",
}


def hook_site(hook: str, model: str = "") -> str | None:
    """Return the site of a hook of TransformerLens, None where it is no module's input or output.

    Parameters
    ----------
    hook : str
        Such as ``blocks.3.hook_resid_post``.
    model : str
        The model's name, where it is known: in Gemma 2 and 3 a norm stands between the MLP and what the hook sees.
    """
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)", hook)
    if found is None:
        return None
    block, kind = int(found[1]), found[2]
    if kind == "hook_resid_pre":  # the same tensor as the output of the block before
        return f"layers.{block - 1}" if block else "layers.0.input"
    sites = _SITES | _NORMED if re.search(r"gemma-?[23](?!\w)", model.lower()) else _SITES
    return sites[kind].format(block) if kind in sites else None


def module_site(path: str) -> str:
    """Return the site of a module path, which may begin with the model's own prefix and end in ``.output``."""
    inside = re.sub(r"^(model|transformer|gpt_neox)\.((language_model|decoder)\.(?=layers\.))?", "", path)
    return inside.removesuffix(".output").replace(".self_attn.o_proj.input", ".attention.heads")
