"""What every checkpoint format shares: a config read field by field, and tensors checked as they are taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _checks
from ..files import read_json
from .autoencoder import Nonlinearity, ReLU
from .base import count_nonfinite

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class Config:
    """A JSON object; every field is checked when it is read, and an error names the file and the field.

    Fields that nobody reads are ignored. ``null`` is the same as absent.
    """

    def __init__(self, file: Path, content: Any, place: str = "", written: Mapping[str, str] | None = None) -> None:
        if not isinstance(content, dict):
            raise TypeError(f"{file}{place and ': '}{place} must be a JSON object, got {_shown(content)}")
        self.file, self._content, self._place, self._written = file, content, place, written or {}

    @classmethod
    def read(cls, file: Path) -> Config:
        """Read a JSON file."""
        return cls(file, read_json(file))

    def name(self, field: str) -> str:
        """Return file and field as they stand in an error."""
        return f"{self.file}: {self._inside(self._written.get(field, field))}"

    def __contains__(self, field: str) -> bool:
        return self._content.get(field) is not None

    def renamed(self, names: Mapping[str, str]) -> Config:
        """Return the same object with old field names (the keys) read as new ones, where the new one is absent."""
        old = {new: name for name, new in names.items() if name in self and new not in self}
        content = self._content | {new: self._content[name] for new, name in old.items()}
        return Config(self.file, content, self._place, old)

    def section(self, field: str) -> Config:
        """Return an object inside this one; an absent one is empty."""
        return Config(self.file, self._content[field] if field in self else {}, self._inside(field))

    def integer(self, field: str, *, minimum: int = 1, default: int | None = None) -> int:
        """Return an integer; without a default the field must be there."""
        return _checks.integer(self.name(field), self._get(field, default, "an integer"), minimum=minimum)

    def flag(self, field: str, *, default: bool) -> bool:
        """Return true or false."""
        return self._typed(field, default, bool, "true or false")

    def text(self, field: str, default: str) -> str:
        """Return a string."""
        return self._typed(field, default, str, "a string")

    def optional_text(self, field: str) -> str | None:
        """Return a string, or None when the field is absent."""
        return self.text(field, "") if field in self else None

    def optional_integer(self, field: str) -> int | None:
        """Return a positive integer, or None when the field is absent."""
        return self.integer(field) if field in self else None

    def number(self, field: str) -> float:
        """Return a positive finite number."""
        value = self._get(field, None, "a number")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ValueError(f"{self.name(field)} must be a positive number, got {_shown(value)}")
        return float(value)

    def choice(
        self, field: str, allowed: tuple[str, ...], *, default: str, flags: tuple[str, str] | None = None
    ) -> str:
        """Return one of the allowed strings and refuse others by name; ``flags``: what false and true stand for."""
        value = self._get(field, default, "")
        if flags is not None and isinstance(value, bool):
            value = flags[value]
        if value not in allowed:
            raise self.unsupported(field, value, " or ".join(allowed))
        return str(value)

    def refuse_flag(self, field: str) -> None:
        """Refuse a flag that is set: what it asks for is not computed here."""
        if self.flag(field, default=False):
            raise self.unsupported(field, True, "false")

    def unsupported(self, field: str, value: Any, wanted: str) -> ValueError:
        """Return the error that refuses a value by name."""
        return ValueError(f"{self.name(field)} is {_shown(value)}, which is not supported; wanted {wanted}")

    def _inside(self, field: str) -> str:
        return f"{self._place}.{field}" if self._place else field

    def _get(self, field: str, default: T | None, wanted: str) -> Any:
        if field in self:
            return self._content[field]
        if default is None:
            raise ValueError(f"{self.name(field)} is missing; wanted {wanted}")
        return default

    def _typed(self, field: str, default: T, kind: type[T], wanted: str) -> T:
        value = self._get(field, default, wanted)
        if not isinstance(value, kind):
            raise TypeError(f"{self.name(field)} must be {wanted}, got {_shown(value)}")
        return value


class Weights:
    """The tensors of a safetensors file; each is checked and made float32 when it is taken."""

    def __init__(self, file: Path) -> None:
        import safetensors
        from safetensors.torch import load_file

        self.file = file
        try:
            self._tensors: dict[str, Tensor] = load_file(file)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{file} must be a whole safetensors file, got one that cannot be read: {error}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def take(self, name: str, shape: tuple[int, ...], axes: str) -> Tensor:
        """Return a tensor in float32; ``axes`` says in words what its shape is.

        Raises
        ------
        ValueError
            If it is missing, of another shape, not floating point, or holds NaN or infinities.
        """
        import torch

        if name not in self._tensors:
            held = ", ".join(sorted(self._tensors)) or "none"
            raise ValueError(f"{self.file}: tensor {name} of shape {shape} ({axes}) is missing; the file holds {held}")
        tensor = self._tensors.pop(name)
        if tuple(tensor.shape) != shape:
            transposed = " (transposed)" if tuple(tensor.shape) == shape[::-1] else ""
            raise ValueError(
                f"{self.file}: tensor {name} must have shape {shape} ({axes}), got {tuple(tensor.shape)}{transposed}"
            )
        if not tensor.is_floating_point():
            raise ValueError(f"{self.file}: tensor {name} must be floating point, got {tensor.dtype}")
        single = tensor.to(torch.float32)
        if wrong := count_nonfinite(single):
            raise ValueError(f"{self.file}: tensor {name} must be finite, got {wrong} NaN or infinite values")
        return single

    def take_ones(self, name: str) -> None:
        """Accept a scaling tensor that scales nothing, refuse any other by name."""
        scaling = self._tensors.pop(name, None)
        if scaling is not None and not bool((scaling == 1).all()):
            raise ValueError(f"{self.file}: tensor {name} is not all ones, which is not supported; wanted it folded in")

    def refuse_rest(self, kind: str) -> None:
        """Refuse tensors that nobody took: a checkpoint that needs them is not what its config says."""
        if self._tensors:
            names = ", ".join(sorted(self._tensors))
            raise ValueError(f"{self.file}: {kind} has no tensor {names}; the config and the weights do not fit")


def fired(activation: str, nonlinearity: Nonlinearity) -> Nonlinearity:
    """Return the nonlinearity of ``activation="post"``, or the rectification of ``"pre"``."""
    return nonlinearity if activation == "post" else ReLU()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
