"""Dictionary: what turns the activations at one site of a model into features, and features back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_BLOCK_CELLS = 1 << 22  # 16 MB of pre-activations at a time: they are read again while still in cache

Codes = tuple["Tensor", "Tensor", "Tensor"]
"""Nonzero features of a block of tokens: entries a row, feature ids (increasing within a row), values."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dictionary(ABC):
    """Features at one site of a model: encode, decode, and where they came from.

    All arithmetic is float32, whatever the checkpoint's dtype and whatever autocast says.

    Attributes
    ----------
    format : str
        Checkpoint format: ``sparsify``, ``saelens``, or ``neurons``.
    w_dec : Tensor of float32, shape (F, d), or None
        Decoder rows, one a feature, as the checkpoint holds them; None when the features have none.
    site : str or None
        Module path of the site, such as ``layers.2``; None when the checkpoint does not say.
    context_length : int or None
        Tokens of context in training; None when the checkpoint does not say.
    activation : {"post", "pre"}
        Whether features are those after the nonlinearity, or rectified pre-activations.
    promised_l0 : float or None
        Features a token that the checkpoint promises: its k, or what was measured in training; None when it says
        nothing.
    path : Path or None
        The folder it was loaded from.
    sha256 : str or None
        SHA-256 of the weight file.
    """

    format: str
    w_dec: Tensor | None
    site: str | None = None
    context_length: int | None = None
    activation: str = "post"
    promised_l0: float | None = None
    path: Path | None = None
    sha256: str | None = None

    @property
    @abstractmethod
    def n_features(self) -> int:
        """F, the number of features."""

    @property
    @abstractmethod
    def d_in(self) -> int:
        """Width d of the site's activations."""

    @abstractmethod
    def _encode(self, x: Tensor) -> Tensor:
        """Return dense features of a float32 block."""

    @abstractmethod
    def _encode_sparse(self, x: Tensor) -> Codes:
        """Return the nonzero features of a float32 block."""

    @abstractmethod
    def _decode(self, features: Tensor) -> Tensor:
        """Return the reconstruction of a float32 block."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the tensors are, and where encoding takes place."""

    def encode(self, x: Tensor) -> Tensor:
        """Return dense features.

        Parameters
        ----------
        x : Tensor, shape (n, d)
            Activations at the site, a row a token, of any floating dtype and on any device.

        Returns
        -------
        Tensor of float32, shape (n, F)

        Raises
        ------
        TypeError, ValueError
            If ``x`` is no tensor, has another shape, or holds NaN or infinities.
        """
        with _exact(self.device):
            return self._encode(self._rows("x", x, self.d_in))

    def encode_sparse(self, x: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Return the nonzero features as CSR arrays, without the dense (n, F) matrix ever in memory.

        Parameters
        ----------
        x : Tensor, shape (n, d)
            As for `encode`.

        Returns
        -------
        indptr : ndarray of int64, shape (n + 1,)
        indices : ndarray of int32, shape (nnz,)
            Feature ids, increasing within a row.
        values : ndarray of float32, shape (nnz,)
            Activations, never zero.

        Raises
        ------
        TypeError, ValueError
            As for `encode`.
        """
        import torch

        with _exact(self.device):
            rows = self._rows("x", x, self.d_in)
            blocks = torch.split(rows, max(1, _BLOCK_CELLS // self.n_features))
            codes = [self._encode_sparse(block) for block in blocks]
            counts, ids, values = (torch.cat(parts).cpu().numpy() for parts in zip(*codes, strict=True))
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(counts, out=indptr[1:])
        return indptr, ids.astype(np.int32), values

    def decode(self, features: Tensor) -> Tensor:
        """Return the reconstruction of the site's activations.

        Parameters
        ----------
        features : Tensor, shape (n, F)
            Features as `encode` gives them.

        Returns
        -------
        Tensor of float32, shape (n, d)

        Raises
        ------
        TypeError, ValueError
            If ``features`` is no tensor, has another shape, or holds NaN or infinities.
        """
        with _exact(self.device):
            return self._decode(self._rows("features", features, self.n_features))

    def to(self, device: torch.device | str) -> Self:
        """Return the same dictionary with its tensors on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in values.items() if hasattr(value, "to")})

    def _rows(self, name: str, given: Any, width: int) -> Tensor:
        import torch

        if not isinstance(given, torch.Tensor):
            raise TypeError(f"{name} must be a torch tensor, got {type(given).__name__}")
        if given.ndim != 2 or given.shape[1] != width:
            raise ValueError(f"{name} must have shape (tokens, {width}), got {tuple(given.shape)}")
        rows = given.detach().to(self.device, torch.float32)
        if wrong := count_nonfinite(rows):
            raise ValueError(f"{name} must be finite, got {wrong} NaN or infinite values")
        return rows


def count_nonfinite(x: Tensor) -> int:
    """Return how many values are NaN or infinite."""
    if x.sum().isfinite():  # a finite sum has finite terms, and costs a tenth of looking at each
        return 0
    return int((~x.isfinite()).sum())


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """No gradients, and no autocast: a caller's bfloat16 region would change which features fire."""
    import torch

    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield
