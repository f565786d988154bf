"""What is wrong with a TOML file of the user, with the line where it is."""

from __future__ import annotations

import re


def mistake(source: str, text: str, key: str, what: str, word: object = None) -> ValueError:
    """Return an error that says what is wrong and where.

    Parameters
    ----------
    source, text : str
        The file and what stands in it.
    key : str
        The key, or table, that is wrong.
    what : str
        One sentence about it.
    word : optional
        An entry of the key's list, which is pointed at instead: the last time that it stands there.
    """
    lines = text.splitlines()
    quoted = rf"[\"']?{re.escape(key)}[\"']?"
    starts = re.compile(rf"\s*(?:{quoted}\s*=|\[+\s*{quoted}\s*\])")
    line = next((number for number, content in enumerate(lines, 1) if starts.match(content)), 1)
    if word is not None:
        literal = f'"{word}"' if isinstance(word, str) else str(word)
        ends = next((number for number in range(line, len(lines) + 1) if "]" in lines[number - 1]), line)
        line = max((number for number in range(line, ends + 1) if literal in lines[number - 1]), default=line)
    return ValueError(f"{source}, line {line}: {what}")
