"""SparseAutoencoder: one affine encoder, a nonlinearity that decides what fires, an affine decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from .base import Codes, Dictionary

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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


@dataclass(frozen=True)
class TopK:
    """The ``k`` largest of a row, as far as they are positive, else 0 (Gao et al. 2024, section 2.3)."""

    k: int

    def dense(self, z: Tensor) -> Tensor:
        """Return dense features, shape (n, F)."""
        values, ids = z.topk(self.k, sorted=False)
        return z.zero_().scatter_(1, ids, values.relu_())

    def sparse(self, z: Tensor) -> Codes:
        """Return the nonzero features."""
        values, ids = z.topk(self.k, sorted=False)
        ids, order = ids.sort(dim=1)
        values = values.gather(1, order)
        fires = values > 0
        return fires.sum(dim=1), ids[fires], values[fires]


def nonzeros(z: Tensor, fires: Tensor) -> Codes:
    """Return the entries of ``z`` where ``fires`` is true."""
    rows, ids = fires.nonzero(as_tuple=True)
    return rows.bincount(minlength=len(z)), ids, z[rows, ids]


@dataclass(frozen=True, eq=False, kw_only=True)
class SparseAutoencoder(Dictionary):
    """An SAE with an affine encoder and decoder; every checkpoint format is translated to this.

    With ``z = (x - b_pre) @ w_enc.T + b_enc``, features are ``nonlinearity(z * scale)`` and the reconstruction is
    ``(features / scale) @ w_dec + b_dec``.

    Attributes
    ----------
    w_enc : Tensor of float32, shape (F, d)
        Encoder rows, one a feature.
    b_enc : Tensor of float32, shape (F,)
    b_pre : Tensor of float32, shape (d,), or None
        Subtracted from the activations before encoding.
    b_dec : Tensor of float32, shape (d,)
    nonlinearity : Nonlinearity
    scale : Tensor of float32, shape (F,), or None
        Decoder norms, where features are measured as if every decoder row had length 1.
    """

    w_dec: Tensor
    w_enc: Tensor
    b_enc: Tensor
    b_pre: Tensor | None
    b_dec: Tensor
    nonlinearity: Nonlinearity
    scale: Tensor | None = None

    @property
    def n_features(self) -> int:
        """F, the number of features."""
        return self.w_enc.shape[0]

    @property
    def d_in(self) -> int:
        """Width d of the site's activations."""
        return self.w_enc.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the tensors are, and where encoding takes place."""
        return self.w_enc.device

    def fold_thresholds(self) -> SparseAutoencoder:
        """Return the same autoencoder in the gauge where every threshold is 1.

        Encoder rows and biases are divided by the thresholds and decoder rows multiplied by them, so features come
        out divided by their threshold and reconstructions stay (SAE Match; Balagansky et al. 2025). Decoder
        norms that features are measured by (``scale``) are folded in too. What is left in the rows is how far a
        feature moves the activations at the moment it fires, on one scale for all features and dictionaries.

        Raises
        ------
        ValueError
            If the nonlinearity is no JumpReLU, or a threshold is not positive.
        """
        if not isinstance(self.nonlinearity, JumpReLU):
            kind = type(self.nonlinearity).__name__
            raise ValueError(f"fold_thresholds needs a threshold for every feature (JumpReLU), got {kind}")
        threshold = self.nonlinearity.threshold
        if wrong := int((threshold <= 0).sum()):
            raise ValueError(f"fold_thresholds needs positive thresholds, got {wrong} that are not")
        gain = threshold.reciprocal() if self.scale is None else self.scale / threshold
        return replace(
            self,
            w_enc=self.w_enc * gain[:, None],
            b_enc=self.b_enc * gain,
            w_dec=self.w_dec / gain.clamp(min=1e-30)[:, None],  # a decoder row of length 0 stays so
            nonlinearity=JumpReLU(threshold.new_ones(threshold.shape)),
            scale=None,
        )

    def _pre_activations(self, x: Tensor) -> Tensor:
        centred = x if self.b_pre is None else x - self.b_pre
        z = self.b_enc.addmm(centred, self.w_enc.T)
        return z if self.scale is None else z.mul_(self.scale)

    def _encode(self, x: Tensor) -> Tensor:
        return self.nonlinearity.dense(self._pre_activations(x))

    def _encode_sparse(self, x: Tensor) -> Codes:
        return self.nonlinearity.sparse(self._pre_activations(x))

    def _decode(self, features: Tensor) -> Tensor:
        if self.scale is not None:
            features = features / self.scale.clamp(min=1e-30)  # a decoder row of length 0 never fires
        return self.b_dec.addmm(features, self.w_dec)
