"""Words of one to four syllables that occur as Zipf's law says, and keywords among them."""

import numpy as np

from analogue.keywords import KeywordGroup

GROUPS, KEYWORDS, VOCABULARY = 20, 100, 20_000


def zipf_words(rng, shape):
    """Return the vocabulary, most frequent word first, and words drawn from it."""
    syllables = np.array([c + v for c in "bcdfghklmnprstvw" for v in ("a", "e", "i", "o", "u", "an", "in", "er")])
    lengths = rng.choice([1, 2, 3, 4], VOCABULARY, p=[0.1, 0.4, 0.3, 0.2])
    vocabulary = np.unique(["".join(rng.choice(syllables, length)) for length in lengths])
    rng.shuffle(vocabulary)
    frequency = 1 / np.arange(1, len(vocabulary) + 1)
    return vocabulary, rng.choice(vocabulary, shape, p=frequency / frequency.sum())


def keyword_groups(rng, vocabulary):
    """Return 20 groups of 100 keywords each, none of them among the 20 most frequent words."""
    chosen = rng.choice(vocabulary[20:], (GROUPS, KEYWORDS), replace=False).tolist()
    return [KeywordGroup(str(number), tuple(keywords)) for number, keywords in enumerate(chosen)]
