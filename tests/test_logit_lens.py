"""Logit lens: promoted tokens against the dense matrix of logits."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

import tiny
from analogue import Concepts, logit_lens
from analogue.concept import Concept

TOKENIZER = tiny.tokenizer("bos")
SPECIAL = {TOKENIZER.bos_token_id, TOKENIZER.eos_token_id}


def dense(directions, unembedding, k, gain=None):
    """Rows of (ids, logits) from all logits in float64, sorted as a whole."""
    scaled = np.asarray(directions, float) * (1 if gain is None else np.asarray(gain, float))
    logits = scaled @ np.asarray(unembedding, float).T
    allowed = [token for token in range(logits.shape[1]) if token < len(TOKENIZER) and token not in SPECIAL]
    rows = []
    for row in logits:
        order = sorted((token for token in allowed if row[token] > 0), key=lambda token: (-row[token], token))[:k]
        rows.append(([TOKENIZER.decode([token]) for token in order], row[order].tolist()))
    return rows


def check(labels, expected):
    assert labels.n_features == len(expected)
    for feature, (texts, logits) in enumerate(expected):
        assert labels.tokens(feature) == texts
        own = slice(labels.offsets[feature], labels.offsets[feature + 1])
        np.testing.assert_allclose(labels.activation[own], logits, rtol=1e-5, atol=1e-6)
        assert labels.top_token[feature] == (texts[0].strip().lower() if texts else None)
    assert set(labels.left) | set(labels.right) <= {""}
    assert (labels.document_id == -1).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7, 63]), st.sampled_from([1, 3, 400]), st.booleans())
def test_against_the_dense_matrix(seed, features, k, ties):
    """Small integers are exact in float32 and tie often; V is larger than the vocabulary, as padding is."""
    rng = np.random.default_rng(seed)
    shapes = ((features, 6), (len(TOKENIZER) + 10, 6), (6,))
    made = [rng.integers(-2, 3, shape) if ties else rng.normal(size=shape) for shape in shapes]
    directions, unembedding, gain = (values.astype(np.float32) for values in made)
    directions[0] *= seed % 2  # a direction of zeros promotes nothing
    check(logit_lens(directions, unembedding, TOKENIZER, k), dense(directions, unembedding, k))
    labels = logit_lens(directions, unembedding, TOKENIZER, k, gain=gain)
    check(labels, dense(directions, unembedding, k, gain))


def test_blocks_are_as_one(monkeypatch):
    import importlib

    rng = np.random.default_rng(0)
    directions, unembedding = rng.integers(-2, 3, (63, 5)), rng.integers(-2, 3, (len(TOKENIZER), 5))
    module = importlib.import_module("analogue.logit_lens")
    monkeypatch.setattr(module, "_FEATURES", 10)
    monkeypatch.setattr(module, "_TOKENS", 7)
    check(logit_lens(directions, unembedding, TOKENIZER, 9), dense(directions, unembedding, 9))


def test_a_model_s_own_unembedding_and_norm():
    """What it names is what the model says when the direction is all of the residual stream."""
    model = tiny.model("llama", transformers.AutoModelForCausalLM)
    torch.nn.init.normal_(model.lm_head.weight)
    torch.nn.init.uniform_(model.model.norm.weight, 0.1, 2.0)
    directions = torch.randn(4, 24, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    head = model.get_output_embeddings().weight
    labels = logit_lens(directions, head, TOKENIZER, 3, gain=model.model.norm.weight)
    check(labels, dense(directions.float(), head.detach(), 3, model.model.norm.weight.detach()))
    with torch.no_grad():
        logits = model.lm_head(model.model.norm(directions.float()))
    logits[:, [*SPECIAL, *range(len(TOKENIZER), logits.shape[1])]] = -torch.inf
    assert [labels.tokens(f)[0] for f in range(4)] == [TOKENIZER.decode([i]) for i in logits.argmax(dim=1).tolist()]


def test_concepts_are_found_in_what_is_promoted():
    cat, mat = (TOKENIZER.encode(f" {word}", add_special_tokens=False) for word in ("cat", "mat"))
    assert len(cat) == len(mat) == 1
    unembedding = np.zeros((len(TOKENIZER), 2))
    unembedding[cat[0]], unembedding[mat[0]] = [2, 0], [1, 1]
    labels = logit_lens([[1, 0], [0, 1], [-1, 0]], unembedding, TOKENIZER)
    assert [labels.tokens(feature) for feature in range(3)] == [[" cat", " mat"], [" mat"], []]
    concepts = Concepts((Concept("animals", ("cat",)), Concept("things", ("mat",))))
    for where in ("token", "word"):
        found = {name: features.tolist() for name, features in concepts.features(labels, where).items()}
        assert found == {"animals": [0], "things": [0, 1]}
    assert labels.to_arrow().num_rows == 3


ONES = np.ones((3, 4))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"k": 0}, ValueError, "k must be at least 1, got 0"),
        ({"k": 1.5}, TypeError, "k must be an integer"),
        ({"directions": np.ones(4)}, ValueError, "directions must have 2 dimensions"),
        ({"directions": np.ones((3, 5))}, ValueError, "must have one width, got 5 and 4"),
        ({"unembedding": ONES * np.nan}, ValueError, "unembedding must be finite"),
        ({"gain": np.ones(3)}, ValueError, "gain must have one number for each of 4 dimensions, got 3"),
        ({"tokenizer": "gpt2"}, TypeError, "tokenizer must be a tokenizer of transformers, got str"),
        ({"device": "tpu"}, ValueError, "device must be auto, cpu"),
        ({"directions": ONES * 1e30, "unembedding": ONES * 1e30}, ValueError, "logits must be finite in float32"),
    ],
)
def test_bad_input(arguments, error, match):
    with pytest.raises(error, match=match):
        logit_lens(**{"directions": ONES, "unembedding": ONES, "tokenizer": TOKENIZER} | arguments)


def test_no_features():
    assert logit_lens(np.ones((0, 4)), ONES, TOKENIZER).n_features == 0
