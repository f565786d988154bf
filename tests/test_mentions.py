"""Specificity against a loop over tokens; marked tokens against contexts of whole documents; words that get lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_keywords
import tiny
from analogue import ActivationShards, Concepts, Corpus, FeatureActivations, top_contexts
from analogue.concept import Concept
from analogue.keywords import KeywordGroup, keyword_hits
from analogue.mentions import Mentions, specificity
from analogue.producible import unproducible

TEXTS = [
    "The old-man was a man of New York; Brockman, the man's friend, was not. MAN!\nman\\nman",
    "🎉 Café-goers say: cafe\N{COMBINING ACUTE ACCENT} is “né”. 北京 is 北 and 京. שלום man, 3.14 men.",
    "man",
]
GROUPS = [
    KeywordGroup("people", ("man", "men")),
    KeywordGroup("places", ("new york", "北京", "the old"), case_sensitive=False),
    KeywordGroup("names", ("Café", "MAN", "שלום"), case_sensitive=True),
    KeywordGroup("alone", ("man", "york"), compounds=False),
    KeywordGroup("pattern", ("m[ae]n", "[0-9.]+"), regex=True),
]
PIECES = [
    "man",
    " man",
    "Man",
    "'s",
    "-",
    " ",
    "\n",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "北京",
    "🎉",
    "שלום",
    "3.14",
    "ไทย",
]


@pytest.fixture(scope="module")
def tokenizer():
    """Byte-level BPE: a character that it does not know is several tokens, all with its span."""
    return tiny.tokenizer("plain")


def everywhere(corpus):
    """One feature a kept token, firing there alone."""
    return FeatureActivations.from_dense(
        np.eye(corpus.n_kept),
        token_ids=corpus.kept_token_ids,
        document_ids=corpus.kept_document_ids,
        positions=corpus.kept_positions,
    )


def places_of(corpus):
    first = np.cumsum([0, *map(len, corpus.document_token_ids)])
    return first[corpus.kept_document_ids] + corpus.kept_positions


def marked_by_hand(corpus, groups):
    """(groups, tokens): is a word that the token touches part of a keyword in the whole text?"""
    found = []
    for text, spans in zip(corpus.texts, corpus.document_offsets, strict=True):
        words = oracles_keywords.words(text)
        for start, end in spans.tolist():
            context = (text[:start], text[start:end], text[end:])
            touched = [(a, b) for a, b in words if a < end and b > start]
            column = []
            for group in groups:
                rules = (group.case_sensitive, group.regex, "word", group.compounds)
                # Whole texts have no edge that cuts: a blank at each end says so.
                wide = (" " + context[0], context[1], context[2] + " ")
                hit = any(oracles_keywords.is_hit(wide, keyword, *rules) for keyword in group.keywords)
                column.append(bool(touched) and hit)
            found.append(column)
    return np.array(found).T


@pytest.fixture(scope="module")
def by_hand(tokenizer):
    return marked_by_hand(Corpus.from_texts(TEXTS, tokenizer), GROUPS)


def test_marks_by_hand(tokenizer, by_hand):
    corpus = Corpus.from_texts(TEXTS, tokenizer)
    marks = Mentions(corpus, GROUPS).marks(np.arange(sum(map(len, corpus.document_token_ids))))
    np.testing.assert_array_equal(marks, by_hand)
    assert marks.any(axis=1).all()
    assert not marks.all(axis=1).any()


@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), min_size=1, max_size=2))
def test_marks_are_the_hits_in_contexts_of_whole_documents(tokenizer, texts):
    texts = [f". {text} ." for text in texts]  # the first token of a block is not kept, and no edge cuts a word
    corpus = Corpus.from_texts(texts, tokenizer)
    labels = top_contexts(everywhere(corpus), corpus, k=1, window=1000)
    hits = keyword_hits(labels, GROUPS)
    wanted = np.zeros((len(GROUPS), corpus.n_kept), dtype=bool)
    wanted[hits.group, hits.feature] = True
    np.testing.assert_array_equal(Mentions(corpus, GROUPS).marks(places_of(corpus)), wanted)
    found = oracles_keywords.keyword_hits(labels, GROUPS, "word")  # pieces of a character stand for all of it
    assert {(feature, group) for feature, group, _, _ in found} == set(
        zip(hits.feature.tolist(), hits.group.tolist(), strict=True)
    )


@settings(max_examples=10)  # each writes shards
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7, 63, 257]))
def test_specificity_against_a_loop(tmp_path_factory, tokenizer, by_hand, seed, features):
    rng = np.random.default_rng(seed)
    corpus = Corpus.from_texts(TEXTS, tokenizer, context_length=11)
    x = rng.choice([-1.0, 0.0, 0.0, 0.5, 3.0], (corpus.n_kept, features)).astype(np.float32)
    x[:, ::5] *= -np.sign(x[:, ::5])  # never above zero
    acts = FeatureActivations.from_dense(
        x,
        token_ids=corpus.kept_token_ids,
        document_ids=corpus.kept_document_ids,
        positions=corpus.kept_positions,
    )
    marks = by_hand[:, places_of(corpus)]
    wanted = np.full((len(GROUPS), features), np.nan)
    for feature in range(features):
        on = [
            [value for value, here in zip(x[:, feature], marked, strict=True) if value > 0 and here] for marked in marks
        ]
        total = sum(float(value) for value in x[:, feature] if value > 0)
        if total:
            wanted[:, feature] = [sum(map(float, values)) / total for values in on]
    found = specificity(acts, corpus, GROUPS)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=0)
    shards = ActivationShards.from_activations(acts, tmp_path_factory.mktemp("shards") / "s", max(20 * features, 100))
    np.testing.assert_array_equal(specificity(shards, corpus, GROUPS), found)


def test_rows_are_read_in_pieces(tokenizer, monkeypatch):
    corpus = Corpus.from_texts(TEXTS, tokenizer)
    acts = everywhere(corpus)
    whole = specificity(acts, corpus, GROUPS)
    monkeypatch.setattr("analogue.mentions._ROWS_AT_ONCE", 7)
    np.testing.assert_array_equal(specificity(acts, corpus, GROUPS), whole)


def test_specificity_of_concepts(tokenizer):
    corpus = Corpus.from_texts(["a man met a woman, and the man left."], tokenizer)
    concepts = Concepts((Concept("men", ("man",)), Concept("women", ("woman",))))
    found = concepts.specificity(everywhere(corpus), corpus)
    assert list(found) == ["men", "women"]
    texts = [corpus.texts[0][start:end] for start, end in corpus.document_offsets[0][corpus.kept_positions]]
    for name, word in (("men", "manman"), ("women", "woman")):
        assert set(found[name].tolist()) == {0, 1}
        on = "".join(text for text, share in zip(texts, found[name], strict=True) if share == 1)
        assert on.replace(" ", "") == word


def test_activations_of_another_corpus(tokenizer):
    corpus = Corpus.from_texts(TEXTS, tokenizer)
    acts = everywhere(corpus)
    for call in (lambda acts, corpus: specificity(acts, corpus, GROUPS), top_contexts):
        with pytest.raises(TypeError, match="corpus must be a Corpus, got str"):
            call(acts, "a text")
        with pytest.raises(ValueError, match="acts must carry document_ids and positions, got none"):
            call(FeatureActivations.from_dense(np.eye(3)), corpus)
        changed = [TEXTS[0].replace("B", "V"), *TEXTS[1:]]
        for texts in (TEXTS[:2], [TEXTS[0][:20], *TEXTS[1:]], changed):
            with pytest.raises(
                ValueError, match=r"acts must be captured on this corpus, but \d+ of their \d+ tokens are"
            ):
                call(acts, Corpus.from_texts(texts, tokenizer))


def test_byte_level_bpe_loses_no_word(tokenizer):
    words = (
        "man",
        "New York",
        "Café",
        "cafe\N{COMBINING ACUTE ACCENT}",
        "北京",
        "🎉",
        "שלום",
        "ไทย",
        "don\N{RIGHT SINGLE QUOTATION MARK}t",
    )
    assert unproducible(words, tokenizer, case_sensitive=True) == ()


def test_words_that_word_pieces_lose():
    bert = tiny.tokenizer("bert")
    concepts = Concepts(
        (
            Concept("kept", ("weather", "the cat", "Banana")),
            Concept("lost", ("cat", "北京", "cat!", "flies-like", "zebra")),
            Concept("names", ("Time", "cat"), case_sensitive=True),
        )
    )
    assert concepts.unproducible(bert) == {"lost": ("北京", "flies-like", "zebra"), "names": ("Time",)}
    with pytest.warns(UserWarning, match="these words.*: lost: 北京, flies-like, zebra; names: Time$") as warned:
        concepts.warn_unproducible(bert)
    assert len(warned) == 1
    Concepts((Concept("kept", ("weather",)),)).warn_unproducible(bert)
    with pytest.raises(TypeError, match="tokenizer must be a fast tokenizer"):
        concepts.unproducible("bert")
