"""The self-check: every planted mistake is named, and a dictionary that stands right is let be."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModel

import analogue as an
from analogue.demo import SITES, folder
from analogue.dictionaries import neurons
from analogue.dictionaries.autoencoder import ReLU, SparseAutoencoder
from analogue.forward import site_outputs
from analogue.sites import find_site

SAES = {"model_a": "sae_a", "model_b": "sae_b", "control": "sae_control"}


@pytest.fixture(scope="module")
def sides():
    return {
        name: an.load_side(folder() / name, [folder() / SAES[name]] * len(SITES[name]), SITES[name]) for name in SITES
    }


@pytest.fixture(scope="module")
def corpus(sides):
    return an.Corpus.from_files(folder() / "held_out.jsonl", sides["model_a"][1], 128, max_tokens=20_000)


def rows_of(model, corpus, site, blocks):
    inputs = [torch.from_numpy(part[blocks]) for part in (corpus.token_ids, corpus.attention_mask, corpus.kept)]
    return site_outputs(model, {site: find_site(model, site)}, *inputs)[site]


def explained(dictionary, x):
    """The textbook, in float64."""
    x, decoded = x.double().numpy(), dictionary.decode(dictionary.encode(x)).double().numpy()
    return 1 - np.square(x - decoded).sum() / np.square(x - x.mean(0)).sum()


@pytest.mark.parametrize(("name", "site"), [(name, site) for name in SITES for site in SITES[name]])
def test_the_embedded_dictionaries_are_where_they_were_trained(sides, corpus, name, site):
    side, _ = sides[name]
    dictionary = side.dictionaries[site]
    found = an.inspect(side.model, dictionary, corpus)
    assert found.ok, found.problems
    assert found.site == site
    assert found.reading.l0 == found.promised_l0 == 16
    assert found.reading.explained_variance > 0.85
    assert all(other.explained_variance < found.reading.explained_variance + 0.01 for other in found.others)


def test_explained_variance_and_l0_are_the_textbooks(sides, corpus):
    side, _ = sides["model_a"]
    dictionary = side.dictionaries["layers.2"]
    found = an.inspect(side.model, dictionary, corpus, max_tokens=10**9)
    assert found.tokens == corpus.n_kept
    x = rows_of(side.model, corpus, "layers.2", np.arange(corpus.n_blocks))
    assert found.reading.explained_variance == pytest.approx(explained(dictionary, x), abs=1e-5)
    assert found.reading.l0 == pytest.approx(float((dictionary.encode(x) != 0).sum(1).double().mean()))
    layer_up = next(other for other in found.others if other.site == "layers.3")
    quarter = rows_of(side.model, corpus, "layers.3", np.arange(corpus.n_blocks))[::4]
    assert layer_up.explained_variance == pytest.approx(explained(dictionary, quarter), abs=1e-5)


@pytest.mark.parametrize(("asked", "right"), [("layers.1", "layers.2"), ("layers.3", "layers.2")])
def test_off_by_one_layer_is_named(sides, corpus, asked, right):
    side, _ = sides["model_a"]
    found = an.inspect(side.model, side.dictionaries["layers.2"], corpus, asked)
    assert not found.ok
    assert found.problems[0].startswith(f"{right} explains")
    assert f"where {asked} as captured explains" in found.problems[0]


def test_an_mlp_dictionary_fed_with_the_residual_stream_is_named(sides, corpus):
    side, _ = sides["model_a"]
    x = rows_of(side.model, corpus, "layers.2.mlp", np.arange(0, corpus.n_blocks, 2)).double()
    # The 24 main directions of the MLP's output, each as a feature of either sign.
    main = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:24].float()
    rows = torch.cat([main, -main])
    mean = x.mean(0).float()
    zeros = torch.zeros(len(rows))
    sae = SparseAutoencoder(
        format="sparsify", w_enc=rows, b_enc=zeros, b_pre=mean, w_dec=rows, b_dec=mean, nonlinearity=ReLU()
    )
    assert an.inspect(side.model, sae, corpus, "layers.2.mlp").ok
    found = an.inspect(side.model, sae, corpus, "layers.2")
    assert found.problems[0].startswith("layers.2.mlp explains")


def test_a_residual_dictionary_fed_with_the_mlp_is_named(sides, corpus):
    side, _ = sides["model_b"]
    found = an.inspect(side.model, side.dictionaries["layers.3"], corpus, "layers.3.mlp")
    assert found.problems[0].startswith("layers.3 explains")


def test_forgotten_centring_is_named(corpus):
    """A mean that differs from token to token, which every LayerNorm takes out: the model computes what it did."""
    model = AutoModel.from_pretrained(folder() / "model_a", dtype=torch.float32)
    dictionary = an.load_dictionary(folder() / "sae_a", site="layers.2")
    with torch.no_grad():
        weight = model.get_input_embeddings().weight
        weight += torch.randn(len(weight), 1, generator=torch.Generator().manual_seed(0))
    found = an.inspect(model, dictionary, corpus)
    assert found.problems[0].startswith("layers.2 mean-centred explains")
    assert found.others[0].way == "mean-centred"
    assert found.others[0].explained_variance > 0.85


def test_topk_read_as_relu_is_named(sides, corpus):
    side, _ = sides["model_a"]
    found = an.inspect(side.model, replace(side.dictionaries["layers.2"], nonlinearity=ReLU()), corpus)
    assert "where the checkpoint promises 16" in found.problems[-1]
    assert found.reading.l0 > 100


def test_another_models_dictionary_fits_nowhere(sides, corpus):
    side, _ = sides["model_a"]
    d, F = 128, 256
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randn(F, d, generator=generator) for _ in range(2)]
    zeros = torch.zeros(F)
    sae = SparseAutoencoder(
        format="sparsify", w_enc=drawn[0], b_enc=zeros, b_pre=None, w_dec=drawn[1], b_dec=zeros[:d], nonlinearity=ReLU()
    )
    (problem,) = an.inspect(side.model, sae, corpus, "layers.2").problems
    assert "may belong to another model" in problem


def test_two_names_of_the_same_vectors_are_read_once(sides, corpus):
    side, _ = sides["model_a"]
    found = an.inspect(side.model, side.dictionaries["layers.2"], corpus)
    names = [other.site for other in found.others]
    assert {"layers.1", "layers.3", "layers.2.mlp", "layers.2.attention"} <= set(names)
    assert not {"layers.2.input", "layers.2.mlp.written", "layers.2.attention.written"} & set(names)


def test_bos_is_tried_the_other_way(sides, corpus):
    side, _ = sides["model_a"]
    ways = {other.way for other in an.inspect(side.model, side.dictionaries["layers.2"], corpus).others}
    assert "with BOS" in ways
    assert "without BOS" not in ways
    prefixed = replace(corpus, prefix=(0,))
    ways = {other.way for other in an.inspect(side.model, side.dictionaries["layers.2"], prefixed).others}
    assert "without BOS" in ways
    assert "with BOS" not in ways


def test_a_dictionary_of_centred_streams_is_held_against_them(sides, corpus):
    side, _ = sides["model_a"]
    dictionary = side.dictionaries["layers.2"]
    found = an.inspect(side.model, dictionary, corpus)
    centred = an.inspect(side.model, replace(dictionary, centred=True), corpus)
    (other,) = [reading for reading in found.others if reading.way == "mean-centred"]
    (same,) = [reading for reading in centred.others if reading.way == "mean-centred"]
    assert other.explained_variance == pytest.approx(same.explained_variance, abs=1e-5)


def test_a_text_unlike_that_of_training_is_noted(sides, corpus):
    side, _ = sides["model_a"]
    dictionary = side.dictionaries["layers.2"]
    assert an.inspect(side.model, dictionary, corpus).notes == ()
    told = replace(dictionary, bos=True, context_length=64)
    found = an.inspect(side.model, told, corpus)
    assert found.notes == (
        "by the checkpoint texts began with BOS in training, and here they do not",
        "blocks have 128 tokens, where training had 64 by the checkpoint",
    )
    assert found.ok
    assert found.notes[0] in str(found)
    assert an.inspect(side.model, told, replace(corpus, prefix=(0,), context_length=64)).notes == ()


def test_bad_input_gets_one_sentence(sides, corpus):
    side, _ = sides["model_a"]
    dictionary = side.dictionaries["layers.2"]
    with pytest.raises(TypeError, match="dictionary must be an SAE, got neurons"):
        an.inspect(side.model, neurons(128, "layers.2"), corpus)
    with pytest.raises(ValueError, match=r"must reconstruct what it reads, got a transcoder to layers\.2\.mlp"):
        an.inspect(side.model, replace(dictionary, site_out="layers.2.mlp"), corpus)
    with pytest.raises(ValueError, match="site must be given for a dictionary whose checkpoint does not name one"):
        an.inspect(side.model, replace(dictionary, site=None), corpus)
    with pytest.raises(ValueError, match="after the nonlinearity"):
        an.inspect(side.model, an.load_dictionary(folder() / "sae_a", site="layers.2", activation="pre"), corpus)
    with pytest.raises(ValueError, match=r"takes vectors of width 128, but layers\.3 gives 192"):
        an.inspect(sides["model_b"][0].model, dictionary, corpus, "layers.3")
    with pytest.raises(ValueError, match=r"no site .layers\.9."):
        an.inspect(side.model, dictionary, corpus, "layers.9")
    with pytest.raises(ValueError, match="max_tokens must be"):
        an.inspect(side.model, dictionary, corpus, max_tokens=0)
    with pytest.raises(TypeError, match="corpus must be a Corpus"):
        an.inspect(side.model, dictionary, "text")


def test_the_command_line(run):
    arguments = ("inspect", folder() / "model_a", folder() / "sae_a", "--text", folder() / "held_out.jsonl")
    status, out, _ = run(*arguments, "--site", "layers.2")
    assert status == 0
    assert "(16 promised)" in out
    assert "nothing that was tried explains clearly more" in out
    status, out, _ = run(
        *arguments[:2], folder() / "sae_a" / "layers.3", *arguments[3:], "--site", "layers.2", "--json"
    )
    found = json.loads(out)
    assert status == 1
    assert found["problems"][0].startswith("layers.3 explains")
    assert found["reading"]["site"] == "layers.2"


@pytest.mark.filterwarnings("default")
def test_the_command_line_warns_in_one_sentence_and_goes_on(tmp_path, run):
    status, _, err = run(
        *("compare", folder() / "model_a", folder() / "model_a", "--text", folder() / "held_out.jsonl"),
        *("--sae-a", folder() / "sae_a" / "layers.2", "--site-a", "layers.1", "--sae-b", folder() / "sae_a"),
        *("--site-b", "layers.2", "--max-tokens", 1500, "--min-activations", 3, "--permutations", 1),
        *("--measures", "cka", "--check", "warn", "--no-activations", "--out", tmp_path / "run"),
    )
    assert status == 0
    (line,) = [line for line in err.splitlines() if "layers.2 explains" in line]
    assert line.startswith(f"analogue: {folder() / 'model_a'} layers.1: layers.2 explains")
    assert ".py" not in err


def test_compare_stops_where_a_dictionary_stands_wrong_unless_told_to_go_on(sides, corpus):
    side, _ = sides["model_a"]
    small = replace(
        corpus,
        texts=corpus.texts[:1],
        names=corpus.names[:1],
        files={},
        document_token_ids=(corpus.document_token_ids[0][:1024],),
        document_offsets=(corpus.document_offsets[0][:1024],),
    )
    wrong = an.Side(side.model, {"layers.1": side.dictionaries["layers.2"]}, "A")
    right = an.Side(side.model, {"layers.2": side.dictionaries["layers.2"]}, "B")
    with pytest.raises(ValueError, match=r"A layers\.1: layers\.2 explains .*; check=warn goes on all the same"):
        an.compare(wrong, right, small)
    settings = an.Settings(permutations=1, measures=("cka",))
    with pytest.warns(UserWarning, match=r"A layers\.1: layers\.2 explains"):
        result = an.compare(wrong, right, small, settings, check="warn")
    inspections = result.provenance["inspections"]
    assert inspections["a"]["problems"]
    assert not inspections["b"]["problems"]
    assert an.compare(wrong, right, small, settings, check="off").provenance["inspections"] == {}
    with pytest.raises(ValueError, match="check must be one of"):
        an.compare(wrong, right, small, check="loud")
