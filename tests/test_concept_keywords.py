"""Keywords of concepts on both sides of pairs, against sets and loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analogue as an
import oracles_keywords
from analogue.concept import Concept
from analogue.labels import Labels
from analogue.pairs import Pairs

TIME = Concept("time", ("day", "night", "New Year", "hour"))
NAMES = Concept("names", ("Day", "May"), case_sensitive=True)
BOTH = an.Concepts((TIME, NAMES))
CONTEXTS = [
    ("a ", "day", " or"),
    ("the ", "Day", " of"),
    ("by ", "night", ", by"),
    ("a New", " Year", "'s day or"),
    ("to", "day", " or"),
    ("so ", "May", " we"),
    ("x ", "y", " z"),
]


def labels_of(features):
    rows = [row for contexts in features for row in contexts]
    left, token, right = ([row[column] for row in rows] for column in range(3))
    n = len(rows)
    offsets = np.cumsum([0, *map(len, features)])
    return Labels(
        offsets, np.ones(n, np.float32), token, left, right, np.zeros(n, int), np.arange(n), [None] * len(features)
    )


def words_of(labels, concepts):
    """For every feature the set of (concept, word) in its contexts, by the oracle."""
    found = [set() for _ in range(labels.n_features)]
    for feature, group, word, _ in oracles_keywords.keyword_hits(labels, [own.group for own in concepts], "word"):
        found[feature].add((concepts.concepts[group].name, concepts.concepts[group].words[word]))
    return found


def pairs_of(a, b):
    a, b = (np.array(side, dtype=np.int64) for side in (a, b))
    return Pairs(a, b, np.linspace(0.9, 0.1, len(a)))


features = st.lists(st.lists(st.sampled_from(CONTEXTS), max_size=3), min_size=1, max_size=7)


@st.composite
def worlds(draw):
    a, b = labels_of(draw(features)), labels_of(draw(features))
    some = st.tuples(st.integers(0, a.n_features - 1), st.integers(0, b.n_features - 1))
    drawn = draw(st.lists(some, max_size=9, unique=True))
    pairs = pairs_of([one for one, _ in drawn], [other for _, other in drawn])
    return pairs, a, b


@given(worlds())
def test_keyword_table(world):
    pairs, a, b = world
    found = an.keyword_table(pairs, a, b, BOTH).to_pylist()
    of_a, of_b = words_of(a, BOTH), words_of(b, BOTH)
    sides = list(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True))
    assert found == [
        {
            "concept": concept.name,
            "word": word,
            "features_a": sum((concept.name, word) in own for own in of_a),
            "features_b": sum((concept.name, word) in own for own in of_b),
            "pairs_a": sum((concept.name, word) in of_a[one] for one, _ in sides),
            "pairs_b": sum((concept.name, word) in of_b[other] for _, other in sides),
            "pairs_both": sum((concept.name, word) in of_a[one] & of_b[other] for one, other in sides),
        }
        for concept in BOTH
        for word in concept.words
    ]
    one = an.keyword_table(pairs, a, b, TIME).to_pylist()
    assert one == [row for row in found if row["concept"] == "time"]
    coverage = BOTH.coverage(a, b)
    for column in ("concept", "word", "features_a", "features_b"):
        assert coverage[column].to_pylist() == [row[column] for row in found]


@given(worlds())
def test_same_keyword(world):
    pairs, a, b = world
    of_a, of_b = words_of(a, an.Concepts((TIME,))), words_of(b, an.Concepts((TIME,)))
    found = an.same_keyword(pairs, a, b, TIME)
    both = same = matched = 0
    disagreeing = []
    for row, (one, other) in enumerate(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True)):
        words_a, words_b = of_a[one], of_b[other]
        matched += bool(words_a | words_b)
        both += bool(words_a and words_b)
        same += bool(words_a & words_b)
        if words_a | words_b and not words_a & words_b:
            sides = ([word for word in TIME.words if ("time", word) in own] for own in (words_a, words_b))
            disagreeing.append((row, one, other, pairs.correlation[row], *sides))
    assert (found.pairs, found.both, found.same) == (matched, both, same)
    assert found.rate == (same / matched if matched else None)
    columns = ("pair", "feature_a", "feature_b", "correlation", "words_a", "words_b")
    assert found.disagreeing.to_pylist() == [dict(zip(columns, row, strict=True)) for row in disagreeing]


@given(features, st.integers(1, 3))
def test_incidence_duplicates_and_words_a_feature(drawn, most):
    labels = labels_of(drawn)
    of_features = words_of(labels, BOTH)
    rows = an.keyword_incidence(labels, BOTH).to_pylist()
    groups = [own.group for own in BOTH]
    assert [tuple(row.values()) for row in rows] == [
        (feature, BOTH.concepts[group].name, BOTH.concepts[group].words[word], contexts)
        for feature, group, word, contexts in oracles_keywords.keyword_hits(labels, groups, "word")
    ]
    wanted = []
    for concept in BOTH:
        for word in concept.words:
            own = [feature for feature, words in enumerate(of_features) if (concept.name, word) in words]
            if len(own) > most:
                wanted.append({"concept": concept.name, "word": word, "n": len(own), "features": own})
    wanted.sort(key=lambda row: -row["n"])
    assert an.keyword_duplicates(labels, BOTH, most=most).to_pylist() == wanted
    counts = an.keywords_per_feature(labels, BOTH)
    words = [len({word.lower() for _, word in own}) for own in of_features]
    concepts = [len({concept for concept, _ in own}) for own in of_features]
    assert counts.words.tolist() == words
    assert counts.concepts.tolist() == concepts
    some = sum(map(bool, words))
    assert counts.several_words == (sum(n > 1 for n in words) / some if some else None)
    assert counts.several_concepts == (sum(n > 1 for n in concepts) / some if some else None)


def test_a_pair_may_match_a_concept_by_different_words():
    day, night, other = ([context] for context in (CONTEXTS[0], CONTEXTS[2], CONTEXTS[6]))
    a, b = labels_of([day, night, other]), labels_of([night, night, day])
    found = an.same_keyword(pairs_of([0, 1, 2], [0, 1, 2]), a, b, TIME)
    assert (found.pairs, found.both, found.same, found.rate) == (3, 2, 1, 1 / 3)
    assert found.disagreeing["pair"].to_pylist() == [0, 2]
    assert found.disagreeing["words_a"].to_pylist() == [["day"], []]
    assert found.disagreeing["words_b"].to_pylist() == [["night"], ["day"]]


def test_substrings_say_what_the_old_matching_found():
    labels = labels_of([[("x ", " great", " y")], [("x ", " eat", " y")]])
    food = Concept("food", ("eat",))
    assert an.keyword_duplicates(labels, food, "substring")["features"].to_pylist() == [[0, 1]]
    assert an.keyword_incidence(labels, food)["feature"].to_pylist() == [1]


def test_bad_arguments():
    labels = labels_of([[CONTEXTS[0]]])
    pairs = pairs_of([0], [0])
    with pytest.raises(TypeError, match="concept must be a Concept or Concepts, got str"):
        an.keyword_table(pairs, labels, labels, "time")
    with pytest.raises(TypeError, match="concept must be a Concept, got Concepts"):
        an.same_keyword(pairs, labels, labels, BOTH)
    with pytest.raises(TypeError, match="pairs must be Pairs, got list"):
        an.keyword_table([], labels, labels, TIME)
    with pytest.raises(
        ValueError, match="labels_b must be of the pairs' dictionary, which has a feature 4, got labels of 1"
    ):
        an.same_keyword(pairs_of([0], [4]), labels, labels, TIME)
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        an.keyword_duplicates(labels, TIME, most=0)
    with pytest.raises(ValueError, match="where must be one of"):
        an.keywords_per_feature(labels, TIME, "line")
