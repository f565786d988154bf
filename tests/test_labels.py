"""Top positions against a sort of every column; labels against the text they come from."""

import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from analogue import ActivationShards, Corpus, FeatureActivations, sample_contexts, top_contexts, top_positions
from analogue.demo import folder
from analogue.labels import Labels


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 63, 257]), st.integers(1, 6))
def test_top_positions(seed, features, k):
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 0.0, 0.0, 0.5, 1.0, 2.0], (50, features))
    positions, values = top_positions(FeatureActivations.from_dense(x), k)
    assert positions.shape == values.shape == (features, k)
    for feature in range(features):
        column = x[:, feature]
        expected = [row for row in np.argsort(-column, kind="stable") if column[row] > 0][:k]
        np.testing.assert_array_equal(positions[feature], expected + [-1] * (k - len(expected)))
        np.testing.assert_array_equal(values[feature], [*column[expected], *[0] * (k - len(expected))])


def test_a_feature_with_one_activation_has_one_context(corpus):
    """The original filled up to k with tokens of activation 0, the first of the text (mistake 3.7)."""
    x = np.zeros((corpus.n_kept, 2))
    x[3, 0], x[:, 1] = 0.5, -1.0
    labels = top_contexts(captured(corpus, x), corpus, k=5)
    assert np.diff(labels.offsets).tolist() == [1, 0]
    assert labels.activation.tolist() == [0.5]
    assert len(top_contexts(captured(corpus, x), corpus, k=corpus.n_kept + 7).token) == 1  # k beyond the tokens


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([7, 30, 1000]))
def test_top_positions_of_shards_are_those_of_memory(tmp_path_factory, seed, k, entries):
    rng = np.random.default_rng(seed)
    acts = FeatureActivations.from_dense(rng.choice([-1.0, 0.0, 0.0, 0.5, 1.0, 2.0], (50, 7)))
    shards = ActivationShards.from_activations(acts, tmp_path_factory.mktemp("shards") / "s", entries)
    for found, wanted in zip(top_positions(shards, k), top_positions(acts, k), strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


@pytest.fixture(scope="module")
def corpus():
    from transformers import AutoTokenizer

    texts = ["The Union — as ever — is strong. The people are free.\n\nThe end.", "One more, with a café in it."]
    return Corpus.from_texts(texts, AutoTokenizer.from_pretrained(folder() / "model_a"), context_length=8)


def captured(corpus, x):
    return FeatureActivations.from_dense(
        x, token_ids=corpus.kept_token_ids, document_ids=corpus.kept_document_ids, positions=corpus.kept_positions
    )


def test_contexts_are_pieces_of_the_text(corpus):
    rng = np.random.default_rng(0)
    x = rng.random((corpus.n_kept, 5)) * (rng.random((corpus.n_kept, 5)) < 0.5)
    x[:, 3] = 0
    x[:, 4] = 0
    x[2, 4] = 1.5
    acts = captured(corpus, x)
    labels = top_contexts(acts, corpus, k=4, window=3)
    assert labels.tokens(3) == []
    assert len(labels.tokens(4)) == 1
    positions, _ = top_positions(acts, 4)
    for feature in (0, 1, 2, 4):
        for rank, (left, token, right) in enumerate(labels.contexts(feature)):
            row = positions[feature, rank]
            text = corpus.texts[acts.document_ids[row]]
            assert left + token + right in text
            start, end = corpus.document_offsets[acts.document_ids[row]][acts.positions[row]]
            assert token == text[start:end]


def test_windows_cross_blocks_but_not_documents(corpus):
    x = np.eye(corpus.n_kept)
    acts = captured(corpus, x)
    labels = top_contexts(acts, corpus, k=1, window=10_000)
    for feature in range(corpus.n_kept):
        assert "".join(labels.contexts(feature)[0]) == corpus.texts[acts.document_ids[feature]]
    bare = top_contexts(acts, corpus, k=1, window=0)
    assert set(bare.left) == set(bare.right) == {""}


def test_a_window_may_differ_before_and_after(corpus):
    acts = captured(corpus, np.eye(corpus.n_kept))
    wide, before, after = (top_contexts(acts, corpus, k=1, window=window) for window in ((2, 3), 2, 3))
    assert wide.left == before.left
    assert wide.token == before.token
    assert wide.right == after.right
    assert wide.right != before.right
    alone = top_contexts(acts, corpus, k=1, window=(0, 2), unit="words")
    assert all(text.strip() == "" or " " not in text for text in alone.left)
    assert any(text.count(" ") == 2 for text in alone.right)
    drawn = sample_contexts(acts, corpus, k=1, bands=1, window=(0, 3))
    assert (set(drawn.left), drawn.right) == ({""}, after.right)


def test_arrow_round_trip(corpus):
    x = np.zeros((corpus.n_kept, 4))
    x[:3, 1] = 1.0
    labels = top_contexts(captured(corpus, x), corpus)
    read = Labels.from_arrow(labels.to_arrow(), 4)
    np.testing.assert_array_equal(read.offsets, labels.offsets)
    assert [read.contexts(f) for f in range(4)] == [labels.contexts(f) for f in range(4)]
    assert labels.to_arrow()["rank"].to_pylist() == [0, 1, 2]
    silent = top_contexts(captured(corpus, np.zeros((corpus.n_kept, 4))), corpus)
    assert Labels.from_arrow(silent.to_arrow(), 4).tokens(3) == []


def test_bad_arguments(corpus):
    acts = FeatureActivations.from_dense(np.eye(corpus.n_kept))
    with pytest.raises(ValueError, match="acts must carry document_ids and positions"):
        top_contexts(acts, corpus)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        top_positions(acts, 0)
    with pytest.raises(ValueError, match="window must be at least 0"):
        top_contexts(captured(corpus, np.eye(corpus.n_kept)), corpus, window=-1)
    with pytest.raises(ValueError, match="window must be at least 0, got -2"):
        top_contexts(acts, corpus, window=(3, -2))
    with pytest.raises(ValueError, match=r"window must be one number or two, before and after, got \(1, 2, 3\)"):
        top_contexts(acts, corpus, window=(1, 2, 3))


# The token after


@pytest.fixture(scope="module")
def ended():
    """Three documents, the first with a special token inside, and activations on every kept token."""
    texts = ["I am BOB<eos> that cat ate!", "So I am Eve.", "x y"]
    return Corpus.from_texts(texts, tiny.tokenizer("plain"), context_length=8)


def after(corpus, document, position):
    """The token after, as text, or None at the document's end and before a special token."""
    ids, spans = corpus.document_token_ids[document], corpus.document_offsets[document]
    if position + 1 == len(ids) or int(ids[position + 1]) in corpus.special_ids:
        return None
    return corpus.texts[document][slice(*spans[position + 1])]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
def test_labels_by_the_next_token(ended, seed, k, shards):
    rng = np.random.default_rng(seed)
    x = rng.choice([0.0, 0.0, 1.0, 2.0, 3.0], (ended.n_kept, 5))
    acts = captured(ended, x)
    if shards:
        with tempfile.TemporaryDirectory() as place:
            labels = top_contexts(ActivationShards.from_activations(acts, f"{place}/s", 20), ended, k, target="next")
    else:
        labels = top_contexts(acts, ended, k, target="next")
    places = list(zip(acts.document_ids.tolist(), acts.positions.tolist(), strict=True))
    for feature in range(5):
        order = np.argsort(-x[:, feature], kind="stable").tolist()
        rows = [row for row in order if x[row, feature] > 0 and after(ended, *places[row]) is not None][:k]
        assert labels.tokens(feature) == [after(ended, *places[row]) for row in rows]
        own = slice(labels.offsets[feature], labels.offsets[feature + 1])
        assert labels.activation[own].tolist() == x[rows, feature].tolist()
        assert labels.position[own].tolist() == [places[row][1] + 1 for row in rows]
        for left, token, right in labels.contexts(feature):
            assert any(left + token + right in text for text in ended.texts)
    assert labels.top_token == top_contexts(acts, ended, k).top_token


def test_samples_by_the_next_token(ended):
    x = np.ones((ended.n_kept, 1))
    labels = sample_contexts(captured(ended, x), ended, k=ended.n_kept, bands=1, target="next")
    places = zip(ended.kept_document_ids.tolist(), ended.kept_positions.tolist(), strict=True)
    assert sorted(labels.tokens(0)) == sorted(text for place in places if (text := after(ended, *place)) is not None)
    kept = Corpus.from_texts(ended.texts, tiny.tokenizer("plain"), context_length=8, keep_special=True)
    acts = captured(kept, np.ones((kept.n_kept, 1)))
    assert "<eos>" in top_contexts(acts, kept, k=kept.n_kept, target="next").tokens(0)
