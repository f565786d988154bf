"""Junk: the lists against what they are to hold, the rules and tables against loops, the original's two mistakes."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles_labels as oracles
from analogue import Corpus, FeatureActivations, filters, junk, load_junk, top_contexts
from analogue.demo import folder
from analogue.junk_lists import JunkList, JunkSet, is_junk
from test_filters import labels_of, pairs_of

ARITHMETIC = "+*=<>%^÷±≤≥≠≈\N{MULTIPLICATION SIGN}\N{MINUS SIGN}"
PASSED = ["\n\n", " .", " -", "\N{EN DASH}", "...", '."', '"', "'", ":", "  ", "\t", "<eos>", "<|padding|>"]
ORIGINAL = ("13", "12", "9", "10", "11", "21", "8", "5", "7", "6", "7-eos")


@pytest.mark.parametrize("token", PASSED)
def test_what_passed_the_original_is_junk(token):
    """Its lists were compared exactly (mistake 3.14); quotes and colons are sets to ask for."""
    assert not is_junk(token, "original-13")
    assert is_junk(token, "default,quotes,colons")
    assert is_junk(token) == (not set(token) & set("\"':"))


@pytest.mark.parametrize("list_name", [f"original-{name}" for name in ORIGINAL])
def test_original_lists_are_compared_as_they_stand(list_name):
    exact = load_junk(list_name).sets[0].exact
    assert len(exact) == int(list_name.split("-")[1])
    for token in exact:
        assert is_junk(token, list_name)
        assert is_junk(token + " ", list_name) == (token + " " in exact)


def test_the_lists_differ_where_the_original_did():
    """One escaped line break decided 0.10 or 0.60; the apostrophe was never in the extended list."""
    assert [is_junk("\\n", f"original-{name}") for name in ("9", "10")] == [False, True]
    assert [is_junk("<|endoftext|>", f"original-{name}") for name in ("10", "11")] == [False, True]
    assert not is_junk("\n", "original-8")
    assert not is_junk("'", "original-21")


@pytest.mark.parametrize(
    "token",
    [
        *(
            "\\n\\n",
            "\\n ",
            ".\\n",
            "Ġ",
            "Ġ.",
            "▁,",
            "ĊĊ",
            ".</w>",
            "<0x0A>",
            "\ufeff",
            "\u200b",
            "。",
            "¿",
            "<|im_end|>",
        ),
        *("<s>", " </s>", "<pad>", "[PAD]", "<EOS_TOKEN>", "<end_of_turn>", "<|eot_id|>"),
        "<\uff5cend▁of▁sentence\uff5c>",
    ],
)
def test_forms_of_blanks_and_special_tokens(token):
    assert is_junk(token)
    assert is_junk(f" {token}\n")


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("brackets", "({"),
        ("slashes", "//"),
        ("colons", "::"),
        ("quotes", '"\N{RIGHT SINGLE QUOTATION MARK}'),
        ("symbols", "&@"),
    ],
)
def test_optional_sets(name, token):
    assert not is_junk(token)
    assert is_junk(token, f"default,{name}")
    assert is_junk(token, "wide")
    assert is_junk(token + ".", f"default,{name}")
    assert not is_junk(token + ".", name)
    assert not is_junk(" ", name)


def test_arithmetic_is_never_junk():
    sets = load_junk("wide").sets
    assert not set(ARITHMETIC) & set().union(*(each.characters for each in sets))
    assert not any(is_junk(sign, "wide") for sign in ARITHMETIC)


def test_kinds_say_why():
    wide = load_junk("wide")
    kinds = {".": "punctuation", '."': "punctuation+quotes", "\n": "blanks", " <bos>": "special", "a.": None, "+": None}
    assert {token: wide.kind(token) for token in kinds} == kinds
    assert wide.kinds(list(kinds) * 2) == list(kinds.values()) * 2
    assert load_junk("original-13").kind("\n") == "original-13"
    own = JunkList("mine", (JunkSet("letters", characters=frozenset("xy")),))
    assert [is_junk(token, own) for token in ("xyx", " x", "", "xz")] == [True, True, False, False]


def test_a_feature_is_labelled_by_what_it_fires_on():
    """Mistake 3.7: k tokens of a feature that fires once were four zeros, and these, mostly junk, dropped it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder() / "model_a")
    corpus = Corpus.from_texts(["...., ,,,, .... union ,,,, ...."], tokenizer)
    rows = {"document_ids": corpus.kept_document_ids, "positions": corpus.kept_positions}
    row = max(range(corpus.n_kept), key=lambda row: len(piece(corpus, row).strip(" .,")))
    x = np.zeros((corpus.n_kept, 2))
    x[row, 0] = 1.0
    acts = FeatureActivations.from_dense(x, token_ids=corpus.kept_token_ids, **rows)
    labels = top_contexts(acts, corpus, k=5)
    assert labels.tokens(0) == [piece(corpus, row)]
    assert labels.tokens(1) == []
    by_zeros = np.argsort(-x[:, 0], kind="stable")[:5].tolist()
    assert sum(is_junk(piece(corpus, row)) for row in by_zeros) >= 3
    pairs = pairs_of([(0, 0, 0.5), (1, 1, 0.5)])
    for rule in ("majority", "any", 3):
        assert len(pairs.filter(filters.junk(labels, labels, rule))) == 2


def piece(corpus, row):
    start, end = corpus.document_offsets[0][corpus.kept_positions[row]]
    return corpus.texts[0][start:end]


tokens = st.lists(st.sampled_from(["x", ".", "\n", " <bos>", '"', "+"]), max_size=5)


@given(st.lists(tokens, min_size=1, max_size=7), st.sampled_from(["majority", "any", 1, 2, 3, 9]))
def test_rules_equal_loops(own, rule):
    wanted = []
    for listed in own:
        times = sum(token not in ("x", "+", '"') for token in listed)
        share = 0.5 * len(listed)
        least = 1 if rule == "any" else rule
        wanted.append(times > share if rule == "majority" else times >= min(least, max(len(listed), 1)))
    np.testing.assert_array_equal(junk.junk_features(labels_of(*own), rule), wanted)


def test_at_least_three_of_five():
    a = labels_of([".", ".", "x", "x", "x"], [".", ".", ".", "x", "x"], [".", "."], [".", "x"], [])
    b = labels_of(["y"] * 5)
    kept = pairs_of([(feature, 0, 0.5) for feature in range(5)]).filter(filters.junk(a, b, 3))
    assert kept.feature_a.tolist() == [0, 3, 4]
    assert kept.stages[0].name == "junk at least 3"
    quoted = labels_of(['"', '"'])
    assert filters.junk(quoted, quoted).name == "junk majority"
    wider = filters.junk(quoted, quoted, "any", "default,quotes")
    assert wider.name == "junk any, default,quotes"
    assert not wider.keeps(pairs_of([(0, 0, 0.5)])).any()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 7, 63, 257]), st.sampled_from([1, 2, 10]))
def test_share_by_correlation_equals_loops(seed, n, parts):
    rng = np.random.default_rng(seed)
    a, b = (labels_of(*([".", ".", "x"][i : i + 2] for i in rng.integers(0, 2, 5))) for _ in "ab")
    pairs = pairs_of([(*rng.integers(0, 5, 2), r) for r in rng.integers(0, 9, n) / 10])
    table = junk.share_by_correlation(pairs, a, b, parts=parts).to_pylist()
    junk_a, junk_b = (junk.junk_features(labels)[ids] for labels, ids in ((a, pairs.feature_a), (b, pairs.feature_b)))
    wanted = oracles.correlation_parts(pairs.correlation.tolist(), (junk_a | junk_b).tolist(), parts)
    names = ("pairs", "lowest_correlation", "highest_correlation", "junk")
    assert [tuple(row[name] for name in names) for row in table] == wanted
    assert [row["part"] for row in table] == list(range(1, len(table) + 1))
    assert all(row["share"] == row["junk"] / row["pairs"] for row in table)
    if n:
        whole = junk.share_by_correlation(pairs, a, b, parts=1).to_pylist()[0]
        assert (whole["share_a"], whole["share_b"]) == (junk_a.mean(), junk_b.mean())


def test_dropped_says_what_and_why():
    a = labels_of([".", "\n", "x"], ["x"], ["<bos>"])
    b = labels_of(["y"], [","], ["+"])
    pairs = pairs_of([(0, 0, 0.9), (1, 1, 0.8), (2, 1, 0.7), (1, 2, 0.6)])
    kept = pairs.filter(filters.junk(a, b))
    table = junk.dropped(pairs, a, b)
    assert table.num_rows == len(pairs) - len(kept) == 3
    assert table.to_pylist()[0] == {
        "feature_a": 0,
        "feature_b": 0,
        "correlation": 0.9,
        "side": "a",
        "tokens_a": [".", "\n", "x"],
        "kinds_a": ["punctuation", "blanks", None],
        "tokens_b": ["y"],
        "kinds_b": [None],
    }
    assert table["side"].to_pylist() == ["a", "b", "both"]
    assert table["kinds_a"].to_pylist()[2] == ["special"]
    assert junk.dropped(kept.stages[0].dropped, a, b).equals(table)
    assert junk.dropped(kept, a, b).num_rows == 0
    assert junk.dropped(kept, a, b).schema == table.schema


def test_bad_arguments():
    none = labels_of()
    with pytest.raises(ValueError, match="rule must be majority, any or a number of tokens, got 'most'"):
        filters.junk(none, none, "most")
    with pytest.raises(ValueError, match="rule must be at least 1, got 0"):
        filters.junk(none, none, 0)
    with pytest.raises(ValueError, match="rule must be majority, any or a number of tokens, got True"):
        filters.junk(none, none, True)
    with pytest.raises(ValueError, match=r"preset must be one of default, wide, blanks, .*, got 'nonsense'"):
        load_junk("default, nonsense")
    with pytest.raises(TypeError, match="preset must be names with commas between, or a JunkList, got list"):
        load_junk(["default"])
    with pytest.raises(ValueError, match="parts must be at least 1, got 0"):
        junk.share_by_correlation(pairs_of([]), none, none, parts=0)


MINE = """
characters = "~x"
categories = ["Sc"]
tokens = ["<|sep|>"]
exact = [" the"]
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE, encoding="utf-8")
    return tmp_path / "mine.toml"


def test_a_file_of_ones_own(mine):
    listed = load_junk(str(mine))
    wanted = {"~": "mine", " ~x\n": "mine", "€": "mine", "$~": "mine", " <|sep|>": "mine", " the": "mine", "the": None}
    wanted |= {".": None, "": None, "~.": None, "y": None}
    assert {token: listed.kind(token) for token in wanted} == wanted
    both = load_junk(f"default, {mine}")
    assert [both.kind(token) for token in (".", "~.", "")] == ["punctuation", "punctuation+mine", "blanks"]
    again = JunkList.from_dict(json.loads(json.dumps(both.to_dict())))
    assert again == both
    (mine.parent / "blank.toml").write_text("blank = true")
    assert load_junk(str(mine.parent / "blank.toml")).kind(" \\n") == "blank"


def test_characters_that_are_kept():
    """Row 58: classes of characters, but not those of arithmetic, which mean something."""
    classes = "blanks,unicode-punctuation,unicode-symbols"
    assert all(is_junk(sign, classes) for sign in "+-*/=<>%$&#")
    kept = load_junk(classes).keeping("+-*/=<>%")
    assert kept.name == f"{classes} keeping +-*/=<>%"
    assert [kept.kind(token) for token in ("+", " -", "<=>", "-.", "a+")] == [None] * 5
    assert [kept.kind(token) for token in ("$", "&#", ".", "\n")] == [
        *("unicode-symbols", "unicode-punctuation", "unicode-punctuation", "blanks")
    ]
    hyphen = load_junk().keeping("-<>")
    assert (hyphen.kind("-"), hyphen.kind(" -- "), hyphen.kind(".-")) == (None, None, None)
    assert hyphen.kind(" <bos>") == "special"  # listed whole
    assert load_junk("original-13").keeping("-").kind("-") is None
    assert load_junk().keeping("") == load_junk()


every = st.text(st.sampled_from("a.+-$€\n «\u0301\u200b漢"), max_size=4)


@given(every, st.sets(st.sampled_from(["P", "Sm", "Zs", "Mn", "Lo"])), st.sets(st.sampled_from(".+-")))
def test_categories_equal_a_loop(token, categories, keep):
    listed = JunkList("own", (JunkSet("own", categories=frozenset(categories)),), keep=frozenset(keep))
    stripped = token.strip()
    inside = [unicodedata.category(c) in categories or unicodedata.category(c)[0] in categories for c in stripped]
    assert (listed.kind(token) is not None) == (bool(stripped) and all(inside) and not set(stripped) & keep)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\ncharacter = '.'", r"line 2: key must be one of characters, .*, blank, got 'character'"),
        ("tokens = ['a']\n\ncharacters = ['.']", r"line 3: characters must be a string, got \['\.'\]"),
        ("tokens = 'a'", "line 1: tokens must be a list of strings, got 'a'"),
        ("exact = [1]", r"line 1: exact must be a list of strings, got \[1\]"),
        ("blank = 'yes'", "line 1: blank must be true or false, got 'yes'"),
        ("categories = ['P', 'Q']", "line 1: categories must be Unicode's, such as P or Sm, got 'Q'"),
        ("characters = ", "mine.toml must be TOML: "),
        ("blank = false", "mine.toml must hold at least one of characters, .*, got none"),
        ("", "mine.toml must hold at least one of"),
    ],
)
def test_bad_files(mine, text, said):
    mine.write_text(text)
    with pytest.raises(ValueError, match=rf"mine\.toml.*{said}" if said.startswith("line") else said):
        load_junk(f"default,{mine}")


def test_files_that_are_no_files(mine):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml must be the TOML file of a junk set, got none there"):
        load_junk("nowhere.toml")
    mine.write_bytes(b"characters = '\xff'")
    with pytest.raises(ValueError, match="must be UTF-8, got invalid start byte at byte 14"):
        load_junk(str(mine))


def test_kinds_are_counted_over_pairs_and_features():
    a = labels_of([".", "\n", "."], ["x"], ["<bos>"], ["\n", "\n"])
    b = labels_of(["y"], [","], [".", ","])
    pairs = pairs_of([(0, 0, 0.9), (1, 1, 0.8), (2, 1, 0.6), (0, 2, 0.5), (3, 2, 0.1), (1, 0, 0.3)])
    found = {row["kind"]: row for row in junk.dropped_by_kind(junk.dropped(pairs, a, b), tokens=2).to_pylist()}
    assert list(found) == ["punctuation", "special", "blanks"]
    assert {kind: (row["features_a"], row["features_b"], row["pairs"]) for kind, row in found.items()} == {
        "punctuation": (1, 2, 5),
        "special": (1, 0, 1),
        "blanks": (1, 0, 1),
    }
    assert found["punctuation"]["mean_correlation"] == pytest.approx((0.9 + 0.8 + 0.6 + 0.5 + 0.1) / 5)
    assert found["punctuation"]["tokens"] == [".", ","]  # 6 and 4 times: of every pair, both tokens of B's feature 2
    assert found["blanks"]["tokens"] == ["\n"]
    none = junk.dropped_by_kind(junk.dropped(pairs_of([]), a, b))
    assert none.num_rows == 0
    assert "mean_correlation" in none.column_names


@pytest.mark.parametrize("first", [True, False])
def test_tables_are_of_the_pairs_before_the_filter(first):
    """Whatever the order of the stages: pairs that a later stage took are there, those of an earlier one are not."""
    a, b = labels_of(["."], ["x"], ["x"], ["."]), labels_of(["y"], ["y"], [","], ["y"])
    pairs = pairs_of([(0, 0, 0.9), (1, 1, 0.05), (2, 2, 0.4), (3, 3, 0.02)])
    stages = [filters.junk(a, b), filters.correlation(0.1)]
    kept = pairs.filter(*(stages if first else stages[::-1]))
    assert len(kept) == 0
    found = junk.tables(kept, a, b, "majority", stage="junk majority")
    before = pairs if first else pairs.select(pairs.correlation >= 0.1)
    assert found["junk_by_correlation"].equals(junk.share_by_correlation(before, a, b))
    assert sorted(found["junk_dropped"]["feature_a"].to_pylist()) == ([0, 2, 3] if first else [0, 2])
    assert list(junk.tables(pairs, a, b, "off")) == ["junk_by_correlation"]
    assert junk.tables(pairs, a, b, "off")["junk_by_correlation"].equals(junk.share_by_correlation(pairs, a, b))
