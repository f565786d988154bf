"""Hook names: what other libraries call the places in a model, in the words of `sites`. No model is needed."""

from __future__ import annotations

import re

# TransformerLens, by what comes after `blocks.N.`. Its attention and MLP outputs are what is added to the residual
# stream: of Gemma 2 and 3 after the norms that follow, which the outputs of the modules themselves are not.
_IN_BLOCK = {
    "hook_resid_pre": "input",
    "hook_resid_mid": "middle",
    "hook_resid_post": "",
    "hook_attn_out": "attention.written",
    "hook_mlp_out": "mlp.written",
    "hook_mlp_in": "middle",
    "attn.hook_in": "attention.input",
    "attn.hook_z": "attention.heads",
    "mlp.hook_in": "mlp.input",
    "mlp.hook_post": "mlp.neurons",
    "ln1.hook_normalized": "attention.normalized",
    "ln2.hook_normalized": "mlp.normalized",
}
HOOKS = ("hook_embed", *(f"blocks.N.{name}" for name in _IN_BLOCK))

_WRAPPERS = r"(?:(?:model|transformer|gpt_neox|language_model|text_model|decoder|encoder|bert)\.)*"
_BLOCKS = re.compile(_WRAPPERS + r"(?:layers|h|layer|block)\.(\d+)(?:\.(.+))?")


def hook_site(name: str) -> str | None:
    """Return the site that another library's hook name means.

    Parameters
    ----------
    name : str
        A hook of TransformerLens, such as ``blocks.3.hook_resid_post``, or a module path of transformers that may end
        in ``.input`` or ``.output``, such as ``model.layers.3.self_attn.o_proj.input`` or ``transformer.h.3``.

    Returns
    -------
    str or None
        A name for `sites.find_site`, such as ``layers.3`` or ``layers.3.mlp.written``; None for a hook that has no
        site here, such as ``blocks.3.attn.hook_q``, and for what is neither a hook nor a path.

    Notes
    -----
    ``hook_mlp_in`` is the residual stream before the norm in TransformerLens, and is so here. SAELens writes it in the
    configs of the Gemma Scope 2 transcoders, which read after the norm: where a config also has ``hf_hook_name``, that
    one is right.
    """
    if name == "hook_embed":
        return "embed"
    if found := re.fullmatch(r"blocks\.(\d+)\.(.+)", name):
        inside = _IN_BLOCK.get(found[2])
        return None if inside is None else f"layers.{found[1]}.{inside}".removesuffix(".")
    if is_hook(name) or not re.fullmatch(r"\w+(\.\w+)*", name):
        return None
    path = name.removesuffix(".output")
    if found := _BLOCKS.fullmatch(path):
        return f"layers.{found[1]}" + (f".{found[2]}" if found[2] else "")
    bare = re.sub(f"^{_WRAPPERS}", "", path)
    return bare if bare != name else None


def is_hook(name: str) -> bool:
    """Say whether a name is TransformerLens's, known here or not."""
    return name.startswith("blocks.") or name.rpartition(".")[2].startswith("hook_")
