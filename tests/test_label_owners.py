"""What labels belong to: one dictionary, one text and its tokens, none of them special."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import transformers

import tiny
from analogue import (
    Corpus,
    FeatureActivations,
    Pairs,
    capture,
    filters,
    hubs,
    junk,
    load_comparison,
    match,
    sample_contexts,
    sample_positions,
    top_contexts,
    top_positions,
)
from analogue.demo import folder
from analogue.dictionaries.neurons import neurons
from analogue.documents import special_ids
from analogue.labels import Labels
from analogue.scoring import groups_of
from analogue.spaces import FeatureSpace
from test_labels import captured


@pytest.fixture(scope="module")
def corpus():
    return Corpus.from_texts(["I am BOB<eos> that cat ate!", "So I am Eve."], tiny.tokenizer("plain"), 8)


def test_activations_of_another_text_or_tokenizer_are_refused(corpus):
    other = Corpus.from_texts(["One more, with an umbrella."], tiny.tokenizer("plain"))
    again = Corpus.from_texts(corpus.texts, tiny.tokenizer("bert"))
    other_ids = replace(corpus, document_token_ids=tuple(ids + 1 for ids in corpus.document_token_ids))
    mine, foreign = (captured(text, np.eye(text.n_kept)) for text in (corpus, other))
    for acts, here in ((mine, other), (mine, again), (mine, other_ids), (foreign, corpus)):
        for label in (top_contexts, sample_contexts):
            with pytest.raises(ValueError, match=r"acts must be captured on this corpus, but \d+ of their \d+ tokens"):
                label(acts, here)
    with pytest.raises(TypeError, match="corpus must be a Corpus, got list"):
        top_contexts(captured(corpus, np.eye(corpus.n_kept)), [])


def labels_of(features):
    zeros, texts = np.zeros(features, np.int64), [f"w{i}" for i in range(features)]
    blank = [""] * features
    return Labels(np.arange(features + 1), np.ones(features, np.float32), texts, blank, blank, zeros, zeros, texts)


PAIRS = Pairs(np.array([0, 4]), np.array([1, 2]), np.array([0.9, 0.8]))


@pytest.mark.parametrize(
    ("meet", "a", "b"),
    [
        (lambda a, b: PAIRS.filter(filters.junk(a, b)), "labels_a", "labels_b"),
        (lambda a, b: PAIRS.filter(filters.shared_word(a, b)), "labels_a", "labels_b"),
        (lambda a, b: junk.share_by_correlation(PAIRS, a, b), "labels_a", "labels_b"),
        (lambda a, b: junk.dropped(PAIRS, a, b), "labels_a", "labels_b"),
        (lambda a, b: hubs(PAIRS, labels=(a, b)), "labels of A", "labels of B"),
        (lambda a, b: groups_of(PAIRS, (a, b)), "labels of A", "labels of B"),
    ],
)
def test_labels_of_another_dictionary_are_refused(meet, a, b):
    narrow, wide = labels_of(3), labels_of(5)
    meet(wide, narrow)
    with pytest.raises(
        ValueError, match=f"{a} must be of the pairs' dictionary, which has a feature 4, got labels of 3"
    ):
        meet(narrow, narrow)
    with pytest.raises(
        ValueError, match=f"{b} must be of the pairs' dictionary, which has a feature 2, got labels of 0"
    ):
        meet(wide, labels_of(0))


def test_labels_of_a_wider_dictionary_are_refused_where_pairs_know_its_size():
    rng = np.random.default_rng(0)
    acts = [FeatureActivations.from_dense(rng.random((30, width))) for width in (5, 3)]
    pairs = match(*acts).pairs("b_to_a")
    assert pairs.n_features == pairs.filter(filters.one_to_one("best")).stages[-1].dropped.n_features == (5, 3)
    pairs.filter(filters.junk(labels_of(5), labels_of(3)))
    for meet in (filters.junk, filters.shared_word):
        with pytest.raises(
            ValueError, match="labels_b must be of the pairs' dictionary, which has 3 features, got labels of 7"
        ):
            pairs.filter(meet(labels_of(5), labels_of(7)))


def test_a_space_has_one_number_of_features():
    narrow, wide = labels_of(3), labels_of(5)
    acts = FeatureActivations.from_dense(np.eye(5))
    FeatureSpace("layers.0", wide, acts)
    with pytest.raises(ValueError, match=r"one number of features at layers.0, got labels of 3, activations of 5"):
        FeatureSpace("layers.0", narrow, acts)
    with pytest.raises(ValueError, match="got labels of 5, directions of 3"):
        FeatureSpace("layers.0", wide, None, np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match=r"n_features must be that of the labels, whose features are 0..4, got 3"):
        Labels.from_arrow(wide.to_arrow(), 3)


def test_more_tokens_than_there_are(corpus):
    x = np.zeros((corpus.n_kept, 2))
    x[1:4, 0] = [2.0, 3.0, 1.0]
    acts = captured(corpus, x)
    assert len(top_contexts(acts, corpus, k=10 * corpus.n_kept).tokens(0)) == 3
    assert len(sample_contexts(acts, corpus, k=10 * corpus.n_kept, bands=2).tokens(0)) == 3
    for k in (0, -1):
        for label in (top_contexts, sample_contexts):
            with pytest.raises(ValueError, match=f"k must be at least 1, got {k}"):
                label(acts, corpus, k)
    with pytest.raises(ValueError, match="target must be one of token, next, got 'before'"):
        top_contexts(acts, corpus, target="before")
    for among in (np.ones(3, dtype=bool), np.ones(acts.n_tokens)):
        for find in (top_positions, sample_positions):
            with pytest.raises(ValueError, match="among must say true or false of each of"):
                find(acts, among=among)


# Special tokens


@pytest.mark.parametrize("kind", ["plain", "bos", "bert"])
def test_special_tokens_of_either_side_never_enter_correlations_or_labels(kind):
    """Side B reads the same tokens, and has roles for other ids than side A."""
    side_a, side_b = tiny.tokenizer(kind), tiny.tokenizer(kind)
    word = side_b.convert_ids_to_tokens(side_b.encode("whatever the cat", add_special_tokens=False)[-1])
    side_b.add_special_tokens({"pad_token": word})
    special = special_ids(side_a) | special_ids(side_b)
    assert special > special_ids(side_a)
    end = {"bert": "[SEP]"}.get(kind, "<eos>")
    text = f"The cat sat{end} on the mat, and the dog sat on the cat.{end} Time flies"
    corpus = Corpus.from_texts([text, text], side_a, 12, extra_special_ids=special_ids(side_b))
    assert special & {int(token) for ids in corpus.document_token_ids for token in ids} > {side_b.pad_token_id}
    model = tiny.model({"plain": "gpt_neox", "bos": "llama", "bert": "bert"}[kind])
    acts = capture(model, corpus, {site: neurons(24, site) for site in ("layers.1", "layers.2")})
    for own in acts.values():
        assert not special & set(own.token_ids.tolist())
        assert own.n_tokens == corpus.n_kept
        for target in ("token", "next"):
            labels = top_contexts(own, corpus, k=own.n_tokens, target=target)
            marked = zip(labels.document_id.tolist(), labels.position.tolist(), strict=True)
            assert not special & {int(corpus.document_token_ids[document][at]) for document, at in marked}


def test_the_command_line_masks_the_special_tokens_of_b(run, tmp_path):
    """The same ids on both sides; in B's tokenizer " the" is special as well."""
    side_b, text = tmp_path / "model_b", tmp_path / "text.txt"
    shutil.copytree(folder() / "model_b", side_b)
    tokenizer = transformers.AutoTokenizer.from_pretrained(side_b)
    (the,) = tokenizer.encode(" the", add_special_tokens=False)
    tokenizer.add_special_tokens({"pad_token": tokenizer.convert_ids_to_tokens(the)})
    tokenizer.save_pretrained(side_b)
    text.write_text("We hold the truth of the people in the Union. " * 40)
    models = ["compare", folder() / "model_a", side_b, "--site-a", "layers.2", "--site-b", "layers.2", "--text", text]
    status, _, problem = run(*models, "--permutations", "2", "--measures", "rsa", "--out", tmp_path / "run")
    assert status == 0, problem
    for space in load_comparison(tmp_path / "run").spaces.values():
        assert the not in space.activations.token_ids
        assert " the" not in space.labels.token
