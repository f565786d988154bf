"""What `analogue concepts` prints without scoring: why a feature matches, what words hit, have and are worth."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import report
from ..comparison import Comparison
from ..concept_words import concept_keywords, concept_specificity
from ..concepts import Concepts
from ..explanations import Explanations, load_explanations
from ..keywords import Where
from ..labels import Labels
from ..producible import sentence
from ..reopen import reopen_corpus
from ..spaces import FeatureSpace
from .output import print_json, print_tables


@dataclass(frozen=True)
class Texts:
    """What the features of both sides of a comparison fire on: its labels, or what others wrote of them."""

    comparison: Comparison
    a: Labels | Explanations
    b: Labels | Explanations


def texts_of(comparisons: Iterable[Comparison], foreign: Mapping[str, Path | None]) -> list[Texts]:
    """Return the labels of comparisons, with explanations that were read from a path in place of a side's."""

    def own(space: FeatureSpace, path: Path | None) -> Labels | Explanations:
        return space.labels if path is None else load_explanations(path, space.labels.n_features)

    return [Texts(each, *(own(each.spaces[side], foreign[side]) for side in "ab")) for each in comparisons]


def explain(texts: Iterable[Texts], concepts: Concepts, feature: int, side: str, where: Where, as_json: bool) -> None:
    """Say why a feature of a side matches concepts, once for every site."""
    if side not in ("a", "b"):
        raise ValueError(f"side must be a or b with explain, got {side!r}")
    seen = {}
    for each in texts:
        name = _site(each.comparison, side)
        if name not in seen:
            seen[name] = concepts.explain(each.a if side == "a" else each.b, feature, where)
    if as_json:
        print_json([{"site": name} | explanation.to_dict() for name, explanation in seen.items()])
        return
    for name, explanation in seen.items():
        print(f"{name}:\n{explanation}\n")


def coverage(texts: Iterable[Texts], concepts: Concepts, where: Where, as_json: bool) -> None:
    """Print what every word hits on both sides."""
    tables = {report.title_of(each.comparison): concepts.coverage(each.a, each.b, where) for each in texts}
    if as_json:
        print_json([{"sites": name, "words": table.to_pylist()} for name, table in tables.items()])
    else:
        print_tables(report.coverage_table(name, table) for name, table in tables.items())


def keywords(comparisons: Iterable[Comparison], concepts: Concepts, as_json: bool, **options: Any) -> None:
    """Print which features and pairs every word has; ``options`` are those of `concept_keywords`."""
    tables = {report.title_of(each): concept_keywords(each, concepts, **options) for each in comparisons}
    if as_json:
        print_json([{"sites": name, "words": table.to_pylist()} for name, table in tables.items()])
    else:
        print_tables(report.keywords_table(name, table) for name, table in tables.items())


def specificity(comparisons: Iterable[Comparison], concepts: Concepts, where: Where, as_json: bool) -> None:
    """Read the text again, and print how specific features are, once for every site.

    The text of the first comparison is that of all: a baseline, whose model may be gone, is of the same tokens.
    """
    seen: dict[str, list[dict[str, Any]]] = {}
    comparisons = list(comparisons)
    corpus, tokenizer = reopen_corpus(comparisons[0])
    if (said := sentence(concepts.unproducible(tokenizer))) is not None:
        print(f"analogue: {said}", file=sys.stderr)
    for comparison in comparisons:
        names = {side: _site(comparison, side) for side in comparison.spaces}
        if set(names.values()) <= seen.keys():
            continue
        found = concept_specificity(comparison, concepts, corpus, where=where).to_pylist()
        for side, name in names.items():
            seen[name] = [row for row in found if row["side"] == side]
    if as_json:
        print_json([{"site": name, "concepts": rows} for name, rows in seen.items()])
    else:
        print_tables([report.specificity_table(seen)])


def suggest(texts: Iterable[Texts], concepts: Concepts, n: int, as_json: bool) -> None:
    """Propose words that features of either side fire on and no concept has."""
    tables: Mapping[str, Any] = {
        report.title_of(each.comparison): {"a": concepts.suggest(each.a, n), "b": concepts.suggest(each.b, n)}
        for each in texts
    }
    if as_json:
        listed = {name: {side: table.to_pylist() for side, table in of.items()} for name, of in tables.items()}
        print_json([{"sites": name, "words": of} for name, of in listed.items()])
    else:
        print_tables(report.suggestion_table(name, of) for name, of in tables.items())


def _site(comparison: Comparison, side: str) -> str:
    """Return the name of a side's site, with its role where its features are not those of the cells.

    New in a control is what stands in A's place, in a second seed in B's; shuffled tokens have the same features.
    """
    role = comparison.provenance.get("role")
    new = {"second-seed": "b", "shuffled-tokens": None}.get(str(role), "a")
    return f"{report.beside(role) if side == new else ''}{side.upper()} {comparison.spaces[side].site}"
