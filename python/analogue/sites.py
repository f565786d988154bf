"""Sites: the places in a model where features are read, by name, and how each is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .devices import in_memory
from .hooks import HOOKS, hook_site, is_hook
from .layouts import INPUTS, LAYOUTS, OUTPUTS, PROJECTIONS, Layout

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

_LISTED = 12
# Below a block, in the order of the forward pass; "" is the block's output.
_NAMES = (
    "",
    "input",
    *("attention." + name for name in ("normalized", "input", "heads")),
    *("attention", "attention.written", "middle"),
    *("mlp." + name for name in ("normalized", "input", "neurons")),
    *("mlp", "mlp.written"),
)


@dataclass(frozen=True, eq=False)
class Site:
    """A place in a model: the output of a module, or its input.

    Attributes
    ----------
    module : torch.nn.Module
        The module that is watched.
    of_input : bool
        Whether the site is its first input rather than its (first) output.
    gain, bias : Tensor of float32, shape (d,), or None
        What a norm multiplies by and then adds, both to be taken back; None leaves the tensor as it is.
    """

    module: Module
    of_input: bool = False
    gain: Tensor | None = None
    bias: Tensor | None = None

    def vectors(self, rows: Tensor) -> Tensor:
        """Return the site's vectors in float32, from rows (n, d) of what its module takes or gives."""
        rows = rows.float()
        if self.bias is not None:
            rows = rows - self.bias.to(rows.device)
        return rows if self.gain is None else rows / self.gain.to(rows.device)


def available_sites(model: PreTrainedModel) -> list[str]:
    """Return the sites of a Hugging Face model that have a name of ours.

    ``layers.N`` is the output of block N: the residual stream after it (``hidden_states[N + 1]``; of the last block,
    before the final norm). ``layers.N.input`` is the stream before it, ``layers.N.middle`` the stream and what
    attention added. Of the ``attention`` of a block, and likewise of its ``mlp``:

    - ``layers.N.attention``: its output, before any norm that follows and before it is added to the stream.
    - ``layers.N.attention.written``: what is added to the stream; another tensor where a norm follows (Gemma 2, 3).
    - ``layers.N.attention.input``: its input, after the norm in front.
    - ``layers.N.attention.normalized``: the same without the norm's gain and bias.
    - ``layers.N.attention.heads``: the concatenated heads, which the output projection reads.
    - ``layers.N.mlp.neurons``: the neurons after the nonlinearity (and the gate), which the output projection reads.

    ``embed`` is the embedding of the tokens as it enters the residual stream (of Gemma: scaled), without positions.

    Besides these, a site may be named by TransformerLens's name (see `hooks.hook_site`), and any module is a site by
    its path: under its block, in ``base_model``, or in the model, such as ``layers.N.post_feedforward_layernorm`` or
    ``embed_in``. Its output is meant; ``.input`` behind the path means its first input.

    Raises
    ------
    TypeError
        If the model is not one of transformers, or an encoder with its decoder.
    """
    blocks = _blocks(model)
    names = ["embed"] if isinstance(_embedding(model, blocks), Site) else []
    for number, block in enumerate(blocks):
        there = (name for name in _NAMES if isinstance(_in_block(model, block, name), Site))
        names += [f"layers.{number}.{name}".removesuffix(".") for name in there]
    return names


def find_site(model: PreTrainedModel, name: str) -> Site:
    """Return the site of a name; see `available_sites` for the names.

    Raises
    ------
    TypeError
        If the model is not one of transformers, or an encoder with its decoder, or the name is no string.
    ValueError
        If it has no such site: the sentence gives the reason, or lists those there are.
    """
    blocks = _blocks(model)
    path = site_name(model, name)
    found: Site | str | None
    named = re.fullmatch(r"layers\.(\d+)(?:\.(.+))?", path)
    if path == "embed":
        found = _embedding(model, blocks)
    elif named and int(named[1]) < len(blocks):
        found = _in_block(model, blocks[int(named[1])], named[2] or "")
    else:
        found = _by_path(path, model.base_model, model)
    if isinstance(found, Site):
        return found
    if found is not None:
        raise ValueError(f"the model has no site {name!r}: {found}")
    there = listed(available_sites(model)) or "no list of blocks that could be told from others"
    raise ValueError(f"the model has no site {name!r}; it has {there}, and its modules by their paths")


def site_name(model: PreTrainedModel, name: str) -> str:
    """Return our name for a site that is named by ours, by TransformerLens's or by a module path.

    Raises
    ------
    TypeError, ValueError
        If it is no string, or a hook that has no site in this model.
    """
    if not isinstance(name, str):
        raise TypeError(f"a site must be a name such as layers.3, got {name!r}")
    if not is_hook(name):
        return name
    if (site := hook_site(name)) is None:
        raise ValueError(f"the hook {name!r} has no site here; those that have one are {', '.join(HOOKS)}")
    layout, config = _layout(model)
    if layout is not None and layout.post_norm(config) and re.search(r"hook_(embed|resid_(mid|post)|mlp_in)$", name):
        # TransformerLens's own classes for BERT disagree on which side of the norms these stand.
        raise ValueError(
            f"the hook {name!r} is ambiguous where norms stand behind the sums, as in this {config.model_type} model; "
            "take layers.N, the output of a block after its last norm, layers.N.middle, or a module by its path"
        )
    return site


def neuron_directions(model: PreTrainedModel, site: str) -> Tensor | None:
    """Return what each neuron of an MLP, or each dimension of its heads, writes: the rows of the output projection.

    They are rows of the very module whose input the site is. In Gemma 2 and 3 a norm follows before the residual
    stream; it is not in them.

    Returns
    -------
    Tensor, shape (neurons, width of the residual stream), or None
        None for every other site: nothing in the model says what one dimension of a residual stream writes.
    """
    from transformers.pytorch_utils import Conv1D

    found = find_site(model, site)
    projections = (_first(block, paths) for block in _blocks(model) for paths in PROJECTIONS.values())
    if not found.of_input or not any(found.module is module for module in projections):
        return None
    with in_memory(found.module):
        weight: Any = found.module.weight
        rows: Tensor = weight if isinstance(found.module, Conv1D) else weight.T  # Conv1D (GPT-2) holds (in, out)
        return rows.detach().clone()


def listed(sites: Sequence[str]) -> str:
    """Return the sites as one phrase, cut short when there are many."""
    more = len(sites) - _LISTED
    return ", ".join(sites[:_LISTED]) + (f" and {more} more up to {sites[-1]}" if more > 0 else "")


def check_model(model: Any) -> None:
    """Say so when a model is not one of transformers, or reads with an encoder and writes with a decoder."""
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"model must be a model of transformers, got {type(model).__name__}")
    if model.config.is_encoder_decoder and hasattr(model.base_model, "decoder"):
        raise TypeError(f"model must be an encoder or a decoder alone, got {type(model).__name__}; take get_encoder()")


def _in_block(model: PreTrainedModel, block: Module, name: str) -> Site | str | None:
    """Return the site below a block, a sentence's end saying why there is none, or None when nothing is called so."""
    part, _, kind = name.partition(".")
    if name in ("", "output", "input"):
        return Site(block, of_input=name == "input")
    if name in OUTPUTS:
        return _module(block, OUTPUTS[name])
    if part in INPUTS and kind == "input":
        return _module(block, INPUTS[part], of_input=True)
    if name in PROJECTIONS:
        return _module(block, PROJECTIONS[name], of_input=True)
    if name != "middle" and (part not in OUTPUTS or kind not in ("written", "normalized")):
        return _by_path(name, block)
    layout, config = _layout(model)
    if layout is None:
        return f"how the blocks of {config.model_type} are put together is not known here; name a module by its path"
    if name == "middle":
        return _middle(block, layout, config)
    if kind == "written":
        return _module(block, (layout.norms_of_output or {}).get(part) or OUTPUTS[part])
    if layout.post_norm(config):
        return f"{config.model_type} has its norms behind the sums, none in front of the {part}"
    norm = _first(block, layout.norms.get(part, ()))
    return (
        f"a block of this {config.model_type} has no norm for the {part} alone"
        if norm is None
        else _plain(norm, layout)
    )


def _middle(block: Module, layout: Layout, config: Any) -> Site | str | None:
    if layout.parallel(config):
        return (
            f"attention and MLP of this {config.model_type} read the same residual stream (its blocks are parallel), "
            "so there is no stream between them"
        )
    return _module(block, layout.norms["attention" if layout.post_norm(config) else "mlp"], of_input=True)


def _plain(norm: Module, layout: Layout) -> Site | str:
    """Return the output of a norm with its gain and bias taken back."""
    with in_memory(norm):
        gain, bias = (
            None if (values := getattr(norm, name, None)) is None else values.detach().float().clone()
            for name in ("weight", "bias")
        )
    if gain is not None and layout.gain_less_one:
        gain = 1 + gain
    if gain is not None and (dead := int((gain == 0).sum())):
        return f"the norm's gain is zero at {dead} of {len(gain)} dimensions and cannot be taken back"
    return Site(norm, gain=gain, bias=bias)


def _embedding(model: PreTrainedModel, blocks: Sequence[Module]) -> Site | str | None:
    layout, config = _layout(model)
    if layout is None:
        return f"what {config.model_type} adds to the embedding is not known here; name the module by its path"
    if layout.embedding is None:
        return Site(blocks[0], of_input=True) if blocks else None
    return _module(model.base_model, layout.embedding)


def _layout(model: PreTrainedModel) -> tuple[Layout | None, Any]:
    config = model.config.get_text_config()
    return LAYOUTS.get(config.model_type), config


def _blocks(model: PreTrainedModel) -> list[Module]:
    """Return the blocks: the only ModuleList of ``num_hidden_layers`` modules that is not inside another such.

    Of a model that sees as well, its language model's.
    """
    from torch.nn import ModuleList

    check_model(model)
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = {
        name: module
        for name, module in getattr(model.base_model, "language_model", model.base_model).named_modules()
        if isinstance(module, ModuleList) and len(module) == depth
    }
    outer = [module for name, module in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
    return list(outer[0]) if len(outer) == 1 else []


def _module(root: Module, paths: str | Sequence[str], *, of_input: bool = False) -> Site | None:
    module = _first(root, paths)
    return None if module is None else Site(module, of_input)


def _by_path(path: str, *roots: Module) -> Site | None:
    for of_input, bare in ((False, path), (False, path.removesuffix(".output")), (True, path.removesuffix(".input"))):
        for root in roots:
            if (not of_input or bare != path) and (module := _first(root, bare)) is not None:
                return Site(module, of_input)
    return None


def _first(root: Any, paths: str | Sequence[str]) -> Module | None:
    """Return the first module that is there."""
    for path in (paths,) if isinstance(paths, str) else paths:
        try:
            if path:
                module: Module = root.get_submodule(path)
                return module
        except AttributeError:
            pass
    return None
