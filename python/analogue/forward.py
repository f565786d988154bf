"""Forward: run a model on token blocks as far as the wanted sites, and take what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .sites import Site, listed

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel


def site_outputs(
    model: PreTrainedModel,
    sites: Mapping[str, Site],
    ids: Tensor,
    attention: Tensor,
    kept: Tensor,
    take: Callable[[str, Tensor], Any] | None = None,
) -> dict[str, Any]:
    """Run a model on blocks until every site was reached; return each site's vectors, or what ``take`` makes of them.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    sites : mapping of str to Site
    ids, attention, kept : Tensor, shape (N, L)
        Token ids, where there are tokens, and whose vectors are wanted.
    take : callable, optional
        Given a site's name and its vectors at the kept tokens as soon as the model has them; what it does not keep is
        gone before the next site's are made.

    Returns
    -------
    dict of str to Tensor of float32, shape (kept tokens, d), or to what ``take`` gave

    Raises
    ------
    ValueError
        If a site does not give one vector a token, or the model never gets there.
    """
    import torch

    index = kept.flatten().nonzero().squeeze(1)
    found: dict[str, Any] = {}

    def hook(name: str, site: Site) -> Callable[..., None]:
        def read(_: Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any = None) -> None:
            hidden = _first_input(args, kwargs) if site.of_input else output
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            # OPT's MLP sees one long row of tokens.
            if not isinstance(hidden, torch.Tensor) or hidden.shape[:-1] not in (ids.shape, (ids.numel(),)):
                shape = tuple(hidden.shape) if isinstance(hidden, torch.Tensor) else type(hidden).__name__
                raise ValueError(f"{name} must give one vector for each of {tuple(ids.shape)} tokens, got {shape}")
            # The rows are a copy: Falcon adds attention to its MLP's output in place.
            chosen = hidden.reshape(ids.numel(), -1).index_select(0, index.to(hidden.device))
            rows = site.vectors(chosen)
            found[name] = rows if take is None else take(name, rows)
            if len(found) == len(sites):
                raise _SitesReached

        return read

    handles = [
        site.module.register_forward_pre_hook(hook(name, site), with_kwargs=True)
        if site.of_input
        else site.module.register_forward_hook(hook(name, site), with_kwargs=True)
        for name, site in sites.items()
    ]
    try:
        with _evaluation(model), torch.inference_mode():
            model(input_ids=ids, attention_mask=attention, use_cache=False)
    except _SitesReached:
        return {name: found[name] for name in sites}
    finally:
        for handle in handles:
            handle.remove()
    raise ValueError(f"the model never ran {listed([name for name in sites if name not in found])} on plain text")


def _first_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a module was called with: a block or an attention often gets its input by name."""
    return args[0] if args else kwargs.get("hidden_states", next(iter(kwargs.values()), None))


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
