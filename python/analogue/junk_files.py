"""Junk files: one set of junk in a TOML file of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .toml_mistakes import mistake

TEXTS = ("characters", "categories", "tokens", "exact")
# Unicode's general categories, and their first letters.
_CATEGORIES = frozenset(
    [
        *("L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No"),
        *("P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So"),
        *("Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cs", "Co", "Cn"),
    ]
)


def read_set(path: Path) -> dict[str, Any]:
    """Return what a junk file says, see `load_junk`; a mistake is a ValueError that names the file and the line."""
    import tomllib

    if not path.is_file():
        raise FileNotFoundError(f"{path} must be the TOML file of a junk set, got none there")
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8, got {error.reason} at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} must be TOML: {error}") from None
    for key, value in content.items():
        if key not in (*TEXTS, "blank"):
            said = f"key must be one of {', '.join((*TEXTS, 'blank'))}, got {key!r}"
        elif key == "blank" and not isinstance(value, bool):
            said = f"blank must be true or false, got {value!r}"
        elif key == "characters" and not isinstance(value, str):
            said = f"characters must be a string, got {value!r}"
        elif key not in ("blank", "characters") and not _is_texts(value):
            said = f"{key} must be a list of strings, got {value!r}"
        elif key == "categories" and (unknown := [name for name in value if name not in _CATEGORIES]):
            said = f"categories must be Unicode's, such as P or Sm, got {unknown[0]!r}"
        else:
            continue
        raise mistake(str(path), text, key, said)
    if not any(content.values()):
        raise ValueError(f"{path} must hold at least one of {', '.join((*TEXTS, 'blank'))}, got none")
    return content


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
