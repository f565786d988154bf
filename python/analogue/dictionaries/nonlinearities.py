"""Nonlinearities: what decides which features fire, given their pre-activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Codes = tuple["Tensor", "Tensor", "Tensor"]
"""Nonzero features of a block of tokens: entries a row, feature ids (increasing within a row), values."""


class Nonlinearity(Protocol):
    """What turns pre-activations (n, F) into features; both methods may overwrite their argument."""

    def dense(self, z: Tensor) -> Tensor:
        """Return dense features, shape (n, F)."""

    def sparse(self, z: Tensor) -> Codes:
        """Return the nonzero features."""


@dataclass(frozen=True)
class ReLU:
    """``max(z, 0)``."""

    def dense(self, z: Tensor) -> Tensor:
        """Return dense features, shape (n, F)."""
        return z.relu_()

    def sparse(self, z: Tensor) -> Codes:
        """Return the nonzero features."""
        return nonzeros(z, z > 0)


@dataclass(frozen=True, eq=False)
class JumpReLU:
    """``z`` where it is positive and above its feature's threshold, else 0 (Rajamanoharan et al. 2024, eq. 4)."""

    threshold: Tensor  # (F,)

    def dense(self, z: Tensor) -> Tensor:
        """Return dense features, shape (n, F)."""
        return z.masked_fill_(z <= self.threshold, 0).relu_()

    def sparse(self, z: Tensor) -> Codes:
        """Return the nonzero features."""
        return nonzeros(z, z > self.threshold.clamp(min=0))

    def to(self, device: torch.device | str) -> JumpReLU:
        """Return the same nonlinearity on another device."""
        return JumpReLU(self.threshold.to(device))


@dataclass(frozen=True, eq=False)
class TopK:
    """The ``k`` largest of a row, as far as they are positive, else 0 (Gao et al. 2024, section 2.3).

    Attributes
    ----------
    k : int
    weights : Tensor of float32, shape (F,), optional
        Positive; the largest of ``z * weights`` are chosen, and ``z`` is what they give.
    """

    k: int
    weights: Tensor | None = None

    def dense(self, z: Tensor) -> Tensor:
        """Return dense features, shape (n, F)."""
        ids = self._largest(z)
        values = z.gather(1, ids)
        return z.zero_().scatter_(1, ids, values.relu_())

    def sparse(self, z: Tensor) -> Codes:
        """Return the nonzero features."""
        ids = self._largest(z).sort(dim=1).values
        return _chosen(ids, z.gather(1, ids).relu_())

    def to(self, device: torch.device | str) -> TopK:
        """Return the same nonlinearity on another device."""
        return self if self.weights is None else TopK(self.k, self.weights.to(device))

    def _largest(self, z: Tensor) -> Tensor:
        ranked = z if self.weights is None else z * self.weights
        return ranked.topk(self.k, sorted=False).indices


@dataclass(frozen=True)
class AbsTopK:
    """The ``k`` of a row that are largest in magnitude, of either sign, else 0."""

    k: int

    def dense(self, z: Tensor) -> Tensor:
        """Return dense features, shape (n, F)."""
        ids = z.abs().topk(self.k, sorted=False).indices
        values = z.gather(1, ids)
        return z.zero_().scatter_(1, ids, values)

    def sparse(self, z: Tensor) -> Codes:
        """Return the nonzero features."""
        ids = z.abs().topk(self.k, sorted=False).indices.sort(dim=1).values
        return _chosen(ids, z.gather(1, ids))


@dataclass(frozen=True)
class GroupMax:
    """The largest of each of ``groups`` runs of F / groups features, as far as it is positive, else 0."""

    groups: int

    def dense(self, z: Tensor) -> Tensor:
        """Return dense features, shape (n, F)."""
        ids, values = self._largest(z)
        return z.zero_().scatter_(1, ids, values)

    def sparse(self, z: Tensor) -> Codes:
        """Return the nonzero features."""
        return _chosen(*self._largest(z))

    def _largest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        values, ids = z.relu_().view(len(z), self.groups, -1).max(dim=2)
        return ids + torch.arange(0, z.shape[1], z.shape[1] // self.groups, device=z.device), values


def one_threshold(threshold: float, F: int) -> JumpReLU:
    """Return the JumpReLU whose ``F`` thresholds are one."""
    import torch

    return JumpReLU(torch.full((F,), threshold))


def gated(w_enc: Tensor, r_mag: Tensor, b_mag: Tensor, b_gate: Tensor) -> tuple[Tensor, Tensor, JumpReLU]:
    """Return a gated encoder as a plain one: rows and biases of its magnitudes, and where its gates open.

    ``relu(exp(r_mag) * u + b_mag)`` where ``u + b_gate > 0``, with ``u = w_enc @ x``, is a JumpReLU of the magnitude at
    the threshold ``b_mag - exp(r_mag) * b_gate`` (Rajamanoharan et al. 2024, Gated SAEs, section 3.2).
    """
    gain = r_mag.exp()
    return w_enc * gain[:, None], b_mag, JumpReLU(b_mag - gain * b_gate)


def nonzeros(z: Tensor, fires: Tensor) -> Codes:
    """Return the entries of ``z`` where ``fires`` is true."""
    import numpy as np
    import torch

    n, F = z.shape
    on_cpu = z.device.type == "cpu"  # there NumPy's is several times as fast
    flat = torch.from_numpy(np.flatnonzero(fires.numpy())) if on_cpu else fires.reshape(-1).nonzero().squeeze(1)
    borders = torch.arange(0, (n + 1) * F, F, device=z.device)
    return torch.searchsorted(flat, borders).diff(), flat % F, z.reshape(-1)[flat]


def _chosen(ids: Tensor, values: Tensor) -> Codes:
    """Return the entries that are not zero among some of each row, whose ids increase."""
    fires = values != 0
    return fires.sum(dim=1), ids[fires], values[fires]
