"""Concept files: one concept a TOML file, those of the package (data/concepts) and those of the user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .concept import Concept, check_word, distinct, subtracted
from .toml_mistakes import mistake as _mistake

KEYS = ("name", "case", "compounds", "words", "inherits", "union", "minus", "removed")
CASES = ("fold", "exact")


@dataclass(frozen=True, eq=False)
class Definition:
    """What one file says, before the concepts that it names are looked up.

    Attributes
    ----------
    source : str
        The file, for messages.
    name : str
    case : {"fold", "exact"} or None
        None: that of the concepts it inherits from or joins, else fold.
    compounds : bool
        Whether words count that are parts of compounds; it is not taken over.
    words : list of str
    inherits : list of str
        Concepts whose words and records of removed words it takes over, less its own removed words.
    union, minus : list of str
        Concepts whose words are added, and concepts whose words then go.
    removed : dict of str to str
        Word, why.
    """

    source: str
    name: str
    case: str | None
    compounds: bool
    words: list[str]
    inherits: list[str]
    union: list[str]
    minus: list[str]
    removed: dict[str, str]


def shipped() -> dict[str, Definition]:
    """Return the definitions of the package, by name, in alphabetical order."""
    return dict(_shipped())


@cache
def _shipped() -> tuple[tuple[str, Definition], ...]:
    from importlib import resources

    folder = resources.files("analogue") / "data" / "concepts"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    found = [parse(file.read_text(encoding="utf-8"), file.name) for file in files]
    return tuple((definition.name, definition) for definition in found)


def read(paths: Iterable[str | Path]) -> list[Definition]:
    """Read files, and of folders every ``.toml`` in them.

    Raises
    ------
    FileNotFoundError
        If a path does not exist, or a folder has no such file.
    ValueError
        If a file is no TOML, or has a wrong key, type or word: file and line are said.
    """
    found = []
    for file in (file for path in paths for file in _files(Path(path))):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} must be UTF-8, got {error.reason} at byte {error.start}") from None
        found.append(parse(text, str(file)))
    return found


def beside(definitions: dict[str, Definition], own: Iterable[Definition]) -> dict[str, Definition]:
    """Return the definitions with others added, whose names must not be taken."""
    for definition in own:
        if definition.name in definitions:
            taken = definitions[definition.name].source
            raise ValueError(f"{definition.source}: name must not be taken, got {definition.name!r} of {taken}")
        definitions[definition.name] = definition
    return definitions


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise FileNotFoundError(f"{path} must be a TOML file of a concept or a folder of them, got none there")
    if not path.is_dir():
        yield path
        return
    files = sorted(path.glob("*.toml"))
    if not files:
        raise FileNotFoundError(f"{path} must hold the TOML file of a concept, got none there")
    yield from files


def parse(text: str, source: str) -> Definition:
    """Return what the text of a concept file says; a mistake is a ValueError that names the file and the line."""
    import tomllib

    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} must be TOML: {error}") from None
    for key in content:
        if key not in KEYS:
            raise _mistake(source, text, key, f"key must be one of {', '.join(KEYS)}, got {key!r}")
    name, case = content.get("name"), content.get("case")
    if not isinstance(name, str) or not name.strip():
        raise _mistake(source, text, "name", f"name must be a text that is not blank, got {name!r}")
    if case is not None and case not in CASES:
        raise _mistake(source, text, "case", f"case must be one of {', '.join(CASES)}, got {case!r}")
    compounds = content.get("compounds", True)
    if not isinstance(compounds, bool):
        raise _mistake(source, text, "compounds", f"compounds must be true or false, got {compounds!r}")
    lists = {key: _words(source, text, key, content.get(key, [])) for key in ("words", "inherits", "union", "minus")}
    if not lists["words"] and not lists["inherits"] and not lists["union"]:
        raise _mistake(source, text, "words", f"{name} must have a word, inherit or join, got none of them")
    removed = content.get("removed", {})
    if not isinstance(removed, dict):
        raise _mistake(source, text, "removed", f"removed must be a table of word = why, got {removed!r}")
    for word, why in removed.items():
        if not isinstance(why, str) or not why.strip():
            raise _mistake(source, text, word, f"removed must say why {word!r} went, got {why!r}")
        if not word.strip() or word != word.strip():
            raise _mistake(source, text, word, f"removed words must not be blank nor have space around, got {word!r}")
    return Definition(source, name, case, compounds, **lists, removed=removed)


def _words(source: str, text: str, key: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise _mistake(source, text, key, f"{key} must be a list of texts, got {value!r}")
    for word in value:
        try:
            check_word(word, key)
        except (TypeError, ValueError) as error:
            raise _mistake(source, text, key, str(error), word) from None
    twice = next((word for place, word in enumerate(value) if word in value[:place]), None)
    if twice is not None:
        raise _mistake(source, text, key, f"{key} must stand there once, got {twice!r} twice", twice)
    return value


def resolve(definitions: Mapping[str, Definition], name: str, within: tuple[str, ...] = ()) -> Concept:
    """Return the concept of that name, with what it inherits, joins and takes away looked up.

    Raises
    ------
    ValueError
        If the name, or one that a definition names, is unknown; if a concept comes to itself; if what it joins
        differs in case; if no word is left.
    """
    if name in within:
        raise ValueError(f"concepts must not come back to themselves, got {' -> '.join((*within, name))}")
    if name not in definitions:
        asked = f", wanted by {definitions[within[-1]].source}" if within else ""
        raise ValueError(f"concept must be one of {', '.join(definitions)}, got {name!r}{asked}")
    definition = definitions[name]
    inherits, union, minus = (
        [resolve(definitions, other, (*within, name)) for other in others]
        for others in (definition.inherits, definition.union, definition.minus)
    )
    exact = _exact(definition, [*inherits, *union])
    key = str if exact else str.casefold
    if len(distinct(definition.words, exact)) < len(definition.words):
        raise ValueError(f"{definition.source}: words must stand there once, got some twice that differ in case alone")
    gone = {key(word) for word in definition.removed}
    taken = [word for other in (*inherits, *union) for word in other.words if key(word) not in gone]
    words = distinct([*taken, *definition.words], exact)
    for other in minus:
        words = subtracted(words, other.words, exact and other.case_sensitive)
    kept = {key(word) for word in words}
    inherited = {word: why for parent in inherits for word, why in parent.removed.items() if key(word) not in kept}
    removed = inherited | definition.removed
    try:
        return Concept(name, words, exact, removed, tuple(definition.inherits), definition.compounds)
    except ValueError as error:
        raise ValueError(f"{definition.source}: {error}") from None


def _exact(definition: Definition, others: list[Concept]) -> bool:
    cases = {other.name: CASES[other.case_sensitive] for other in others}
    case = definition.case or next(iter(cases.values()), "fold")
    differing = [f"{name} ({theirs})" for name, theirs in cases.items() if theirs != case]
    if differing:
        raise ValueError(f"{definition.source}: case must be that of what it takes over, got {case} and {differing[0]}")
    return case == "exact"
