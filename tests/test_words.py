"""Whole words and windows of words on any text, against a look at every run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles_labels as oracles
from analogue.words import WordWindows, folded, words_at

characters = st.sampled_from("ab man'-. \n\té\N{COMBINING ACUTE ACCENT}漢字\N{GRINNING FACE}אب१्_+")
spans = st.text(characters, max_size=14).flatmap(
    lambda text: st.tuples(st.just(text), st.integers(0, len(text)), st.integers(0, len(text)))
)


@given(spans)
def test_words_are_whole(drawn):
    text, *ends = drawn
    start, end = sorted(ends)
    found = words_at(text[:start], text[start:end], text[end:])
    assert found == ([] if start == end else oracles.words(text, start, end))


@given(st.lists(spans, min_size=1, max_size=3), st.integers(0, 4), st.integers(0, 4))
def test_windows_of_words(drawn, before, after):
    texts = [text for text, *_ in drawn]
    starts, ends = np.sort([ends for _, *ends in drawn], axis=1).T
    found = WordWindows(texts).around(np.arange(len(texts)), starts, ends, before, after)
    wanted = [
        oracles.word_window(text, start, end, before, after)
        for text, start, end in zip(texts, starts, ends, strict=True)
    ]
    np.testing.assert_array_equal(np.stack(found, axis=1), wanted)


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (("the Brock", "man", " case"), ["Brockman"]),
        (("the ", "man", "'s case"), ["man"]),
        (("a", " man", "."), ["man"]),
        (("cafe", "\N{COMBINING ACUTE ACCENT}", " x"), ["cafe\N{COMBINING ACUTE ACCENT}"]),
        (("x", " of the", "re"), ["of", "there"]),
        (("x", " +", " y"), ["+"]),
        (("x", "\n\n", "y"), []),
    ],
)
def test_words_of_a_token(context, words):
    assert words_at(*context) == words


def test_folding():
    assert folded("STRASSE") == folded("straße")
    assert folded("Cafe\N{COMBINING ACUTE ACCENT}") == folded("CAFÉ") == "café"
    assert folded("\N{LATIN SMALL LIGATURE FI}re") == "fire"
