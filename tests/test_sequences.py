"""Top tokens with a document once, and samples of bands, against rows taken one by one; shards against memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles_labels as oracles
from analogue import (
    ActivationShards,
    Corpus,
    FeatureActivations,
    sample_contexts,
    sample_positions,
    top_contexts,
    top_positions,
)
from analogue.demo import folder

seeds = st.integers(0, 2**32 - 1)
widths = st.sampled_from([1, 2, 7, 63, 257])
lengths = st.sampled_from([1, 2, 7, 50])


def drawn(seed, tokens, features):
    """Few values, so that ties abound; a silent, a negative and a constant column; documents that come back."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 0.0, 0.0, 0.5, 1.0, 2.0, 3.0], (tokens, features)).astype(np.float32)
    for column, value in zip(range(3, features, 3), (0.0, -1.0, 1.0), strict=False):
        x[:, column] = value
    documents = rng.integers(0, 5, tokens) if seed % 2 else np.sort(rng.integers(0, 5, tokens))
    return x, FeatureActivations.from_dense(x, document_ids=documents), documents


@given(seeds, lengths, widths, st.integers(1, 6))
def test_top_positions_take_a_document_once(seed, tokens, features, k):
    x, acts, documents = drawn(seed, tokens, features)
    for once in (False, True):
        found = top_positions(acts, k, one_per_document=once)
        wanted = oracles.filled(oracles.top(x, k, documents if once else None), k)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@given(seeds, lengths, widths, st.integers(1, 4), st.integers(1, 6), st.booleans())
def test_samples_are_the_first_in_turn_of_every_band(seed, tokens, features, k, bands, once):
    x, acts, documents = drawn(seed, tokens, features)
    positions, values = sample_positions(acts, k, bands, one_per_document=once, seed=seed)
    assert positions.shape == values.shape == (features, bands, k)
    turns = np.random.default_rng(seed).permutation(tokens)
    lists = oracles.sampled(x, k, bands, turns, documents if once else None)
    wanted_positions, wanted_values = oracles.filled(lists, k)
    np.testing.assert_array_equal(positions.reshape(-1, k), wanted_positions)
    np.testing.assert_array_equal(values.reshape(-1, k), wanted_values)


@given(seeds, st.integers(1, 4), st.sampled_from([7, 30, 1000]), st.booleans())
def test_shards_are_as_memory(tmp_path_factory, seed, k, entries, once):
    _, acts, _ = drawn(seed, 50, 7)
    shards = ActivationShards.from_activations(acts, tmp_path_factory.mktemp("shards") / "s", entries)
    for function, more in ((top_positions, {}), (sample_positions, {"bands": 3, "seed": seed})):
        for found, wanted in zip(
            function(shards, k, one_per_document=once, **more),
            function(acts, k, one_per_document=once, **more),
            strict=True,
        ):
            np.testing.assert_array_equal(found, wanted)
            assert found.dtype == wanted.dtype


def test_a_sample_is_uniform():
    """Every one of 20 tokens of a band is drawn in 4 of 20 draws on average; bounds are four standard errors."""
    x = np.repeat([0.9, 0.3], 20)[:, None]
    acts = FeatureActivations.from_dense(x)
    times = np.zeros(40)
    for seed in range(400):
        positions, _ = sample_positions(acts, 4, bands=2, seed=seed)
        assert (positions[0, 0] < 20).all()
        assert (positions[0, 1] >= 20).all()
        times[positions.ravel()] += 1
    assert np.abs(times / 400 - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 400)


def test_all_of_a_band_that_has_no_more():
    acts = FeatureActivations.from_dense([[4.0], [1.0], [3.0], [4.0], [2.0]])
    positions, values = sample_positions(acts, 3, bands=2)
    np.testing.assert_array_equal(positions, [[[0, 3, 2], [4, 1, -1]]])
    np.testing.assert_array_equal(values, [[[4, 4, 3], [2, 1, 0]]])


@pytest.fixture(scope="module")
def captured():
    from transformers import AutoTokenizer

    texts = ["The Union, as ever, is strong.  The people are free.\n\nThe end.", "One more, with a café in it."]
    corpus = Corpus.from_texts(texts, AutoTokenizer.from_pretrained(folder() / "model_a"), context_length=8)
    rng = np.random.default_rng(0)
    acts = FeatureActivations.from_dense(
        rng.random((corpus.n_kept, 6)),
        token_ids=corpus.kept_token_ids,
        document_ids=corpus.kept_document_ids,
        positions=corpus.kept_positions,
    )
    return corpus, acts


@pytest.mark.parametrize("words", [0, 1, 3, 100])
def test_windows_of_words_are_never_cut(captured, words):
    corpus, acts = captured
    labels = top_contexts(acts, corpus, k=acts.n_tokens, window=words, unit="words")
    rows = zip(labels.left, labels.token, labels.right, labels.document_id, labels.position, strict=True)
    for left, token, right, document, position in rows:
        text = corpus.texts[document]
        start, end = corpus.document_offsets[document][position].tolist()
        assert text[start:end] == token
        first, last = oracles.word_window(text, start, end, words, words)
        assert (left, right) == (text[first:start], text[end:last])


def test_one_per_document_and_more_than_the_tokens(captured):
    corpus, acts = captured
    labels = top_contexts(acts, corpus, k=acts.n_tokens + 5, one_per_document=True)
    assert np.diff(labels.offsets).tolist() == [2] * 6
    assert sorted(labels.document_id[:2].tolist()) == [0, 1]
    everything = top_contexts(acts, corpus, k=acts.n_tokens + 5)
    assert np.diff(everything.offsets).tolist() == [acts.n_tokens] * 6


def test_sampled_contexts_are_labels_largest_first(captured):
    corpus, acts = captured
    labels = sample_contexts(acts, corpus, k=2, bands=4, window=1, unit="words", seed=3)
    positions, values = sample_positions(acts, 2, 4, seed=3)
    assert len(labels.token) == (positions >= 0).sum()
    np.testing.assert_array_equal(labels.activation, values[positions >= 0])
    for feature in range(6):
        rows = slice(labels.offsets[feature], labels.offsets[feature + 1])
        assert (np.diff(labels.activation[rows]) <= 0).all()


def test_bad_arguments(captured):
    corpus, acts = captured
    bare = FeatureActivations.from_dense(np.eye(3))
    with pytest.raises(ValueError, match="acts must carry document_ids for one_per_document, got none"):
        top_positions(bare, one_per_document=True)
    with pytest.raises(ValueError, match="acts must carry document_ids for one_per_document, got none"):
        sample_positions(bare, one_per_document=True)
    with pytest.raises(ValueError, match="bands must be at least 1, got 0"):
        sample_positions(bare, bands=0)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        sample_positions(bare, 0)
    with pytest.raises(ValueError, match="unit must be one of tokens, words, got 'lines'"):
        sample_contexts(acts, corpus, unit="lines")
