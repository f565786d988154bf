"""Keywords of 20 groups in the contexts of 32 768 features, against a loop in Python and Aho-Corasick over the text."""

from statistics import median

import numpy as np
import pytest

from analogue.keywords import keyword_hits
from analogue.labels import Labels
from timing import timed
from zipf_words import GROUPS, KEYWORDS, keyword_groups, zipf_words

FEATURES, CONTEXTS, SIDE = 32_768, 5, 5
SAMPLE = 64


@pytest.fixture(scope="module")
def world():
    """Contexts of eleven Zipf-distributed words, one-fifth of them capitalised; keywords from the same vocabulary."""
    rng = np.random.default_rng(0)
    vocabulary, drawn = zipf_words(rng, (FEATURES * CONTEXTS, 2 * SIDE + 1))
    capital = rng.random(drawn.shape) < 0.2
    words = np.where(capital, np.char.capitalize(drawn), drawn).tolist()
    rows = len(words)
    labels = Labels(
        np.arange(FEATURES + 1) * CONTEXTS,
        np.ones(rows, np.float32),
        [row[SIDE] for row in words],
        [" " + " ".join(row[:SIDE]) + " " for row in words],
        [", " + " ".join(row[SIDE + 1 :]) + ". " for row in words],
        np.zeros(rows, np.int64),
        np.full(rows, 100),
        [None] * FEATURES,
    )
    return labels, keyword_groups(rng, vocabulary)


def rows(hits):
    return np.stack([hits.feature, hits.group, hits.keyword, hits.contexts], axis=1)


def test_keywords_beat_a_loop_a_thousandfold(world, benchmark):
    """The loop goes over keywords, features and contexts and splits each at spaces, as the original does.

    It is timed on 64 features and scaled to all.
    """
    labels, groups = world
    sample = np.sort(np.random.default_rng(1).choice(FEATURES, SAMPLE, replace=False))
    texts = [["".join(context) for context in labels.contexts(feature)] for feature in sample]

    def loop():
        found = []
        for g, group in enumerate(groups):
            for k, keyword in enumerate(group.keywords):
                for feature, contexts in zip(sample.tolist(), texts, strict=True):
                    hits = 0
                    for context in contexts:
                        hits += any(word.strip(".,!?\n").lower() == keyword.lower() for word in context.split(" "))
                    if hits:
                        found.append((feature, g, k, hits))
        return found

    seconds = [timed(lambda: keyword_hits(labels, groups, "window"))[0] for _ in range(5)]
    rival_seconds, found = timed(loop)
    rival_seconds *= FEATURES / SAMPLE
    hits = rows(benchmark(keyword_hits, labels, groups, "window"))
    assert len(found) > SAMPLE
    np.testing.assert_array_equal(hits[np.isin(hits[:, 0], sample)], sorted(found))

    ratio = rival_seconds / median(seconds)
    benchmark.extra_info |= {"seconds": median(seconds), "rival_seconds_scaled": rival_seconds}
    print(f"\n{median(seconds):.3f} s against {rival_seconds:.0f} s scaled from {SAMPLE} features: {ratio:.0f}x (1000)")
    assert ratio >= 1000


def test_keywords_beat_aho_corasick_over_the_joined_contexts(world, benchmark):
    """The rival finds every keyword in one text of all contexts; NumPy drops what is no whole word and counts.

    It need not know any alphabet but ASCII here. Without that second step it finds pieces of words.
    """
    ahocorasick_rs = pytest.importorskip("ahocorasick_rs")
    labels, groups = world
    letter = np.array([chr(byte).isalnum() for byte in range(128)])

    def rival():
        contexts = [a + b + c for a, b, c in zip(labels.left, labels.token, labels.right, strict=True)]
        text = "\n".join(contexts).lower()
        starts = np.cumsum([0, *(len(context) + 1 for context in contexts)])
        automaton = ahocorasick_rs.AhoCorasick([keyword.lower() for group in groups for keyword in group.keywords])
        matches = np.array(automaton.find_matches_as_indexes(text, overlapping=True))
        is_letter = letter[np.frombuffer(text.encode(), np.uint8)]
        keyword, first, _ = matches[~(is_letter[matches[:, 1] - 1] | is_letter[matches[:, 2]])].T
        row = np.searchsorted(starts, first, side="right") - 1
        once = np.unique(row * (GROUPS * KEYWORDS) + keyword)
        pair = once // (GROUPS * KEYWORDS) // CONTEXTS * (GROUPS * KEYWORDS) + once % (GROUPS * KEYWORDS)
        found, number = np.unique(pair, return_counts=True)
        feature, keyword = np.divmod(found, GROUPS * KEYWORDS)
        return np.stack([feature, *np.divmod(keyword, KEYWORDS), number], axis=1)

    seconds = {"window": [], "word": []}
    rival_seconds = []
    for _ in range(5):
        rival_seconds.append(timed(rival)[0])
        for where, taken in seconds.items():
            taken.append(timed(lambda where=where: keyword_hits(labels, groups, where))[0])
    np.testing.assert_array_equal(rows(benchmark(keyword_hits, labels, groups, "window")), rival())

    ratio = median(rival_seconds) / median(seconds["window"])
    benchmark.extra_info |= {where: median(taken) for where, taken in seconds.items()}
    benchmark.extra_info |= {"rival_seconds": median(rival_seconds), "ratio": ratio}
    print(
        f"\nwindow {median(seconds['window']):.3f} s, word {median(seconds['word']):.3f} s, "
        f"Aho-Corasick {median(rival_seconds):.3f} s: {ratio:.1f}x (5)"
    )
    assert ratio >= 3  # ours takes two threads, the rival one: on a busy machine half the ratio is left
