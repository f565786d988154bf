"""Explanation files: what others wrote about features, read record by record from the formats they publish."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_BATCH = re.compile(r"batch-(\d+)\.jsonl(?:\.gz)?")
_LATENT = re.compile(r"(.+)_latent(\d+)\.txt", re.DOTALL)
_SCORERS = ("detection", "fuzz")
_GZIP = b"\x1f\x8b"


class Record(NamedTuple):
    """One text about one feature, as a file has it.

    ``explainer``, ``score`` and ``source`` (the dictionary the feature is of) are None where the file does not say;
    ``created`` is empty then.
    """

    feature: int
    text: str
    explainer: str | None = None
    score: float | None = None
    created: str = ""
    source: str | None = None


class _Keys(NamedTuple):
    feature: str
    text: str
    explainer: str
    source: str | None


_NEURONPEDIA = _Keys("index", "description", "explanationModelName", "layer")


def read_records(path: Path, feature: str, text: str) -> Iterator[Record]:
    """Yield the records of a file or folder, in the order they stand; a blank text is an empty one.

    Raises
    ------
    FileNotFoundError
        If there is no such path.
    ValueError
        If the format is not known, or a record is broken: file and line are named.
    """
    if path.is_dir():
        yield from _folder(path, feature, text)
    elif path.is_file():
        yield from _file(path, feature, text)
    else:
        raise FileNotFoundError(f"explanations {path} do not exist")


def _folder(path: Path, feature: str, text: str) -> Iterator[Record]:
    batches = _batches(path) or [file for below in sorted(path.glob("explanations*")) for file in _batches(below)]
    for file in batches:
        yield from _file(file, feature, text)
    if batches:
        return
    folder = path / "explanations" if (path / "explanations").is_dir() else path
    latents = [(file, match) for file in sorted(folder.iterdir()) if (match := _LATENT.fullmatch(file.name))]
    if not latents:
        raise ValueError(
            f"{path} must hold Neuronpedia's batch-N.jsonl.gz or delphi's MODULE_latentN.txt, but holds neither"
        )
    for file, match in latents:
        found = _parsed("".join(line for _, line in _lines(file)), str(file))
        if not isinstance(found, str):
            raise ValueError(f"{file} must hold one JSON string, got {_kind(found)}")
        module = match[1].replace("--", "/")
        number = _feature(match[2], str(file))
        yield Record(number, _text(found, str(file)), score=_delphi_score(folder.parent, file.name), source=module)


def _batches(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    numbered = [(int(match[1]), file) for file in folder.iterdir() if (match := _BATCH.fullmatch(file.name))]
    return [file for _, file in sorted(numbered)]


def _file(path: Path, feature: str, text: str) -> Iterator[Record]:
    suffix = Path(path.name.removesuffix(".gz")).suffix
    readers = {".jsonl": _json_lines, ".json": _json, ".csv": _csv}
    if suffix not in readers:
        raise ValueError(f"a file of explanations must end in .jsonl, .json or .csv, with .gz or without, got {path}")
    for where, row in readers[suffix](path):
        if not isinstance(row, dict):
            raise ValueError(f"{where} must hold a JSON object, got {_kind(row)}")
        yield _record(row, _keys(row, feature, text, where), where)


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in _lines(path):
        if line.strip():
            yield f"{path}:{number}", _parsed(line, f"{path}:{number}")


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    rows = _parsed("".join(line for _, line in _lines(path)), str(path))
    if not isinstance(rows, list):
        raise ValueError(f"{path} must hold a list of JSON objects, got {_kind(rows)}")
    for number, row in enumerate(rows, start=1):
        yield f"{path}, entry {number}", row


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    reader = csv.DictReader(line for _, line in _lines(path))
    try:
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                got = "more" if None in row else "fewer"
                raise ValueError(f"{where} must have as many fields as the header, got {got}")
            yield where, row
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num} must be CSV: {error}") from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file, zipped or not, with their numbers; of a large file only one is in memory."""
    import gzip
    import zlib

    number = 0
    with open(path, "rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP else raw
        try:
            for number, line in enumerate(file, start=1):
                yield number, _decoded(line, number, path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is cut short or damaged after line {number}: {error}") from None


def _decoded(line: bytes, number: int, path: Path) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:{number} must be UTF-8, got byte 0x{line[error.start]:02x}") from None


def _parsed(content: str, where: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} must hold JSON: {error}") from None


def _keys(row: Mapping[str, Any], feature: str, text: str, where: str) -> _Keys:
    if feature in row and text in row:
        return _Keys(feature, text, "explainer", None)
    if _NEURONPEDIA.feature in row and _NEURONPEDIA.text in row:
        return _NEURONPEDIA
    raise ValueError(
        f"{where} must have {feature!r} and {text!r}, or Neuronpedia's 'index' and 'description', "
        f"got {', '.join(map(repr, row)) or 'nothing'}"
    )


def _record(row: Mapping[str, Any], keys: _Keys, where: str) -> Record:
    return Record(
        _feature(row[keys.feature], where),
        _text(row[keys.text], where),
        _name(row, keys.explainer, where),
        _score(row.get("score"), where),
        _name(row, "createdAt", where) or "",
        None if keys.source is None else _name(row, keys.source, where),
    )


def _feature(value: Any, where: str) -> int:
    digits = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"-?[0-9]{1,18}", digits):
        raise ValueError(f"{where} must name the feature by an integer, got {value!r:.40}")
    return int(digits)


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where} must explain a feature by a string, got {_kind(value)}")
    _check_unicode(value, where)
    return value.strip()


def _name(row: Mapping[str, Any], key: str, where: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{where} must have a string in {key!r}, got {_kind(value)}")
    _check_unicode(value or "", where)
    return value or None


def _score(value: Any, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool | list | dict) else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where} must have a number or nothing in 'score', got {value!r:.40}")
    return number


def _check_unicode(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where} must hold Unicode text, got half a surrogate pair") from None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _delphi_score(run: Path, name: str) -> float | None:
    """Return the balanced accuracy of an explanation in the first of delphi's classifiers that has one.

    That is the mean of the shares of activating and of other examples that were told rightly; None without both kinds.
    """
    for scorer in _SCORERS:
        file = run / "scores" / scorer / name
        if file.is_file():
            examples = _parsed("".join(line for _, line in _lines(file)), str(file))
            if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
                raise ValueError(f"{file} must hold a list of JSON objects, one an example")
            told: dict[bool, list[bool]] = {True: [], False: []}
            for example in examples:
                fires, said = example.get("activating", example.get("ground_truth")), example.get("prediction")
                if isinstance(fires, bool) and isinstance(said, bool | int | float):
                    told[fires].append((said >= 0.5) == fires)
            if all(told.values()):
                return sum(sum(right) / len(right) for right in told.values()) / 2
    return None
