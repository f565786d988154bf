"""Inputs: how activations are normalised, token by token, before they are encoded, and reconstructions back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Normalisation(Protocol):
    """What is done to activations (n, d) before encoding, and undone to their reconstruction."""

    def apply(self, x: Tensor) -> Tensor:
        """Return normalised activations."""

    def undo(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """Return a reconstruction of normalised activations in the units of the activations ``x``."""


@dataclass(frozen=True)
class ConstantNorm:
    """Every token has length ``sqrt(d)``; a token of zeros stays zero."""

    def apply(self, x: Tensor) -> Tensor:
        """Return normalised activations."""
        return x * self._factor(x)

    def undo(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """Return a reconstruction of normalised activations in the units of the activations ``x``."""
        factor = self._factor(x)
        return (reconstruction / factor).masked_fill_(factor == 0, 0)

    def _factor(self, x: Tensor) -> Tensor:
        length: Tensor = x.norm(dim=1, keepdim=True)
        return length.reciprocal().mul_(x.shape[1] ** 0.5).masked_fill_(length == 0, 0)


@dataclass(frozen=True)
class LayerNorm:
    """Every token has mean 0 and standard deviation 1 (ddof 1, with 1e-5 added), as in OpenAI's autoencoders."""

    def apply(self, x: Tensor) -> Tensor:
        """Return normalised activations."""
        centred = x - x.mean(dim=1, keepdim=True)
        return centred / (centred.std(dim=1, keepdim=True) + 1e-5)

    def undo(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """Return a reconstruction of normalised activations in the units of the activations ``x``."""
        mean = x.mean(dim=1, keepdim=True)
        return reconstruction * (x - mean).std(dim=1, keepdim=True) + mean
