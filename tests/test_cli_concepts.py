"""`analogue concepts` and reopening, on real runs of the embedded pair: what is printed, written and refused."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import analogue as an
from analogue.demo import folder

TEXT = folder() / "held_out.jsonl"
FEW = ("--permutations", "19", "--measures", "rsa,cka", "--min-activations", "5")
MODELS = ("compare", folder() / "model_a", folder() / "model_b", "--text", TEXT)
SAES = ("--sae-a", folder() / "sae_a", "--site-a", "layers.2", "--sae-b", folder() / "sae_b" / "layers.4")
QUICK = ("--where", "window", "--draws", "9", "--controls", "none")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with SAEs, as the command line leaves it where all paths are relative to the working directory."""
    out = tmp_path_factory.mktemp("made") / "run"
    with contextlib.chdir(folder()):
        return compared(out, SAES, tokens=8000, start=folder())


def compared(out, sites, tokens=3000, start=None):
    import sys
    from unittest.mock import patch

    from analogue.cli import main

    parts = ("analogue", *MODELS, *sites, *FEW, "--max-tokens", tokens, "--out", out, "--json")
    arguments = [
        str(part.relative_to(start) if start is not None and isinstance(part, Path) and part != out else part)
        for part in parts
    ]
    with patch.object(sys, "argv", arguments), pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return out


def tree(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_concepts_of_a_run(run, made, tmp_path):
    before, out = tree(made), tmp_path / "concepts"
    status, printed, progress = run("concepts", made, "--concepts", "time,people", *QUICK, "--out", out)
    assert status == 0, progress
    words = " ".join(printed.split())
    assert "do the geometries agree" in words
    assert "no score, too few pairs (at least 10 wanted): people (" in words
    assert "concepts/s" in progress
    assert tree(made) == before
    assert {path.name for path in out.iterdir()} == {"concepts.json", "concepts.parquet", "concepts.png"}
    (saved,) = json.loads((out / "concepts.json").read_text())["comparisons"]
    assert [concept["name"] for concept in saved["concepts"]] == ["time", "people"]
    comparison = an.load_comparison(made)
    options = {"where": "window", "draws": 9, "controls": ()}
    scores = an.compare_concepts(comparison, an.Concepts.load("time", "people"), **options)
    assert scores.to_dict() == saved
    assert pq.read_table(out / "concepts.parquet").to_pylist() == scores.records()
    pairs = scores["time"].after.pairs
    acts = [
        space.activations.dense_columns(ids)
        for space, ids in zip(comparison.spaces.values(), ids_of(pairs), strict=True)
    ]
    for row in (0, len(pairs) - 1):
        assert np.corrcoef(acts[0][row], acts[1][row])[0, 1] == pytest.approx(pairs.correlation[row], abs=1e-5)


def ids_of(pairs):
    return pairs.feature_a, pairs.feature_b


def test_json_is_all_of_stdout(run, made):
    status, printed, _ = run("concepts", made, "--concepts", "time", *QUICK, "--json", "--approach", "best-partner")
    assert status == 0
    said = json.loads(printed)
    assert (said["approach"], said["side"], said["where"]) == ("best-partner", "b", "window")
    assert {record["question"] for record in said["concepts"][0]["after"]["scores"]} == {
        "rows",
        "pair-subset",
        "rematched",
    }


def test_concepts_of_ones_own_and_dropped_words(run, made, tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\nwords = ["the", "of", "and", "to"]\n', encoding="utf-8")
    more = ("--files", tmp_path / "mine.toml", "--controls", "drop-one-word", "--min-pairs", "2", "--draws", "3")
    status, printed, _ = run("concepts", made, "--concepts", "mine", *more, "--max-per-keyword", "3")
    assert status == 0
    assert "without one of its words" in " ".join(printed.split())
    status, printed, _ = run("concepts", made, "--concepts", "emotions", *QUICK, "--with-removed")
    assert "emotions with removed words" in " ".join(printed.split())


def test_every_cell_of_a_grid_and_its_control(run, demo, tmp_path):
    cells = {sites: demo.cells[sites] for sites in (("layers.2", "layers.3"), ("layers.2", "layers.4"))}
    an.Grid(cells, demo.controls, demo.provenance).save(tmp_path / "grid")
    out = tmp_path / "concepts"
    options = ("--where", "window", "--draws", "2", "--controls", "none", "--measures", "rsa", "--permutations", "9")
    status, printed, _ = run("concepts", tmp_path / "grid", "--concepts", "months", *options, "--out", out, "--json")
    assert status == 0
    assert [cell["role"] for cell in json.loads(printed)["cells"]] == ["cell"] * 2 + ["control"]
    assert pq.read_table(out / "concepts.parquet")["comparison"].to_pylist().count("control") == 6
    assert (out / "concepts.png").stat().st_size > 5000
    alone = run("concepts", tmp_path / "grid" / "control", "--concepts", "months", *options, "--json")[1]
    assert json.loads(alone) == json.loads(printed)["cells"][-1]
    said = json.loads(run("concepts", tmp_path / "grid", "--concepts", "months", "--coverage", "--json")[1])
    assert [own["sites"] for own in said] == [
        "layers.2 x layers.3",
        "layers.2 x layers.4",
        "control, layers.2 x layers.3",
    ]


def test_explain_coverage_and_suggest(run, made):
    comparison = an.load_comparison(made)
    feature = int(an.Concepts.load("time").features(comparison.labels[1])["time"][0])
    view = ("concepts", made, "--concepts", "time")
    status, printed, _ = run(*view, "--explain", feature, "--side", "b")
    assert (status, f"feature {feature} matches time" in printed, "B layers.4" in printed) == (0, True, True)
    (said,) = json.loads(run(*view, "--explain", feature, "--side", "b", "--json")[1])
    assert said["concepts"] == ["time"]
    status, printed, _ = run(*view, "--coverage")
    assert status == 0
    assert "time, no feature:" in " ".join(printed.split())
    (said,) = json.loads(run(*view, "--coverage", "--json")[1])
    assert said["words"] == an.Concepts.load("time").coverage(*comparison.labels).to_pylist()
    status, printed, _ = run(*view, "--keywords", "--approach", "best-partner", "--side", "either")
    assert (status, "time, several features of one word:" in " ".join(printed.split())) == (0, True)
    (said,) = json.loads(run(*view, "--keywords", "--json", "--max-per-keyword", "2")[1])
    assert said["words"] == an.concept_keywords(comparison, an.Concepts.load("time"), max_per_keyword=2).to_pylist()
    assert run(*view, "--suggest", "3")[0] == 0
    (said,) = json.loads(run(*view, "--suggest", "3", "--json")[1])
    assert said["words"]["b"] == an.Concepts.load("time").suggest(comparison.labels[1], 3).to_pylist()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--concepts", "tiem"), "concept must be one of"),
        (("--concepts", "time,time"), "concepts must have names of their own, got 'time' 2 times"),
        (("--files", "nowhere.toml"), "nowhere.toml must be a TOML file of a concept"),
        (("--approach", "third"), "approach must be one of both-sides, best-partner, got 'third'"),
        (("--side", "a"), "side goes with approach=best-partner only"),
        (("--where", "line"), "where must be one of"),
        (("--controls", "all"), "controls must be one of"),
        (("--measures", "magic"), "measures must be one of"),
        (("--permutations", "many"), "permutations must be a number or original, got 'many'"),
        (("--draws", "0"), "draws must be at least 1, got 0"),
        (("--max-per-keyword", "0"), "max_per_keyword must be at least 1, got 0"),
        (("--explain", "99999"), "feature must be below 2048"),
        (("--explain", "3", "--side", "both"), "side must be a or b with explain, got 'both'"),
        (("--coverage", "--suggest", "3"), "give one of them"),
        (("--keywords", "--where", "line"), "where must be one of"),
        (("--keywords", "--max-per-keyword", "0"), "max_per_keyword must be at least 1, got 0"),
        (("--keywords", "--approach", "third"), "approach must be one of both-sides, best-partner, got 'third'"),
        (("--specificity", "--out", "x"), "out goes with scores"),
        (("--coverage", "--out", "x"), "out goes with scores"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(run, made, options, part):
    status, printed, error = run("concepts", made, "--concepts", "time", *options)
    assert (status, printed) == (2, "")
    assert part in error.strip().splitlines()[-1]
    assert "Traceback" not in error


def test_explanations_from_elsewhere_stand_in_place_of_labels(run, made, tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text('{"feature": 7, "text": "words about the night"}\n', encoding="utf-8")
    view = ("concepts", made, "--concepts", "time", "--explanations-b", path)
    (said,) = json.loads(run(*view, "--coverage", "--json")[1])
    assert {row["word"]: row["features_b"] for row in said["words"] if row["features_b"]} == {"night": 1}
    labels = an.load_comparison(made).labels[0]
    assert [row["features_a"] for row in said["words"]] == [
        row["features_a"] for row in an.Concepts.load("time").coverage(labels, labels).to_pylist()
    ]
    (said,) = json.loads(run(*view, "--explain", "7", "--side", "b", "--json")[1])
    assert said["concepts"] == ["time"]
    assert "explanations go with --explain, --coverage or --suggest" in run(*view)[2]
    path.write_text('{"feature": 99999, "text": "night"}\n', encoding="utf-8")
    status, _, error = run(*view, "--coverage")
    assert (status, "99999" in error, error.count("\n")) == (2, True, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "mine"\nwords = []\n', "mine.toml, line 2: mine must have a word, inherit or join, got none of them"),
        ('name = "mine"\nwords = ["day", " "]\n', "mine.toml, line 2: words must not be blank, got ' '"),
        ('name = "mine"\nwords = ["day"]\nwrods = ["a"]\n', "mine.toml, line 3: key must be one of name, case, "),
    ],
)
def test_a_bad_concept_file_is_one_sentence_with_the_line(run, made, tmp_path, text, said):
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    for view in ((), ("--coverage",), ("--keywords",)):
        status, printed, error = run("concepts", made, "--concepts", "mine", "--files", tmp_path / "mine.toml", *view)
        assert (status, printed, error.count("\n")) == (2, "", 1)
        assert said in error


def test_nothing_is_written_into_the_run_or_over_other_files(run, made, tmp_path):
    for out in (made / "concepts", made):
        status, _, error = run("concepts", made, "--concepts", "months", "--out", out)
        assert (status, "out must lie outside of the run" in error) == (2, True)
    (tmp_path / "thesis.txt").write_text("years")
    assert "exists already" in run("concepts", made, "--concepts", "months", "--out", tmp_path)[2]
    status, _, error = run("concepts", made, "--concepts", "months", *QUICK, "--out", tmp_path, "--overwrite")
    assert (status, "holds more than the files of concepts" in error) == (2, True)
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_specificity_reads_the_text_again_and_names_lost_words_once(run, made, tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\nwords = ["the", "ZEBRA\u0301X"]\n', encoding="utf-8")
    view = ("concepts", made, "--concepts", "time,mine", "--files", tmp_path / "mine.toml", "--specificity")
    status, printed, error = run(*view)
    assert status == 0
    assert "lies on words of its concept" in " ".join(printed.split())
    comparison = an.load_comparison(made)
    corpus, tokenizer = an.reopen_corpus(comparison)
    concepts = an.Concepts.load("time", "mine", files=tmp_path / "mine.toml")
    lost = concepts.unproducible(tokenizer)
    assert error.count("no token sequence") == len(lost)
    said = json.loads(run(*view, "--json")[1])
    assert [site["site"] for site in said] == ["A layers.2", "B layers.4"]
    acts, labels = comparison.spaces["b"].activations, comparison.labels[1]
    shares = concepts.specificity(acts, corpus)["mine"][concepts.features(labels)["mine"]]
    assert said[1]["concepts"][1] == {
        "concept": "mine",
        "side": "b",
        "features": len(shares),
        "mean": pytest.approx(shares.mean()),
        "median": pytest.approx(np.median(shares)),
    }
    other = an.Corpus.from_texts(["Another text."], tokenizer)
    with pytest.raises(ValueError, match="acts must be captured on this corpus"):
        an.concept_specificity(comparison, concepts, other)


# What a run was made of


def test_dictionaries_are_loaded_again(made):
    comparison = an.load_comparison(made)
    again = an.reopened(comparison)
    for side, space in again.spaces.items():
        ids = getattr(comparison.pairs, f"feature_{side}")
        np.testing.assert_array_equal(space.directions[ids], comparison.directions[side])
        assert comparison.spaces[side].directions is None


def test_the_corpus_is_read_again(made):
    comparison = an.load_comparison(made)
    corpus, tokenizer = an.reopen_corpus(comparison)
    acts, labels = comparison.spaces["a"].activations, comparison.labels[0]
    np.testing.assert_array_equal(corpus.kept_token_ids, acts.token_ids)
    np.testing.assert_array_equal(corpus.kept_positions, acts.positions)
    again = an.top_contexts(acts, corpus)
    assert again.token == labels.token
    assert again.left == labels.left
    assert tokenizer.decode([int(acts.token_ids[0])])


def test_neurons_are_read_from_the_model(run, tmp_path):
    sites = ("--site-a", "layers.2.mlp.neurons", "--site-b", "layers.3.mlp.neurons")
    out = compared(tmp_path / "run", sites)
    comparison = an.load_comparison(out)
    again = an.reopened(comparison)
    np.testing.assert_array_equal(again.spaces["b"].directions[comparison.pairs.feature_b], comparison.directions["b"])
    assert run("concepts", out, "--concepts", "months", *QUICK)[0] == 0


def test_a_residual_stream_has_pairs_and_no_scores(run, tmp_path):
    out = compared(tmp_path / "run", ("--site-a", "layers.2", "--site-b", "layers.3"))
    status, printed, _ = run("concepts", out, "--concepts", "time", *QUICK)
    assert status == 0
    assert "the very rows that are scored" in " ".join(printed.split())


@pytest.fixture
def moved(made, tmp_path):
    """A copy of the run whose manifest names copies of everything it was made of."""
    shutil.copytree(made, tmp_path / "run")
    for name in ("model_a", "model_b", "sae_a", "sae_b"):
        shutil.copytree(folder() / name, tmp_path / name)
    shutil.copy(TEXT, tmp_path / TEXT.name)
    path = tmp_path / "run" / "manifest.json"
    manifest = path.read_text()
    assert manifest.count(str(folder())) == 1  # where the relative paths start
    path.write_text(manifest.replace(str(folder()), str(tmp_path)))
    return tmp_path


def test_what_is_gone_is_said(run, moved):
    assert run("concepts", moved / "run", "--concepts", "months", *QUICK)[0] == 0
    shutil.rmtree(moved / "sae_b")
    status, _, error = run("concepts", moved / "run", "--concepts", "months")
    assert status == 2
    assert f"the dictionary of layers.4 cannot be loaded again: {moved / 'sae_b' / 'layers.4'} is gone" in error
    comparison = an.load_comparison(moved / "run")
    an.reopen_corpus(comparison)
    comparison.provenance["directory"] = "elsewhere"
    with contextlib.chdir(moved):  # moved together: found from here
        an.reopen_corpus(comparison)
    comparison.provenance["directory"] = str(moved)
    (moved / TEXT.name).unlink()
    with pytest.raises(FileNotFoundError, match=r"the text cannot be loaded again: .*held_out\.jsonl is gone"):
        an.reopen_corpus(comparison)


def test_what_is_changed_is_refused(run, moved):
    weights = moved / "sae_a" / "layers.2" / "sae.safetensors"
    shutil.copy(moved / "sae_a" / "layers.3" / "sae.safetensors", weights)
    status, _, error = run("concepts", moved / "run", "--concepts", "months")
    assert (status, "must be the dictionary that this run was made with, but its SHA-256 differs" in error) == (2, True)
    comparison = an.load_comparison(moved / "run")
    with open(moved / TEXT.name, "a") as text:
        text.write('{"text": "one more"}\n')
    with pytest.raises(
        ValueError, match=r"the text must be that of the run, but the SHA-256 of .*held_out\.jsonl differs"
    ):
        an.reopen_corpus(comparison)


def test_other_dictionaries_are_refused(made):
    comparison = an.load_comparison(made)
    ours = an.reopen_dictionaries(comparison)
    with pytest.raises(ValueError, match=r"dictionaries\['a'\] must be the dictionary that this run was made with"):
        an.reopened(comparison, {"a": ours["b"], "b": ours["b"]})
    with pytest.raises(ValueError, match="dictionaries must hold those of a and of b, got a"):
        an.reopened(comparison, {"a": ours["a"]})
