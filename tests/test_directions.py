"""Dictionaries of one space matched by their directions: against rational arithmetic, enumeration and simulation."""

import json
import re

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

import analogue as an
import oracles
from analogue import geometry
from analogue.compare import compare_spaces
from analogue.demo import folder
from analogue.dictionaries import neurons
from analogue.dictionaries.autoencoder import JumpReLU, ReLU, SparseAutoencoder, TopK
from analogue.geometry import expected_max_cosine, nearest_rows
from analogue.report import tables
from analogue.spaces import FeatureSpace


def sae(w_dec, w_enc=None, threshold=None, scale=None):
    w_dec = torch.as_tensor(np.asarray(w_dec, dtype=np.float32))
    w_enc = w_dec if w_enc is None else torch.as_tensor(np.asarray(w_enc, dtype=np.float32))
    nonlinearity = TopK(1) if threshold is None else JumpReLU(torch.as_tensor(threshold, dtype=torch.float32))
    features, d = w_dec.shape
    return SparseAutoencoder(
        format="made",
        w_dec=w_dec,
        w_enc=w_enc,
        b_enc=torch.linspace(-0.2, 0.2, features),
        b_pre=None,
        b_dec=torch.zeros(d),
        nonlinearity=nonlinearity,
        scale=None if scale is None else torch.as_tensor(scale, dtype=torch.float32),
    )


def directions(rng, features, d):
    rows = rng.standard_normal((features, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def padded(found, top, missing=0.0):
    rows = [(row + [(-1, missing)] * top)[:top] for row in found]
    return np.array([[i for i, _ in row] for row in rows]), np.array([[v for _, v in row] for row in rows])


@st.composite
def row_pairs(draw):
    """Small whole numbers: rows that tie, repeat, point apart, and rows of zeros."""
    d = draw(st.integers(1, 4))
    values = st.sampled_from([-2, -1, 0, 0, 1, 3])
    x, y = (draw(arrays.arrays(np.float32, (draw(st.integers(1, 7)), d), elements=values)) for _ in range(2))
    return x, y, draw(st.integers(1, 4))


@given(row_pairs())
def test_cosine_partners_are_those_of_rational_arithmetic(problem):
    x, y, top = problem
    found = an.match_directions(sae(x), sae(y), top=top).decoder
    for best, cosine, rows in (
        (found.best_a, found.cosine_a, oracles.best_rows(x, y, top)),
        (found.best_b, found.cosine_b, oracles.best_rows(y, x, top)),
    ):
        ids, values = padded(rows, top)
        np.testing.assert_array_equal(best, ids[:, 0] if top == 1 else ids)
        np.testing.assert_allclose(cosine, values[:, 0] if top == 1 else values, atol=1e-12)


@given(row_pairs(), st.sampled_from([1, 2, 256]))
def test_nearest_partners_are_those_of_rational_arithmetic(problem, block):
    x, y, top = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "_BLOCK", block)
        found = an.match_directions(sae(x), sae(y), top=top, measure="distance").decoder
    cosines = np.nan_to_num(cosine_matrix(x, y))
    for best, distance, cosine, rows, table in (
        (found.best_a, found.distance_a, found.cosine_a, oracles.best_rows(x, y, top, "distance"), cosines.T),
        (found.best_b, found.distance_b, found.cosine_b, oracles.best_rows(y, x, top, "distance"), cosines),
    ):
        ids, values = padded(rows, top, np.inf)
        expected = np.where(ids >= 0, np.take_along_axis(table, np.maximum(ids, 0), 1), 0.0)
        first = (slice(None), 0) if top == 1 else slice(None)
        np.testing.assert_array_equal(best, ids[first])
        np.testing.assert_allclose(distance, values[first], atol=1e-12)
        np.testing.assert_allclose(cosine, expected[first], atol=1e-12)


def cosine_matrix(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x @ y.T) / (np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1))


@pytest.mark.parametrize(("fa", "fb", "d"), [(1, 1, 1), (7, 257, 63), (257, 63, 7), (257, 257, 1), (63, 1, 257)])
@pytest.mark.parametrize("measure", ["cosine", "distance"])
def test_odd_shapes(fa, fb, d, measure):
    rng = np.random.default_rng(fa + fb + d)
    x, y = (rng.standard_normal((f, d)).astype(np.float32) for f in (fa, fb))
    found = an.match_directions(sae(x), sae(y), measure=measure).decoder
    cosines = cosine_matrix(x, y)
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    table = cosines.round(12) if measure == "cosine" else -((wide_x[:, None] - wide_y) ** 2).sum(-1)
    np.testing.assert_array_equal(found.best_b, table.argmax(1))
    np.testing.assert_array_equal(found.best_a, table.argmax(0))
    np.testing.assert_allclose(found.cosine_b, cosines[np.arange(fa), found.best_b], atol=1e-12)


def test_nearest_rows_survive_large_terms():
    """Rows that differ by 0.01 at a length of 3e4: their squares agree to twelve digits."""
    rng = np.random.default_rng(0)
    x = (1e4 + 0.01 * rng.standard_normal((63, 8))).astype(np.float32)
    order = rng.permutation(63)
    _, distance, best, _ = nearest_rows(x, x[order])
    np.testing.assert_array_equal(x[order][best[:, 0]], x)
    assert distance.max() < 1e-9


def test_a_noisy_permuted_copy_is_recovered_whole():
    rng = np.random.default_rng(1)
    x = directions(rng, 257, 63)
    order = rng.permutation(257)
    y = 3 * x[order] + 0.05 * rng.standard_normal((257, 63))
    found = an.match_directions(sae(x, directions(rng, 257, 63)), sae(y), on="both")
    np.testing.assert_array_equal(order[found.decoder.best_b], np.arange(257))
    assert found.pw_mcc().value > 0.98
    assert found.pw_mcc().value == pytest.approx(found.decoder.mean_cosine["a"])
    assert not found.shared["a"].any()  # the encoders of A are others
    assert an.match_directions(sae(x), sae(y)).shared["b"].all()
    exact = an.match_directions(sae(x), sae(x[order]), on="both", threshold=1 - 1e-12)
    assert exact.shared["a"].all()
    assert exact.pw_mcc("encoder").value == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("features", "d"), [(257, 16), (1024, 64)])
def test_independent_directions_agree_as_extreme_values_do(features, d):
    rng = np.random.default_rng(2)
    x, y = directions(rng, features, d), directions(rng, features, d)
    found = an.match_directions(sae(x), sae(y))
    simulated = np.concatenate(
        [cosine_matrix(directions(rng, 64, d), directions(rng, features, d)).max(1) for _ in range(20)]
    )
    error = 5 * simulated.std() / np.sqrt(len(simulated))
    assert expected_max_cosine(features, d) == pytest.approx(simulated.mean(), abs=error)
    for mean in found.decoder.mean_cosine.values():
        assert mean == pytest.approx(simulated.mean(), abs=2 * error)
    assert found.pw_mcc().value < min(found.decoder.mean_cosine.values())
    assert found.decoder.same_id["a"] < 0.05


def test_expected_max_cosine_in_closed_cases():
    """One direction: 0. In one dimension: -1 only when all are opposite. On a circle: n arcs."""
    assert expected_max_cosine(1, 7) == pytest.approx(0.0, abs=1e-5)
    assert expected_max_cosine(3, 1) == pytest.approx(0.75)
    assert expected_max_cosine(0, 5) == 0.0
    n = 5  # E cos(min angle), the angle from 0 to pi with density n / pi (1 - t / pi)^(n - 1)
    t = (np.arange(200_000) + 0.5) * np.pi / 200_000
    circle = np.mean(np.cos(t) * n * (1 - t / np.pi) ** (n - 1))
    assert expected_max_cosine(n, 2) == pytest.approx(circle, abs=1e-4)


def test_half_shared_half_random():
    rng = np.random.default_rng(3)
    common, own_a, own_b = (directions(rng, 400, 64) for _ in range(3))
    swapped = directions(rng, 50, 64)
    enc_b = np.concatenate([common, own_b])
    enc_b[:50] = swapped  # decoders agree, encoders do not: not shared on both
    a, b = sae(np.concatenate([common, own_a])), sae(np.concatenate([common, own_b]), enc_b)
    on_decoder, on_both = an.match_directions(a, b), an.match_directions(a, b, on="both")
    for side in ("a", "b"):
        np.testing.assert_array_equal(on_decoder.shared[side], np.arange(800) < 400)
        np.testing.assert_array_equal(on_both.shared[side], (np.arange(800) >= 50) & (np.arange(800) < 400))
    assert on_both.decoder.same_id["a"] == pytest.approx(0.5, abs=0.01)


def test_encoder_and_decoder_must_name_the_same_partner():
    a = sae(np.eye(3), np.eye(3))
    b = sae(np.eye(3), np.eye(3)[[1, 0, 2]])
    found = an.match_directions(a, b, on="both")
    assert found.decoder.best_b.tolist() == [0, 1, 2]
    assert found.encoder.best_b.tolist() == [1, 0, 2]
    assert found.shared["a"].tolist() == [False, False, True]


def test_cosines_are_signed():
    found = an.match_directions(sae([[1.0, 0.0]]), sae([[-1.0, 0.0]]))
    assert found.decoder.cosine_b.tolist() == [-1.0]
    assert found.pw_mcc() == (0.0, 0.0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_pw_mcc_is_the_best_of_all_assignments(seed, fa, fb, candidates, sparse):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-2, 3, (fa, 3)), rng.integers(-2, 3, (fb, 3))
    live_x, live_y = x[x.any(1)], y[y.any(1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "_CANDIDATES", candidates)
        patch.setattr(geometry, "_ROWS", 2)
        patch.setattr(geometry, "_PIECE", 3)
        patch.setattr(geometry, "ASSIGNMENT_LIMIT", 0 if sparse else 8192)
        found = an.match_directions(sae(x), sae(y)).pw_mcc()
    if not len(live_x) or not len(live_y):
        assert found is None
        return
    best = oracles.mean_of_best_assignment(cosine_matrix(live_x, live_y).clip(min=0))
    assert found.value <= best + 1e-9
    assert found.upper_bound >= best - 1e-9
    if not sparse or candidates >= max(fa, fb):
        assert found.value == pytest.approx(best, abs=1e-6)
        assert found.upper_bound == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("noise", [0.3, 1.0, np.inf])
def test_wide_dictionaries_are_assigned_within_a_narrow_bound(monkeypatch, noise):
    rng = np.random.default_rng(5)
    x = directions(rng, 600, 32)
    y = directions(rng, 500, 32) + (0 if noise == np.inf else x[rng.permutation(600)[:500]] / noise)
    found = an.match_directions(sae(x), sae(y))
    exact = found.pw_mcc()
    monkeypatch.setattr(geometry, "ASSIGNMENT_LIMIT", 0)
    sparse = found.pw_mcc()
    assert exact.value == exact.upper_bound
    assert exact.value - 1e-3 <= sparse.value <= exact.value + 1e-9
    assert exact.value - 1e-9 <= sparse.upper_bound <= exact.value + 1e-3


@pytest.mark.parametrize("seed", range(30))
def test_the_bound_of_an_assignment_holds_by_distance_too(seed):
    """Partners that are listed by distance are not listed by falling cosine: the last one bounds nothing."""
    rng = np.random.default_rng(seed)
    x, y = (directions(rng, 8, 5) * rng.uniform(0.2, 3, (8, 1)) for _ in range(2))
    acts = an.FeatureActivations.from_dense(rng.random((30, 8)))
    found = an.match_directions(sae(x), sae(y), measure="distance", top=2).matches(acts, acts)
    bound = found.pairs("assignment").stages[-1].optimum.upper_bound
    cosines = np.maximum(cosine_matrix(x, y), 0)
    assert bound >= cosines[linear_sum_assignment(cosines, maximize=True)].sum() - 1e-6


def test_dead_directions_are_no_candidates():
    rows = np.eye(4)
    rows[2] = 0
    for measure in ("cosine", "distance"):
        found = an.match_directions(sae(rows), sae(np.eye(4)), measure=measure)
        assert found.decoder.best_b.tolist()[2] == -1
        assert found.decoder.cosine_b[2] == 0.0
        assert 2 not in found.decoder.best_a
        assert found.shared["a"].tolist() == [True, True, False, True]
        assert found.decoder.same_id["a"] == 1.0
    nothing = an.match_directions(sae(np.zeros((2, 3))), sae(np.eye(3)))
    assert nothing.decoder.mean_cosine == nothing.decoder.same_id == {"a": None, "b": None}
    assert nothing.pw_mcc() is None


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_folding_keeps_the_function_and_divides_features_by_their_threshold(seed, rescaled):
    rng = np.random.default_rng(seed)
    w_dec, w_enc = rng.standard_normal((2, 9, 5))
    threshold = rng.uniform(0.1, 2.0, 9)
    scale = np.linalg.norm(w_dec, axis=1) if rescaled else None
    dictionary = sae(w_dec, w_enc, threshold, scale)
    folded = dictionary.fold_thresholds()
    x = torch.as_tensor(rng.standard_normal((40, 5)), dtype=torch.float32)
    before, after = dictionary.encode(x), folded.encode(x)
    np.testing.assert_allclose(after, before / torch.as_tensor(threshold), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(folded.decode(after), dictionary.decode(before), rtol=1e-4, atol=1e-5)
    assert (folded.nonlinearity.threshold == 1).all()
    factor = threshold if scale is None else threshold / scale
    np.testing.assert_allclose(folded.w_dec, w_dec * factor[:, None], rtol=1e-5)
    np.testing.assert_allclose(folded.w_enc, w_enc / factor[:, None], rtol=1e-5)


def test_folding_finds_a_gauge_copy_that_plain_distances_miss():
    """The same autoencoder with every latent rescaled: features and thresholds grow, decoder rows shrink."""
    rng = np.random.default_rng(4)
    w_dec, w_enc = directions(rng, 63, 8), directions(rng, 63, 8)
    threshold, gain = rng.uniform(0.5, 1.5, 63), np.exp(rng.normal(0, 2, 63))
    a = sae(w_dec, w_enc, threshold)
    b = sae(w_dec / gain[:, None], w_enc * gain[:, None], threshold * gain)
    plain = an.match_directions(a, b, measure="distance")
    folded = an.match_directions(a, b, on="both", measure="distance", fold_thresholds=True)
    assert plain.decoder.same_id["a"] < 0.9
    assert folded.decoder.same_id == folded.encoder.same_id == {"a": 1.0, "b": 1.0}
    assert folded.decoder.distance_b.max() < 1e-9


def test_distances_use_the_lengths_that_features_go_with():
    rows = np.array([[3.0, 4.0], [0.0, 2.0]])
    norms = np.linalg.norm(rows, axis=1)
    rescaled, plain = sae(rows, rows, scale=norms), sae(rows / norms[:, None], rows * norms[:, None])
    found = an.match_directions(rescaled, plain, on="both", measure="distance")
    assert found.decoder.distance_b.max() < 1e-12
    assert found.encoder.distance_b.max() < 1e-12


def test_shares_by_firing_rate():
    shared = np.array([1, 1, 0, 1, 0, 0], dtype=bool)
    a = np.eye(6)
    b = np.where(shared[:, None], a, -a)
    b[~shared] = -np.eye(6)[0] - np.eye(6)[1] - np.eye(6)[3]
    found = an.match_directions(sae(a), sae(b))
    np.testing.assert_array_equal(found.shared["a"], shared)
    rates = np.array([0.0, 1e-4, 5e-4, 0.01, 0.5, 1.0])
    table = found.shared_by_rate(rates, rates, edges=(1e-4, 0.01))
    of_a = [(row["low"], row["high"], row["features"], row["shared"], row["share"]) for row in table[:4]]
    assert of_a == [(0, 0, 1, 1, 1.0), (0, 1e-4, 0, 0, None), (1e-4, 0.01, 2, 1, 0.5), (0.01, 1, 3, 1, 1 / 3)]
    acts = an.FeatureActivations.from_dense(np.eye(6)[:4])
    from_acts = found.shared_by_rate(acts, acts.firing_counts / 4)
    assert [row | {"side": ""} for row in from_acts[:6]] == [row | {"side": ""} for row in from_acts[6:]]
    assert [row["features"] for row in from_acts[:6]] == [2, 0, 0, 0, 0, 4]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["mutual", "b_to_a", "a_to_b"]), st.integers(1, 2))
def test_pairs_carry_cosine_and_correlation(seed, rule, top):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-1, 2, (9, 3)), rng.integers(-1, 2, (7, 3))
    tokens = rng.integers(0, 4, 30)
    acts_a, acts_b = (
        an.FeatureActivations.from_dense(rng.random((30, f)) * (rng.random((30, f)) < 0.4), token_ids=tokens)
        for f in (9, 7)
    )
    pairs = an.match_directions(sae(x), sae(y), top=top).matches(acts_a, acts_b).pairs(rule)
    to_b = {(i, row[0][0]) for i, row in enumerate(oracles.best_rows(y, x)) if row}
    to_a = {(row[0][0], j) for j, row in enumerate(oracles.best_rows(x, y)) if row}
    expected = {"a_to_b": to_b, "b_to_a": to_a, "mutual": to_a & to_b}[rule]
    assert set(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True)) == expected
    assert pairs.metric == "decoder cosine"
    np.testing.assert_allclose(pairs.value, cosine_matrix(x, y)[pairs.feature_a, pairs.feature_b], atol=1e-12)
    dense_a, dense_b = acts_a.to_dense(), acts_b.to_dense()
    r = np.nan_to_num(oracles.pearson_matrix(dense_a, dense_b))
    np.testing.assert_allclose(pairs.correlation, r[pairs.feature_a, pairs.feature_b], atol=1e-9)
    within = oracles.within_group_correlation(dense_a, dense_b, tokens)[pairs.feature_a, pairs.feature_b]
    np.testing.assert_allclose(pairs.correlation_given_token, within, atol=1e-9)


def test_two_layers_of_the_embedded_model():
    """Trained from one seed, they still carry the random rows they started from: the ids agree, and it is said."""
    two, three = (an.load_dictionary(folder() / "sae_a" / f"layers.{n}") for n in (2, 3))
    found = an.match_directions(two, three, on="both")
    a, b = (d.w_dec.numpy() for d in (two, three))
    cosines = cosine_matrix(a, b)
    np.testing.assert_array_equal(found.decoder.best_b, cosines.argmax(1))
    np.testing.assert_allclose(found.decoder.cosine_a, cosines.max(0), atol=1e-12)
    assert found.decoder.same_id["a"] > 0.9
    assert found.pw_mcc().value <= found.decoder.mean_cosine["a"]
    assert found.pw_mcc().value > 2 * expected_max_cosine(2048, 128)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"on": "bias"}, "on must be one of decoder, encoder, both, got 'bias'"),
        ({"measure": "dot"}, "measure must be one of cosine, distance, got 'dot'"),
        ({"top": 0}, "top must be at least 1, got 0"),
        ({"threshold": 1.5}, "threshold must be a cosine from -1 to 1, got 1.5"),
        ({"fold_thresholds": True}, "fold_thresholds changes lengths and no cosine: it needs measure='distance'"),
        (
            {"fold_thresholds": True, "measure": "distance"},
            r"fold_thresholds needs a threshold for every feature \(JumpReLU\), got TopK",
        ),
        ({"dict_b": sae(np.eye(4))}, "must be of one space, got decoder rows of width 3 and 4"),
        ({"dict_b": sae(np.full((2, 3), np.nan))}, "decoder rows of dict_b must be finite, got 6 NaN"),
        ({"dict_a": neurons(3, "layers.1")}, "dict_a must have decoder rows to match by, got a dictionary of neurons"),
        (
            {"dict_b": neurons(3, "layers.1.mlp.neurons", torch.eye(3)), "on": "encoder"},
            "dict_b must have encoder rows to match by",
        ),
        (
            {"dict_a": neurons(3, "x", torch.eye(3)), "measure": "distance", "fold_thresholds": True},
            "dict_a must have thresholds to fold, got a dictionary of neurons",
        ),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        an.match_directions(**{"dict_a": sae(np.eye(3)), "dict_b": sae(np.eye(3))} | arguments)


def test_what_else_is_refused():
    a = sae(np.eye(3))
    with pytest.raises(TypeError, match="dict_b must be a Dictionary, got ndarray"):
        an.match_directions(a, np.eye(3))
    with pytest.raises(ValueError, match="needs positive thresholds, got 1 that are not"):
        sae(np.eye(3), threshold=[1.0, 0.0, 1.0]).fold_thresholds()
    with pytest.raises(ValueError, match="got ReLU"):
        an.match_directions(
            sae(np.eye(3), threshold=[1.0, 1.0, 1.0]), _rectified(a), measure="distance", fold_thresholds=True
        )
    found = an.match_directions(a, a)
    with pytest.raises(ValueError, match="on must be one of decoder, got 'encoder'"):
        found.pw_mcc("encoder")
    with pytest.raises(ValueError, match="rates_a must have one rate for each of the 3 latents, got 2"):
        found.shared_by_rate([0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="rates_b must be shares of tokens from 0 to 1, got 0 to 7"):
        found.shared_by_rate([0, 0, 0], [0, 1, 7])
    with pytest.raises(ValueError, match="edges must rise between 0 and 1"):
        found.shared_by_rate([0, 0, 0], [0, 0, 0], edges=(0.1, 0.1))
    acts = an.FeatureActivations.from_dense(np.eye(4))
    with pytest.raises(ValueError, match="acts_a must have the dictionary's 3 features, got 4"):
        found.matches(acts, acts)
    four, three = (an.FeatureActivations.from_dense(np.eye(n, 3)) for n in (4, 3))
    with pytest.raises(ValueError, match="must hold the same tokens, got 4 and 3"):
        found.matches(four, three)


def _rectified(dictionary):
    from dataclasses import replace

    return replace(dictionary, nonlinearity=ReLU())


TEXT = str(folder() / "held_out.jsonl")
SAE_A, SAE_B = str(folder() / "sae_a"), str(folder() / "sae_b")
SMALL = ["--text", TEXT, "--max-tokens", "4000", "--permutations", "20"]


@pytest.fixture
def compare(run):
    """Run `analogue compare` by directions between two sites of model A, or of A and another model."""

    def compare(*arguments, model_b="model_a"):
        models = (folder() / name for name in ("model_a", model_b))
        return run("compare", *models, *SMALL, "--by", "directions", *arguments)

    return compare


def test_a_run_by_directions(compare, tmp_path):
    sites = ["--sae-a", SAE_A, "--site-a", "layers.2", "--sae-b", SAE_A, "--site-b", "layers.3"]
    status, printed, _ = compare(*sites, "--out", tmp_path / "run")
    assert status == 0
    assert "PW-MCC" in printed
    assert "began with the same weights" in " ".join(printed.split())
    read = an.load_comparison(tmp_path / "run")
    assert read.settings.by == "directions"
    assert [stage.name for stage in read.pairs.stages][:3] == ["candidates", "mutual", "fires on 20 tokens"]
    assert "the cosine of the very decoder rows" in read.caveat
    assert {score["caveat"] for score in json.loads((tmp_path / "run" / "scores.json").read_text())} == {read.caveat}

    two, three = (an.load_dictionary(folder() / "sae_a" / f"layers.{n}") for n in (2, 3))
    acts = [read.spaces[side].activations for side in "ab"]
    found = an.match_directions(two, three, on="both")
    assert read.summary["directions"] == json.loads(json.dumps(found.to_dict(*acts)))
    bands = next(table for table in tables(read) if "how often they fire" in str(table.title))
    counts = {str(column.header): list(column.cells) for column in bands.columns}
    for side, rates in zip("ab", (side.firing_counts / side.n_tokens for side in acts), strict=True):
        often = found.shared[side][(rates >= 0.01) & (rates < 0.1)]
        row = counts["firing rate"].index("0.01 to 0.1")
        assert counts[f"in {side.upper()}"][row] == str(len(often))
        assert counts[f"shared of {side.upper()}"][row] == f"{often.mean():.3f}"
        assert counts[f"in {side.upper()}"][0] == str((rates == 0).sum())
    mutual = found.matches(*acts).pairs("mutual")
    assert read.pairs.stages[1].counts == mutual.counts
    assert read.pairs.metric == "decoder cosine"
    cosines = cosine_matrix(two.w_dec, three.w_dec)
    np.testing.assert_allclose(read.pairs.value, cosines[read.pairs.feature_a, read.pairs.feature_b], atol=1e-12)
    assert (acts[0].firing_counts[read.pairs.feature_a] >= 20).all()
    table = pq.read_table(tmp_path / "run" / "pairs.parquet")
    rare = table.filter(pc.equal(table["dropped_by"], "fires on 20 tokens"))
    counts = np.minimum(
        acts[0].firing_counts[rare["feature_a"].to_numpy()], acts[1].firing_counts[rare["feature_b"].to_numpy()]
    )
    assert len(rare) > 0
    assert (counts < 20).all()
    read.save(tmp_path / "again")
    assert an.load_comparison(tmp_path / "again").to_dict() == read.to_dict()


def test_neurons_with_directions_match_on_the_decoder_alone(compare, tmp_path):
    sites = ["--site-a", "layers.1.mlp.neurons", "--site-b", "layers.2.mlp.neurons"]
    status, printed, _ = compare(*sites, "--out", tmp_path / "run", "--json", "--min-correlation", "-1")
    assert status == 0
    found = json.loads(printed)["summary"]["directions"]
    assert list(found["mean_max_cosine"]) == ["decoder"]
    assert found["shared"] == {"a": 0.0, "b": 0.0}
    chance = found["mean_max_cosine_by_chance"]["decoder"]["a"]
    assert found["mean_max_cosine"]["decoder"]["a"] == pytest.approx(chance, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "model_b", "sentence"),
    [
        (
            ["--sae-a", f"{SAE_A}/layers.2", "--sae-b", f"{SAE_B}/layers.4"],
            "model_b",
            "layers.2 and .*layers.4 must be of one space, got decoder rows of width 128 and 192",
        ),
        (
            ["--site-a", "layers.2", "--site-b", "layers.3"],
            "model_a",
            "layers.2 must have decoder rows to be matched by directions",
        ),
        (["--site-a", "layers.2", "--site-b", "layers.3", "--split-half"], "model_a", "need by=activations"),
        (
            ["--site-a", "layers.2", "--site-b", "layers.3", "--metric", "cosine"],
            "model_a",
            "metric needs by=activations, got cosine with by=directions",
        ),
        (["--site-a", "layers.2", "--site-b", "layers.3", "--by", "names"], "model_a", "by must be one of activations"),
    ],
)
def test_what_directions_cannot_compare_is_one_sentence(compare, tmp_path, arguments, model_b, sentence):
    status, _, error = compare(*arguments, "--out", tmp_path / "run", model_b=model_b)
    assert status == 2
    assert re.search(sentence, error)
    assert not (tmp_path / "run").exists()


def test_a_space_read_back_from_a_run_has_no_dictionary():
    none = np.zeros(0, dtype=np.int64)
    labels = an.Labels(np.zeros(4, np.int64), np.zeros(0, np.float32), [], [], [], none, none, [None] * 3)
    space = FeatureSpace("layers.2", labels, an.FeatureActivations.from_dense(np.eye(3)))
    with pytest.raises(ValueError, match=r"the dictionary of layers\.2 was not saved with this run"):
        compare_spaces(space, space, an.Settings(by="directions", junk="off"))
