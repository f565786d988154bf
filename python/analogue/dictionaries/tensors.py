"""Tensor files: safetensors, PyTorch and NumPy, read without running anything that is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .base import count_nonfinite

if TYPE_CHECKING:
    from torch import Tensor


class Affine(NamedTuple):
    """An encoder and a decoder, as rows a feature."""

    w_enc: Tensor
    b_enc: Tensor
    w_dec: Tensor
    b_dec: Tensor


class Weights:
    """The tensors of a file; each is checked and made float32 when it is taken.

    Parameters
    ----------
    file : Path
        ``.safetensors``, ``.npz``, or a file of `torch.save` with a dict of tensors.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it cannot be read as what its name says.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._held = read_tensors(file)

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def names(self) -> list[str]:
        """Return what has not been taken yet, sorted."""
        return sorted(self._held)

    def length(self, name: str, axis: str) -> int:
        """Return the length of a vector: a width that no config gives."""
        tensor = self._tensor(name, f"one dimension ({axis})")
        if tensor.ndim != 1 or not len(tensor):
            raise ValueError(
                f"{self.file}: tensor {name} must have one dimension ({axis}) that is not 0, got {_shape(tensor)}"
            )
        return len(tensor)

    def take(self, name: str, shape: tuple[int, ...], axes: str) -> Tensor:
        """Return a tensor in float32; ``axes`` says in words what its shape is.

        Raises
        ------
        ValueError
            If it is missing, of another shape, not floating point, or holds NaN or infinities.
        """
        import torch

        tensor = self._tensor(name, f"shape {shape} ({axes})")
        if tuple(tensor.shape) != shape:
            transposed = " (transposed)" if len(shape) == 2 and tuple(tensor.shape) == shape[::-1] else ""
            raise ValueError(
                f"{self.file}: tensor {name} must have shape {shape} ({axes}), got {_shape(tensor)}{transposed}"
            )
        if not tensor.is_floating_point() or tensor.layout != torch.strided:
            raise ValueError(f"{self.file}: tensor {name} must be floating point, got {tensor.dtype}")
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise ValueError(f"{self.file}: tensor {name} must hold every value of its shape, got a view that repeats")
        del self._held[name]
        single = tensor.to(torch.float32)
        if wrong := count_nonfinite(single):
            raise ValueError(f"{self.file}: tensor {name} must be finite, got {wrong} NaN or infinite values")
        return single

    def affine(
        self, names: tuple[str, str, str, str], *, encoder: str, decoder: str, widths: tuple[int, int] | None = None
    ) -> Affine:
        """Return encoder and decoder, whose widths are those of their biases where no config gives them.

        Parameters
        ----------
        names : tuple of str
            Of the encoder's weights and bias, and the decoder's.
        encoder, decoder : {"rows", "columns"}
            Whether the rows of the matrix in the file, or its columns, are features.
        widths : tuple of int, optional
            F and d, as the config has them.
        """
        F, d = widths or (self.length(names[1], "latents"), self.length(names[3], "d"))
        ways = {"rows": ((F, d), "latents, d"), "columns": ((d, F), "d, latents")}
        b_enc, b_dec = self.take(names[1], (F,), "latents"), self.take(names[3], (d,), "d")
        w_enc, w_dec = self.take(names[0], *ways[encoder]), self.take(names[2], *ways[decoder])
        w_enc = w_enc if encoder == "rows" else w_enc.T
        return Affine(w_enc, b_enc, w_dec if decoder == "rows" else w_dec.T.contiguous(), b_dec)

    def scalar(self, name: str) -> float:
        """Return a tensor of no dimension, or of one value, as a number."""
        shape = self._tensor(name, "shape () (one number)").shape
        return float(self.take(name, (1,) if tuple(shape) == (1,) else (), "one number"))

    def integer(self, name: str) -> int:
        """Return a positive integer that is kept among the tensors, as a tensor or as it is."""
        import torch

        value = self._held.pop(name, None)
        if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex() and not value.is_meta:
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 1:
            raise ValueError(f"{self.file}: {name} must be a positive integer, got {value!r:.60}")
        return int(value)

    def rename(self, old: str, new: str) -> None:
        """Call a tensor by another name, where that name is free."""
        if old in self and new not in self:
            self._held[new] = self._held.pop(old)

    def pop(self, name: str) -> Any:
        """Return what is kept under a name, whatever it is; None when nothing is."""
        return self._held.pop(name, None)

    def take_ones(self, name: str) -> None:
        """Accept a scaling tensor that scales nothing, refuse any other by name."""
        if name in self and not bool((self._tensor(name, "") == 1).all()):
            raise ValueError(f"{self.file}: tensor {name} is not all ones, which is not supported; wanted it folded in")
        self._held.pop(name, None)

    def refuse_rest(self, kind: str) -> None:
        """Refuse tensors that nobody took: a checkpoint that needs them is not what its config says."""
        if self._held:
            names = ", ".join(self.names())
            raise ValueError(f"{self.file}: {kind} has no tensor {names}; the config and the weights do not fit")

    def _tensor(self, name: str, wanted: str) -> Tensor:
        import torch

        if name not in self._held:
            held = ", ".join(self.names()) or "none"
            raise ValueError(f"{self.file}: tensor {name} of {wanted} is missing; the file holds {held}")
        tensor = self._held[name]
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{self.file}: {name} must be a tensor, got {tensor!r:.60}")
        return tensor


def read_tensors(file: Path) -> dict[str, Any]:
    """Return what a file holds by name: tensors, and the numbers and texts that PyTorch files may hold beside them.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it cannot be read; pickles with anything but tensors in them are not run.
    """
    kind, read = _READERS.get(file.suffix, _TORCH)
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    try:
        held = read(file)
    except Exception as error:  # each parser raises its own on a malformed file, and others besides
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{file} must be a whole {kind} file, got one that cannot be read: {reason:.200}") from None
    if not isinstance(held, dict) or not all(isinstance(name, str) for name in held):
        raise ValueError(f"{file} must hold tensors by name, got {type(held).__name__}")
    return held


def _read_safetensors(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(file))


def _read_numpy(file: Path) -> dict[str, Any]:
    import zipfile

    import torch
    from numpy.lib.format import read_array

    def read(archive: zipfile.ZipFile, name: str) -> Tensor:
        with archive.open(name) as member:
            return torch.from_numpy(read_array(member, allow_pickle=False))

    with zipfile.ZipFile(file) as archive:
        return {name.removesuffix(".npy"): read(archive, name) for name in archive.namelist()}


def _read_torch(file: Path) -> Any:
    import pickle
    import zipfile

    import torch

    try:  # a file of torch.save is a zip archive since PyTorch 1.6, and need not be read whole
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise ValueError(f"it holds more than tensors, which is never run{_what_it_holds(error)}") from None


def _what_it_holds(error: Exception) -> str:
    """Return what torch says about the object it would not load, without its advice to load it all the same."""
    lines = [line.strip() for line in str(error).splitlines()]
    found = [line for line in lines if "WeightsUnpickler error" in line or "unsupported" in line.lower()]
    return f" ({found[0][:120]})" if found else ""


_TORCH = ("PyTorch", _read_torch)
_READERS = {".safetensors": ("safetensors", _read_safetensors), ".npz": ("NumPy", _read_numpy)}


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
