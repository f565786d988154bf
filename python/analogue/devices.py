"""Devices: weights that accelerate keeps elsewhere, and allocations that fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module

# What RuntimeErrors say that are no torch.OutOfMemoryError: the CPU's allocator, cuBLAS and cuDNN, the driver.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "ALLOC_FAILED", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that memory was asked for and not had, on the CPU or a GPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def release_cached_memory() -> None:
    """Give back what torch holds of a GPU's memory without using it."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def input_device(model: Module) -> torch.device:
    """Return where a model wants its token ids: where its first weights are that are in memory."""
    import torch

    return next((weights.device for weights in model.parameters() if not weights.is_meta), torch.device("cpu"))


def in_memory(module: Module) -> AbstractContextManager[None]:
    """Return a context in which a module's own weights are in memory, though accelerate keeps them elsewhere."""
    if not hasattr(module, "_hf_hook"):
        return nullcontext()
    from accelerate.utils import align_module_device, has_offloaded_params

    offloaded: AbstractContextManager[None] = align_module_device(module, "cpu")
    return offloaded if has_offloaded_params(module) else nullcontext()


def weights_in_memory(model: Module) -> Iterator[tuple[str, Tensor]]:
    """Yield every entry of ``state_dict`` with its name; an offloaded one is in memory until the next is asked for."""
    for path, module in model.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        with in_memory(module):
            buffers = {k: v for k, v in module._buffers.items() if k not in module._non_persistent_buffers_set}
            for name, weights in (module._parameters | buffers).items():
                if weights is not None:
                    yield prefix + name, weights.detach()
