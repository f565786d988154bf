"""Baselines: weights drawn again keep what they should, and floors and skyline come out as such."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModel

import analogue as an
import analogue.report
from analogue.baselines import Baseline, baseline_side, check_baseline, parsed, rerandomized, shuffled
from analogue.demo import folder
from analogue.dictionaries import neurons
from analogue.dictionaries.autoencoder import ReLU
from analogue.grid import Grid
from analogue.spaces import FeatureSpace


@pytest.fixture(scope="module")
def side_a():
    return an.load_side(folder() / "model_a", [folder() / "sae_a"], ["layers.2"])


@pytest.fixture(scope="module")
def corpus(side_a):
    return an.Corpus.from_files(folder() / "held_out.jsonl", side_a[1], 128, max_tokens=6000)


def test_weights_drawn_again_keep_mean_std_and_ties():
    model = AutoModel.from_pretrained(folder() / "model_a", dtype=torch.float32)
    before = {name: weights.detach().clone() for name, weights in model.named_parameters()}
    drawn = rerandomized(model, seed=1)
    assert all(torch.equal(before[name], weights) for name, weights in model.named_parameters())
    changed = 0
    for name, weights in drawn.named_parameters():
        if "norm" in name:
            assert torch.equal(weights, before[name])
            continue
        was, now = before[name].double().numpy(), weights.detach().double().numpy()
        assert now.mean() == pytest.approx(was.mean(), abs=1e-6)
        assert now.std() == pytest.approx(was.std(), rel=1e-5, abs=1e-7)
        if was.std() > 0:
            assert abs(np.corrcoef(was.ravel(), now.ravel())[0, 1]) < 6 / np.sqrt(was.size)
            changed += 1
    assert changed > 20
    again, other = rerandomized(model, seed=1), rerandomized(model, seed=2)
    pairs = zip(drawn.parameters(), again.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not torch.equal(drawn.get_input_embeddings().weight, other.get_input_embeddings().weight)


def test_embeddings_stay_and_norms_go_on_request():
    model = AutoModel.from_pretrained(folder() / "model_a", dtype=torch.float32)
    drawn = rerandomized(model, embeddings=False, norms=True)
    assert torch.equal(drawn.get_input_embeddings().weight, model.get_input_embeddings().weight)
    norm = "layers.2.input_layernorm.weight"
    assert not torch.equal(drawn.get_parameter(norm), model.get_parameter(norm))


def test_tied_weights_stay_tied():
    from transformers import GPTNeoXForCausalLM

    model = GPTNeoXForCausalLM.from_pretrained(folder() / "model_a", dtype=torch.float32)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    drawn = rerandomized(model)
    assert drawn.get_input_embeddings().weight is drawn.get_output_embeddings().weight
    assert drawn.get_input_embeddings().weight is not model.get_input_embeddings().weight


def test_a_rerandomized_side_has_another_model_and_a_dictionary_of_the_same_size(side_a, corpus):
    side, _ = side_a
    small = replace(side, dictionaries={"layers.2": neurons(128, "layers.2")})
    drawn = baseline_side(Baseline("rerandomized"), small, corpus, l0=16.0)
    assert drawn.dictionaries["layers.2"].format == "neurons"
    kept = baseline_side(Baseline("rerandomized", "neither"), small, corpus, l0=16.0)
    own = side.model.get_input_embeddings().weight
    assert torch.equal(kept.model.get_input_embeddings().weight, own)
    assert not torch.equal(drawn.model.get_input_embeddings().weight, own)
    trained = baseline_side(Baseline("rerandomized"), side, corpus, l0=16.2, train_tokens=4096)
    dictionary = trained.dictionaries["layers.2"]
    assert (dictionary.n_features, dictionary.promised_l0, dictionary.site) == (2048, 16.0, "layers.2")
    assert trained.model is not side.model
    assert an.capture(trained.model, corpus, trained.dictionaries)["layers.2"].n_tokens == corpus.n_kept


def test_a_second_dictionary_is_given_or_trained(side_a, corpus):
    side, _ = side_a
    given = baseline_side(Baseline("second-seed", str(folder() / "sae_a")), side, corpus, l0=16.0)
    assert given.model is side.model
    assert (given.name, given.files) == (side.name, side.files)
    assert torch.equal(given.dictionaries["layers.2"].w_enc, side.dictionaries["layers.2"].w_enc)
    wide = str(folder() / "sae_b" / "layers.3")
    with pytest.raises(ValueError, match=r"must have width 128, that of layers\.2, got 192"):
        baseline_side(Baseline("second-seed", wide), side, corpus, l0=16.0)
    plain = replace(side, dictionaries={"layers.2": neurons(128, "layers.2")})
    with pytest.raises(ValueError, match="its features are neurons"):
        baseline_side(Baseline("second-seed"), plain, corpus, l0=16.0)


def test_rectified_pre_activations_have_a_partner_read_in_the_same_way(corpus):
    side, _ = an.load_side(folder() / "model_a", [folder() / "sae_a"], ["layers.2"], activation="pre")
    given = baseline_side(Baseline("second-seed", str(folder() / "sae_a")), side, corpus, l0=900.0)
    trained = baseline_side(Baseline("second-seed"), side, corpus, l0=900.0, train_tokens=2048)
    for dictionary in (given.dictionaries["layers.2"], trained.dictionaries["layers.2"]):
        assert dictionary.activation == "pre"
        assert isinstance(dictionary.nonlinearity, ReLU)
        assert dictionary.promised_l0 == 16.0
    untold = replace(side, dictionaries={"layers.2": replace(side.dictionaries["layers.2"], promised_l0=None)})
    with pytest.raises(ValueError, match=r"the checkpoint of layers\.2 does not say how many fire"):
        check_baseline(Baseline("rerandomized"), untold)


def test_a_second_dictionary_begins_elsewhere_than_the_first(side_a, corpus):
    """The first began with seed 1 (data/demo/README.md); another that does so finds the same features by their ids."""
    first = side_a[0].dictionaries["layers.2"]
    for seed in range(4):
        trained = baseline_side(Baseline("second-seed"), side_a[0], corpus, l0=16.0, seed=seed, train_tokens=1)
        cosines = (trained.dictionaries["layers.2"].w_dec * first.w_dec / first.w_dec.norm(dim=1, keepdim=True)).sum(1)
        assert abs(cosines.mean()) < 6 / np.sqrt(first.w_dec.numel())


def test_step0_is_the_checkpoint_given(side_a, corpus):
    side, _ = side_a
    step0 = baseline_side(Baseline("step0", str(folder() / "control")), side, corpus, l0=16.0, train_tokens=2048)
    assert step0.name == str(folder() / "control")
    assert "model.safetensors" in step0.files
    control = AutoModel.from_pretrained(folder() / "control", dtype=torch.float32)
    assert torch.equal(step0.model.get_input_embeddings().weight, control.get_input_embeddings().weight)


def test_shuffled_tokens_keep_every_feature_and_lose_every_partner(side_a, corpus):
    side, _ = side_a
    acts = an.capture(side.model, corpus, side.dictionaries)["layers.2"]
    space = FeatureSpace("layers.2", an.top_contexts(acts, corpus), acts)
    moved = shuffled(space, seed=3).recorded_activations()
    np.testing.assert_array_equal(moved.firing_counts, acts.firing_counts)
    np.testing.assert_allclose(moved.to_dense().sum(0), acts.to_dense().sum(0), rtol=1e-4)
    itself = an.match(acts, acts, min_activations=20).pairs("mutual")
    lost = an.match(acts, moved, min_activations=20).pairs("mutual")
    assert itself.correlation.min() > 0.999
    assert lost.correlation.mean() < 0.5 * itself.correlation.mean()
    assert moved.token_ids is None


def test_names_are_read_and_refused():
    assert parsed(["rerandomized", "step0=model"]) == [Baseline("rerandomized"), Baseline("step0", "model")]
    assert parsed(["rerandomized=neither"]) == [Baseline("rerandomized", "neither")]
    with pytest.raises(ValueError, match="what rerandomized draws must be one of"):
        Baseline.parse("rerandomized=all")
    with pytest.raises(ValueError, match="baseline must be one of"):
        Baseline.parse("random")
    with pytest.raises(ValueError, match="step0 needs the checkpoint"):
        Baseline.parse("step0")
    with pytest.raises(ValueError, match="shuffled-tokens takes no checkpoint"):
        Baseline.parse("shuffled-tokens=x")
    with pytest.raises(ValueError, match="named once, got rerandomized"):
        parsed(["rerandomized", "rerandomized"])


def test_baselines_stand_beside_the_comparison_and_on_disk(side_a, tmp_path, run):
    side, tokenizer = side_a
    other, _ = an.load_side(folder() / "model_b", [folder() / "sae_b"], ["layers.3"])
    corpus = an.Corpus.from_files(folder() / "held_out.jsonl", tokenizer, 128, max_tokens=12_000)
    settings = an.Settings(permutations=20, measures=("cka", "rsa"), min_activations=10, split_half=True)
    names = ["shuffled-tokens", f"second-seed={folder() / 'sae_a'}"]
    grid = an.compare(side, other, corpus, settings, baselines=names)
    (cell,) = grid.cells.values()
    floor, skyline = grid.controls.values()
    assert list(grid.controls) == ["shuffled-tokens", "second-seed"]
    assert (cell.provenance["role"], floor.provenance["role"]) == ("cell", "shuffled-tokens")
    assert len(floor.pairs) < 0.5 * len(cell.pairs)
    assert floor.summary["mean_correlation"] < 0.3 * cell.summary["mean_correlation"]
    assert len(skyline.pairs) > len(cell.pairs)  # the same dictionary twice: every feature finds itself
    np.testing.assert_array_equal(skyline.pairs.feature_a, skyline.pairs.feature_b)
    assert cell.split_half is not None
    assert floor.split_half is None
    alone = an.compare(side, other, corpus, settings)
    assert alone.scores["cka"].p_value == cell.scores["cka"].p_value

    an.report.save(grid, tmp_path / "run")
    loaded = an.load_comparison(tmp_path / "run")
    assert list(loaded.controls) == list(grid.controls)
    assert loaded.controls["second-seed"].summary == skyline.summary
    assert (tmp_path / "run" / "baselines" / "second-seed" / "pairs.parquet").is_file()
    assert "baseline" not in loaded.cells["layers.2", "layers.3"].provenance
    assert loaded.controls["shuffled-tokens"].provenance["baseline"].endswith("a floor, not a p-value")
    roles = [record["role"] for record in loaded.records()]
    assert roles == ["cell"] * 2 + ["shuffled-tokens"] * 2 + ["second-seed"] * 2
    assert all(record["p_bh"] is None for record in loaded.records() if record["role"] != "cell")


@pytest.fixture(scope="module")
def trained_run(side_a, tmp_path_factory):
    """A cell of A with itself, and a second seed trained for it, as compare puts them together."""
    side, tokenizer = side_a
    corpus = an.Corpus.from_files(folder() / "held_out.jsonl", tokenizer, 128, max_tokens=5000)
    settings = an.Settings(permutations=5, measures=("cka",), min_activations=5)
    second = baseline_side(Baseline("second-seed"), side, corpus, l0=16.0, train_tokens=10_000)
    cell = an.compare(side, side, corpus, settings, check="off", arguments={"max_tokens": 5000})
    skyline = an.compare(side, second, corpus, settings, check="off")
    skyline = replace(skyline, provenance={**skyline.provenance, "role": "second-seed"})
    grid = Grid({("layers.2", "layers.2"): cell}, {"second-seed": skyline})
    grid.save(place := tmp_path_factory.mktemp("trained") / "run")
    return place, skyline


def test_a_trained_dictionary_is_saved_with_the_run_and_read_back(side_a, corpus, trained_run, tmp_path):
    place, skyline = trained_run
    control = an.load_comparison(place).controls["second-seed"]
    reopened = an.reopened(control)
    dictionary, own = reopened.spaces["b"].dictionary, skyline.spaces["b"].dictionary
    x = torch.randn(7, 128, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dictionary.encode(x), own.encode(x))
    assert (dictionary.site, dictionary.promised_l0) == ("layers.2", 16.0)
    np.testing.assert_array_equal(reopened.spaces["b"].directions, skyline.spaces["b"].directions)
    assert not list((place / "cells").rglob("sae.safetensors"))  # those that stand elsewhere are not copied

    control.save(tmp_path / "again")
    again = an.reopened(an.load_comparison(tmp_path / "again"))
    assert torch.equal(again.spaces["b"].dictionary.w_enc, own.w_enc)
    folder_of_it = str(place / "baselines" / "second-seed" / "dictionary_b")
    given = baseline_side(Baseline("second-seed", folder_of_it), side_a[0], corpus, l0=16.0)
    assert torch.equal(given.dictionaries["layers.2"].w_enc, own.w_enc)


@pytest.mark.parametrize("name", ["sae.safetensors", "cfg.json"])
def test_a_saved_dictionary_that_was_altered_is_refused(trained_run, tmp_path, name):
    shutil.copytree(trained_run[0] / "baselines" / "second-seed", tmp_path / "run")
    file = tmp_path / "run" / "dictionary_b" / "layers.2" / name
    file.write_bytes(file.read_bytes().replace(b"16", b"17") + b" ")
    with pytest.raises(ValueError, match="was altered or cut short since the run was written"):
        an.load_comparison(tmp_path / "run")
    file.unlink()
    with pytest.raises(FileNotFoundError, match="is missing, though the run"):
        an.load_comparison(tmp_path / "run")


def test_commands_take_a_grid_with_baselines(trained_run, tmp_path, run):
    place, _ = trained_run
    few = ("--concepts", "months", "--where", "window", "--controls", "none", "--draws", 2, "--permutations", 2)
    status, printed, err = run("ablation", place, "--draws", 2, "--json")
    assert (status, {row["role"] for row in json.loads(printed)}) == (0, {"run", "second-seed"}), err
    status, printed, err = run("concepts", place, *few, "--json")
    assert (status, [each["role"] for each in json.loads(printed)["cells"]]) == (0, ["run", "second-seed"]), err
    status, printed, _ = run("concepts", place, "--concepts", "months", "--coverage", "--json")
    assert [each["sites"] for each in json.loads(printed)] == [
        "layers.2 x layers.2",
        "second-seed, layers.2 x layers.2",
    ]
    new = "second-seed, B layers.2"
    status, printed, _ = run("concepts", place, "--concepts", "months", "--explain", 3, "--side", "b", "--json")
    assert [each["site"] for each in json.loads(printed)] == ["B layers.2", new]
    status, printed, err = run("concepts", place, "--concepts", "months", "--specificity", "--json")
    assert (status, [each["site"] for each in json.loads(printed)]) == (0, ["A layers.2", "B layers.2", new]), err
    status, printed, _ = run("explain", place, "--top", 2)
    assert "second-seed, layers.2 x layers.2" in " ".join(printed.split())

    loaded = an.load_comparison(place)
    spaces = {
        side: replace(space, saved_dictionary=None) for side, space in loaded.controls["second-seed"].spaces.items()
    }
    without = replace(loaded, controls={"second-seed": replace(loaded.controls["second-seed"], spaces=spaces)})
    without.save(tmp_path / "without")
    for command in (("ablation", "--draws", 2), ("concepts", *few)):
        status, printed, err = run(command[0], tmp_path / "without", *command[1:])
        assert status == 0
        assert "second-seed is left out: the dictionary of layers.2 cannot be loaded again" in err
        assert "second-seed" not in printed


def test_a_model_drawn_again_is_no_checkpoint(side_a, corpus):
    """Neurons are read from the model, which is gone."""
    side, _ = an.load_side(folder() / "model_a", sites="layers.2.mlp.neurons")
    drawn = baseline_side(Baseline("rerandomized"), side, corpus, l0=1.0)
    settings = an.Settings(permutations=2, measures=("cka",))
    found = an.compare(drawn, side, corpus, settings)
    found = replace(found, provenance={**found.provenance, "role": "rerandomized"})
    with pytest.raises(ValueError, match="baseline rerandomized drew its weights anew"):
        an.reopen_dictionaries(found)
    with pytest.raises(ValueError, match="baseline rerandomized drew its weights anew"):
        an.reopen_corpus(found)


def test_a_baseline_says_that_it_stands_beside_the_first_sites_only(side_a, tmp_path):
    _, tokenizer = side_a
    side, _ = an.load_side(folder() / "model_a", [folder() / "sae_a"] * 2, ["layers.2", "layers.3"])
    corpus = an.Corpus.from_files(folder() / "held_out.jsonl", tokenizer, 128, max_tokens=3000)
    settings = an.Settings(permutations=2, measures=("cka",), min_activations=5)
    grid = an.compare(side, side, corpus, settings, check="off", baselines=["shuffled-tokens"])
    (floor,) = grid.controls.values()
    assert floor.provenance["baseline"].endswith("not a p-value; stands beside layers.2 x layers.2 only")


def test_a_second_dictionary_that_is_given_is_inspected(side_a, corpus):
    side, _ = side_a
    settings = an.Settings(permutations=2, measures=("cka",))
    below = f"second-seed={folder() / 'sae_a' / 'layers.3'}"
    with pytest.raises(ValueError, match=r"second-seed, .*model_a layers\.2: layers\.3 explains"):
        an.compare(side, side, corpus, settings, baselines=[below])
    with pytest.warns(UserWarning, match=r"second-seed, .*layers\.2: layers\.3 explains"):
        grid = an.compare(side, side, corpus, settings, baselines=[below], check="warn")
    inspections = grid.controls["second-seed"].provenance["inspections"]
    assert (bool(inspections["a"]["problems"]), bool(inspections["b"]["problems"])) == (False, True)


def test_what_a_baseline_needs_is_looked_at_before_anything_is_captured(side_a, corpus):
    side, _ = side_a
    stages = []
    for wrong in ("step0=no/such/model", f"second-seed={folder() / 'sae_b' / 'layers.3'}"):
        with pytest.raises((FileNotFoundError, ValueError), match=r"not a folder with a model|must have width 128"):
            an.compare(side, side, corpus, baselines=[wrong], progress=lambda *stage: stages.append(stage))
    assert stages == []


def test_the_command_line_trains_what_is_not_given(tmp_path, run):
    status, _, err = run(
        *("compare", folder() / "model_a", folder() / "model_b", "--text", folder() / "held_out.jsonl"),
        *("--sae-a", folder() / "sae_a", "--site-a", "layers.2", "--sae-b", folder() / "sae_b", "--site-b", "layers.3"),
        *("--max-tokens", 4000, "--permutations", 2, "--measures", "cka", "--baseline", "step0=nowhere/at/all"),
        *("--out", tmp_path / "run"),
    )
    assert status == 2
    assert "nowhere/at/all is not a folder with a model" in err
    assert not (tmp_path / "run").exists()


def test_a_log_has_the_estimate_before_the_training_ends(capsys):
    from analogue.cli.output import progress_bars

    with progress_bars() as progress:
        progress("training a dictionary for step0, about 40 s", 0, 500)
        assert "about 40 s" in capsys.readouterr().err
        progress("training a dictionary for step0, about 40 s", 500, 500)
