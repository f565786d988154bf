"""Explanations: files as others write them, files that are broken, the concept search, and files of another SAE."""

import gzip
import json
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analogue as an
from analogue import Concepts, load_explanations
from analogue.concept import Concept
from analogue.explanations import Description
from explanation_cases import example, neuronpedia_line, write_batches, write_delphi, write_lines
from oracles_keywords import is_hit
from test_concepts import labels_of

LINES = [neuronpedia_line(index, f"words about {index}") for index in (0, 2, 10, 11, 3)]
TEXTS = {0: "words about 0", 2: "words about 2", 3: "words about 3", 10: "words about 10", 11: "words about 11"}


def texts_of(explanations):
    found = {feature: [d.text for d in explanations[feature]] for feature in range(explanations.n_features)}
    return {feature: texts for feature, texts in found.items() if texts}


# The formats


def test_neuronpedia_batches(tmp_path):
    folder = write_batches(tmp_path / "explanations", LINES)
    found = load_explanations(folder, 12)
    assert texts_of(found) == {feature: [text] for feature, text in TEXTS.items()}
    assert found[2] == (Description("words about 2", "gpt-4o-mini", None),)
    assert (found.n_features, found.n_explained, found.source, found.blank) == (12, 5, "6-res-jb", 0)
    assert repr(found) == "Explanations(5 of 5 features, 12 in all)"
    first = load_explanations(str(folder / "batch-0.jsonl.gz"), 12)  # "0", "10", "11": sorted as text
    assert set(texts_of(first)) == {0, 10, 11}


def test_several_explanations_of_a_feature_are_kept_the_newest_first(tmp_path):
    dated = {"old": "2024-01-02T00:00:00", "newest": "2025-03-01T10:00:00", "new": "2024-11-30T23:59:59"}
    lines = [neuronpedia_line(4, text, createdAt=when, explainer=text) for text, when in dated.items()]
    undated = [neuronpedia_line(4, "no date, first"), neuronpedia_line(4, "no date, last")]
    path = write_lines(tmp_path / "batch-0.jsonl.gz", [undated[0], *lines, undated[1], lines[0]])
    found = load_explanations(path, 5)[4]
    assert [d.text for d in found] == ["newest", "new", "old", "old", "no date, last", "no date, first"]
    assert found[0].explainer == "newest"


def test_a_source_folder_has_several_folders_of_explanations(tmp_path):
    write_batches(tmp_path / "explanations", [neuronpedia_line(1, "one")])
    write_batches(tmp_path / "explanations-gpt-5", [neuronpedia_line(1, "two", explainer="gpt-5")])
    write_lines(tmp_path / "features" / "batch-0.jsonl.gz", [json.dumps({"index": "1"})])
    assert [d.explainer for d in load_explanations(tmp_path, 2)[1]] == ["gpt-5", "gpt-4o-mini"]


def test_of_several_sources_one_is_named(tmp_path):
    lines = [neuronpedia_line(1, "six"), neuronpedia_line(1, "seven", layer="7-res-jb")]
    path = write_lines(tmp_path / "batch-0.jsonl", lines)
    with pytest.raises(ValueError, match=r"of 2 dictionaries \(6-res-jb, 7-res-jb\): name one as source"):
        load_explanations(path, 2)
    assert texts_of(load_explanations(path, 2, source="7-res-jb")) == {1: ["seven"]}
    with pytest.raises(ValueError, match=r"source must be one of those in .*, 6-res-jb, 7-res-jb, got '8-res-jb'"):
        load_explanations(path, 2, source="8-res-jb")


def test_embeddings_are_not_held(tmp_path):
    size, lines = 1000, 300  # some 8 kB a line
    path = write_lines(
        tmp_path / "batch-0.jsonl.gz", [neuronpedia_line(i, f"text {i}", embedding=size) for i in range(lines)]
    )
    load_explanations(path, lines)  # imports gzip and the like
    tracemalloc.start()
    found = load_explanations(path, lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.n_explained == lines
    assert peak < 8 * size * lines / 4


def test_delphi_folders(tmp_path):
    seen = [example(True, True), example(True, True), example(True, False), example(False, False), example(True, None)]
    only_one = [example(True, True)]
    scores = {"detection": {3: seen, 5: only_one}, "fuzz": {5: [example(True, 1), example(False, 1)]}}
    run = write_delphi(tmp_path / "run", {3: "  about cats ", 5: "about dogs", 7: "about mice"}, scores=scores)
    for path in (run, run / "explanations"):
        found = load_explanations(path, 8)
        assert texts_of(found) == {3: ["about cats"], 5: ["about dogs"], 7: ["about mice"]}
        assert found.source == "layers.6"
        assert found[3][0].score == pytest.approx((2 / 3 + 1) / 2)
        assert found[5][0].score == pytest.approx((1 + 0) / 2)  # detection saw activating examples alone
        assert found[7][0] == Description("about mice", None, None)
    write_delphi(run, {3: "of the MLP"}, module="model--layers.6.mlp")
    with pytest.raises(ValueError, match=r"2 dictionaries \(layers.6, model/layers.6.mlp\)"):
        load_explanations(run, 8)
    assert texts_of(load_explanations(run, 8, source="model/layers.6.mlp")) == {3: ["of the MLP"]}


@pytest.mark.parametrize("zipped", [False, True])
def test_plain_files(tmp_path, zipped):
    wanted = {0: ['"quoted", and\non two lines'], 2: ["b", "a"]}
    written = {
        "x.csv": '\ufefffeature,text,score\r\n2,a,0.5\r\n0,"""quoted"", and\non two lines",\r\n2,b,\r\n1, ,\r\n',
        "x.jsonl": "\n".join(
            json.dumps({"feature": f, "text": t, "score": s})
            for f, t, s in [(2, "a", 0.5), (0, wanted[0][0], None), ("2", "b", ""), (1, " ", None)]
        ),
        "x.json": json.dumps(
            [{"feature": f, "text": t} for f, t in [(2, "a"), (0, wanted[0][0]), (2, "b"), (1, None)]]
        ),
    }
    for name, content in written.items():
        path = tmp_path / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content.encode()) if zipped else content.encode())
        found = load_explanations(path, 3)
        assert texts_of(found) == wanted
        assert found.blank == 1
        assert found.source is None
        assert found[2][1].score == (None if name == "x.json" else 0.5)
    named = tmp_path / "named.csv"
    named.write_text("latent,label\n1,cats\n")
    assert texts_of(load_explanations(named, 2, feature="latent", text="label")) == {1: ["cats"]}


# What is wrong with a file


def test_explanations_of_a_wider_dictionary_are_refused(tmp_path):
    """SAELens#549: d of the model taken for the width of the SAE."""
    path = write_batches(tmp_path / "explanations", LINES)
    match = (
        r"n_features must be the width .*explanations explains, but 2 of its 5 features lie outside 0..9: it has 0..11"
    )
    with pytest.raises(ValueError, match=match):
        load_explanations(path, 10)
    below = write_lines(tmp_path / "x.jsonl", ['{"feature": -1, "text": "a"}'])
    with pytest.raises(ValueError, match=r"1 of its 1 features lie outside 0..9: it has -1..-1"):
        load_explanations(below, 10)


GOOD = '{"feature": 0, "text": "a"}'
BROKEN = [
    ("x.jsonl", f"{GOOD}\nnonsense\n", r"x.jsonl:2 must hold JSON"),
    ("x.jsonl", f"{GOOD}\n\n{GOOD[:-3]}\n", r"x.jsonl:3 must hold JSON"),
    ("x.jsonl", "[" * 100_000, r"x.jsonl:1 must hold JSON"),
    ("x.jsonl", f"{GOOD}\n[1]\n", r"x.jsonl:2 must hold a JSON object, got a list"),
    ("x.jsonl", f'{GOOD}\n{{"feature": 1}}\n', r"x.jsonl:2 must have 'feature' and 'text', or .* got 'feature'"),
    ("x.jsonl", '{"feature": 1.5, "text": "a"}', r"x.jsonl:1 must name the feature by an integer, got 1.5"),
    ("x.jsonl", '{"feature": true, "text": "a"}', r"by an integer, got True"),
    ("x.jsonl", '{"feature": "x1", "text": "a"}', r"by an integer, got 'x1'"),
    ("x.jsonl", f'{{"feature": 1{"0" * 30}, "text": "a"}}', r"by an integer, got 10000"),
    ("x.jsonl", '{"feature": 1, "text": ["a"]}', r"x.jsonl:1 must explain a feature by a string, got a list"),
    ("x.jsonl", '{"feature": 1, "text": "\\ud800"}', r"x.jsonl:1 must hold Unicode text, got half a surrogate"),
    ("x.jsonl", '{"feature": 1, "text": "a", "score": NaN}', r"a number or nothing in 'score', got nan"),
    ("x.jsonl", '{"feature": 1, "text": "a", "score": [1]}', r"in 'score', got \[1\]"),
    ("x.jsonl", '{"feature": 1, "text": "a", "explainer": 3}', r"a string in 'explainer', got a number"),
    ("x.jsonl", '{"index": "1", "description": "a", "layer": {}}', r"a string in 'layer', got an object"),
    ("x.jsonl", "\n\n", r"x.jsonl must hold explanations, got none"),
    ("x.json", '{"feature": 1}', r"x.json must hold a list of JSON objects, got an object"),
    ("x.json", f"[{GOOD}, 3]", r"x.json, entry 2 must hold a JSON object, got a number"),
    ("x.csv", "", r"x.csv must hold explanations, got none"),
    ("x.csv", "id,text\n1,a\n", r"x.csv:2 must have 'feature' and 'text', or Neuronpedia's"),
    ("x.csv", "feature,text\n1,a\n2,a,b\n", r"x.csv:3 must have as many fields as the header, got more"),
    ("x.csv", "feature,text\n1,a\n2\n", r"x.csv:3 must have as many fields as the header, got fewer"),
    ("x.csv", f"feature,text\n1,{'a' * 200_000}\n", r"x.csv:\d must be CSV: field larger"),
    ("x.csv", "feature,text\n1.0,a\n", r"x.csv:2 must name the feature by an integer, got '1.0'"),
    ("x.txt", "a", r"must end in .jsonl, .json or .csv"),
    ("batch-0.txt", "a", r"must end in .jsonl"),
]


@pytest.mark.parametrize(("name", "content", "match"), BROKEN)
def test_broken_files(tmp_path, name, content, match):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=match) as failed:
        load_explanations(tmp_path / name, 2000)
    assert "\n" not in str(failed.value)


def test_broken_bytes_and_folders(tmp_path):
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(f"{GOOD}\n".encode() + '{"feature": 1, "text": "café"}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.jsonl:2 must be UTF-8, got byte 0xe9"):
        load_explanations(latin, 2)
    whole = write_lines(tmp_path / "batch-0.jsonl.gz", LINES).read_bytes()
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"cut.jsonl.gz is cut short or damaged after line"):
        load_explanations(cut, 12)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty must hold Neuronpedia's batch-N.jsonl.gz or delphi's"):
        load_explanations(tmp_path / "empty", 12)
    with pytest.raises(FileNotFoundError, match=r"explanations .*nowhere do not exist"):
        load_explanations(tmp_path / "nowhere", 12)
    run = write_delphi(tmp_path / "run", {3: ["a list"]})
    with pytest.raises(ValueError, match=r"layers.6_latent3.txt must hold one JSON string, got a list"):
        load_explanations(run, 12)
    write_delphi(run, {3: "a"}, scores={"detection": {3: "good"}})
    with pytest.raises(ValueError, match=r"detection/layers.6_latent3.txt must hold a list of JSON objects"):
        load_explanations(run, 12)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n_features": 0}, ValueError, "n_features must be at least 1"),
        ({"n_features": 3.0}, TypeError, "n_features must be an integer"),
        ({"feature": 1}, TypeError, "feature must be the name of a column, got 1"),
        ({"path": 3}, TypeError, "path must be a file or folder, got int"),
    ],
)
def test_bad_arguments(tmp_path, arguments, error, match):
    with pytest.raises(error, match=match):
        load_explanations(**{"path": tmp_path, "n_features": 3} | arguments)


@pytest.mark.parametrize("kind", ["batch-0.jsonl.gz", "batch-0.jsonl", "x.csv", "x.json", "latent"])
def test_no_mutation_of_a_file_gives_a_traceback(tmp_path, kind):
    rng = np.random.default_rng(0)
    if kind == "latent":
        scores = {"detection": {3: [example(True, True), example(False, False)]}}
        path = write_delphi(tmp_path, {3: "cats"}, scores=scores)
        targets = sorted(path.rglob("*.txt"))
    elif kind.startswith("batch"):
        path = write_lines(tmp_path / kind, LINES)
    else:
        path = tmp_path / kind
        path.write_text("feature,text,score\n1,a,0.5\n" if kind == "x.csv" else f"[{GOOD}, {GOOD}]")
    targets = targets if kind == "latent" else [path]
    kept = [target.read_bytes() for target in targets]
    refused = 0
    for trial in range(150):
        place = trial % len(targets)
        content = bytearray(kept[place])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(content) + 1))
            change = rng.integers(3)
            piece = [b"\x00", b"\xff", b'"', b"{", b"}", b"[", b"\n", b",", b"9", b"null", b"-", b"\\u"][
                rng.integers(12)
            ]
            if change == 0:
                content[at : at + 1] = piece
            elif change == 1:
                content[at:at] = piece
            else:
                del content[at : at + int(rng.integers(1, 30))]
        targets[place].write_bytes(content)
        try:
            load_explanations(path, 12)
        except (ValueError, TypeError, OSError) as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017, the message is what is tested
        targets[place].write_bytes(kept[place])
    assert refused > 30


# The concept search

EXPLAINED = an.Explanations(
    (
        (Description("references to the Day of rest", None, None), Description("kings and queens", None, None)),
        (Description("the name Brockman", None, None),),
        (),
        (Description("names of men: king-sized, New York", None, None),),
        (Description("day", None, None), Description("every day of the week", None, None)),
    )
)
WORDS = Concepts((Concept("time", ("day", "week")), Concept("people", ("king", "man", "New York"))))


@pytest.mark.parametrize(
    ("where", "time", "people"),
    [("word", [0, 4], [3]), ("window", [0, 4], [3]), ("phrase", [0, 4], [3]), ("token", [4], [])],
)
def test_concepts_are_found_in_explanations(where, time, people):
    found = WORDS.features(EXPLAINED, where)
    assert {name: features.tolist() for name, features in found.items()} == {"time": time, "people": people}


def test_every_way_into_the_concept_search_takes_explanations():
    assert WORDS.features(EXPLAINED, least=2)["time"].tolist() == [4]
    labels = labels_of([[("a ", "week", " ago")], []])
    table = WORDS.coverage(labels, EXPLAINED).to_pydict()
    assert table["word"] == ["day", "week", "king", "man", "New York"]
    assert table["features_a"] == [0, 1, 0, 0, 0]
    assert table["features_b"] == [2, 1, 1, 0, 1]
    assert table["contexts_b"] == [3, 1, 1, 0, 1]
    assert str(WORDS.explain(EXPLAINED, 4)).startswith("feature 4 matches time: 'day' in context 0, '' ['day'] ''")
    assert str(WORDS.explain(EXPLAINED, 2)) == "feature 2 has no label, so it matches no concept"
    assert "brockman" in WORDS.suggest(EXPLAINED)["word"].to_pylist()
    with pytest.raises(TypeError, match="labels_a must be Labels or Explanations, got list"):
        WORDS.coverage([], EXPLAINED)
    with pytest.raises(TypeError, match="labels must be Labels or Explanations, got None"):
        WORDS.features(None)


@given(st.lists(st.lists(st.text("aAbd ,.'-", min_size=1).filter(str.strip), max_size=3), max_size=6))
def test_features_are_those_with_the_word_in_a_text(texts):
    explained = an.Explanations(tuple(tuple(Description(text, None, None) for text in own) for own in texts))
    found = Concepts((Concept("ab", ("ab",)),)).features(explained)["ab"].tolist()
    hits = [any(is_hit(("", text, ""), "ab", False, False, "window") for text in own) for own in texts]
    assert found == np.flatnonzero(hits).tolist()


# Do they belong to this dictionary?

VOCABULARY = [f"{first}{second}" for first in "bcdfghjk" for second in ("an", "ed", "ill", "oon", "ust")]


def labelled(rng, n):
    words = rng.choice(VOCABULARY, (n, 3))
    labels = labels_of([[("the ", f" {word}", " of") for word in own] for own in words.tolist()])
    described = tuple((Description(f"the word '{own[0].title()}' and words like it", None, None),) for own in words)
    return labels, described


def test_explanations_of_the_dictionary_agree_and_shifted_ones_do_not(recwarn):
    labels, described = labelled(np.random.default_rng(0), 200)
    own = an.Explanations((*described[:-1], ())).agreement(labels)
    assert own == (1.0, own.chance, 0.01, 199)
    assert 0 < own.chance < 0.2
    assert not recwarn
    shifted = an.Explanations((described[-1], *described[:-1]))
    with pytest.warns(
        UserWarning, match=r"of 200 explained features .*% have a top word .* may be of another dictionary"
    ):
        found = shifted.agreement(labels)
    words = [{word.lower() for word in re.findall("[A-Za-z]+", own[0].text)} for own in shifted.descriptions]
    held = [bool(words[feature] & {t.strip() for t in labels.tokens(feature)}) for feature in range(200)]
    assert found.share == pytest.approx(np.mean(held))
    assert abs(found.share - found.chance) < 0.05


def test_agreement_refuses_what_cannot_be_compared():
    labels, described = labelled(np.random.default_rng(0), 5)
    with pytest.raises(ValueError, match="labels must be of 6 features, as are these, got 5"):
        an.Explanations((*described, ())).agreement(labels)
    with pytest.raises(ValueError, match="labels must share a feature that has words with the explanations, got none"):
        an.Explanations(((),) * 5).agreement(labels)
    with pytest.raises(TypeError, match="labels must be Labels, got Explanations"):
        an.Explanations(described).agreement(an.Explanations(described))
    with pytest.raises(ValueError, match="shuffles must be at least 1"):
        an.Explanations(described).agreement(labels, shuffles=0)
    with pytest.raises(ValueError, match="feature must be below 5"):
        an.Explanations(described)[5]


@pytest.mark.parametrize(
    ("own", "error", "match"),
    [
        ("ab", TypeError, "descriptions of feature 1 must be Description objects, got 'a'"),
        ([Description(None, None, None)], TypeError, "of feature 1 must be Description objects"),
        ([Description(" ", None, None)], ValueError, "of feature 1 must not be blank, got ' '"),
    ],
)
def test_bad_descriptions(own, error, match):
    with pytest.raises(error, match=match):
        an.Explanations(([], own))
