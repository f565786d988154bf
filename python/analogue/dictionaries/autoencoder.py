"""SparseAutoencoder: one affine encoder, a nonlinearity that decides what fires, an affine decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .base import Dictionary
from .inputs import Normalisation
from .nonlinearities import Codes, Nonlinearity
from .nonlinearities import JumpReLU as JumpReLU
from .nonlinearities import ReLU as ReLU
from .nonlinearities import TopK as TopK

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class SparseAutoencoder(Dictionary):
    """An SAE or transcoder with an affine encoder and decoder; every checkpoint format is translated to this.

    With ``u = normalisation(x)`` and ``z = (u - b_pre) @ w_enc.T + b_enc``, features are ``nonlinearity(z * scale)``
    and the reconstruction is ``(features / scale) @ w_dec + b_dec``, with the normalisation undone and
    ``x @ w_skip.T`` added where there are such. A gated encoder is a JumpReLU whose thresholds are where its gates
    open (Rajamanoharan et al. 2024, section 3.2).

    Attributes
    ----------
    w_enc : Tensor of float32, shape (F, d)
        Encoder rows, one a feature.
    b_enc : Tensor of float32, shape (F,)
    b_pre : Tensor of float32, shape (d,), or None
        Subtracted from the activations before encoding.
    w_dec : Tensor of float32, shape (F, d_out)
    b_dec : Tensor of float32, shape (d_out,)
    nonlinearity : Nonlinearity
    scale : Tensor of float32, shape (F,), or None
        Decoder norms, where features are measured as if every decoder row had length 1.
    normalisation : Normalisation or None
        What is done to every token's activations first.
    w_skip : Tensor of float32, shape (d_out, d), or None
        A transcoder's path around its features.
    """

    w_dec: Tensor
    w_enc: Tensor
    b_enc: Tensor
    b_pre: Tensor | None
    b_dec: Tensor
    nonlinearity: Nonlinearity
    scale: Tensor | None = None
    normalisation: Normalisation | None = None
    w_skip: Tensor | None = None

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

    def _pre_activations(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        import torch

        given = x if self.normalisation is None else self.normalisation.apply(x)
        centred = given if self.b_pre is None else given - self.b_pre
        z = torch.addmm(self.b_enc, centred, self.w_enc.T, out=out)
        return z if self.scale is None else z.mul_(self.scale)

    def _encode(self, x: Tensor) -> Tensor:
        return self.nonlinearity.dense(self._pre_activations(x))

    def _encode_sparse(self, x: Tensor, out: Tensor) -> Codes:
        return self.nonlinearity.sparse(self._pre_activations(x, out))

    def _decode(self, features: Tensor, x: Tensor | None) -> Tensor:
        if self.scale is not None:
            features = features / self.scale.clamp(min=1e-30)  # a decoder row of length 0 never fires
        decoded = self.b_dec.addmm(features, self.w_dec)
        if x is not None and self.normalisation is not None:
            decoded = self.normalisation.undo(decoded, x)
        return decoded if x is None or self.w_skip is None else decoded.addmm_(x, self.w_skip.T)

    def _needs_input(self) -> str | None:
        if self.w_skip is not None:
            return "a skip connection adds to the reconstruction"
        return "the normalisation of the input must be undone" if self.normalisation is not None else None
