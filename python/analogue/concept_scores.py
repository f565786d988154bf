"""Concept scores: does meaning carve both spaces alike, against rows, matched pairs and any other candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import _checks
from .compare import matching_of, procedure_of
from .comparison import Comparison
from .concept import Concept
from .concept_comparison import QUESTIONS, STAGES, ConceptResult, ConceptScores, WithoutWord
from .concept_controls import CONTROLS, keyword_controls, random_features
from .concept_nulls import ConceptTest
from .concept_pairs import APPROACHES, HIT_SIDES, ConceptPairing, Ids, WordHits, most_per_word, union_hits, word_hits
from .concepts import Concepts
from .dictionaries import Dictionary
from .keywords import Where
from .reopen import reopened
from .settings import AUTO, REDRAWN, Settings

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class _Entry:
    """What is to be scored: the words that were looked for and the features that they match."""

    name: str
    role: str
    words: tuple[str, ...]
    hits: tuple[WordHits, WordHits]
    of: str | None = None


def compare_concepts(
    comparison: Comparison,
    concepts: Concepts | Concept | Iterable[Concept],
    *,
    approach: str = "both-sides",
    side: str = "b",
    where: Where = "word",
    measures: str | Iterable[str] | None = None,
    permutations: int | str | None = None,
    draws: int | None = None,
    controls: Iterable[str] = CONTROLS[:-1],
    max_per_keyword: int | None = None,
    with_removed: bool = False,
    min_pairs: int | None = None,
    seed: int = 0,
    dictionaries: Mapping[str, Dictionary] | None = None,
    progress: Progress | None = None,
) -> ConceptScores:
    """Score the pairs of every concept, before and after the comparison's filters, and ask three things of them.

    "rows": do the geometries agree? Rows of B change places under the null that `compare` would choose for these pairs,
    "siblings" or "one-per-token".

    "pair-subset": do they agree better than matched pairs of the same quality? The concept's pairs stand among those
    that the comparison makes of all features in the same way (rule, filters); drawn are as many others of the same
    fifth of r and third of firing rate. Under "both-sides" a pair may be one that the comparison does not have, because
    its feature has a better partner outside of the concept: it then stands beside them, in place of all that share a
    feature or a top token with it, and `ScoredPairs.new_pairs` counts such pairs. The comparison is fair in r, in rate
    and in siblings; it is not in how near the pairs lie: coherent neighbourhoods of a space pass more often than random
    subsets (12-14 % at 0.05 on real pairs).

    "rematched": do they agree better than any candidate set? As many random features as the concept has, of those that
    fire often enough, are paired and filtered in the same way and cut to as many pairs; "best-partner" draws the
    features that must match, and keeps their partners. Less than half of the draws with so many pairs: no score.

    The last two compare different sets of pairs, and a concept has more siblings (features of one word, alike in their
    own model) than others. So both score the best pair of every top token, of the concept and of every draw, and have
    an ``n`` of their own; without that they call concepts significant in models that share nothing.

    Parameters
    ----------
    comparison : Comparison
        Matched by activations, and saved with them.
    concepts : Concepts, Concept, or iterable of Concept
    approach : {"both-sides", "best-partner"}
        See `ConceptPairing`.
    side : {"b", "a", "either", "both"}
        Whose feature must match, for "best-partner" alone.
    where : {"word", "token", "window", "phrase"}
        What must be a word of the concept, see `keyword_hits`.
    measures, permutations, min_pairs
        As in `Settings`; None: those of the comparison. "original" draws 1000 times for up to 100 pairs, else 100.
    draws : int, optional
        Of the nulls "pair-subset" and "rematched"; None: 200, or what "original" says.
    controls : iterable of {"pooled", "unrelated", "random-keywords", "random-features", "drop-one-word"}
        What is scored beside the concepts.
        "pooled": all of them as one.
        "unrelated": one word of each of the package's categories, of those with features on both sides.
        "random-keywords": as many words of no concept as a concept has with features, where the labels have any. These
        two are scored under the first two nulls.
        "random-features": for each concept, one draw of "rematched", scored under the first null.
        "drop-one-word": each concept without each of its words in turn, observed values alone.
    max_per_keyword : int, optional
        At most so many features for every word on either side: those whose best partner has the largest r. Draws of
        "rematched" are not chosen so.
    with_removed : bool
        Score every concept once more with the words put back that were removed for a second meaning.
    seed : int
        Seed of every null and control.
    dictionaries : mapping of {"a", "b"} to Dictionary, optional
        Those of a run that was read back; None: loaded again from the paths in its manifest, see `reopen_dictionaries`.
    progress : callable, optional
        Called with "concepts", what is done and the total.

    Returns
    -------
    ConceptScores
        Concepts whose pairs are too few have scores without numbers, each with the reason.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, if the comparison was matched by directions, or has no activations.
    FileNotFoundError
        If a dictionary is to be loaded again, and is gone.
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison must be a Comparison, such as a grid's cell, got {type(comparison).__name__}")
    if comparison.settings.by != "activations":
        raise ValueError("comparison must be matched by activations: concepts correlate features, got by=directions")
    asked = _as_concepts(concepts)
    wanted = _checked_controls(controls)
    _checks.choice("approach", approach, APPROACHES)
    _checks.choice("side", side, HIT_SIDES)
    if max_per_keyword is not None:
        _checks.integer("max_per_keyword", max_per_keyword, minimum=1)
    if draws is not None:
        _checks.integer("draws", draws, minimum=1)
    settings = _settings(comparison, measures, permutations, min_pairs, seed)
    closed = any(space.directions is None for space in comparison.spaces.values())
    if dictionaries is not None or (comparison.rows == "decoder" and closed):
        comparison = reopened(comparison, dictionaries)

    matching = matching_of(settings)
    procedure = procedure_of(comparison.spaces, settings, matching, bands=True)
    pairing = ConceptPairing(procedure, approach, side)
    test = ConceptTest(pairing, comparison.labels, settings, comparison.rows, draws)
    entries = _entries(comparison, asked, where, wanted, with_removed, seed)
    results, alone = [], []
    for number, entry in enumerate(entries):
        if progress is not None:
            progress("concepts", number, len(entries))
        if max_per_keyword is not None:
            entry = replace(entry, hits=_capped(pairing, entry.hits, max_per_keyword))
        drop = "drop-one-word" in wanted and entry.role == "concept"
        results.append(_result(test, entry, drop))
        if "random-features" in wanted and entry.role == "concept":
            rng = np.random.default_rng([seed, number])
            drawn = random_features(pairing, entry.hits[0].features, entry.hits[1].features, rng)
            alone.append(_random(test, entry.name, drawn))
    if progress is not None:
        progress("concepts", len(entries), len(entries))
    about = {
        "measures": list(settings.measures),
        "permutations": settings.permutations,
        "draws": draws,
        "controls": list(wanted),
        "max_per_keyword": max_per_keyword,
        "min_pairs": settings.min_pairs,
        "seed": seed,
        "pairs": settings.pairs,
        "caveat": comparison.caveat if comparison.rows == "activations" else None,
    }
    sites = {key: space.site for key, space in comparison.spaces.items()}
    role = comparison.provenance.get("role")
    return ConceptScores(sites, role, approach, side, where, about, (*results, *alone))


def _entries(
    comparison: Comparison, concepts: Concepts, where: Where, controls: tuple[str, ...], with_removed: bool, seed: int
) -> list[_Entry]:
    """Look for the words of concepts and controls in the labels of both sides, in one pass a side."""
    listed: list[tuple[Concept, str, str | None]] = [(concept, "concept", None) for concept in concepts]
    if with_removed:
        names = {concept.name: f"{concept.name} with removed words" for concept in concepts if concept.removed}
        listed += [
            (replace(concept.restored(), name=names[concept.name]), "with removed", concept.name)
            for concept in concepts
            if concept.name in names
        ]
    listed += [
        (control, "control", None) for control in keyword_controls(comparison.labels, concepts, where, controls, seed)
    ]
    everything = [concept for concept, _, _ in listed]
    sides = [word_hits(labels, everything, where) for labels in comparison.labels]
    entries = [
        _Entry(concept.name, role, concept.words, (hits_a, hits_b), of)
        for (concept, role, of), hits_a, hits_b in zip(listed, *sides, strict=True)
    ]
    if "pooled" in controls and len(concepts) > 1:
        pooled = [union_hits(hits[: len(concepts)]) for hits in sides]
        entries.insert(len(concepts), _Entry("control: pooled", "pooled", (), (pooled[0], pooled[1])))
    return entries


def _result(test: ConceptTest, entry: _Entry, drop: bool) -> ConceptResult:
    features = (entry.hits[0].features, entry.hits[1].features)
    questions = tuple(QUESTIONS) if entry.role != "control" else ("rows", "pair-subset")
    before, after = (test.scored(stage, *features, questions=questions) for stage in STAGES)
    without = tuple(_without_words(test, entry)) if drop else ()
    sides = dict(zip("ab", features, strict=True))
    return ConceptResult(entry.name, entry.role, entry.of, entry.words, sides, before, after, without)


def _random(test: ConceptTest, name: str, features: tuple[Ids, Ids]) -> ConceptResult:
    """Score random features under the row null alone: they are one draw of "rematched"."""
    before, after = (test.scored(stage, *features, questions=("rows",)) for stage in STAGES)
    sides = dict(zip("ab", features, strict=True))
    return ConceptResult(f"control: random features for {name}", "control", name, (), sides, before, after)


def _without_words(test: ConceptTest, entry: _Entry) -> Iterable[WithoutWord]:
    hit = np.union1d(*(hits.word for hits in entry.hits))
    for place in hit.tolist():
        features = [hits.without(place).features for hits in entry.hits]
        pairs = test.pairs("after", *features)
        yield WithoutWord(
            entry.words[place],
            len(features[0]),
            len(features[1]),
            len(pairs),
            pairs.counts.mean_correlation,
            test.observed(pairs),
        )


def _capped(pairing: ConceptPairing, hits: tuple[WordHits, WordHits], most: int) -> tuple[WordHits, WordHits]:
    best = pairing.best_correlation(hits[0].features, hits[1].features)
    a, b = (most_per_word(own, weight, most) for own, weight in zip(hits, best, strict=True))
    return a, b


def _settings(
    comparison: Comparison,
    measures: str | Iterable[str] | None,
    permutations: int | str | None,
    min_pairs: int | None,
    seed: int,
) -> Settings:
    """Return the comparison's settings with what was asked for, and a null of rows."""
    own = comparison.settings
    listed = own.measures if measures is None else (measures,) if isinstance(measures, str) else tuple(measures)
    return replace(
        own,
        measures=listed,
        permutations=own.permutations if permutations is None else permutations,
        min_pairs=own.min_pairs if min_pairs is None else min_pairs,
        seed=seed,
        null=AUTO if own.null in REDRAWN else own.null,
    )


def _as_concepts(given: Concepts | Concept | Iterable[Concept]) -> Concepts:
    if isinstance(given, Concepts):
        return given
    if isinstance(given, str):
        raise TypeError(f"concepts must be Concepts (see Concepts.load), got the string {given!r}")
    return Concepts((given,) if isinstance(given, Concept) else tuple(given))


def _checked_controls(given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise TypeError(f"controls must be a list of names, got the string {given!r}")
    return tuple(dict.fromkeys(_checks.choice("controls", name, CONTROLS) for name in given))
