"""Split halves and convergence, against doing the same by hand."""

import numpy as np
import pytest
import torch

import oracles
from analogue import ActivationShards, FeatureActivations, convergence, filters, match, permutation_test, split_half

DOCUMENTS = np.repeat(np.arange(20), 30)


def planted(seed=0, features=40, noise=0.3, **per_token):
    """Two sides of 600 tokens, the second a noisy copy of the first."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 9, 600)
    x = rng.random((600, features)) * (rng.random((600, features)) < 0.15)
    y = np.maximum(x + noise * rng.standard_normal(x.shape) * (rng.random(x.shape) < 0.1), 0)
    per_token = {"token_ids": tokens, "document_ids": DOCUMENTS} | per_token
    return x, y, tokens, [FeatureActivations.from_dense(side, **per_token) for side in (x, y)]


def test_split_half_is_a_match_of_one_half_seen_on_the_other():
    x, y, tokens, acts = planted()
    found = split_half(*acts, seed=3, min_activations=2, filters=[filters.correlation(0.1)])
    drawn = np.random.default_rng(3).permutation(20)[:10]
    first = np.isin(DOCUMENTS, drawn)
    halves = [
        [FeatureActivations.from_dense(side[rows], token_ids=tokens[rows]) for side in (x, y)]
        for rows in (first, ~first)
    ]
    pairs, again = (match(*h, min_activations=2).pairs().filter(filters.correlation(0.1)) for h in halves)
    ids = (pairs.feature_a, pairs.feature_b)
    assert (found.tokens, found.tokens_held_out, found.documents, found.pairs) == (300, 300, 10, len(pairs))
    for rows, plain, beyond in (
        (first, found.mean_correlation, found.mean_given_token),
        (~first, found.mean_correlation_held_out, found.mean_given_token_held_out),
    ):
        assert plain == pytest.approx(oracles.pearson_matrix(x[rows], y[rows])[ids].mean(), abs=1e-6)
        within = oracles.within_group_correlation(x[rows], y[rows], tokens[rows])[ids].mean()
        assert beyond == pytest.approx(within, abs=1e-6)
    both = set(zip(*map(np.ndarray.tolist, ids), strict=True)) & set(
        zip(again.feature_a.tolist(), again.feature_b.tolist(), strict=True)
    )
    assert found.found_again == pytest.approx(len(both) / len(pairs))
    assert found.found_again > 0.8


def test_independent_sides_lose_on_the_other_half_what_choosing_gave_them():
    rng = np.random.default_rng(0)
    acts = [FeatureActivations.from_dense(rng.random((400, 80)) * (rng.random((400, 80)) < 0.1)) for _ in "ab"]
    found = split_half(*acts)
    assert found.documents is None
    assert (found.tokens, found.tokens_held_out) == (200, 200)
    assert found.mean_correlation > 0.15
    assert abs(found.mean_correlation_held_out) < 0.03
    assert found.found_again < 0.2
    assert found.mean_given_token is None
    assert found.mean_given_token_held_out is None


def test_split_half_is_drawn_by_its_seed():
    *_, acts = planted()
    assert split_half(*acts, seed=1) == split_half(*acts, seed=1) != split_half(*acts, seed=2)
    one = [FeatureActivations.from_dense(side.to_dense(), document_ids=np.zeros(600, np.int64)) for side in acts]
    assert split_half(*one).tokens == 300  # a single document is cut in the middle
    uneven = [FeatureActivations.from_dense(side.to_dense()[:7]) for side in acts]
    assert (split_half(*uneven).tokens, split_half(*uneven).tokens_held_out) == (3, 4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_halves_are_halves_of_the_tokens(seed):
    """One document holds 40 % of the text: ten of twenty documents would be far from half of it."""
    documents = np.concatenate([np.zeros(240, np.int64), 1 + np.arange(360) // 19])
    *_, acts = planted(document_ids=documents)
    half = split_half(*acts, seed=seed)
    assert half.tokens + half.tokens_held_out == 600
    assert abs(half.tokens - 300) <= 10
    rng, draws = np.random.default_rng(seed), []
    for _ in range(32):  # every cut of every draw, by its tokens
        order = rng.permutation(np.unique(documents))
        draws += [np.isin(documents, order[:cut]).sum() for cut in range(1, len(order))]
    assert abs(half.tokens - 300) == min(abs(tokens - 300) for tokens in draws)


@pytest.mark.parametrize("sizes", [(599, 1), (1, 599)])
def test_two_documents_are_a_half_each(sizes):
    *_, acts = planted(document_ids=np.repeat([4, 9], sizes))
    half = split_half(*acts)
    assert sorted((half.tokens, half.tokens_held_out)) == [1, 599]
    assert half.documents == 1


def test_split_half_without_pairs_or_tokens():
    empty = FeatureActivations.from_dense(np.zeros((4, 3)))
    found = split_half(empty, empty)
    assert (found.pairs, found.mean_correlation, found.found_again) == (0, None, None)
    lonely = FeatureActivations.from_dense(np.ones((1, 3)))
    with pytest.raises(ValueError, match="acts_a must hold at least 2 tokens to be split, got 1"):
        split_half(lonely, lonely)


def test_convergence_pairs_every_part_as_match_does():
    x, y, tokens, acts = planted()
    table = convergence(*acts, at=(0.25, 100, 0.5), rule="b_to_a", min_activations=14).to_pydict()
    assert table["tokens"] == [100, 150, 300, 600]
    assert table["documents"] == [4, 5, 10, 20]
    parts, candidates = [], []
    for row, end in enumerate(table["tokens"]):
        sides = [FeatureActivations.from_dense(side[:end], token_ids=tokens[:end]) for side in (x, y)]
        pairs = match(*sides, min_activations=14).pairs("b_to_a")
        fires = [{f for f in range(40) if (side[:end, f] > 0).sum() >= 14} for side in (x, y)]
        assert [table[f"candidates_{side}"][row] for side in "ab"] == [len(own) for own in fires]
        candidates.append(fires)
        parts.append(set(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True)))
        assert table["pairs"][row] == len(pairs)
        assert table["mean_correlation"][row] == pytest.approx(pairs.correlation.mean())
        assert table["mean_correlation_given_token"][row] == pytest.approx(pairs.correlation_given_token.mean())
    assert table["found"] == pytest.approx([len(part & parts[-1]) / len(parts[-1]) for part in parts])
    for found, part, (of_a, of_b) in zip(table["found_of_candidates"], parts, candidates, strict=True):
        could = {(a, b) for a, b in parts[-1] if a in of_a and b in of_b}
        assert found == pytest.approx(len(part & could) / len(could))
    assert table["found"][0] < table["found_of_candidates"][0]
    assert table["found"][-1] == table["found_of_candidates"][-1] == 1.0


def test_convergence_scores_every_part():
    *_, acts = planted()
    directions = np.random.default_rng(1).standard_normal((2, 40, 6))

    def score(pairs):
        rows = (directions[0][pairs.feature_a], directions[1][pairs.feature_b])
        return permutation_test(*rows, measures=("rsa",), permutations=20)

    table = convergence(*acts, at=(30,), score=score).to_pydict()
    expected = score(match(*acts).pairs())["rsa"]
    assert table["rsa"][-1] == expected.observed
    assert table["rsa_z"][-1] == expected.z
    assert table["rsa_p_value"][-1] == expected.p_value
    assert table["rsa"][0] != table["rsa"][-1]


def test_arrays_of_the_matching_are_cut_with_the_tokens(monkeypatch):
    seen = []

    def recorded(acts_a, acts_b, given=None):
        seen.append((acts_a.token_ids, given))
        return match(acts_a, acts_b)

    monkeypatch.setattr("analogue.robustness.match", recorded)
    *_, tokens, acts = planted()
    convergence(*acts, at=(0.5,), given=tokens)
    split_half(*acts, given=tokens)
    assert [len(given) for _, given in seen] == [300, 600, 300, 300]
    for own, given in seen:
        np.testing.assert_array_equal(own, given)


@pytest.mark.parametrize("kind", [list, torch.from_numpy])
def test_group_ids_of_any_kind_are_cut(kind):
    *_, tokens, acts = planted()
    ids = kind(tokens.tolist()) if kind is list else kind(tokens)
    assert split_half(*acts, given=ids) == split_half(*acts, given="token")
    assert convergence(*acts, at=(0.5,), given=ids).equals(convergence(*acts, at=(0.5,), given="token"))
    for cut in (split_half, convergence):
        with pytest.raises(ValueError, match="given must have one id for each of the 600 tokens, got 599"):
            cut(*acts, given=ids[1:])


def test_one_filter_is_as_good_as_a_list_of_one():
    *_, acts = planted()
    band = filters.correlation(0.95)
    assert split_half(*acts, filters=band) == split_half(*acts, filters=[band]) != split_half(*acts)
    assert convergence(*acts, filters=band).equals(convergence(*acts, filters=[band]))
    for cut in (split_half, convergence):
        for bad in ("junk", ["junk"], None):
            with pytest.raises(TypeError, match=r"filters must be made by analogue\.filters, got "):
                cut(*acts, filters=bad)


def test_sides_that_cannot_be_cut(tmp_path):
    *_, acts = planted()
    short = FeatureActivations.from_dense(np.ones((5, 3)))
    shards = ActivationShards.from_activations(acts[1], tmp_path / "shards", 100)
    for cut in (split_half, convergence):
        with pytest.raises(ValueError, match="must hold the same tokens, got 600 and 5"):
            cut(acts[0], short)
        with pytest.raises(TypeError, match="acts_b must be in memory to be cut into parts"):
            cut(acts[0], shards)


@pytest.mark.parametrize("at", [0.5, 100, "half", None])
def test_points_that_are_no_sequence(at):
    *_, acts = planted()
    with pytest.raises(TypeError, match="at must be a sequence of fractions"):
        convergence(*acts, at=at)


@pytest.mark.parametrize("at", [[0.0], [1.5], [True], ["half"], [0]])
def test_bad_points(at):
    *_, acts = planted()
    with pytest.raises(ValueError, match="at must"):
        convergence(*acts, at=at)
