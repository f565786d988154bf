"""The plain-neurons dictionary: a site's own activations as features, for comparisons without an SAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import _checks
from .base import Dictionary, count_nonfinite
from .nonlinearities import Codes, nonzeros

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Neurons(Dictionary):
    """Features that are the activations themselves: F = d, dense, of either sign.

    Attributes
    ----------
    width : int
        d.
    """

    width: int

    @property
    def n_features(self) -> int:
        """F, the number of features."""
        return self.width

    @property
    def d_in(self) -> int:
        """Width d of the site's activations."""
        return self.width

    @property
    def device(self) -> torch.device:
        """Where encoding takes place: the decoder rows' device, else the CPU."""
        import torch

        return torch.device("cpu") if self.w_dec is None else self.w_dec.device

    def _encode(self, x: Tensor) -> Tensor:
        return x

    def _encode_sparse(self, x: Tensor, out: Tensor) -> Codes:  # noqa: ARG002
        return nonzeros(x, x != 0)

    def _decode(self, features: Tensor, x: Tensor | None) -> Tensor:  # noqa: ARG002
        return features


def neurons(d: int, site: str, w_dec: Tensor | None = None) -> Neurons:
    """Return the dictionary whose features are the ``d`` activations of a site.

    Parameters
    ----------
    d : int
        Width of the site.
    site : str
        Module path of the site, such as ``layers.2``.
    w_dec : Tensor, shape (d, width of the residual stream), optional
        What each neuron writes: the rows of the output projection, for neurons inside an MLP. Residual streams and
        the outputs of attention and MLPs have none.

    Raises
    ------
    TypeError, ValueError
        If ``d`` is no positive integer, or ``w_dec`` is no finite tensor of ``d`` rows.
    """
    import torch

    width = _checks.integer("d", d, minimum=1)
    if w_dec is not None:
        if not isinstance(w_dec, torch.Tensor):
            raise TypeError(f"w_dec must be a torch tensor, got {type(w_dec).__name__}")
        if w_dec.ndim != 2 or len(w_dec) != width:
            raise ValueError(f"w_dec must have one row for each of the {width} neurons, got shape {tuple(w_dec.shape)}")
        w_dec = w_dec.detach().float()
        if wrong := count_nonfinite(w_dec):
            raise ValueError(f"w_dec must be finite, got {wrong} NaN or infinite values")
    return Neurons(format="neurons", w_dec=w_dec, site=site, width=width)
