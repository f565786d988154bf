"""Keywords against a search of every run of words in every context, and the mistakes of the original one by one."""
# ruff: noqa: RUF001

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import oracles_keywords
from analogue.keywords import KeywordGroup, keyword_hits
from analogue.labels import Labels

WHERE = ("token", "word", "window", "phrase", "substring")


def labels_of(features):
    """Labels of features that are lists of (left, token, right)."""
    rows = [row for feature in features for row in feature]
    left, token, right = ([row[column] for row in rows] for column in range(3))
    n = len(rows)
    offsets = np.concatenate([[0], np.cumsum([len(feature) for feature in features], dtype=np.int64)])
    positions = np.arange(n)
    return Labels(
        offsets, np.ones(n, np.float32), token, left, right, np.zeros(n, int), positions, [None] * len(features)
    )


def rows(hits):
    return list(
        zip(hits.feature.tolist(), hits.group.tolist(), hits.keyword.tolist(), hits.contexts.tolist(), strict=True)
    )


def is_hit(context, keyword, where="word", **options):
    found = rows(keyword_hits(labels_of([[context]]), [KeywordGroup("group", (keyword,), **options)], where))
    assert found in ([], [(0, 0, 0, 1)])
    return bool(found)


@pytest.mark.parametrize(
    ("context", "word"),
    [
        (("said Brock", "man", " today, he"), "man"),  # the tail of a longer word
        (("met ", "Sand", "ers in a"), "sand"),
        (("the ", "king", "dom of a"), "king"),
        (("cut Brock", "man", " was a man in"), "man"),  # another "man" in the window is not the activating word
        (("an ", "old", " man in a"), "man"),
        (("the ", "man\ufffd", " was a"), "man"),  # a character that the next token ends
        (("", "man", "\ufffd was a"), "man"),
        (("the ", "manœuvre", " was a"), "man"),
        (("the ", "man\u0303", "ana of a"), "man"),
        (("the ", "man", "\u0303 of a"), "man"),
        (("t ", "man", "'hood of a"), "man"),
        (("at ", "3", ".14 or so"), "3"),
    ],
)
def test_a_piece_of_a_word_is_no_word(context, word):
    assert not is_hit(context, word, "word")


@pytest.mark.parametrize("where", ["word", "window", "phrase"])
@pytest.mark.parametrize(
    "context",
    [
        ("the ", "man", " in a"),
        ("the", " man", " in a"),
        ("the ", "ma", "n in a"),
        ("the m", "an", " in a"),
        ("", "Man", ""),
        ("the ", "man", "'s hat"),
        ("the ", "man", "’s hat"),
        ("the (", "man", ") in"),
        ('the "', "man", '" in'),
        ("the ", "man", ": in"),
        ("the ", "man", "; in"),
        ("the old-", "man", " in"),
        ("the _", "man", "_ in"),
        ("go,\\n", "man", "\\nthe"),
        ("go,\\\\n", "man", "\\\\nthe"),
        ("go\n", "man", "\nthe"),
        ("go.", "man", ".the"),
        ("❤\ufe0f", "man", "🎉 the"),
        ("שלום ", "man", " שלום א"),
        ("the ", "MAN", "'S HAT"),
        ("x", " man ", "x"),
    ],
)
def test_a_whole_word_whatever_stands_beside_it(context, where):
    assert is_hit(context, "man", where)
    assert not is_hit(context, "woman", where)


def test_words_that_the_window_may_cut_match_nothing():
    assert not is_hit(("man went to ", "Rome", " in May and"), "man", "window")
    assert not is_hit(("he went to ", "Rome", " like a man"), "man", "window")
    assert not is_hit(("he went to ", "Rome", " like a man'"), "man", "window")
    assert is_hit((" man went to ", "Rome", " in May and"), "man", "window")
    assert is_hit(("he went to ", "Rome", " like a man."), "man", "window")
    assert is_hit(("to see the ", "man", ""), "man", "window")
    assert is_hit(("", "Man", " went to Rome"), "man", "window")
    assert not is_hit(("pi is ", "about", " 3."), "3", "window")


def test_the_token_alone_has_no_neighbours():
    assert is_hit(("Brock", "man", "n"), "man", "token")
    assert is_hit(("a", " Man.\n", "n"), "man", "token")
    assert not is_hit(("", "ma", "n"), "man", "token")
    assert is_hit(("", " New York", "er"), "new york", "token")
    assert is_hit(("", "<|endoftext|>", ""), "<|endoftext|>", "token")
    assert is_hit(("", " !?", ""), "!?", "token")
    assert not is_hit(("", " !!", ""), "!?", "token")


def test_phrases():
    here = ("He lives in New", " York", " City, N.Y., but")
    for where in ("word", "window", "phrase"):
        assert is_hit(here, "new york", where)
        assert is_hit(here, "New  York\nCity", where)
        assert not is_hit(here, "york new", where)
        assert not is_hit(here, "new york citizen", where)
    assert not is_hit(here, "lives in", "word")  # the activating token belongs to none of its words
    assert is_hit(here, "lives in", "window")
    assert is_hit(here, "N.Y.", "phrase")
    assert is_hit(here, "n y", "window")
    assert not is_hit(here, "n y", "phrase")
    hyphen = ("a New-", "York", " minute of")
    assert is_hit(hyphen, "new york", "word")
    assert not is_hit(hyphen, "new york", "phrase")
    assert is_hit(hyphen, "new-york", "phrase")
    assert is_hit(("I write C", "++", " and C"), "C++", "phrase")
    assert not is_hit(("I write C", " and", " so on"), "C++", "phrase")


def test_case():
    may = ("So ", "may", " I go")
    assert is_hit(may, "May")
    assert not is_hit(may, "May", case_sensitive=True)
    assert is_hit(("in ", "May", " I go"), "May", case_sensitive=True)
    for text, keyword in [("STRASSE", "straße"), ("ΟΔΟΣ", "οδος"), ("CAFE\u0301", "café"), ("DON’T", "don't")]:
        assert is_hit(("a ", text, " b"), keyword)
        assert not is_hit(("a ", text, " b"), keyword, case_sensitive=True)
    assert is_hit(("a ", "cafe\u0301", " b"), "café", case_sensitive=True)
    assert not is_hit(("a ", "kız", " b"), "kiz")


def test_scripts_without_spaces_have_a_word_a_character():
    assert is_hit(("我爱", "北京", "天安门"), "北京")
    assert is_hit(("我爱北", "京", "天安门"), "北京")
    assert not is_hit(("我爱", "北", "方"), "北京")
    assert is_hit(("รัก", "ไทย", "มาก"), "ไทย")
    assert not is_hit(("カタ", "カナ", "ー "), "カナ")


def test_regular_expressions_match_whole_words():
    kings = ("the ", "kings", " of New York in")
    assert is_hit(kings, "kings?", regex=True)
    assert is_hit(kings, "K[iou]ngs", regex=True)
    assert not is_hit(kings, "K[iou]ngs", regex=True, case_sensitive=True)
    assert not is_hit(kings, "king", regex=True)
    assert not is_hit(kings, "ings", regex=True)
    assert not is_hit(kings, "york", regex=True)
    assert is_hit(kings, "york", "window", regex=True)
    assert is_hit(kings, r"new\s+york", "phrase", regex=True)
    assert is_hit(kings, "a|kin|kings", "token", regex=True)  # the first branch that fits is not the only one


def test_assertions_in_a_regular_expression_see_the_run_alone():
    kings = ("the ", "kings", " of New York in")
    for pattern in ("^kings$", r"\bkings", "(?:^|x)of new$", "new y.*k$"):
        assert is_hit(kings, pattern, "phrase", regex=True)
    for pattern in ("king$", "^ings", r"\Bkings", "k(?:ings)$ of"):
        assert not is_hit(kings, pattern, "phrase", regex=True)


def test_compounds():
    for left, token, right, keyword in [
        ("an old-", "man", " in", "man"),
        ("an ", "old", "-man in", "old"),
        ("an ", "old", "\N{HYPHEN}man in", "old"),
        ("in New-", "York", "-City or", "york"),
        ("a world-", "New", " York or", "new york"),
        ("-", "York", " or", "york"),  # what stood before the hyphen may be cut
    ]:
        for where in ("word", "window", "phrase"):
            assert is_hit((left, token, right), keyword, where)
            assert not is_hit((left, token, right), keyword, where, compounds=False)
            assert not is_hit((left, token, right), keyword, where, compounds=False, regex=True)
    for left, token, right, keyword in [
        ("in New-", "York", " or", "new-york"),  # the compound itself
        ("a ", "man", " - or", "man"),
        ("a ", "man", "\N{EM DASH}or so", "man"),
        ("a ", "man", "--or so", "man"),
    ]:
        assert is_hit((left, token, right), keyword, "word", compounds=False)


def test_substrings_are_found_wherever_they_stand_in_the_token():
    assert is_hit(("a ", " great", " day"), "eat", "substring")
    assert is_hit(("a ", " anymore", " day"), "ANY", "substring")
    assert not is_hit(("a ", " anymore", " day"), "ANY", "substring", case_sensitive=True)
    assert not is_hit(("a ", " great", " day"), "day", "substring")  # only the token is looked at
    assert not is_hit(("a ", " anymore", " day"), "any", "word")
    assert is_hit(("", " a great", ""), "a g", "substring")
    assert is_hit(("", " great", ""), "r[aeiou]+t", "substring", regex=True)
    assert is_hit(("", ".)", ""), ".)", "substring")


def test_a_context_counts_once_and_rows_are_sorted():
    groups = [KeywordGroup("b", ("man", "men")), KeywordGroup("a", ("man", "the man"), case_sensitive=True)]
    man, men = ("a man, the ", "man", ", a man or"), ("a man, the ", "men", ", a man or")
    hits = keyword_hits(labels_of([[man, man, men], [], [men], [("a ", "cat", " or")]]), groups, "window")
    assert rows(hits) == [
        (0, 0, 0, 3),
        (0, 0, 1, 1),
        (0, 1, 0, 3),
        (0, 1, 1, 2),
        (2, 0, 0, 1),
        (2, 0, 1, 1),
        (2, 1, 0, 1),
    ]
    assert len(hits) == 7
    assert {column.dtype for column in (hits.feature, hits.group, hits.keyword, hits.contexts)} == {np.dtype(np.int64)}


@pytest.mark.parametrize("where", WHERE)
def test_nothing_to_look_in_or_for(where):
    assert len(keyword_hits(labels_of([]), [KeywordGroup("a", ("b",))], where)) == 0
    assert len(keyword_hits(labels_of([[], []]), [KeywordGroup("a", ("b",))], where)) == 0
    assert len(keyword_hits(labels_of([[("a ", "b", " c")]]), [], where)) == 0
    assert (
        len(
            keyword_hits(
                labels_of([[("", "", "")]]), [KeywordGroup("a", ("b",)), KeywordGroup("r", (".*",), regex=True)], where
            )
        )
        == 0
    )


PIECES = [
    "man",
    "Man",
    "sand",
    "Brock",
    "ers",
    "n",
    "s",
    "S",
    "'s",
    "’s",
    "'",
    "’",
    "3",
    "14",
    ".",
    ",",
    "-",
    "-",
    "_",
    "(",
]
PIECES += [
    " ",
    "  ",
    "\n",
    "\\",
    "\\n",
    "\\\\n",
    "é",
    "e\u0301",
    "\u0301",
    "ß",
    "SS",
    "ς",
    "Σ",
    "ı",
    "İ",
    "I",
    "i",
    "K",
]
PIECES += ["北", "京", "ไ", "ที", "の", "カ", "שלום", "🎉", "❤\ufe0f", "\ufffd", "\u200d", "ﬁ", "²", "Ⅷ", "ŉ", "ǅ"]
LETTERS = st.characters(exclude_categories=("Cs", "Cn", "Co", "Cc", "So"), max_codepoint=0xFFFF)
TEXT = st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(PIECES), LETTERS), max_size=6).map("".join)
HAS_WORD = TEXT.filter(lambda text: oracles_keywords.words(text.strip()))
PATTERNS = [".*", "m.n", "man|sand", "[aemn]+", "n?", "man sand", r"\d+", "man's?", "s", "^man", "(?:^|x)sand.*$"]
REGEXES = st.sampled_from(PATTERNS)


@st.composite
def worlds(draw):
    """Labels, and groups of keywords most of which are cut from the texts."""
    contexts = st.tuples(TEXT, TEXT, TEXT)
    features = draw(st.lists(st.lists(contexts, max_size=3), min_size=1, max_size=3))
    texts = ["".join(context) for feature in features for context in feature]
    cuts = [text[start:end] for text in texts for start, end in pieces(text)]
    keyword = st.one_of(HAS_WORD, st.sampled_from(cuts)) if cuts else HAS_WORD
    case = st.booleans()
    groups = [
        KeywordGroup("plain", tuple(draw(st.lists(keyword, min_size=1, max_size=4))), draw(case)),
        KeywordGroup("other", tuple(draw(st.lists(keyword, min_size=1, max_size=4))), compounds=draw(case)),
        KeywordGroup("regex", tuple(draw(st.lists(REGEXES, min_size=1, max_size=2))), draw(case), True, draw(case)),
    ]
    return labels_of(features), groups


def pieces(text):
    spans = oracles_keywords.words(text)
    return [(spans[i][0], spans[j][1]) for i in range(len(spans)) for j in range(i, min(i + 3, len(spans)))]


@given(worlds(), st.sampled_from(WHERE))
def test_random_unicode(world, where):
    labels, groups = world
    assume(where in ("token", "substring") or any(labels.left) or any(labels.right))
    assert rows(keyword_hits(labels, groups, where)) == oracles_keywords.keyword_hits(labels, groups, where)


def test_many_features_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    words = np.array(["man", "Brockman", "sand", "Sanders", "king", "kings", "new", "york", "a", "the"])
    features = [
        [(" ".join(rng.choice(words, 4)) + " ", rng.choice(words), " " + " ".join(rng.choice(words, 4)))]
        * int(rng.integers(0, 3))
        for _ in range(1300)
    ]
    groups = [KeywordGroup("people", ("man", "king")), KeywordGroup("places", ("new york", "sand"))]
    labels = labels_of(features)
    assert rows(keyword_hits(labels, groups, "window")) == oracles_keywords.keyword_hits(labels, groups, "window")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("people", ()), ValueError, "keywords of group 'people' must hold at least one, got none"),
        (("people", ("man", " \n")), ValueError, r"keywords of group 'people' must not be blank, got ' \\n' at 1"),
        (("people", "man"), TypeError, "keywords of group 'people' must be a tuple of strings, got 'man'"),
        (("people", ("man", 3)), TypeError, "keywords of group 'people' must be strings, got 3 at 1"),
        ((" ", ("man",)), ValueError, "name must not be blank, got ' '"),
        ((3, ("man",)), TypeError, "name must be a string, got 3"),
    ],
)
def test_bad_groups(arguments, error, message):
    with pytest.raises(error, match=message):
        KeywordGroup(*arguments)


LABELS = labels_of([[("a ", "man", " b")]])


@pytest.mark.parametrize(
    ("groups", "where", "error", "message"),
    [
        (
            [KeywordGroup("a", ("b",)), KeywordGroup("a", ("c",))],
            "word",
            ValueError,
            "different names, got 'a' 2 times",
        ),
        (["man"], "word", TypeError, "groups must hold KeywordGroup, got 'man'"),
        ([], "line", ValueError, "where must be one of token, word, window, phrase, substring, got 'line'"),
        ([KeywordGroup("a", ("!?",))], "word", ValueError, 'keyword "!\\?" of group "a" must hold a letter or a digit'),
        (
            [KeywordGroup("a", ("b", "(c"), regex=True)],
            "word",
            ValueError,
            'keyword "\\(c" of group "a".*unclosed group',
        ),
        (
            [KeywordGroup("a", ("b)(c",), regex=True)],
            "word",
            ValueError,
            "must be a regular expression: unopened group",
        ),
        ([KeywordGroup("a", ("b(?=c)",), regex=True)], "word", ValueError, "must be a regular expression: look-around"),
    ],
)
def test_bad_searches(groups, where, error, message):
    with pytest.raises(error, match=message):
        keyword_hits(LABELS, groups, where)


def test_bad_labels():
    group = KeywordGroup("a", ("man",))
    with pytest.raises(TypeError, match="labels must be Labels, got list"):
        keyword_hits([], [group])
    bare = labels_of([[("", "Brock", ""), ("", "man", "")]])
    with pytest.raises(
        ValueError, match=re.escape("labels must have a window of at least 1 for where='word', got none")
    ):
        keyword_hits(bare, [group])
    assert rows(keyword_hits(bare, [group], "token")) == [(0, 0, 0, 1)]
    broken = labels_of([[("a ", "man", " b")]])
    broken.left.pop()
    with pytest.raises(ValueError, match="left and token must have one length, got 0 and 1"):
        keyword_hits(broken, [group])
    wrong = labels_of([[("a ", "man", " b")]])
    wrong.offsets[1] = 2
    with pytest.raises(ValueError, match="offsets must be numbers rising from 0 to the number of rows"):
        keyword_hits(wrong, [group])
