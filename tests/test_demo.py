"""The embedded pair: what the tool must say of two trained models, of one never trained, and of planted data."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from analogue import FeatureActivations, Settings, capture, load_dictionary, match, permutation_test
from analogue.compare import compare_spaces
from analogue.corpus import Corpus
from analogue.demo import SITES, folder
from analogue.sides import load_side, shared_context_length

MODELS = {"model_a": "sae_a", "model_b": "sae_b", "control": "sae_control"}


VOTES = ("rsa", "mutual_knn", "cka")
OTHER_PAIRS = ({"pairs": "assignment"}, {"pairs": "b_to_a"}, {"pairs": "a_to_b"}, {"pairs": "capacity", "capacity": 3})


def test_trained_cells_are_shared(demo):
    for sites, cell in demo.cells.items():
        assert cell.verdict.word == "shared", sites
        assert cell.null.name == "siblings", sites
        assert cell.caveat is None
        assert cell.scores["svcca"].z > 5, sites
        assert cell.scores["rsa"].z > 10, sites
        assert {score.p_value for score in cell.scores.values()} == {1 / 101}, sites
        assert {score.p_value for score in cell.rate_adjusted.values()} == {1 / 101}, sites
        assert cell.verdict.effect > 0.05, sites
        assert cell.summary["mean_correlation_given_token"] > 0.03, sites
    assert list(demo.cells) == [(a, b) for a in SITES["model_a"] for b in SITES["model_b"]]


def test_the_control_stays_silent(demo):
    control = demo.control
    assert control.null.name == "siblings"
    assert control.verdict.word == "not shown"
    for score in (*control.scores.values(), *control.rate_adjusted.values()):
        assert abs(score.z) < 4
    assert control.verdict.effect < 0.02
    assert control.summary["mean_correlation_given_token"] < 0.01
    plain = [cell.summary["mean_correlation"] for cell in demo.cells.values()]
    assert control.summary["mean_correlation"] > 0.7 * np.mean(plain)  # plain r cannot tell the two apart


@pytest.mark.parametrize("rule", OTHER_PAIRS)
def test_the_null_of_other_pairs_holds_too(demo, rule):
    """Under the pairing null the same control is called significant where features repeat."""
    settings = Settings(**rule, measures=VOTES, permutations=99)
    trained, control = again(demo.cells["layers.2", "layers.3"], settings), again(demo.control, settings)
    assert trained.null.name == control.null.name == "one-per-token"
    assert (trained.verdict.word, control.verdict.word) == ("shared", "not shown")
    assert control.verdict.effect < 0.02
    wrong = again(demo.control, replace(settings, null="pairing"))
    if rule["pairs"] != "assignment":
        assert wrong.scores["cka"].p_value == 1 / 100
    assert "the pairing null does not hold" in wrong.caveat
    assert wrong.verdict.word is None


def again(comparison, settings):
    """The same activations and decoders, compared by other settings."""
    return compare_spaces(comparison.spaces["a"], comparison.spaces["b"], settings)


def test_closed_forms_agree_with_shuffles(demo):
    cell = demo.cells["layers.2", "layers.3"]
    settings = Settings(null="one-per-token", measures=("rsa", "cka", "svcca_capped"), permutations=400)
    drawn, closed = (again(cell, replace(settings, method=method)).scores for method in ("permutation", "analytic"))
    for name, score in closed.items():
        assert score.method == "analytic"
        assert score.null_mean == pytest.approx(drawn[name].null_mean, abs=4 * drawn[name].null_std / 20)
        assert score.z == pytest.approx(drawn[name].z, rel=0.25)


def test_random_pairs_are_not_similar(demo):
    rng = np.random.default_rng(0)
    for cell in demo.cells.values():
        candidates = [np.flatnonzero(s.activations.firing_counts >= 20) for s in cell.spaces.values()]
        a, b = (rng.permutation(ids)[: len(cell.pairs)] for ids in candidates)
        x, y = cell.spaces["a"].directions[a], cell.spaces["b"].directions[b]
        for score in permutation_test(x, y, permutations=100).values():
            assert abs(score.z) < 4


def test_a_permuted_copy_of_an_sae_is_recovered_whole(demo):
    acts = demo.cells["layers.2", "layers.3"].spaces["a"].activations
    order = np.random.default_rng(0).permutation(acts.n_features)
    copy = FeatureActivations.from_csr(acts.indptr, order[acts.indices], acts.values, acts.n_features)
    matches = match(acts, copy, min_activations=20)
    candidates = np.flatnonzero(acts.firing_counts >= 20)
    np.testing.assert_array_equal(matches.best_b[candidates], order[candidates])
    np.testing.assert_allclose(matches.corr_b[candidates], 1.0, atol=1e-6)


def test_rolled_tokens_collapse_the_correlations(demo):
    cell = demo.cells["layers.2", "layers.3"]
    a, b = (space.activations for space in cell.spaces.values())
    half = b.n_tokens // 2
    cut = b.indptr[half]
    indptr = np.concatenate([b.indptr[half:] - cut, b.indptr[1 : half + 1] + b.indptr[-1] - cut])
    indices, values = (np.concatenate([part[cut:], part[:cut]]) for part in (b.indices, b.values))
    rolled = match(a, FeatureActivations.from_csr(indptr, indices, values, b.n_features), min_activations=20)
    straight = match(a, b, min_activations=20)
    assert rolled.corr_a[rolled.best_a >= 0].mean() < 0.1
    assert straight.corr_a[straight.best_a >= 0].mean() > 0.25


def test_ids_are_those_of_the_full_dictionary(demo):
    cell = demo.cells["layers.2", "layers.4"]
    x, y = (
        space.activations.dense_columns(ids) for space, ids in zip(cell.spaces.values(), pair_ids(cell), strict=True)
    )
    for row in (0, len(cell.pairs) // 2, len(cell.pairs) - 1):
        assert np.corrcoef(x[row], y[row])[0, 1] == pytest.approx(cell.pairs.correlation[row], abs=1e-5)
    w_dec = load_dictionary(folder() / "sae_a" / "layers.2").w_dec.numpy()
    np.testing.assert_array_equal(cell.directions["a"], w_dec[cell.pairs.feature_a])


def pair_ids(cell):
    return cell.pairs.feature_a, cell.pairs.feature_b


@pytest.mark.parametrize("name", SITES)
def test_saes_explain_the_held_out_text(demo, name):
    side, tokenizer = load_side(folder() / name, sites=SITES[name])
    corpus = Corpus.from_files([folder() / "held_out.jsonl"], tokenizer, context_length=shared_context_length([side]))
    inputs = capture(side.model, corpus, side.dictionaries)
    captured = {space.site: space.activations for space in spaces_of(demo, name)}
    for site in SITES[name]:
        x, codes = torch.from_numpy(inputs[site].to_dense()), torch.from_numpy(captured[site].to_dense())
        left = x - load_dictionary(folder() / MODELS[name], site=site).decode(codes)
        assert 1 - left.pow(2).sum() / (x - x.mean(0)).pow(2).sum() > 0.85
        assert np.diff(captured[site].indptr).max() <= 16


def spaces_of(demo, name):
    comparisons = [demo.control] if name == "control" else demo.cells.values()
    return [comparison.spaces["b" if name == "model_b" else "a"] for comparison in comparisons]


def test_the_control_says_what_it_is(demo, tmp_path):
    from analogue import load_comparison, report

    report.save(demo, tmp_path / "run", activations=False)
    control = load_comparison(tmp_path / "run" / "control")
    assert control.provenance["role"] == "control"
    assert control.provenance["models"]["a"]["name"].endswith("control")
    assert list(control.provenance["dictionaries"]["a"]) == ["layers.2"]
    grid = load_comparison(tmp_path / "run")
    assert grid.records() == demo.records()
    assert pq.read_table(tmp_path / "run" / "grid.parquet").to_pylist() == demo.records()
    assert grid.to_dict() == demo.to_dict()
    assert [record["p_bh"] is None for record in grid.records()] == [False] * 24 + [True] * 6
    assert [record["role"] for record in grid.records()] == ["cell"] * 24 + ["control"] * 6
    demo.save(tmp_path / "plain", activations=False)
    assert load_comparison(tmp_path / "plain").records() == demo.records()


def test_the_pair_is_small_and_its_text_is_large_enough(demo):
    assert sum(path.stat().st_size for path in folder().rglob("*")) < 20e6
    assert demo.provenance["text"]["kept"] > 100_000
    documents = (folder() / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(set(json.loads(line)) == {"source", "text"} for line in documents)


def test_the_real_sparsify_loads_the_saes():
    from sparsify import SparseCoder

    for path in sorted(folder().glob("sae_*/layers.*")):
        theirs = SparseCoder.load_from_disk(path, device="cpu").float()
        x = torch.randn(64, theirs.d_in, generator=torch.Generator().manual_seed(0)) * 3
        out = theirs.encode(x)
        dense = torch.zeros(64, theirs.num_latents).scatter_(1, out.top_indices, out.top_acts)
        torch.testing.assert_close(load_dictionary(path).encode(x), dense.detach(), atol=1e-5, rtol=1e-5)


def test_transformers_loads_the_models():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name in SITES:
        model = AutoModelForCausalLM.from_pretrained(folder() / name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder() / name)
        ids = tokenizer("The state of the Union is strong.", return_tensors="pt").input_ids
        loss = model(ids, labels=ids).loss.item()
        assert (loss < 6) == (name != "control"), (name, loss)
