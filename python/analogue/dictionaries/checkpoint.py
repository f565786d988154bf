"""What every checkpoint format shares: a config read field by field, and where a dictionary came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from .. import _checks
from ..files import read_json, sha256
from ..hooks import hook_site, is_hook
from .nonlinearities import Nonlinearity, ReLU

T = TypeVar("T")

_LARGEST = 3.4028234663852886e38  # of float32, in which everything is computed


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a dictionary, hashed when somebody asks: hashing takes longer than loading.

    Attributes
    ----------
    weights : Path
    config : Path or None
        None for formats that have no config.
    path : Path
        The folder, or the weight file where a folder holds several dictionaries.
    """

    weights: Path
    config: Path | None
    path: Path
    _states: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_states", self._now())

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weight file.

        Raises
        ------
        ValueError
            If the file is another than the one that was loaded.
        """
        return self._hash(self.weights)

    @cached_property
    def config_sha256(self) -> str | None:
        """SHA-256 of the config, None where there is none; raises as `sha256` does."""
        return None if self.config is None else self._hash(self.config)

    def _hash(self, file: Path) -> str:
        if self._now() != self._states:
            raise ValueError(f"{self.path} has changed since it was loaded; load it again")
        return sha256(file)

    def _now(self) -> tuple[tuple[int, int], ...]:
        states = [file.stat() for file in (self.weights, self.config) if file is not None]
        return tuple((state.st_size, state.st_mtime_ns) for state in states)


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

    def optional_flag(self, field: str) -> bool | None:
        """Return true or false, or None when the field is absent."""
        return self.flag(field, default=False) if field in self else None

    def number(self, field: str) -> float:
        """Return a positive finite number."""
        value = self._get(field, None, "a number")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST:
            raise ValueError(f"{self.name(field)} must be a positive number, got {_shown(value)}")
        return float(value)

    def choice(
        self, field: str, allowed: tuple[str, ...], *, default: str | None = None, flags: tuple[str, str] | None = None
    ) -> str:
        """Return one of the allowed strings and refuse others by name; ``flags``: what false and true stand for."""
        value = self._get(field, default, " or ".join(allowed))
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


def fired(activation: str, nonlinearity: Nonlinearity) -> Nonlinearity:
    """Return the nonlinearity of ``activation="post"``, or the rectification of ``"pre"``."""
    return nonlinearity if activation == "post" else ReLU()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def named_site(config: Config, field: str, *, paths: bool = False) -> str | None:
    """Return the site of the hook that a field names, None when the field is absent.

    Parameters
    ----------
    paths : bool
        Whether it may also be a module path.

    Raises
    ------
    ValueError
        If it is neither, or a hook that has no site.
    """
    if (name := config.optional_text(field)) is None:
        return None
    place = hook_site(name)
    if place is None and paths and not is_hook(name) and re.fullmatch(r"\w+(\.\w+)*", name):
        place = name
    if place is None or not (paths or is_hook(name)):
        wanted = "a hook at a block, its MLP or its attention, such as blocks.N.hook_resid_post"
        raise config.unsupported(field, name, f"{wanted}, or a module's path" if paths else wanted)
    before = re.fullmatch(r"layers\.(\d+)\.input", place)  # the same tensor as the output of the block before
    return f"layers.{int(before[1]) - 1}" if before and int(before[1]) else place


def number_in(pattern: str, path: Path, wanted: str) -> int:
    """Return the number that a pattern finds in the nearest part of a path that has it.

    Raises
    ------
    ValueError
        If no part of the path has it; ``wanted`` says what it stands for and how it is written.
    """
    for part in reversed(path.absolute().parts):
        if found := re.search(pattern, part):
            return int(found[1])
    raise ValueError(f"{path}: the path must name {wanted}")
