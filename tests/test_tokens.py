"""Top tokens against loops in rational arithmetic, and their texts against the corpus."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles_tokens
from analogue import ActivationShards, Corpus, FeatureActivations, top_contexts, top_positions
from analogue.demo import folder
from analogue.tokens import shared_ids, top_token_texts, top_tokens

VALUES = np.float32([-1.0, 0.0, 0.0, 0.1, 0.2, 0.3, 1.0])  # 0.1 + 0.2 ties with 0.3 in no float arithmetic


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 7, 63]), st.sampled_from([1, 2, 7, 257]), st.sampled_from([1, 4])
)
def test_top_tokens_are_those_of_rational_sums(seed, tokens, features, vocabulary):
    rng = np.random.default_rng(seed)
    x = rng.choice(VALUES, (tokens, features))
    ids = rng.integers(0, vocabulary, tokens) * 10**6 + 3
    acts = FeatureActivations.from_dense(x, token_ids=ids)
    assert top_tokens(acts).tolist() == oracles_tokens.top_tokens(x, ids)


@given(st.integers(0, 2**32 - 1), st.sampled_from([7, 30, 1000]))
def test_top_tokens_of_shards_are_those_of_memory(tmp_path_factory, seed, entries):
    rng = np.random.default_rng(seed)
    acts = FeatureActivations.from_dense(rng.choice(VALUES, (50, 7)), token_ids=rng.integers(0, 5, 50))
    shards = ActivationShards.from_activations(acts, tmp_path_factory.mktemp("shards") / "s", entries)
    np.testing.assert_array_equal(top_tokens(shards), top_tokens(acts))


def test_one_outlier_does_not_make_the_top_token():
    x = np.array([[1.0], [1.0], [1.5]])
    acts = FeatureActivations.from_dense(x, token_ids=[4, 4, 9])
    assert top_tokens(acts).tolist() == [4]
    assert top_positions(acts, 1)[0].tolist() == [[2]]


@pytest.fixture(scope="module")
def corpus():
    from transformers import AutoTokenizer

    texts = ["The Union is strong. the people are free; The end of THE union.", "One more: the café."]
    return Corpus.from_texts(texts, AutoTokenizer.from_pretrained(folder() / "model_a"), context_length=8)


def captured(corpus, x):
    return FeatureActivations.from_dense(
        x, token_ids=corpus.kept_token_ids, document_ids=corpus.kept_document_ids, positions=corpus.kept_positions
    )


def test_texts_are_stripped_pieces_of_the_corpus(corpus):
    x = np.zeros((corpus.n_kept, corpus.n_kept + 1))
    np.fill_diagonal(x, 1.0)
    acts = captured(corpus, x)
    texts = top_token_texts(acts, corpus)
    assert texts[-1] is None
    labels = top_contexts(acts, corpus, k=1)
    assert labels.top_token == texts
    for feature in range(corpus.n_kept):
        assert texts[feature] == labels.tokens(feature)[0].strip().lower()
    # " the", " The" and " THE" are three tokens of one text
    assert len(set(acts.token_ids[[text == "the" for text in texts[:-1]]].tolist())) > 1


def test_equal_texts_share_an_id_whatever_their_side():
    a, b = shared_ids(["the", None, "war", "the"], ["war", "", None])
    assert (a.tolist(), b.tolist()) == ([0, -1, 1, 0], [1, 2, -1])
    assert a.dtype == b.dtype == np.int64
    assert [ids.tolist() for ids in shared_ids([], [])] == [[], []]


def test_bad_arguments(corpus):
    with pytest.raises(ValueError, match="acts must carry token_ids, got none"):
        top_tokens(FeatureActivations.from_dense(np.eye(3)))
    acts = FeatureActivations.from_dense(np.eye(3), token_ids=[1, 2, 3])
    with pytest.raises(ValueError, match="acts must carry document_ids and positions, got none"):
        top_token_texts(acts, corpus)


def test_wide_dictionaries_take_a_moment():
    """32 768 features, 30 000 tokens, 32 active: about 0.1 s; the bound leaves room for a busy machine."""
    rng = np.random.default_rng(0)
    ids = np.sort(rng.integers(0, 2**15 // 32, (30_000, 32)) + 1024 * np.arange(32), axis=1)
    acts = FeatureActivations.from_topk(ids, rng.random((30_000, 32)), 2**15, token_ids=rng.zipf(1.3, 30_000) % 50_000)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        top_tokens(acts)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
