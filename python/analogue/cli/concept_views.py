"""What `analogue concepts` prints without scoring: why a feature matches, what words hit, have and are worth."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from .. import report
from ..comparison import Comparison
from ..concept_words import concept_keywords, concept_specificity
from ..concepts import Concepts
from ..keywords import Where
from ..producible import sentence
from ..reopen import reopen_corpus
from .output import print_json, print_tables


def explain(
    comparisons: Iterable[Comparison], concepts: Concepts, feature: int, side: str, where: Where, as_json: bool
) -> None:
    """Say why a feature of a side matches concepts, once for every site."""
    if side not in ("a", "b"):
        raise ValueError(f"side must be a or b with explain, got {side!r}")
    seen = {}
    for comparison in comparisons:
        name = _site(comparison, side)
        if name not in seen:
            seen[name] = concepts.explain(comparison.spaces[side].labels, feature, where)
    if as_json:
        print_json([{"site": name} | explanation.to_dict() for name, explanation in seen.items()])
        return
    for name, explanation in seen.items():
        print(f"{name}:\n{explanation}\n")


def coverage(comparisons: Iterable[Comparison], concepts: Concepts, where: Where, as_json: bool) -> None:
    """Print what every word hits on both sides."""
    tables = {_sites(each): concepts.coverage(*each.labels, where) for each in comparisons}
    if as_json:
        print_json([{"sites": name, "words": table.to_pylist()} for name, table in tables.items()])
    else:
        print_tables(report.coverage_table(name, table) for name, table in tables.items())


def keywords(comparisons: Iterable[Comparison], concepts: Concepts, as_json: bool, **options: Any) -> None:
    """Print which features and pairs every word has; ``options`` are those of `concept_keywords`."""
    tables = {_sites(each): concept_keywords(each, concepts, **options) for each in comparisons}
    if as_json:
        print_json([{"sites": name, "words": table.to_pylist()} for name, table in tables.items()])
    else:
        print_tables(report.keywords_table(name, table) for name, table in tables.items())


def specificity(comparisons: Iterable[Comparison], concepts: Concepts, where: Where, as_json: bool) -> None:
    """Read the text again, and print how specific features are, once for every site."""
    seen: dict[str, list[dict[str, Any]]] = {}
    warned: set[str] = set()
    for comparison in comparisons:
        names = {side: _site(comparison, side) for side in comparison.spaces}
        if set(names.values()) <= seen.keys():
            continue
        corpus, tokenizer = reopen_corpus(comparison)
        said = sentence(concepts.unproducible(tokenizer))
        if said is not None and said not in warned:
            warned.add(said)
            print(f"analogue: {said}", file=sys.stderr)
        found = concept_specificity(comparison, concepts, corpus, where=where).to_pylist()
        for side, name in names.items():
            seen[name] = [row for row in found if row["side"] == side]
    if as_json:
        print_json([{"site": name, "concepts": rows} for name, rows in seen.items()])
    else:
        print_tables([report.specificity_table(seen)])


def suggest(comparisons: Iterable[Comparison], concepts: Concepts, n: int, as_json: bool) -> None:
    """Propose words that features of either side fire on and no concept has."""
    tables: Mapping[str, Any] = {
        _sites(each): {side: concepts.suggest(labels, n) for side, labels in zip("ab", each.labels, strict=True)}
        for each in comparisons
    }
    if as_json:
        listed = {name: {side: table.to_pylist() for side, table in of.items()} for name, of in tables.items()}
        print_json([{"sites": name, "words": of} for name, of in listed.items()])
    else:
        print_tables(report.suggestion_table(name, of) for name, of in tables.items())


def _role(comparison: Comparison) -> str:
    return "control, " if comparison.provenance.get("role") == "control" else ""


def _sites(comparison: Comparison) -> str:
    return f"{_role(comparison)}{report.name_of(comparison)}"


def _site(comparison: Comparison, side: str) -> str:
    """Return the name of a side's site; that of B is the same in a control."""
    role = _role(comparison) if side == "a" else ""
    return f"{role}{side.upper()} {comparison.spaces[side].site}"
