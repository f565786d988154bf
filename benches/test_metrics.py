"""The other metrics, and the match given the token, against a plain Pearson match of the same activations."""

from statistics import median
from time import perf_counter

import numpy as np
import pytest

import analogue as an
import oracles
from analogue.demo import SITES, folder
from analogue.sides import load_side, shared_context_length

TOKENS, FEATURES, ACTIVE = 30_000, 32_768, 32
ROUNDS = 9


def random_codes(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, FEATURES // ACTIVE, (TOKENS, ACTIVE)) + FEATURES // ACTIVE * np.arange(ACTIVE)
    return an.FeatureActivations.from_topk(ids, rng.random(ids.shape, dtype=np.float32) + np.float32(0.1), FEATURES)


@pytest.fixture(scope="module")
def embedded():
    """The first sites of the embedded pair, on all of its held-out text."""
    sides = [load_side(folder() / f"model_{s}", folder() / f"sae_{s}", SITES[f"model_{s}"][0]) for s in "ab"]
    length = shared_context_length(side for side, _ in sides)
    corpus = an.Corpus.from_files(folder() / "held_out.jsonl", sides[0][1], context_length=length)
    return [next(iter(an.capture(side.model, corpus, side.dictionaries).values())) for side, _ in sides]


def seconds(*calls):
    """Median seconds of each call, all of them in turn."""
    taken = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(ROUNDS):
        for call, of_call in zip(calls, taken, strict=True):
            start = perf_counter()
            call()
            of_call.append(perf_counter() - start)
    return [median(of_call) for of_call in taken]


@pytest.mark.parametrize("codes", ["random", "embedded"])
def test_no_metric_costs_more_than_a_fifth_beyond_pearson(benchmark, codes, request):
    sides = request.getfixturevalue("embedded") if codes == "embedded" else [random_codes(0), random_codes(1)]

    def by(metric):
        return lambda: an.match(*sides, backend="sparse", min_activations=20, metric=metric)

    pearson, cosine, jaccard = seconds(*map(by, ("pearson", "cosine", "jaccard")))
    some = np.random.default_rng(0).permutation(sides[1].n_features)[:16]
    y, found = sides[1].dense_columns(some).T.astype(np.float64), {m: by(m)() for m in ("cosine", "jaccard")}
    for row, column in zip(some, y.T, strict=True):
        for metric, matches in found.items():
            if matches.best_a[row] < 0:
                assert sides[1].firing_counts[row] < 20
                continue
            x = sides[0].dense_columns(matches.best_a[[row]])[0].astype(np.float64)
            both, either = ((x != 0) & (column != 0)).sum(), ((x != 0) | (column != 0)).sum()
            value = x @ column / np.sqrt(x @ x * (column @ column)) if metric == "cosine" else both / either
            assert abs(matches.corr_a[row] - value) < 1e-6
    benchmark.extra_info |= {"pearson": pearson, "cosine": cosine, "jaccard": jaccard}
    benchmark(by("cosine"))
    print(f"\n{codes}: cosine {cosine / pearson:.2f}x, Jaccard {jaccard / pearson:.2f}x of {pearson:.3f} s")
    assert cosine <= 1.2 * pearson
    # Random codes fire together once or twice: counts say little, and most pairs are asked whether they reach a bar.
    assert jaccard <= (1.2 if codes == "embedded" else 1.4) * pearson


def test_given_the_token_costs_at_most_two_and_a_half_plain_matches(benchmark, embedded):
    def by(given):
        return lambda: an.match(*embedded, backend="sparse", min_activations=20, given=given)

    plain, token, bigram = seconds(*map(by, (None, "token", "bigram")))
    found, tokens = by("token")(), embedded[0].token_ids
    rng = np.random.default_rng(0)
    some = rng.permutation(np.flatnonzero(found.best_a >= 0))[:24]
    x, y = embedded[0].to_dense(), embedded[1].dense_columns(some).T
    r = np.where((embedded[0].firing_counts >= 20)[:, None], oracles.within_group_correlation(x, y, tokens), -np.inf)
    np.testing.assert_allclose(found.corr_a[some], r.max(axis=0), atol=1e-6, rtol=0)
    benchmark.extra_info |= {"plain": plain, "token": token, "bigram": bigram}
    benchmark(by("token"))
    print(
        f"\nembedded pair: given the token {token / plain:.2f}x, the bigram {bigram / plain:.2f}x of {plain:.3f} s; "
        f"{found.tokens_alone} tokens alone"
    )
    assert token <= 2.5 * plain


def test_given_a_token_on_random_codes(benchmark):
    """Printed, not bounded: features that fire on many tokens of every kind make the second sum long."""
    sides = [random_codes(0), random_codes(1)]
    tokens = np.random.default_rng(2).zipf(1.3, TOKENS) % 4096
    calls = [lambda: an.match(*sides), lambda: an.match(*sides, given=tokens)]
    plain, given = seconds(*calls)
    found = calls[1]()
    some = np.random.default_rng(0).permutation(FEATURES)[:200]
    x, y = sides[0].dense_columns(found.best_a[some]).T, sides[1].dense_columns(some).T
    r = np.diag(oracles.within_group_correlation(x, y, tokens))
    np.testing.assert_allclose(found.corr_a[some], r, atol=1e-6, rtol=0)
    benchmark.extra_info |= {"plain": plain, "given": given}
    benchmark(calls[1])
    print(f"\nrandom codes: {given / plain:.1f}x of {plain:.3f} s")
