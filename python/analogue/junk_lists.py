"""Junk lists: which tokens carry no concept, as sets and presets in data/junk.toml."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT = "default"


@dataclass(frozen=True)
class JunkSet:
    """One kind of junk: tokens that are compared without white space at their ends, and ``exact`` ones as they stand.

    Attributes
    ----------
    name : str
    characters : frozenset of str
        A token of these only is junk.
    tokens : frozenset of str
    exact : frozenset of str
    blank : bool
        Whether a token of white space only is junk.
    """

    name: str
    characters: frozenset[str] = frozenset()
    tokens: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()
    blank: bool = False


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
    """

    name: str
    sets: tuple[JunkSet, ...]
    white_space: tuple[str, ...] = ()

    def kind(self, token: str) -> str | None:
        """Return the set that a token is junk by, several joined by "+" where it mixes their characters; else None."""
        for junk in self.sets:
            if token in junk.exact:
                return junk.name
        stripped = _ends(self.white_space).sub("", token)
        for junk in self.sets:
            if stripped in junk.tokens or (junk.blank and not stripped):
                return junk.name
        mixed = [junk.name for junk in self.sets if not junk.characters.isdisjoint(stripped)]
        known = frozenset[str]().union(*(junk.characters for junk in self.sets))
        return "+".join(mixed) if stripped and known.issuperset(stripped) else None

    def kinds(self, tokens: Iterable[str]) -> list[str | None]:
        """Return the kind of every token; each different one is looked at once."""
        listed = list(tokens)
        kinds = {token: self.kind(token) for token in set(listed)}
        return [kinds[token] for token in listed]

    def flags(self, tokens: Iterable[str]) -> NDArray[np.bool_]:
        """Say of every token whether it is junk."""
        return np.array([kind is not None for kind in self.kinds(tokens)], dtype=bool)


def load_junk(names: str = DEFAULT) -> JunkList:
    """Load presets and sets of data/junk.toml, several with commas between: "default,brackets,quotes".

    Presets are "default" (blanks, punctuation, special tokens) and "wide" (with brackets, slashes, colons, quotes and
    symbols); sets are these and the lists of the original notebooks, "original-13" among them, which are compared as
    they were: nothing stripped.

    Raises
    ------
    ValueError
        If there is no preset or set of that name.
    """
    if not isinstance(names, str):
        raise TypeError(f"preset must be names with commas between, or a JunkList, got {type(names).__name__}")
    return _load(names)


def is_junk(token: str, preset: str | JunkList = DEFAULT) -> bool:
    """Say whether a token carries no concept: by default blank, line break, punctuation or a special token."""
    return as_junk_list(preset).kind(token) is not None


def as_junk_list(preset: str | JunkList) -> JunkList:
    """Return a list as it is, and names as what they stand for."""
    return preset if isinstance(preset, JunkList) else load_junk(preset)


@cache
def _load(names: str) -> JunkList:
    data = _data()
    wanted: dict[str, JunkSet] = {}
    for name in (part.strip() for part in names.split(",")):
        if name not in data["presets"] and name not in data["sets"]:
            known = ", ".join(dict.fromkeys([*data["presets"], *data["sets"]]))
            raise ValueError(f"preset must be one of {known}, or several with commas between, got {name!r}")
        for member in data["presets"].get(name, [name]):
            parts = data["sets"][member]
            texts = {key: frozenset(parts.get(key, ())) for key in ("characters", "tokens", "exact")}
            wanted[member] = JunkSet(member, **texts, blank=parts.get("blank", False))
    return JunkList(names, tuple(wanted.values()), tuple(data["white_space"]))


@cache
def _data() -> dict[str, Any]:
    import tomllib
    from importlib import resources

    return tomllib.loads((resources.files("analogue") / "data" / "junk.toml").read_text(encoding="utf-8"))


@cache
def _ends(white_space: tuple[str, ...]) -> re.Pattern[str]:
    forms = "|".join([r"\s", *map(re.escape, white_space)])
    return re.compile(rf"\A(?:{forms})+|(?:{forms})+\Z")
