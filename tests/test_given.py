"""Partners by the correlation that is left given the token, the bigram or any group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analogue as an
import oracles
from analogue.given import count_alone, group_ids
from test_matching import codes, padded


def acts(x, **per_token):
    return an.FeatureActivations.from_dense(x, **per_token)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 7, 40]),
    st.sampled_from([1, 7, 20]),
    st.sampled_from([1, 7, 20]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([1, 4, 30]),
)
def test_partners_are_those_of_rational_arithmetic(seed, n, features_a, features_b, top, least, signed, n_groups):
    """Codes without a sign are searched by a bound that is cut short, signed ones by both sums whole."""
    rng = np.random.default_rng(seed)
    x, y = codes(rng, n, features_a, 0.3, signed), codes(rng, n, features_b, 0.3, signed)
    y[:, : min(features_a, features_b) // 2] = x[:, : min(features_a, features_b) // 2]
    groups = rng.integers(0, n_groups, n) * 10**12
    x[:, -1] = np.unique(groups, return_inverse=True)[1]  # the group alone: nothing is left of it
    found = an.match(acts(x), acts(y), top=top, min_activations=least, given=groups)
    for ids, r, sides in ((found.best_a, found.corr_a, (x, y)), (found.best_b, found.corr_b, (y, x))):
        partners, values = padded(oracles.best_partners_within(*sides, groups, top, least), top)
        np.testing.assert_array_equal(ids.reshape(partners.shape), partners)
        np.testing.assert_allclose(r.reshape(values.shape), values, atol=1e-9, rtol=0)


@pytest.mark.parametrize("signed", [False, True])
def test_wide_sides_equal_the_matrix_of_residuals(signed):
    """Wide enough for every way through the epilogue, and for bounds that rule partners out."""
    rng = np.random.default_rng(1)
    tokens = rng.zipf(1.5, 3000) % 97
    x, y = codes(rng, 3000, 257, 0.05, signed), codes(rng, 3000, 511, 0.05, signed)
    words = rng.random((97, 257)) < 0.05
    x += 2 * words[tokens] * rng.random((3000, 1))
    y[:, :257] += 2 * words[tokens] * rng.random((3000, 1))
    found = an.match(acts(x), acts(y), top=2, given=tokens)
    r = oracles.within_group_correlation(x.astype(np.float32), y.astype(np.float32), tokens)
    np.testing.assert_allclose(found.corr_a, -np.sort(-r.T, axis=1)[:, :2], atol=1e-11, rtol=0)
    np.testing.assert_allclose(found.corr_b, -np.sort(-r, axis=1)[:, :2], atol=1e-11, rtol=0)
    np.testing.assert_allclose(np.take_along_axis(r, found.best_b, 1), found.corr_b, atol=1e-11, rtol=0)


def test_pairs_carry_plain_r_and_what_they_were_chosen_by():
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, 9, 400)
    x = codes(rng, 400, 20)
    y = codes(rng, 400, 15) + x[:, :15]
    found = an.match(acts(x, token_ids=tokens), acts(y, token_ids=tokens), given="token")
    pairs = found.pairs("mutual")
    assert found.tokens_alone == 0
    plain = oracles.pearson_matrix(x, y)[pairs.feature_a, pairs.feature_b]
    within = oracles.within_group_correlation(x, y, tokens)[pairs.feature_a, pairs.feature_b]
    np.testing.assert_allclose(pairs.correlation, plain, atol=1e-9)
    np.testing.assert_allclose(pairs.correlation_given_token, within, atol=1e-9)
    np.testing.assert_allclose(pairs.weight, within, atol=1e-9)
    assert len(pairs) >= 10


def test_a_shared_word_is_not_a_partner():
    """Two features of one word correlate plainly; given the token, only those that share more do."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 5, 2000)
    word, context = (tokens == 2) * 1.0, rng.random(2000) * (rng.random(2000) < 0.5)
    x = np.stack([word * rng.random(2000), 0.2 * word * context + 1e-3 * rng.random(2000)], 1)
    y = (word * context + 1e-3 * rng.random(2000))[:, None]
    a, b = acts(x, token_ids=tokens), acts(y, token_ids=tokens)
    assert an.match(a, b, given="token").corr_a[0] > 0.9
    assert an.match(a, b, given="token").best_a[0] == 1
    assert oracles.pearson_matrix(x, y)[0, 0] > 0.4


def test_bigrams_are_of_neighbours_in_one_document():
    tokens = np.array([5, 7, 5, 7, 7, 7, 5, 7])
    documents = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    positions = np.array([1, 2, 3, 5, 1, 2, 3, 4])  # the token before the fourth was masked
    a = acts(np.eye(8), token_ids=tokens, document_ids=documents, positions=positions)
    ids = group_ids(a, acts(np.eye(8)), "bigram").tolist()
    pairs = [(5, -1), (7, 5), (5, 7), (7, -1), (7, -1), (7, 7), (5, 7), (7, 5)]
    assert [ids.index(i) for i in ids] == [pairs.index(pair) for pair in pairs]
    assert count_alone(np.array(ids)) == 2
    assert an.match(a, a, given="bigram").tokens_alone == 2


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"given": "word"}, ValueError, "^given must be one of token, bigram, got 'word'$"),
        ({"given": "token"}, ValueError, "^given='token' needs token_ids, which neither acts_a nor acts_b carries$"),
        ({"given": [1, 2]}, ValueError, "^given must have one id for each of the 3 tokens, got 2$"),
        ({"given": [0.5, 1.0, 2.0]}, TypeError, "^given must be convertible to int64"),
        ({"given": [1, 2, 3], "metric": "cosine"}, ValueError, "^metric must be pearson where given is, got cosine$"),
        ({"given": [1, 2, 3], "backend": "dense"}, ValueError, "^backend must be sparse or auto for shards"),
        ({"metric": "dot"}, ValueError, "^metric must be one of pearson, cosine, jaccard, got 'dot'$"),
    ],
)
def test_bad_arguments(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        an.match(acts(np.eye(3)), acts(np.eye(3)), **arguments)


def test_bigrams_need_documents_and_positions():
    a = acts(np.eye(3), token_ids=[1, 2, 3])
    with pytest.raises(ValueError, match=r"^given='bigram' needs document_ids"):
        an.match(a, a, given="bigram")
