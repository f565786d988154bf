"""Sites: the places in a model where features are read, by name, and the modules whose output they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

# What writes the attention's and the MLP's share of the residual stream, by path inside a block; the first that a block
# has is taken. Where the module called so adds the residual stream itself (BERT, BLOOM), it is the projection inside.
_PARTS = {
    "attention": ("attention.output.dense", "self_attention.dense", "attention", "self_attn", "attn"),
    "mlp": ("mlp.dense_4h_to_h", "mlp", "output.dense", "ffn", "fc2"),
}
# What reads the MLP's neurons and writes to the residual stream.
_NEURONS = "mlp.neurons"
_PROJECTIONS = ("mlp.dense_4h_to_h", "mlp.down_proj", "mlp.c_proj", "mlp.fc_out", "output.dense", "fc2")
_LISTED = 12


def available_sites(model: PreTrainedModel) -> list[str]:
    """Return the sites of a Hugging Face model that have a name of ours.

    ``layers.N`` is the output of block N: the residual stream after it (``hidden_states[N + 1]``; of the last block,
    before the final norm). ``layers.N.attention`` and ``layers.N.mlp`` are the outputs of its attention and its MLP,
    before any norm that follows and before they are added to the residual stream. ``layers.N.mlp.neurons`` are the
    MLP's neurons after the nonlinearity (and the gate): the input of its output projection. Any other module, such as
    ``layers.N.post_feedforward_layernorm`` or ``embed_in``, is a site by its path: under its block, in ``base_model``,
    or in the model.

    Raises
    ------
    TypeError
        If the model is not one of transformers.
    """
    sites = []
    for number, block in enumerate(_blocks(model)):
        parts = [part for part in (*_PARTS, _NEURONS) if _inside(block, part) is not None]
        sites += [f"layers.{number}", *(f"layers.{number}.{part}" for part in parts)]
    return sites


def find_module(model: PreTrainedModel, site: str) -> Module:
    """Return the module whose output a site is (of neurons: whose input); see `available_sites` for the names.

    Raises
    ------
    TypeError
        If the model is not one of transformers.
    ValueError
        If it has no such site; the sentence lists those there are.
    """
    blocks = _blocks(model)
    if not isinstance(site, str):
        raise TypeError(f"a site must be a name such as layers.3, got {site!r}")
    named = re.fullmatch(r"layers\.(\d+)(?:\.(.+))?", site)
    if named and int(named[1]) < len(blocks):
        module = _inside(blocks[int(named[1])], named[2])
    else:
        module = _submodule(model.base_model, site) or _submodule(model, site)
    if module is None:
        there = listed(available_sites(model)) or "no list of blocks that could be told from others"
        raise ValueError(f"the model has no site {site!r}; it has {there}, and its modules by their paths")
    return module


def reads_input(site: str) -> bool:
    """Say whether a site is the input of its module, as the neurons of an MLP are."""
    return site.endswith(f".{_NEURONS}")


def neuron_directions(model: PreTrainedModel, site: str) -> Tensor | None:
    """Return what each neuron of an MLP writes: the rows of its output projection.

    Returns
    -------
    Tensor, shape (neurons, width of the residual stream), or None
        None for every other site.
    """
    from transformers.pytorch_utils import Conv1D

    if not reads_input(site):
        return None
    projection: Any = find_module(model, site)
    weight: Tensor = projection.weight
    return weight if isinstance(projection, Conv1D) else weight.T  # Conv1D (GPT-2) holds (in, out), Linear (out, in)


def listed(sites: Sequence[str]) -> str:
    """Return the sites as one phrase, cut short when there are many."""
    more = len(sites) - _LISTED
    return ", ".join(sites[:_LISTED]) + (f" and {more} more up to {sites[-1]}" if more > 0 else "")


def check_model(model: Any) -> None:
    """Say so when a model is not one of transformers."""
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"model must be a model of transformers, got {type(model).__name__}")


def _blocks(model: PreTrainedModel) -> list[Module]:
    """Return the blocks: the only ModuleList of ``num_hidden_layers`` modules that is not inside another such."""
    from torch.nn import ModuleList

    check_model(model)
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = {
        name: module
        for name, module in model.base_model.named_modules()
        if isinstance(module, ModuleList) and len(module) == depth
    }
    outer = [module for name, module in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
    return list(outer[0]) if len(outer) == 1 else []


def _inside(block: Module, path: str | None) -> Module | None:
    if path is None:
        return block
    paths = _PROJECTIONS if path == _NEURONS else _PARTS.get(path, (path,))
    return next((module for path in paths if (module := _submodule(block, path)) is not None), None)


def _submodule(root: Any, path: str) -> Module | None:
    try:
        return root.get_submodule(path) if path else None
    except AttributeError:
        return None
