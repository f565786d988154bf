"""Concepts: the shipped files against the original's lists, files of one's own, algebra, and what labels hit."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analogue import Concepts
from analogue.concept import Concept
from analogue.concept_files import parse
from analogue.labels import Labels
from original_lists import LISTS

ALL = Concepts.load()


def labels_of(features):
    """Labels from lists of (left, token, right), one list a feature."""
    rows = [row for contexts in features for row in contexts]
    left, token, right = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    zeros = np.zeros(len(rows), np.int64)
    offsets = np.cumsum([0, *map(len, features)])
    return Labels(offsets, np.ones(len(rows), np.float32), token, left, right, zeros, zeros, [None] * len(features))


LABELS = labels_of(
    [
        [("one ", "day", " he went"), ("the ", "Day", "s of"), ("by ", "day", ", by night.")],  # days is no day
        [("Mr Brock", "man", " the man"), ("in ", "1946", ", a man said")],
        [("a ", "king", "'s horse"), ("my ", "da", "y."), ("say ", "hello", " and")],
        [],
        [("made in ", "China", "."), ("a ", "china", " cup"), ("In ", "May", " or")],
    ]
)


# The data


@pytest.mark.parametrize("name", LISTS)
def test_every_word_of_the_original_is_there_or_was_removed(name):
    concept = ALL[name]
    kept = {word.casefold() for word in (*concept.words, *concept.removed)}
    assert {word.casefold() for word in LISTS[name]} <= kept


def test_no_word_is_in_two_concepts_unless_one_inherits_the_other():
    for first in ALL:
        for second in ALL:
            if first is second or second.name in first.parents or first.name in second.parents:
                continue
            assert not {*map(str.casefold, first.words)} & {*map(str.casefold, second.words)}, (first, second)


def test_removed_words_that_are_listed_elsewhere_are_there():
    for concept in ALL:
        for word, why in concept.removed.items():
            assert word not in concept.words
            if why.startswith("listed under "):
                assert word in ALL[why.removeprefix("listed under ")].words


@pytest.mark.parametrize("concept", ALL, ids=lambda concept: concept.name)
def test_spelling(concept):
    assert re.fullmatch("[a-z]+(_[a-z]+)*", concept.name)
    for word in (*concept.words, *concept.removed):
        assert word == word.strip()
        assert concept.case_sensitive or word == word.lower()
    for why in concept.removed.values():
        assert why == why.strip()
        assert not why.endswith(".")


def test_a_file_has_the_name_of_its_concept():
    from importlib import resources

    files = (resources.files("analogue") / "data" / "concepts").iterdir()
    assert sorted(ALL.names) == sorted(file.name.removesuffix(".toml") for file in files)


def test_calendar_is_part_of_time():
    time, calendar = ALL["time"], ALL["calendar"]
    assert set(calendar.words) < set(time.words)
    assert time.parents == ("calendar",)
    assert time.removed["spring"] == calendar.removed["spring"]


# Loading


def test_load_keeps_the_order_asked_for():
    assert Concepts.load("time", "people").names == ("time", "people")
    assert list(ALL.names) == sorted(ALL.names)
    assert Concepts.load("months")["months"].case_sensitive
    with pytest.raises(ValueError, match=r"concept must be one of animals, .*, got 'tiem'$"):
        Concepts.load("tiem")
    with pytest.raises(ValueError, match="concept must be one of time, got 'people'"):
        Concepts.load("time")["people"]
    with pytest.raises(ValueError, match="names of their own, got 'time' 2 times"):
        Concepts.load("time", "time")
    with pytest.raises(ValueError, match="concepts must be at least one, got none"):
        Concepts(())
    with pytest.raises(TypeError, match="concepts must be Concept objects, got 'time'"):
        Concepts(("time",))


def written(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def test_files_of_ones_own(tmp_path):
    own = written(
        tmp_path,
        dates='name = "dates"\nunion = ["weekdays", "months"]\nminus = ["summer"]\nwords = ["Easter"]',
        evenings='name = "evenings"\ninherits = ["time"]\nwords = ["sunset"]\n[removed]\nnight = "a novel"',
        summer='name = "summer"\ncase = "exact"\nwords = ["June", "July", "August"]',
    )
    assert Concepts.from_toml(own).names == ("dates", "evenings", "summer")
    both = Concepts.load("time", "dates", "evenings", files=[own])
    time, dates, evenings = both
    assert dates.case_sensitive
    assert set(dates.words) == {*ALL["weekdays"].words, *ALL["months"].words, "Easter"} - {"June", "July", "August"}
    assert dates.parents == ()
    assert dates.removed == {}
    assert set(evenings.words) == {*time.words, "sunset"} - {"night"}
    assert evenings.removed == {**time.removed, "night": "a novel"}
    assert evenings.parents == ("time",)
    assert Concepts.load(files=own).names == (*ALL.names, "dates", "evenings", "summer")
    assert Concepts.from_toml(own / "summer.toml", str(own / "dates.toml")).names == ("summer", "dates")


def test_a_removed_word_may_come_back(tmp_path):
    own = written(tmp_path, mine='name = "mine"\ninherits = ["calendar"]\nwords = ["spring"]')
    assert "spring" in Concepts.from_toml(own)["mine"].words
    assert "spring" not in Concepts.from_toml(own)["mine"].removed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a"\n\nwrods = ["b"]', r"line 3: key must be one of name, .*, got 'wrods'"),
        ('name = "a"\nwords = ["b"]\n[remove]\nb = "c"', r"line 3: key must be .*, got 'remove'"),
        ('name = "a"\nwords = "b"', r"line 2: words must be a list of texts, got 'b'"),
        ('name = "a"\nwords = [\n  "b",\n  3,\n]', r"line 4: words must be texts, got 3"),
        ('name = "a"\nwords = [\n  "b",\n  " ",\n]', r"line 4: words must not be blank, got ' '"),
        ('name = "a"\nwords = [\n  "b",\n  "c ",\n]', r"line 4: words must have no space around them, got 'c '"),
        ('name = "a"\nwords = [\n  "b",\n  "c",\n  "b",\n]', r"line 5: words must stand there once, got 'b' twice"),
        ('name = 3\nwords = ["b"]', r"line 1: name must be a text that is not blank, got 3"),
        ('words = ["b"]', r"line 1: name must be a text that is not blank, got None"),
        ('name = "a"\nwords = ["b"]\ncompounds = "no"', r"line 3: compounds must be true or false, got 'no'"),
        ('name = "a"\nwords = ["b"]\ncase = "lower"', r"line 3: case must be one of fold, exact, got 'lower'"),
        ('name = "a"\nwords = []', r"line 2: a must have a word, inherit or join, got none of them"),
        ('name = "a"\nwords = ["b"]\nremoved = ["c"]', r"line 3: removed must be a table of word = why, got"),
        ('name = "a"\nwords = ["b"]\n[removed]\nd = "e"\nc = " "', r"line 5: removed must say why 'c' went, got ' '"),
        ('name = "a"\nwords = ["b"]\n[removed]\n"" = "e"', r"line 4: removed words must not be blank"),
        ('name = "a"\nwords = b', r"must be TOML: .*line 2"),
    ],
)
def test_a_wrong_file_is_one_sentence_with_the_line(tmp_path, text, message):
    path = written(tmp_path, mine=text) / "mine.toml"
    with pytest.raises(ValueError, match=message) as error:
        Concepts.from_toml(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a"\ninherits = ["b"]', r"one of .*, got 'b', wanted by .*mine.toml"),
        ('name = "a"\ninherits = ["a"]', r"must not come back to themselves, got a -> a"),
        ('name = "time"\nwords = ["b"]', r"mine.toml: name must not be taken, got 'time' of time.toml"),
        ('name = "a"\nwords = ["b", "B"]', r"mine.toml: words must stand there once"),
        ('name = "a"\nwords = ["b"]\n[removed]\nb = "c"', r"mine.toml: removed of a must not hold a word that is kept"),
        ('name = "a"\nunion = ["time", "months"]', r"mine.toml: case must be .*, got fold and months \(exact\)"),
        ('name = "a"\ncase = "fold"\nunion = ["months"]', r"case must be that of what it takes over"),
        ('name = "a"\nunion = ["calendar"]\nminus = ["time"]', r"mine.toml: words of a must be at least one, got none"),
    ],
)
def test_a_wrong_concept_is_one_sentence(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        Concepts.from_toml(written(tmp_path, mine=text))


def test_a_circle_is_shown(tmp_path):
    files = {name: f'name = "{name}"\ninherits = ["{other}"]' for name, other in ("ab", "bc", "ca")}
    with pytest.raises(ValueError, match="got a -> b -> c -> a"):
        Concepts.from_toml(written(tmp_path, **files))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.toml must be a TOML file of a concept or a folder of them"):
        Concepts.from_toml(tmp_path / "none.toml")
    with pytest.raises(FileNotFoundError, match="must hold the TOML file of a concept, got none there"):
        Concepts.from_toml(tmp_path)
    (tmp_path / "latin.toml").write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.toml must be UTF-8, got .* at byte 8"):
        Concepts.from_toml(tmp_path)


# Concepts


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True)


@given(WORDS, WORDS)
def test_union_and_difference_are_those_of_sets(a, b):
    one, two = Concept("one", tuple(a)), Concept("two", tuple(b))
    assert set((one | two).words) == {*a, *b}
    assert (one | two).name == "one | two"
    if set(a) - set(b):
        assert list((one - two).words) == [word for word in a if word not in b]
    else:
        with pytest.raises(ValueError, match="a difference needs a word that is left, got none in one - two"):
            one - two


def test_algebra_minds_case_and_records():
    exact = Concept("exact", ("May", "June"), case_sensitive=True)
    fold = Concept("fold", ("may", "day"), removed={"week": "x", "June": "y"}, parents=("p",))
    with pytest.raises(ValueError, match=r"concepts of one case, got exact \(exact\) and fold \(fold\)"):
        fold | exact
    assert (exact - fold).words == ("June",)
    assert (fold - exact).words == ("day",)
    assert (fold | Concept("other", ("WEEK", "Day"), parents=("q", "p"))).words == ("may", "day", "WEEK")
    assert (fold | Concept("other", ("WEEK",), parents=("q", "p"))).removed == {"June": "y"}
    assert (fold | Concept("other", ("WEEK",), parents=("q", "p"))).parents == ("p", "q")
    with pytest.raises(TypeError, match="unsupported operand"):
        fold | {"day"}
    with pytest.raises(TypeError, match="unsupported operand"):
        fold - {"day"}


def test_restored_is_the_original_list():
    assert set(ALL["emotions"].restored().words) == {*LISTS["emotions"]}
    assert ALL["emotions"].restored().removed == {}
    assert hash(ALL["emotions"]) != hash(ALL["emotions"].restored())


def test_group():
    group = ALL["months"].group
    assert (group.name, group.keywords, group.case_sensitive, group.regex) == (
        "months",
        ALL["months"].words,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " ", "words": ("a",)}, "name must be a text that is not blank, got ' '"),
        ({"name": "x", "words": ()}, "words of x must be at least one, got none"),
        ({"name": "x", "words": "day"}, "words of x must be a list of texts, got 'day'"),
        ({"name": "x", "words": ("a", 3)}, "words of x must be texts, got 3"),
        ({"name": "x", "words": ("a", "\t")}, "words of x must not be blank"),
        ({"name": "x", "words": ("a", " b")}, "words of x must have no space around them, got ' b'"),
        ({"name": "x", "words": ("a", "A")}, "words of x must stand there once, got 'A' twice"),
        ({"name": "x", "words": ("a",), "removed": {"A": "y"}}, "removed of x must not hold a word that is kept"),
    ],
)
def test_bad_concepts(fields, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Concept(**fields)


# What labels hit


def test_features():
    concepts = Concepts.load("time", "people", "countries", "months", "animals")
    found = concepts.features(LABELS)
    assert {name: features.tolist() for name, features in found.items()} == {
        "time": [0, 2],
        "people": [2],  # king, and not the man of Brockman
        "countries": [4],
        "months": [],
        "animals": [],
    }
    assert all(features.dtype == np.int64 for features in found.values())
    assert concepts.features(LABELS, least=2)["time"].tolist() == [0]
    assert concepts.features(LABELS, least=3)["time"].tolist() == []
    assert concepts.features(LABELS, where="window")["people"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="least must be at least 1, got 0"):
        concepts.features(LABELS, least=0)


@pytest.mark.parametrize(
    ("concept", "context", "piece"),
    [
        ("months", ("to", " march", " on"), "march"),  # mistake 3.15: names were folded
        ("months", (". ", "May", " I go"), "may"),
        ("famous_names", ("a ", "Ford", " car"), "ford"),
        ("people", ("Mr Brock", "man", ", a man of"), "man"),
        ("numbers", ("not ", " anyone", " to"), "one"),  # mistake 3.16: any piece of any token
        ("people", ("the ", " person", " in"), "son"),
        ("biology", (" the", " excellent", " of"), "cell"),
    ],
)
def test_what_the_original_took_for_a_concept_is_none(concept, context, piece):
    labels = labels_of([[context]])
    assert Concepts.load(concept).features(labels)[concept].size == 0
    assert Concepts((Concept("piece", (piece,)),)).features(labels, where="substring")["piece"].tolist() == [0]


def test_a_context_with_two_words_counts_once():
    one = Concepts((Concept("time", ("day", "night")),))
    labels = labels_of([[("by ", "day", ", by night.")], [("a ", "day", ""), ("a ", "night", "")]])
    assert one.features(labels, where="window", least=2)["time"].tolist() == [1]


@given(
    st.lists(st.lists(st.sampled_from(["day", "man", "sad", "x"]), max_size=4), min_size=1, max_size=9),
    st.integers(1, 3),
)
def test_features_against_a_loop(tokens, least):
    labels = labels_of([[("a ", token, " b") for token in row] for row in tokens])
    for name, features in ALL.features(labels, least=least).items():
        words = {word.casefold() for word in ALL[name].words}
        assert features.tolist() == [f for f, row in enumerate(tokens) if sum(t in words for t in row) >= least]


def test_coverage():
    concepts = Concepts.load("calendar", "people")
    other = labels_of([[("", "King", ""), ("", "king", "")], [("", "queen", "")], [("", "day", "")]])
    table = concepts.coverage(LABELS, other)
    assert table.num_rows == len(concepts["calendar"].words) + len(concepts["people"].words)
    rows = {row.pop("word"): row for row in table.to_pylist()}
    hit = {"concept": "people", "features_a": 1, "contexts_a": 1, "features_b": 1, "contexts_b": 2}
    assert rows["king"] == hit
    assert rows["day"] == {"concept": "calendar", "features_a": 2, "contexts_a": 3, "features_b": 1, "contexts_b": 1}
    assert rows["nurse"] == {"concept": "people", "features_a": 0, "contexts_a": 0, "features_b": 0, "contexts_b": 0}


def test_suggest():
    contexts = [
        [("the ", "café", ""), ("the ca", "fé", "."), ("", " day", ""), ("", "...", "")],
        [("", "Cafe\u0301", "'s"), ("", "1946", ""), ("", "\n", "harbour"), ("cut", "off", " and")],
        [
            ("", "har", "bour's end"),
            ("", " second", ""),
            ("", " The", ""),
            ("", "don\N{RIGHT SINGLE QUOTATION MARK}t", ""),
        ],
        [],
    ]
    rows = Concepts.load("calendar").suggest(labels_of(contexts), n=5).to_pylist()
    assert rows == [
        {"word": "café", "features": 2, "contexts": 3},
        {"word": "harbour", "features": 1, "contexts": 1},
    ]
    assert Concepts.load("calendar").suggest(labels_of(contexts), n=1).num_rows == 1
    assert Concepts.load("calendar").suggest(labels_of([[]])).num_rows == 0
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        ALL.suggest(LABELS, n=0)


def test_explain_a_match():
    found = Concepts.load("calendar", "people", "countries").explain(LABELS, 0)
    assert found.concepts == ("calendar",)
    assert [(hit.concept, hit.word, hit.context) for hit in found.hits] == [
        ("calendar", "day", 0),
        ("calendar", "day", 2),
    ]
    assert [(hit.word, hit.context) for hit in found.near] == [("night", 2)]
    assert str(found).splitlines()[0] == "feature 0 matches calendar: 'day' in context 0, 'one ' ['day'] ' he went'"


def test_explain_says_why_there_is_no_match():
    concepts = Concepts.load("people", "months")
    text = str(concepts.explain(LABELS, 1))
    assert text.startswith("feature 1 matches no concept by word")
    assert "people has 'man', which only stands near in context 1, 'in ' ['1946'] ', a man said'" in text
    may = concepts.explain(LABELS, 4)
    assert may.hits == ()
    assert "'May' was removed from months (also the verb at the start of a sentence): context 2" in str(may)
    assert str(concepts.explain(LABELS, 3)) == "feature 3 has no label, so it matches no concept"
    assert concepts.explain(LABELS, 1, where="window").concepts == ("people",)
    with pytest.raises(ValueError, match="feature must be below 5, the labels' features, got 5"):
        concepts.explain(LABELS, 5)
    with pytest.raises(ValueError, match="feature must be at least 0"):
        concepts.explain(LABELS, -1)


def test_explain_agrees_with_features():
    found = ALL.features(LABELS)
    for feature in range(LABELS.n_features):
        assert set(ALL.explain(LABELS, feature).concepts) == {name for name in found if feature in found[name]}


# Controls


def test_random_control():
    words = [f"word{chr(97 + first)}{chr(97 + second)}" for first in range(20) for second in range(20)]
    labels = labels_of([[("", word, ""), ("", "day", ""), ("", "second", "")] for word in words])
    calendar = Concepts.load("calendar")
    control = calendar.random_control(labels, 50)
    assert len(control.words) == 50
    assert set(control.words) <= set(words)
    assert control == calendar.random_control(labels, 50, seed=0)
    assert control != calendar.random_control(labels, 50, seed=1)
    assert set(calendar.random_control(labels, 400).words) == set(words)
    with pytest.raises(ValueError, match="n must be at most 400, the labels' words in no concept, got 401"):
        calendar.random_control(labels, 401)
    drawn = Counter(word for seed in range(200) for word in calendar.random_control(labels, 40, seed).words)
    assert max(abs(drawn[word] - 20) for word in words) < 5 * np.sqrt(200 * 0.1 * 0.9)


def test_mixed_control_has_one_word_of_each():
    for seed in range(20):
        words = ALL.mixed_control(seed).words
        assert len(words) == len(ALL)
        for word, concept in zip(words, ALL, strict=True):
            assert word in {kept.casefold() for kept in concept.words}
    assert ALL.mixed_control(0) == ALL.mixed_control()
    assert ALL.mixed_control(0) != ALL.mixed_control(1)
    same = Concepts((Concept("a", ("x",)), Concept("b", ("X",)), Concept("c", ("y",))))
    assert same.mixed_control().words == ("x", "y")


def test_mixed_control_of_any_size():
    few = Concepts((Concept("a", tuple("abcdef")), Concept("b", tuple("uvw")), Concept("c", ("x",))))
    for seed in range(20):
        for n in range(1, 11):
            words = few.mixed_control(seed, n=n).words
            assert len(set(words)) == n
            of_each = [sum(word in concept.words for word in words) for concept in few]
            assert max(of_each) - min(of_each) <= 1 or n > 3  # c has one word alone
            assert abs(of_each[0] - of_each[1]) <= 1 or of_each[1] == 3
    assert {few.mixed_control(seed, n=1).words[0] for seed in range(60)} == set("abcdefuvwx")
    with pytest.raises(ValueError, match="n must be at most 10, the words of these concepts, got 11"):
        few.mixed_control(n=11)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        few.mixed_control(n=0)


def test_compounds_may_be_left_out(tmp_path):
    own = written(tmp_path, men='name = "men"\ncompounds = false\nwords = ["man"]', any='name = "any"\nwords = ["man"]')
    labels = labels_of([[("an old-", "man", " in")], [("an old ", "man", " in")]])
    found = Concepts.from_toml(own).features(labels)
    assert found["men"].tolist() == [1]
    assert found["any"].tolist() == [0, 1]
    men, every = Concepts.from_toml(own)["men"], Concepts.from_toml(own)["any"]
    assert not men.compounds
    assert (men | every).compounds
    assert not (men - Concept("b", ("x",))).compounds


def test_a_definition_is_read_from_text():
    assert parse('name = "a"\nwords = ["b"]', "a.toml").case is None
