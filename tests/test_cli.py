"""The command line on the real embedded pair: what it writes, what it prints, and how it says no."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
from safetensors.numpy import load_file, save_file

import analogue
from analogue.compare import compare_spaces
from analogue.demo import folder
from analogue.report import tables
from analogue.scoring import scored_rows
from analogue.settings import PANEL

A, B, SAE_A, SAE_B = (str(folder() / name) for name in ("model_a", "model_b", "sae_a", "sae_b"))
TEXT = str(folder() / "held_out.jsonl")
WHOLE = ["--max-tokens", "6000", "--permutations", "30"]
SMALL = [*WHOLE, "--measures", "svcca,rsa,cka"]
TINY = ["--max-tokens", "3000", "--permutations", "5", "--measures", "rsa"]
ONE_CELL = ["compare", A, B, "--sae-a", SAE_A, "--site-a", "layers.2", "--sae-b", f"{SAE_B}/layers.4", "--text", TEXT]


def test_one_cell(run, tmp_path):
    out = tmp_path / "run"
    status, printed, progress = run(*ONE_CELL, *WHOLE, "--out", out)
    assert status == 0
    assert "svcca" in printed
    assert "mean r given token" in printed
    assert "tokens/s" in progress
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {
        "manifest.json",
        "pairs.parquet",
        "scores.json",
        "summary.json",
        "nulls.npz",
        "directions.npz",
        "activations_a/values.npy",
        "activations_b/indices.npy",
        "labels_a.parquet",
        "labels_b.parquet",
        "figures/correlation.png",
        "figures/many_to_one.png",
        "figures/correlation_by_multiplicity.png",
        "hubs_a.parquet",
        "hubs_b.parquet",
        "multiplicity_a.parquet",
        "multiplicity_b.parquet",
        "figures/null_svcca.png",
        "figures/null_rsa.png",
    } <= names
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["arguments"]["permutations"] == 30
    assert set(manifest["files"]) == names - {"manifest.json"}
    assert manifest["models"]["a"]["sha256"]["model.safetensors"]
    assert [stage["name"] for stage in manifest["stages"]] == [
        "candidates",
        "mutual",
        "0.1 <= r",
        "junk majority",
    ]
    read = analogue.load_comparison(out)
    assert read.null.name == read.scores["rsa"].null == "siblings"
    assert json.loads((out / "summary.json").read_text())["null"] == read.summary["null"]
    assert (read.null.groups, read.null.largest_group) == (read.scores["rsa"].groups, read.scores["rsa"].largest_group)
    words = " ".join(printed.split())
    assert "siblings, at least half of the mutual pairs can change places" in words
    assert read.verdict.word in words
    assert read.summary["verdict"]["word"] == "shared"
    assert column(read, "Verdict", "p of mutual_knn") == [f"{read.scores['mutual_knn'].p_value:.2g}"]
    saved = json.loads((out / "scores.json").read_text())
    assert [score["measure"] for score in saved if score["null"] == "siblings"] == list(PANEL)
    assert {score["null"] for score in saved} == {"siblings", "siblings, rate-adjusted"}
    plain = [score for score in saved if score["null"] == read.null.name]
    assert len(plain) == len(read.scores) < len(saved)
    assert {score["rows_movable"] for score in plain} == {read.null.rows_movable}
    assert len(read.rate_adjusted["rsa"].draws) == 30
    assert read.summary["mean_value"] is None
    assert column(read, "Correlation of", "matched") is None
    table = pq.read_table(out / "pairs.parquet")
    assert table["kept"].to_numpy().sum() == len(read.pairs) == read.scores["rsa"].n
    assert set(table.column_names) >= {"firing_rate_a", "label_b", "correlation_given_token", "dropped_by"}
    assert len(read.scores["svcca"].draws) == 30
    assert read.spaces["a"].activations.n_tokens == manifest["text"]["kept"]


def test_reading_back_gives_the_same(run, tmp_path):
    assert run(*ONE_CELL, *SMALL, "--out", tmp_path / "run", "--pairs", "a_to_b", "--one-to-one", "best")[0] == 0
    first = analogue.load_comparison(tmp_path / "run")
    first.save(tmp_path / "again")
    second = analogue.load_comparison(tmp_path / "again")
    assert first.to_dict() == second.to_dict()
    np.testing.assert_array_equal(first.directions["a"], second.directions["a"])
    assert first.null.name == "one-per-token"
    rows = scored_rows(first.pairs, first.labels, "one-per-token")
    assert len(rows) == first.null.scored < len(first.pairs)
    x, y = first.directions["a"][rows], first.directions["b"][rows]
    again = analogue.permutation_test(x, y, measures=("rsa",), permutations=30)["rsa"]
    assert again.observed == pytest.approx(first.scores["rsa"].observed, abs=1e-12)
    np.testing.assert_allclose(again.draws, first.scores["rsa"].draws, atol=1e-12)


def test_junk_and_shared_words_stand_with_the_run(run, tmp_path):
    out = tmp_path / "run"
    words = ["--junk", "3", "--junk-preset", "default,quotes", "--shared-words", "1"]
    assert run(*ONE_CELL, *SMALL, "--out", out, *words)[0] == 0
    read = analogue.load_comparison(out)
    assert [stage.name for stage in read.pairs.stages][-2:] == ["junk at least 3, default,quotes", "shared word"]
    assert (read.settings.junk, read.settings.junk_preset, read.settings.shared_words) == (3, "default,quotes", 1)
    a, b = read.labels
    for pair in zip(read.pairs.feature_a.tolist(), read.pairs.feature_b.tolist(), strict=True):
        assert a.words(pair[0]) & b.words(pair[1])
    gone = read.pairs.stages[-2].dropped
    dropped = analogue.junk.dropped(gone, a, b, 3, "default,quotes")
    assert dropped.num_rows == len(gone) > 0
    assert len(read.pairs.stages[-1].dropped) > 0
    assert pq.read_table(out / "junk_dropped.parquet").equals(dropped)
    parts = pq.read_table(out / "junk_by_correlation.parquet").to_pylist()
    assert read.to_dict()["junk_by_correlation"] == parts
    assert sum(part["pairs"] for part in parts) == read.pairs.stages[-3].counts.pairs
    assert sum(part["junk"] for part in parts) == len(gone)
    for part in parts:
        assert column(read, "Share of junk", str(part["part"])) == [f"{part['share']:.0%}"]
    kinds = analogue.junk.dropped_by_kind(dropped)
    assert column(read, "Junk dropped", "pairs") == [str(n) for n in kinds["pairs"].to_pylist()]


def test_labels_stages_and_an_own_junk_file_stand_with_the_run(run, tmp_path):
    out, mine, short = tmp_path / "run", tmp_path / "mine.toml", tmp_path / "short.jsonl"
    with open(TEXT, encoding="utf-8") as lines:
        text = json.loads(next(lines))["text"]
    short.write_text("".join(json.dumps({"text": text[i : i + 1000]}) + "\n" for i in range(0, 12_000, 1000)))
    mine.write_text("tokens = ['the', 'of']")
    options = [
        "--label-k",
        "2",
        "--label-window",
        "1",
        "--label-unit",
        "words",
        "--label-target",
        "next",
        "--one-per-document",
    ]
    options += ["--junk-preset", f"default,{mine}", "--junk-keep", "-", "--junk", "any"]
    options += ["--stages", "junk, shared_words,correlation", "--shared-words", "1"]
    assert run(*with_option("--text", short), *TINY, "--out", out, *options)[0] == 0
    mine.unlink()
    read = analogue.load_comparison(out)
    names = ["junk any, default,mine.toml keeping -", "shared word", "0.1 <= r"]
    assert [stage.name for stage in read.pairs.stages][2:] == names
    assert read.settings.junk_list.kind(" the") == "mine"
    assert read.settings.labelling == {"k": 2, "window": 1, "unit": "words", "target": "next", "one_per_document": True}
    table = read.labels[0].to_arrow().to_pylist()
    assert max(row["rank"] for row in table) == 1
    assert all(len(row[side].split()) <= 2 for row in table for side in ("left", "right"))
    acts = read.spaces["a"].activations
    row = table[0]
    before = np.flatnonzero((acts.document_ids == row["document_id"]) & (acts.positions == row["position"] - 1))
    assert acts.dense_columns([row["feature"]])[0, before] == row["activation"]
    places = [(row["feature"], row["document_id"]) for row in table]
    assert len(set(places)) == len(places)
    assert not any(token.strip() in ("the", "of") for f in read.pairs.feature_a for token in read.labels[0].tokens(f))


def test_grid_and_json(run, tmp_path):
    sites = ["--sae-a", SAE_A, "--site-a", "layers.2", "--sae-a", SAE_A, "--site-a", "layers.3"]
    out = tmp_path / "grid"
    command = ["compare", A, B, *sites, "--sae-b", f"{SAE_B}/layers.3", "--text", TEXT, "--out", out, "--json"]
    status, printed, _ = run(*command, *WHOLE, "--no-activations")
    assert status == 0
    said = json.loads(printed)
    assert [cell["sites"] for cell in said["cells"]] == [{"a": f"layers.{n}", "b": "layers.3"} for n in (2, 3)]
    assert {path.name for path in (out / "cells").iterdir()} == {"layers.2--layers.3", "layers.3--layers.3"}
    assert (out / "figures" / "heatmap_rsa.png").is_file()
    assert not (out / "sites" / "A--layers.2" / "activations").exists()
    assert pq.read_table(out / "grid.parquet").num_rows == 2 * len(PANEL)
    grid = analogue.load_comparison(out)
    assert grid.to_dict() == said
    records = pq.read_table(out / "grid.parquet").to_pylist()
    assert records == grid.records()
    for measure in PANEL:
        own = [record for record in records if record["measure"] == measure]
        p = [record["p_value"] for record in own]
        assert [record["p_bh"] for record in own] == pytest.approx(scipy.stats.false_discovery_control(p))
        assert [record["p_by"] for record in own] == pytest.approx(scipy.stats.false_discovery_control(p, method="by"))
        assert [record["p_sidak"] for record in own] == pytest.approx([1 - (1 - value) ** 2 for value in p])
    with pytest.raises(ValueError, match="were not saved with this run"):
        grid.cells["layers.2", "layers.3"].spaces["a"].firing_rates()
    cell = analogue.load_comparison(out / "cells" / "layers.2--layers.3")
    assert cell.labels[0].n_features == 2048


@pytest.mark.parametrize(("part", "rows", "features"), [("", "activations", 128), (".mlp.neurons", "decoder", 512)])
def test_neurons_without_sae(run, tmp_path, part, rows, features):
    sites = ["--site-a", f"layers.2{part}", "--site-b", f"layers.3{part}"]
    out = tmp_path / "run"
    status, printed, _ = run("compare", A, B, *sites, "--text", TEXT, *SMALL, "--out", out, "--json")
    assert status == 0
    assert {score["rows"] for score in json.loads(printed)["scores"]} == {rows}
    read = analogue.load_comparison(out)
    assert read.labels[0].n_features == features
    assert read.directions["a"].shape[1] == (128 if rows == "decoder" else read.spaces["a"].activations.n_tokens)
    assert (out / "directions.npz").exists() == (rows == "decoder")
    assert (read.caveat is None) == (rows == "decoder")


@pytest.fixture
def broken_sae(tmp_path):
    shutil.copytree(f"{SAE_A}/layers.2", tmp_path / "layers.2")
    tensors = load_file(tmp_path / "layers.2" / "sae.safetensors")
    tensors["W_dec"][5, 7] = np.nan
    save_file(tensors, tmp_path / "layers.2" / "sae.safetensors")
    return tmp_path / "layers.2"


def with_option(option, value):
    command = list(ONE_CELL)
    command[command.index(option) + 1] = str(value)
    return command


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (with_option("--text", "nowhere.txt"), ["nowhere.txt"]),
        (with_option("--site-a", "layers.9"), ["layers.9", "layers.2", "layers.3"]),
        (["compare", A, B, "--site-a", "layers.9", "--site-b", "layers.2", "--text", TEXT], ["layers.9", "layers.3"]),
        (with_option("--sae-a", f"{SAE_B}/layers.4"), ["192", "128"]),
        (["compare", A, B, "--text", TEXT], ["dictionary or a site"]),
        ([*ONE_CELL, "--sae-a", SAE_A], ["saes and sites must go together"]),
        (["compare", "./nowhere", *ONE_CELL[2:]], ["./nowhere is not a folder with a model"]),
        ([*ONE_CELL, "--pairs", "all"], ["pairs must be one of mutual, b_to_a, a_to_b, union", "got 'all'"]),
        ([*ONE_CELL, "--pairs", "capacity"], ["capacity must be given with pairs=capacity and only there, got None"]),
        ([*ONE_CELL, "--capacity", "3"], ["capacity must be given with pairs=capacity and only there, got 3"]),
        ([*ONE_CELL, "--pairs", "capacity", "--capacity", "0"], ["capacity must be at least 1, got 0"]),
        ([*ONE_CELL, "--direction", "up"], ["direction must be one of b_to_a, a_to_b, got 'up'"]),
        ([*ONE_CELL, "--top", "0"], ["top must be at least 1, got 0"]),
        ([*ONE_CELL, "--min-multiplicity", "2"], ["min_multiplicity needs pairs of many to one", "pairs=mutual"]),
        ([*ONE_CELL, "--max-multiplicity", "0"], ["max_multiplicity must be at least 1, got 0"]),
        (
            [*ONE_CELL, "--pairs", "b_to_a", "--min-multiplicity", "3", "--max-multiplicity", "2"],
            ["min_multiplicity must not exceed max_multiplicity, got 3 and 2"],
        ),
        ([*ONE_CELL, "--multiplicity-policy", "q"], ["multiplicity_policy must be one of drop, first, best, got 'q'"]),
        (
            [*ONE_CELL, "--pairs", "b_to_a", "--max-multiplicity", "3", "--multiplicity-keep", "1"],
            ["multiplicity_keep must be at most max_multiplicity", "got 1 with 3 and drop"],
        ),
        (
            [*ONE_CELL, "--pairs", "b_to_a", "--multiplicity-policy", "best", "--multiplicity-keep", "1"],
            ["multiplicity_keep must be at most max_multiplicity", "got 1 with None and best"],
        ),
        (
            [*ONE_CELL, "--direction", "a_to_b"],
            ["direction goes with pairs=capacity only, got a_to_b with mutual"],
        ),
        ([*ONE_CELL, "--min-correlation-given-token", "nan"], ["min_correlation_given_token must be a number", "NaN"]),
        ([*ONE_CELL, "--junk", "some"], ["junk must be majority, any, off or a number of tokens, got 'some'"]),
        ([*ONE_CELL, "--junk", "0"], ["junk must be at least 1, got 0"]),
        ([*ONE_CELL, "--junk-preset", "none"], ["preset must be one of default, wide", "got 'none'"]),
        (
            [*ONE_CELL, "--junk", "off", "--junk-preset", "wide"],
            ["junk_preset needs a junk rule, got wide with junk=off"],
        ),
        ([*ONE_CELL, "--junk-preset", "default,mine.toml"], ["mine.toml must be the TOML file of a junk set"]),
        ([*ONE_CELL, "--junk", "off", "--junk-keep", "+"], ["junk_keep needs a junk rule, got + with junk=off"]),
        ([*ONE_CELL, "--stages", "junk"], ["stages must name correlation too"]),
        ([*ONE_CELL, "--stages", "junk,corr"], ["stages must be one of multiplicity", "got 'corr'"]),
        ([*ONE_CELL, "--label-k", "0"], ["label_k must be at least 1, got 0"]),
        ([*ONE_CELL, "--label-unit", "letters"], ["label_unit must be one of tokens, words, got 'letters'"]),
        ([*ONE_CELL, "--shared-words", "-1"], ["shared_words must be at least 0, got -1"]),
        ([*ONE_CELL, "--null", "none"], ["null must be one of", "'none'"]),
        ([*ONE_CELL, "--measures", "svcca,magic"], ["measures must be one of", "'magic'"]),
        ([*ONE_CELL, "--measures", ","], ["measures must name at least one"]),
        ([*ONE_CELL, "--permutations", "many"], ["permutations must be a number or original, got 'many'"]),
        ([*ONE_CELL, "--method", "guess"], ["method must be one of permutation, analytic, got 'guess'"]),
        ([*ONE_CELL, "--null", "shift", "--measures", "rsa"], ["null=shift needs pairs without a correlation band"]),
        ([*ONE_CELL, "--token-null", "0"], ["token_null must be at least 1, got 0"]),
        ([*ONE_CELL, "--permutations", "0"], ["permutations must be at least 1, got 0"]),
        ([*ONE_CELL, "--min-activations", "0"], ["min_activations must be at least 1, got 0"]),
        ([*ONE_CELL, "--context-length", "129"], ["context_length must be at most 128", "129"]),
        ([*ONE_CELL, "--min-correlation", "0.9", "--max-correlation", "0.1"], ["minimum must not exceed maximum"]),
        ([*ONE_CELL, "--text-field", "body"], ["body"]),
        ([*ONE_CELL, "--device", "abacus"], ["abacus"]),
        ([*ONE_CELL, "--context-length", "0"], ["context_length must be at least", "got 0"]),
        ([*ONE_CELL, "--one-to-one", "q"], ["one_to_one must be one of strict, best, first, got 'q'"]),
        ([*ONE_CELL, "--min-correlation", "nan"], ["min_correlation must be a number", "NaN"]),
        ([*ONE_CELL, "--activation", "q"], ["activation must be one of post, pre, got 'q'"]),
        (
            ["compare", A, B, "--site-a", "layers.2", "--site-b", "layers.2", "--text", TEXT, "--activation", "pre"],
            ["pre"],
        ),
        ([*ONE_CELL, "--sae-a", SAE_A, "--site-a", "layers.2"], ["must be named once, got layers.2 twice"]),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(run, tmp_path, command, parts):
    status, printed, error = run(*command, "--max-tokens", "2000", "--out", tmp_path / "run")
    assert (status, printed) == (2, "")
    sentence = error.strip().splitlines()[-1]
    assert sentence.startswith("analogue: ")
    assert "Traceback" not in error
    for part in parts:
        assert part in sentence
    assert not (tmp_path / "run").exists()


def test_nan_in_a_checkpoint(run, tmp_path, broken_sae):
    status, _, error = run(*with_option("--sae-a", broken_sae), "--out", tmp_path / "run")
    assert status == 2
    assert "W_dec" in error
    assert "NaN" in error


def test_empty_text(run, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    status, _, error = run(*with_option("--text", tmp_path / "empty.txt"), "--out", tmp_path / "run")
    assert status == 2
    assert "empty" in error


def test_tokenizers_that_differ_in_ids_alone_are_aligned_whole(run, tmp_path):
    shutil.copytree(B, tmp_path / "model_b")
    path = tmp_path / "model_b" / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["e"], vocabulary["t"] = vocabulary["t"], vocabulary["e"]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    command = list(ONE_CELL)
    command[2] = str(tmp_path / "model_b")
    status, printed, _ = run(*command, *TINY, "--out", tmp_path / "run", "--json")
    assert status == 0
    assert json.loads(printed)["summary"]["alignment"]["token_share"] == {"a": 1.0, "b": 1.0}


def test_too_few_pairs_everywhere(run, tmp_path):
    out = tmp_path / "run"
    status, _, error = run(*ONE_CELL, *SMALL, "--min-correlation", "1.5", "--out", out)
    assert status == 2
    assert "fewer than 2 pairs are left in every cell; in layers.2 x layers.4 the stage '1.5 <= r' left 0 of" in error
    assert all(score.insufficient for score in analogue.load_comparison(out).scores.values())
    status, _, error = run(*ONE_CELL, *SMALL, "--min-activations", "5999", "--out", tmp_path / "none")
    assert status == 2
    assert "only 0 features of A vary and fire on at least 5999 tokens" in error


def test_an_existing_run_is_kept(run, tmp_path):
    out = tmp_path / "run"
    assert run(*ONE_CELL, *SMALL, "--out", out, "--no-activations")[0] == 0
    before = (out / "scores.json").read_bytes()
    status, _, error = run(*ONE_CELL, *SMALL, "--out", out)
    assert (status, "exists already" in error) == (2, True)
    assert run(*ONE_CELL, *SMALL, "--seed", "1", "--out", out, "--overwrite", "--no-activations")[0] == 0
    assert (out / "scores.json").read_bytes() != before
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years")
    (tmp_path / "precious" / "manifest.json").write_text('{"name": "a web app"}')
    status, _, error = run(*ONE_CELL, *SMALL, "--out", tmp_path / "precious", "--overwrite")
    assert (status, "is not a run folder" in error) == (2, True)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("damage", ["weights", "config", "tokenizer", "layers", "no tokenizer", "nan"])
def test_malformed_models(run, tmp_path, damage):
    model = tmp_path / "model"
    shutil.copytree(A, model)
    weights, config = model / "model.safetensors", json.loads((model / "config.json").read_text())
    if damage == "weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "tokenizer":
        (model / "tokenizer.json").write_text('{"model": {}}')
    elif damage == "no tokenizer":
        (model / "tokenizer.json").unlink()
    elif damage == "nan":
        tensors = load_file(weights)
        tensors["gpt_neox.layers.3.mlp.dense_4h_to_h.bias"][3] = np.nan
        save_file(tensors, weights, metadata={"format": "pt"})
    else:
        config |= {"num_hidden_layers": 5} if damage == "layers" else {"hidden_size": 64}
        (model / "config.json").write_text(json.dumps(config))
    command = list(ONE_CELL)
    command[1] = str(model)
    status, _, error = run(*command, "--out", tmp_path / "run")
    assert status == 2
    sentence = error.strip().splitlines()[-1]
    assert sentence.startswith(f"analogue: {model} ")
    part = {
        "layers": "are missing: layers.4",
        "no tokenizer": "has no tokenizer",
        "nan": "layers.3.mlp.dense_4h_to_h.bias",
    }
    assert part.get(damage, "cannot be loaded as a model with its tokenizer") in sentence


def test_a_saturated_measure_is_drawn_and_said_to_be(run, tmp_path):
    out = tmp_path / "run"
    status, printed, _ = run(
        *ONE_CELL, *SMALL, "--junk", "off", "--min-correlation", "0.95", "--min-pairs", "3", "--out", out
    )
    assert status == 0
    score = analogue.load_comparison(out).scores["svcca"]
    assert score.saturated
    assert score.z is None
    assert "1 for any data" in " ".join(printed.split())
    assert (out / "figures" / "null_svcca.png").is_file()


def test_the_pairing_null_carries_a_caveat(run, tmp_path):
    out = tmp_path / "run"
    status, printed, _ = run(*ONE_CELL, *WHOLE, "--pairs", "b_to_a", "--null", "pairing", "--out", out)
    assert status == 0
    caveats = {score["caveat"] for score in json.loads((out / "scores.json").read_text())}
    assert len(caveats) == 1
    assert "the pairing null does not hold for these" in caveats.pop()
    read = analogue.load_comparison(out)
    assert read.verdict.word is None
    assert "it needs the null siblings or one-per-token, and the scores have pairing" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("options", "null", "method"),
    [
        (["--null", "one-per-token"], "one-per-token", "permutation"),
        (["--null", "stratified", "--permutations", "original"], "stratified", "permutation"),
        (["--method", "analytic"], "one-per-token", "analytic"),
        (["--null", "subset"], "subset", "draws"),
        (["--null", "shift", "--min-correlation", "-1"], "shift, studentised", "draws"),
        (["--null", "siblings", "--stop", "3"], "siblings", "permutation"),
    ],
)
def test_any_null_is_one_flag(run, tmp_path, options, null, method):
    out = tmp_path / "run"
    status, printed, error = run(*ONE_CELL, *TINY, *options, "--out", out)
    assert status == 0, error
    read = analogue.load_comparison(out)
    score = read.scores["rsa"]
    assert (score.null, score.method) == (null, method)
    assert read.null.name in ("one-per-token", options[1])
    assert " ".join(read.null.reason.split()) in " ".join(printed.split())
    if "original" in options:
        assert score.permutations == 100
    if method == "draws":
        assert read.caveat
        assert "pairs on average" in read.null.reason or null == "subset"
        assert read.rate_adjusted == {}


def test_the_token_conditional_null_of_the_correlations(run, tmp_path):
    out = tmp_path / "run"
    status, printed, error = run(*ONE_CELL, *TINY, "--token-null", "9", "--out", out)
    assert status == 0, error
    assert "token-conditional" in printed
    read = analogue.load_comparison(out)
    found = read.token_null
    assert found.permutations == len(found.draws) == 9
    assert found.pairs >= len(read.pairs)  # without the correlation band
    assert read.summary["token_null"]["mean_correlation"] == found.mean_correlation
    assert column(read, "Mean r against", "p") == [f"{found.p_value:.2g}"]
    again = analogue.token_conditional(
        analogue.Procedure(
            *(space.activations for space in read.spaces.values()),
            *(np.empty((2048, 0)) for _ in "ab"),
            filters=read.settings.filters(*read.labels, bands=False),
            matching={"min_activations": 20},
        ),
        draws=9,
    )
    np.testing.assert_allclose(again.draws, found.draws, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "stages", "highest"),
    [
        (["union"], ["candidates", "union"], None),
        (["capacity", "--capacity", "3"], ["candidates", "capacity 3 b_to_a"], 3),
        (["capacity", "--capacity", "1", "--direction", "a_to_b"], ["candidates", "capacity 1 a_to_b"], 1),
        (
            ["b_to_a", "--min-multiplicity", "2", "--max-multiplicity", "4", "--multiplicity-policy", "best"],
            ["candidates", "b_to_a", "2 <= pairs of A <= 4 best"],
            4,
        ),
        (
            ["b_to_a", "--max-multiplicity", "4", "--multiplicity-policy", "best", "--multiplicity-keep", "1"],
            ["candidates", "b_to_a", "pairs of A <= 4 best 1"],
            4,
        ),
        (
            ["union", "--max-multiplicity", "5"],
            ["candidates", "union", "pairs of A <= 5 drop", "pairs of B <= 5 drop"],
            5,
        ),
        (["b_to_a", "--one-to-one", "best"], ["candidates", "b_to_a", "one_to_one best"], 1),
    ],
)
def test_rules_of_many_to_one(run, tmp_path, options, stages, highest):
    out = tmp_path / "run"
    band = ["--min-correlation-given-token", "0.05", "--junk", "off"]
    status, _, _ = run(*ONE_CELL, *TINY, "--pairs", *options, *band, "--out", out, "--no-activations")
    assert status == 0
    read = analogue.load_comparison(out)
    assert [stage.name for stage in read.pairs.stages] == [*stages, "0.1 <= r", "0.05 <= r given token"]
    assert read.pairs.correlation_given_token.min() >= 0.05
    if highest is not None:
        assert read.pairs.counts.highest_multiplicity <= highest
    assert read.caveat is None
    assert read.null.name == read.scores["rsa"].null == "one-per-token"
    assert read.null.reason.startswith(f"{options[0]} pairs have many siblings")
    kept = read.pairs.select(scored_rows(read.pairs, read.labels, "one-per-token"))
    assert kept.counts.highest_multiplicity == 1
    assert read.scores["rsa"].n == len(kept) == read.null.scored


@pytest.mark.parametrize(
    "options", [["--metric", "jaccard"], ["--metric", "cosine"], ["--given", "bigram", "--min-correlation", "0.7"]]
)
def test_other_ways_to_match(run, tmp_path, options):
    status, printed, err = run(*ONE_CELL, *TINY, *options, "--out", tmp_path / "run")
    assert status == 0, err
    by = "r given the bigram" if options[0] == "--given" else options[1]
    assert f"Correlation of the kept pairs, matched by {by}" in " ".join(printed.split())
    found = analogue.load_comparison(tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    ids = found.spaces["a"].activations.token_ids
    assert summary["mean_value"] == pytest.approx(found.pairs.weight.mean())
    assert column(found, "Correlation of", "matched") == [f"{summary['mean_value']:.3f}"]
    assert summary["mean_value"] != pytest.approx(summary["mean_correlation"])
    if options[0] == "--given":
        assert found.pairs.metric == "pearson"
        stage = found.pairs.stages[2]
        assert stage.name == "0.7 <= r given bigram"
        assert found.pairs.value.min() >= 0.7 > stage.dropped.value.max()
        assert stage.dropped.correlation.max() > 0.7
        assert summary["tokens_alone"] > (np.unique(ids, return_counts=True)[1] == 1).sum()
    else:
        assert found.pairs.metric == options[1]
        assert summary["tokens_alone"] == (np.unique(ids, return_counts=True)[1] == 1).sum()
    x, y = (found.spaces[side].activations.dense_columns(getattr(found.pairs, f"feature_{side}")) for side in "ab")
    for row in (0, len(found.pairs) - 1):
        assert np.corrcoef(x[row], y[row])[0, 1] == pytest.approx(found.pairs.correlation[row], abs=1e-5)
        if options[1] == "jaccard":
            both, either = ((x[row] > 0) & (y[row] > 0)).sum(), ((x[row] > 0) | (y[row] > 0)).sum()
            assert found.pairs.weight[row] == pytest.approx(both / either, abs=1e-9)


def column(result, title, heading):
    """The cells of one column of a printed table, None where it has no such column."""
    table = next(table for table in tables(result) if str(table.title).startswith(title))
    return next((list(column.cells) for column in table.columns if column.header == heading), None)


def test_assignment(run, tmp_path):
    out = tmp_path / "run"
    assert run(*ONE_CELL, *TINY, "--pairs", "assignment", "--out", out)[0] == 0
    read = analogue.load_comparison(out)
    assert read.pairs.counts.highest_multiplicity == 1
    said = json.loads((out / "summary.json").read_text())["assignment"]
    spaces = read.spaces
    pairs = analogue.match(spaces["a"].activations, spaces["b"].activations, top=8, min_activations=20).pairs(
        "assignment"
    )
    assert said == json.loads((out / "manifest.json").read_text())["stages"][1]["optimum"]
    for heading, value in (("total", said["total"]), ("at most", said["upper_bound"]), ("gap", said["gap"])):
        assert column(read, "Matching", heading) == [f"{value:.1f}", ""]
    assert said["total"] == pytest.approx(pairs.correlation.sum())
    assert 0 <= said["gap"] == pytest.approx(said["upper_bound"] - said["total"])
    assert read.pairs.stages[1].optimum == pairs.stages[1].optimum
    mutual = analogue.match(spaces["a"].activations, spaces["b"].activations, min_activations=20).pairs()
    assert said["total"] > mutual.correlation.sum()
    for score in json.loads((out / "scores.json").read_text()):
        assert score["null_reason"].startswith("assignment pairs have many siblings")
        assert score["caveat"] is None
        assert score["share_given_token_above_0.1"] == read.summary["share_given_token_above_0.1"]


def test_hubs_and_fractions_stand_in_the_run(run, tmp_path):
    out = tmp_path / "run"
    assert run(*ONE_CELL, *TINY, "--out", out)[0] == 0
    read = analogue.load_comparison(out)
    matches = analogue.match(*(space.activations for space in read.spaces.values()), min_activations=20)
    summary = json.loads((out / "summary.json").read_text())
    for side, best, other in (("a", matches.best_a, matches.best_b), ("b", matches.best_b, matches.best_a)):
        chosen = best[best >= 0]
        assert summary["unique_fraction"][side] == pytest.approx(len(set(chosen.tolist())) / len(chosen))
        mutual = [other[feature] >= 0 and best[other[feature]] == feature for feature in range(len(other))]
        assert summary["mutual_fraction"][side] == pytest.approx(sum(mutual) / (other >= 0).sum())
        table = pq.read_table(out / f"hubs_{side}.parquet")
        assert table.equals(read.hubs[side])
        assert table["pairs"][0].as_py() == np.bincount(chosen).max()
        space = read.spaces[side]
        assert table["label"].to_pylist() == [space.labels.tokens(f) for f in table["feature"].to_pylist()]
        assert sum(read.multiplicity[side]["pairs"].to_pylist()) == len(chosen)
    for heading, name in (("unique", "unique_fraction"), ("mutual", "mutual_fraction")):
        assert column(read, "Matching", heading) == [f"{summary[name][side]:.3f}" for side in "ab"]
    assert column(read, "Matching", "candidates") == [str(summary["candidates"][side]) for side in "ab"]
    assert column(read, "Matching", "alone") == [str(summary["tokens_alone"]), ""]
    assert column(read, "Matching", "total") is None


def test_robustness_stands_in_the_run(run, tmp_path):
    out = tmp_path / "run"
    status, printed, _ = run(*ONE_CELL, *SMALL, "--convergence", "--split-half", "--pairs", "b_to_a", "--out", out)
    assert status == 0
    assert "found again" in printed
    read = analogue.load_comparison(out)
    half = read.split_half
    assert read.summary["split_half"]["pairs"] == half.pairs
    assert half.mean_correlation_held_out < half.mean_correlation
    assert half.tokens + half.tokens_held_out == read.spaces["a"].activations.n_tokens
    assert column(read, "Pairs of one half", "tokens") == [str(half.tokens), str(half.tokens_held_out)]
    table = pq.read_table(out / "convergence.parquet")
    assert table.equals(read.convergence)
    last = table.to_pylist()[-1]
    assert (last["pairs"], last["found"]) == (len(read.pairs), 1.0)
    assert read.to_dict()["convergence"][-1] == last
    assert last["rsa"] == pytest.approx(read.scores["rsa"].observed)
    assert (out / "figures" / "convergence.png").is_file()
    bands = analogue.scores_by_multiplicity(read)
    times = np.bincount(read.pairs.feature_a)[read.pairs.feature_a]
    for name, inside in (("1", times == 1), ("2-10", (times > 1) & (times < 11))):
        kept = np.flatnonzero(inside)[scored_rows(read.pairs.select(inside), read.labels, "one-per-token")]
        rows = [directions[kept] for directions in read.directions.values()]
        expected = analogue.permutation_test(*rows, "rsa", "one-per-token", permutations=30)["rsa"]
        assert bands[name]["rsa"].to_dict() == expected.to_dict()
    assert bands["11-50"]["rsa"].n == bands["51+"]["rsa"].n == 0


def test_what_are_no_settings_is_refused():
    with pytest.raises(TypeError, match=r"given must be token, bigram or None, got ndarray: `match` takes group ids"):
        analogue.Settings(given=np.zeros(3))
    side = analogue.Side(None, {"layers.2": None})
    with pytest.raises(TypeError, match="settings must be Settings or None, got dict"):
        analogue.compare(side, side, None, {"pairs": "mutual"})
    with pytest.raises(TypeError, match="settings must be Settings or None, got dict"):
        compare_spaces(None, None, {})
    with pytest.raises(TypeError, match="comparison must be a Comparison, such as a grid's cell, got Settings"):
        analogue.scores_by_multiplicity(analogue.Settings())


def test_a_run_read_back_is_never_scored_on_other_rows(run, tmp_path):
    assert run(*ONE_CELL, *SMALL, "--out", tmp_path / "run")[0] == 0
    spaces = analogue.load_comparison(tmp_path / "run").spaces
    with pytest.raises(ValueError, match=r"decoder directions of layers\.2 were not saved with this run"):
        compare_spaces(spaces["a"], spaces["b"])
    with pytest.raises(ValueError, match=r"must be of format analogue\.grid/3"):
        analogue.Grid.load(tmp_path / "run")


def test_altered_runs_are_refused(run, tmp_path):
    out = tmp_path / "run"
    assert run(*ONE_CELL, *SMALL, "--out", out)[0] == 0
    scores = out / "scores.json"
    whole = scores.read_text()
    scores.write_text(whole.replace("svcca", "svccb"))
    with pytest.raises(ValueError, match=r"scores\.json was altered"):
        analogue.load_comparison(out)
    scores.write_text(whole)
    values = out / "activations_a" / "values.npy"
    values.write_bytes(values.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"values\.npy was altered"):
        analogue.load_comparison(out)
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        analogue.load_comparison(tmp_path)
