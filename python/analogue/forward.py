"""Forward: run a model on token blocks as far as the wanted sites, and take what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .sites import listed, reads_input

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel


def site_outputs(
    model: PreTrainedModel, modules: Mapping[str, Module], ids: Tensor, attention: Tensor, kept: Tensor
) -> dict[str, Tensor]:
    """Run the model on blocks (N, L) until all modules have given their output; return its kept rows, in float32."""
    import torch

    found: dict[str, Tensor] = {}

    def hook(site: str) -> Callable[..., None]:
        def take(*seen: Any) -> None:
            hidden = seen[-1]  # a forward hook sees module, inputs, output; a pre-hook module, inputs
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            if isinstance(hidden, torch.Tensor) and hidden.shape[:-1] == (ids.numel(),):
                hidden = hidden.view(*ids.shape, -1)  # OPT's MLP sees one long row of tokens
            if not isinstance(hidden, torch.Tensor) or hidden.shape[:-1] != ids.shape:
                shape = tuple(hidden.shape) if isinstance(hidden, torch.Tensor) else type(hidden).__name__
                raise ValueError(f"{site} must give one vector for each of {tuple(ids.shape)} tokens, got {shape}")
            found[site] = hidden[kept.to(hidden.device)].float()
            if len(found) == len(modules):
                raise _SitesReached

        return take

    handles = [
        module.register_forward_pre_hook(hook(site)) if reads_input(site) else module.register_forward_hook(hook(site))
        for site, module in modules.items()
    ]
    try:
        with _evaluation(model), torch.inference_mode():
            model(input_ids=ids, attention_mask=attention, use_cache=False)
    except _SitesReached:
        return found
    finally:
        for handle in handles:
            handle.remove()
    raise ValueError(f"the model never ran {listed([site for site in modules if site not in found])} on plain text")


class _SitesReached(Exception):  # noqa: N818
    """Every wanted output is there: the rest of the forward pass is not needed."""


@contextmanager
def _evaluation(model: PreTrainedModel) -> Iterator[None]:
    """Put every module in evaluation mode, and back as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
