"""Trials of nulls in the simulated worlds, in processes of their own; each trial depends on its number alone."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np

import worlds

MEASURES = ("svcca", "cka", "rsa")
PERMUTATIONS, SHIFTS = 39, 19
ALPHA = 0.05
_WORKERS = 2
_AT_ONCE = 50
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def in_world(
    world: str, rule: str, null: str, number: int, *, common: float | None = None, most: int | None = None
) -> list[float]:
    """Return the p-value of every measure in one draw of a world; 1 where there is no score.

    ``common`` is another size of what both models share; ``most`` cuts the pairs, once they are chosen, at random.
    """
    from analogue.nulls import one_per_token, permutation_test, sibling_groups

    rng = np.random.default_rng([number, list(worlds.WORLDS).index(world)])
    known = worlds.WORLDS[world]
    a, b = worlds.draw(known if common is None else replace(known, common=common), rng)
    if null.startswith("shift"):
        return _p_values(_shift_scores(a, b, rule, null, number))
    pairs = worlds.pair(a.activations, b.activations, rule)
    feature_a, feature_b = pairs.a, pairs.b
    tokens = worlds.top_tokens(a)[feature_a], worlds.top_tokens(b)[feature_b]
    options = {}
    if null == "siblings":
        options["groups"] = sibling_groups(feature_a, feature_b, *tokens)
    if null.startswith("one-per-token"):
        kept = one_per_token(*tokens, pairs.correlation)
        feature_a, feature_b = feature_a[kept], feature_b[kept]
    if most is not None:
        drawn = rng.permutation(len(feature_a))[:most]
        feature_a, feature_b = feature_a[drawn], feature_b[drawn]
    if null.endswith("rate-adjusted"):
        options["rates"] = a.rate[feature_a], b.rate[feature_b]
    x, y = a.decoder[feature_a], b.decoder[feature_b]
    name = null.removesuffix(", rate-adjusted")
    return _p_values(permutation_test(x, y, MEASURES, name, permutations=PERMUTATIONS, seed=number, **options))


def planted(n: int, strength: float, number: int) -> list[float]:
    """Return the p-value of every measure on n rows that share a subspace."""
    from analogue.nulls import permutation_test

    x, y = worlds.planted(n, strength, np.random.default_rng([number, n, int(100 * strength)]))
    return _p_values(permutation_test(x, y, MEASURES, permutations=PERMUTATIONS, seed=number))


def rejected(pool: ProcessPoolExecutor, trial, count: int) -> np.ndarray:
    """Return the share of ``count`` trials that every measure calls significant at 0.05, of those without NaN."""
    p = np.array(list(pool.map(trial, range(count), chunksize=_AT_ONCE)))
    return (p <= ALPHA).sum(axis=0) / (~np.isnan(p)).sum(axis=0)


def workers() -> ProcessPoolExecutor:
    """Return processes with one thread each, which start afresh: threads of the core do not survive a fork."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    pool = ProcessPoolExecutor(_WORKERS, mp_context=multiprocessing.get_context("spawn"))
    try:
        list(pool.map(_ready, range(_WORKERS)))
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    return pool


def _ready(number: int) -> int:
    return number


def _shift_scores(a: worlds.Side, b: worlds.Side, rule: str, null: str, number: int):
    from analogue import FeatureActivations, Procedure, rematch

    acts = [FeatureActivations.from_dense(side.activations) for side in (a, b)]
    procedure = Procedure(*acts, a.decoder, b.decoder, rule=rule)
    shift = rematch.shift(procedure, window=worlds.DOCUMENT)
    x, y = procedure.rows(procedure.pairs())
    return shift.test(x, y, MEASURES, draws=SHIFTS, seed=number, studentised=null.endswith("studentised"))


def _p_values(scores) -> list[float]:
    return [1.0 if scores[name].p_value is None else scores[name].p_value for name in MEASURES]


def concept_in_world(
    world: str,
    trials: dict[str, int],
    number: int,
    *,
    approach: str = "both-sides",
    words: int = 20,
    planted: float = 0.0,
) -> list[float]:
    """Return p-values for a concept of random words in one draw of a world; 1 without a score.

    ``trials`` are those of every question of `concept_comparison.QUESTIONS`; there is a p for each of them and every
    measure, NaN where ``number`` is beyond.
    """
    from analogue.concept_nulls import ConceptTest

    pairing, labels, settings, chosen = concept_world(world, number, approach, words, planted)
    test = ConceptTest(pairing, labels, settings, "decoder", draws=PERMUTATIONS)
    asked = tuple(question for question, count in trials.items() if number < count)
    scores = test.scored("after", *chosen, questions=asked).scores
    none = [np.nan] * len(MEASURES)
    return [p for question in trials for p in (_p_values(scores[question]) if question in asked else none)]


def siblings_in_world(world: str, question: str, number: int) -> list[float]:
    """Return the p-value of every measure where "pair-subset" or "rematched" leave the pairs as they are, siblings too.

    Concept and world are those of `concept_in_world`.
    """
    from analogue import rematch
    from analogue.nulls import TooFewError

    pairing, _, _, chosen = concept_world(world, number)
    pairs, procedure = pairing.among(*chosen), pairing.procedure
    if question == "rematched":
        redraw = rematch.rematched(procedure, *map(len, chosen), len(pairs), among=pairing.among)
    else:
        everything = procedure.pairs()
        listed = list(zip(everything.feature_a.tolist(), everything.feature_b.tolist(), strict=True))
        inside = [pair in set(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True)) for pair in listed]
        pairs = everything.select(np.array(inside))
        try:
            redraw = rematch.pair_subset(procedure, everything, np.flatnonzero(inside))
        except TooFewError:
            return [1.0] * len(MEASURES)
    options = {"draws": PERMUTATIONS, "seed": number}
    return _p_values(redraw.test(*procedure.rows(pairs), MEASURES, **options))


def concept_world(world: str, number: int, approach: str = "both-sides", words: int = 20, planted: float = 0.0):
    """Return a pairing in a world, its labels, settings, and the features of a concept of random words.

    Features at home in a word of the concept get ``planted`` times a vector of that word that both models share, each
    through a Gaussian map of its own, over 2.
    """
    from analogue import Concept, FeatureActivations, Procedure, Settings
    from analogue.concept_pairs import ConceptPairing, word_hits
    from analogue.labels import Labels

    rng = np.random.default_rng([number, 7, list(worlds.WORLDS).index(world)])
    sides = worlds.draw(worlds.WORLDS[world], rng)
    drawn = rng.permutation(worlds.TYPES)[:words]
    common = rng.standard_normal((worlds.TYPES, worlds.COMMON)) * np.isin(np.arange(worlds.TYPES), drawn)[:, None]
    for side in sides:
        mapped = common[side.home] @ rng.standard_normal((worlds.COMMON, side.decoder.shape[1])) / 2
        side.decoder[:] += planted * mapped
    acts = [FeatureActivations.from_dense(side.activations) for side in sides]
    procedure = Procedure(*acts, *(side.decoder for side in sides))
    labels = []
    for side in sides:
        texts = [f"w{token}" for token in worlds.top_tokens(side)]
        zeros, blank = np.zeros(len(texts), np.int64), [""] * len(texts)
        offsets, ones = np.arange(len(texts) + 1), np.ones(len(texts), np.float32)
        labels.append(Labels(offsets, ones, texts, blank, blank, zeros, zeros, texts))
    concept = Concept("drawn", tuple(f"w{token}" for token in sorted(drawn.tolist())))
    chosen = tuple(word_hits(own, [concept])[0].features for own in labels)
    settings = Settings(
        measures=MEASURES, permutations=PERMUTATIONS, min_correlation=None, junk="off", min_activations=1, seed=number
    )
    return ConceptPairing(procedure, approach), tuple(labels), settings, chosen
