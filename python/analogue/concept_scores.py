"""Concept scores: does meaning carve both spaces alike, against rows, matched pairs and any other candidates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from . import _checks
from .comparison import Comparison
from .concept import Concept
from .concept_comparison import QUESTIONS, STAGES, ConceptResult, ConceptScores, WithoutWord
from .concept_controls import CONTROLS, random_features
from .concept_entries import Entry, as_concepts, capped, check_asked, entries, pairing_of
from .concept_keywords import word_table
from .concept_nulls import ConceptTest
from .concept_pairs import Ids
from .concepts import Concepts
from .dictionaries import Dictionary
from .keywords import Where
from .progress import Progress
from .reopen import reopened
from .same_keyword import same_word
from .settings import AUTO, REDRAWN, Settings


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
    where : {"word", "token", "window", "phrase", "substring"}
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
    check_asked(comparison, approach, side)
    asked = as_concepts(concepts)
    wanted = _checked_controls(controls)
    if max_per_keyword is not None:
        _checks.integer("max_per_keyword", max_per_keyword, minimum=1)
    if draws is not None:
        _checks.integer("draws", draws, minimum=1)
    settings = _settings(comparison, measures, permutations, min_pairs, seed)
    closed = any(space.directions is None for space in comparison.spaces.values())
    if dictionaries is not None or (comparison.rows == "decoder" and closed):
        comparison = reopened(comparison, dictionaries)

    pairing = pairing_of(comparison, settings, approach, side)
    test = ConceptTest(pairing, comparison.labels, settings, comparison.rows, draws)
    listed = entries(comparison, asked, where, wanted, with_removed, seed)
    results, alone = [], []
    for number, entry in enumerate(listed):
        if progress is not None:
            progress("concepts", number, len(listed))
        entry = replace(entry, hits=capped(pairing, entry.hits, max_per_keyword))
        drop = "drop-one-word" in wanted and entry.role == "concept"
        results.append(_result(test, entry, drop))
        if "random-features" in wanted and entry.role == "concept":
            rng = np.random.default_rng([seed, number])
            drawn = random_features(pairing, entry.hits[0].features, entry.hits[1].features, rng)
            alone.append(_random(test, entry.name, drawn))
    if progress is not None:
        progress("concepts", len(listed), len(listed))
    about = {
        "measures": list(settings.measures),
        "permutations": settings.permutations,
        "draws": draws,
        "controls": list(wanted),
        "left_out": _left_out(wanted, listed),
        "max_per_keyword": max_per_keyword,
        "min_pairs": settings.min_pairs,
        "seed": seed,
        "pairs": settings.pairs,
        "caveat": comparison.caveat if comparison.rows == "activations" else None,
    }
    sites = {key: space.site for key, space in comparison.spaces.items()}
    role = comparison.provenance.get("role")
    return ConceptScores(sites, role, approach, side, where, about, (*results, *alone))


def _result(test: ConceptTest, entry: Entry, drop: bool) -> ConceptResult:
    features = (entry.hits[0].features, entry.hits[1].features)
    questions = tuple(QUESTIONS) if entry.role != "control" else ("rows", "pair-subset")
    before, after = (test.scored(stage, *features, questions=questions) for stage in STAGES)
    keywords = None
    if entry.words:
        before, after = (
            replace(scored, same_keyword=same_word(scored.pairs, *entry.hits, entry.words))
            for scored in (before, after)
        )
        keywords = word_table(after.pairs, *entry.hits, entry.name, entry.words)
    without = tuple(_without_words(test, entry)) if drop else ()
    sides = dict(zip("ab", features, strict=True))
    return ConceptResult(entry.name, entry.role, entry.of, entry.words, sides, before, after, without, keywords)


def _random(test: ConceptTest, name: str, features: tuple[Ids, Ids]) -> ConceptResult:
    """Score random features under the row null alone: they are one draw of "rematched"."""
    before, after = (test.scored(stage, *features, questions=("rows",)) for stage in STAGES)
    sides = dict(zip("ab", features, strict=True))
    return ConceptResult(f"control: random features for {name}", "control", name, (), sides, before, after)


def _without_words(test: ConceptTest, entry: Entry) -> Iterable[WithoutWord]:
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


def _left_out(controls: tuple[str, ...], listed: Iterable[Entry]) -> dict[str, str]:
    """Say why a control that was asked for is not there."""
    names = {entry.name for entry in listed}
    found = {}
    if "random-keywords" in controls and "control: random-keywords" not in names:
        found["random-keywords"] = "no feature of B fires on a word that no concept has"
    if "pooled" in controls and "control: pooled" not in names:
        found["pooled"] = "there is one concept alone"
    return found


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


def _checked_controls(given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise TypeError(f"controls must be a list of names, got the string {given!r}")
    return tuple(dict.fromkeys(_checks.choice("controls", name, CONTROLS) for name in given))
