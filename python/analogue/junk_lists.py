"""Junk lists: which tokens carry no concept, as sets and presets in data/junk.toml, and sets in files of the user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from .junk_files import TEXTS, read_set

DEFAULT = "default"
_FILE = ".toml"


@dataclass(frozen=True)
class JunkSet:
    """One kind of junk: tokens that are compared without white space at their ends, and ``exact`` ones as they stand.

    Attributes
    ----------
    name : str
    characters : frozenset of str
        A token of these only is junk.
    categories : frozenset of str
        Unicode's general categories ("Po") or their first letters ("P"), whose characters count as ``characters``.
    tokens : frozenset of str
    exact : frozenset of str
    blank : bool
        Whether a token of white space only is junk.
    """

    name: str
    characters: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    tokens: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()
    blank: bool = False

    def has(self, character: str) -> bool:
        """Say whether a character is one of those that a token of them only is junk by."""
        kind = category(character)
        return character in self.characters or kind in self.categories or kind[0] in self.categories


@dataclass(frozen=True)
class JunkList:
    """Sets of junk taken together; `load_junk` makes one of the sets and presets that are shipped.

    Attributes
    ----------
    name : str
        Stands in the name of a stage, unless it is "default".
    sets : tuple of JunkSet
    white_space : tuple of str
        Printed forms of white space, such as a backslash and an n, which are stripped like white space.
    keep : frozenset of str
        Characters that are junk in no set: a token of these only is no junk, nor one of these and other characters,
        unless a set lists it whole.
    """

    name: str
    sets: tuple[JunkSet, ...]
    white_space: tuple[str, ...] = ()
    keep: frozenset[str] = frozenset()

    def keeping(self, characters: str) -> JunkList:
        """Return the list with characters that are junk in no set; its name says so."""
        if not characters:
            return self
        return replace(self, name=f"{self.name} keeping {characters}", keep=self.keep | frozenset(characters))

    def kind(self, token: str) -> str | None:
        """Return the set that a token is junk by, several joined by "+" where it mixes their characters; else None."""
        stripped = _ends(self.white_space).sub("", token)
        if stripped and self.keep.issuperset(stripped):
            return None
        for junk in self.sets:
            if token in junk.exact:
                return junk.name
        for junk in self.sets:
            if stripped in junk.tokens or (junk.blank and not stripped):
                return junk.name
        found: set[str] = set()
        for character in set(stripped):
            of = {junk.name for junk in self.sets if junk.has(character)}
            if not of or character in self.keep:
                return None
            found |= of
        return "+".join(junk.name for junk in self.sets if junk.name in found) or None

    def kinds(self, tokens: Iterable[str]) -> list[str | None]:
        """Return the kind of every token; each different one is looked at once."""
        listed = list(tokens)
        kinds = {token: self.kind(token) for token in set(listed)}
        return [kinds[token] for token in listed]

    def flags(self, tokens: Iterable[str]) -> NDArray[np.bool_]:
        """Say of every token whether it is junk."""
        return np.array([kind is not None for kind in self.kinds(tokens)], dtype=bool)

    def to_dict(self) -> dict[str, Any]:
        """Return name, sets, white space and kept characters as plain JSON values."""
        sets = [
            {"name": junk.name, "blank": junk.blank, **{key: sorted(getattr(junk, key)) for key in TEXTS}}
            for junk in self.sets
        ]
        return {"name": self.name, "sets": sets, "white_space": list(self.white_space), "keep": sorted(self.keep)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Read back what `to_dict` returned."""
        sets = tuple(_set(parts["name"], parts) for parts in saved["sets"])
        return cls(saved["name"], sets, tuple(saved["white_space"]), frozenset(saved["keep"]))


def load_junk(names: str = DEFAULT) -> JunkList:
    """Load presets and sets of data/junk.toml, and own files, several with commas between: "default,my-junk.toml".

    Presets are "default" (blanks, punctuation, special tokens) and "wide" (with brackets, slashes, colons, quotes and
    symbols); sets are these, "unicode-punctuation" and "unicode-symbols" (all characters of Unicode's categories P
    and S), and the lists of the original notebooks, "original-13" among them, which are compared as they were: nothing
    stripped. A name that ends in .toml is a file that holds one set: any of ``characters`` (a string), ``categories``,
    ``tokens``, ``exact`` (lists of strings) and ``blank`` (true or false), see `JunkSet`.

    Raises
    ------
    ValueError
        If there is no preset or set of that name, or a file is no TOML or holds something else: file and line are said.
    FileNotFoundError
        If there is no such file.
    """
    if not isinstance(names, str):
        raise TypeError(f"preset must be names with commas between, or a JunkList, got {type(names).__name__}")
    data = _data()
    wanted: dict[str, JunkSet] = {}
    listed = [part.strip() for part in names.split(",")]
    for name in listed:
        if name.endswith(_FILE):
            wanted[name] = _set(Path(name).stem, read_set(Path(name)))
            continue
        if name not in data["presets"] and name not in data["sets"]:
            known = ", ".join(dict.fromkeys([*data["presets"], *data["sets"]]))
            raise ValueError(
                f"preset must be one of {known}, a .toml file, or several with commas between, got {name!r}"
            )
        for member in data["presets"].get(name, [name]):
            wanted[member] = _set(member, data["sets"][member])
    short = ",".join(Path(name).name if name.endswith(_FILE) else name for name in listed)
    return JunkList(short, tuple(wanted.values()), tuple(data["white_space"]))


def named_junk(preset: str | JunkList) -> str | JunkList:
    """Check a preset, and return its names where the package knows what they stand for, else the list of own files."""
    found = as_junk_list(preset)
    own = not isinstance(preset, str) or any(name.strip().endswith(_FILE) for name in preset.split(","))
    return found if own else preset


def is_junk(token: str, preset: str | JunkList = DEFAULT) -> bool:
    """Say whether a token carries no concept: by default blank, line break, punctuation or a special token."""
    return as_junk_list(preset).kind(token) is not None


def as_junk_list(preset: str | JunkList) -> JunkList:
    """Return a list as it is, and names as what they stand for."""
    return preset if isinstance(preset, JunkList) else load_junk(preset)


def _set(name: str, parts: Mapping[str, Any]) -> JunkSet:
    texts = {key: frozenset(parts.get(key, ())) for key in TEXTS}
    return JunkSet(name, **texts, blank=parts.get("blank", False))


@cache
def _data() -> dict[str, Any]:
    import tomllib
    from importlib import resources

    return tomllib.loads((resources.files("analogue") / "data" / "junk.toml").read_text(encoding="utf-8"))


@cache
def _ends(white_space: tuple[str, ...]) -> re.Pattern[str]:
    forms = "|".join([r"\s", *map(re.escape, white_space)])
    return re.compile(rf"\A(?:{forms})+|(?:{forms})+\Z")
