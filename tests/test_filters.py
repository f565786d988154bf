"""Filters and the row counter."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analogue import filters
from analogue.junk_lists import is_junk
from analogue.labels import Labels
from analogue.pairs import Counts, Pairs, Stage

rows = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from([-0.2, 0.0, 0.1, 0.3, 0.3, 0.9])), max_size=30
).map(lambda listed: list({(a, b): (a, b, r) for a, b, r in listed}.values()))


def pairs_of(listed):
    a, b, r = (np.array(column) for column in zip(*listed, strict=True)) if listed else (np.empty(0),) * 3
    return Pairs(a.astype(np.int64), b.astype(np.int64), r.astype(np.float64))


@given(rows)
def test_strict_keeps_only_features_that_stand_once(listed):
    pairs = pairs_of(listed)
    kept = pairs.filter(filters.one_to_one("strict"))
    times_a, times_b = Counter(a for a, _, _ in listed), Counter(b for _, b, _ in listed)
    expected = [(a, b) for a, b, _ in listed if times_a[a] == 1 and times_b[b] == 1]
    assert list(zip(kept.feature_a.tolist(), kept.feature_b.tolist(), strict=True)) == expected


@given(rows, st.sampled_from(["best", "first"]))
def test_greedy_policies_leave_each_feature_once_and_nothing_to_add(listed, policy):
    kept = pairs_of(listed).filter(filters.one_to_one(policy))
    a, b = set(kept.feature_a.tolist()), set(kept.feature_b.tolist())
    assert len(a) == len(b) == len(kept)
    assert all(row_a in a or row_b in b for row_a, row_b, _ in listed)


def test_best_and_first_differ_where_they_should():
    pairs = pairs_of([(0, 0, 0.2), (0, 1, 0.9), (1, 2, 0.5), (1, 3, 0.5)])
    best, first = (pairs.filter(filters.one_to_one(policy)) for policy in ("best", "first"))
    np.testing.assert_array_equal(best.feature_b, [1, 2])
    np.testing.assert_array_equal(first.feature_b, [0, 2])


@given(rows)
def test_stages_account_for_every_pair(listed):
    pairs = pairs_of(listed)
    kept = pairs.filter(filters.correlation(0.1, 0.5), filters.one_to_one("best"))
    assert [stage.name for stage in kept.stages] == ["0.1 <= r <= 0.5", "one_to_one best"]
    assert kept.stages[-1].counts == kept.counts
    dropped = sum(len(stage.dropped) for stage in kept.stages)
    assert dropped + len(kept) == len(pairs)
    table = kept.to_arrow()
    assert table.num_rows == len(pairs)
    assert table["kept"].to_numpy().sum() == len(kept)
    read = Pairs.from_arrow(table, [Stage.from_dict(stage.to_dict()) for stage in kept.stages])
    np.testing.assert_array_equal(read.feature_a, kept.feature_a)
    np.testing.assert_array_equal(read.correlation, kept.correlation)
    assert [len(stage.dropped) for stage in read.stages] == [len(stage.dropped) for stage in kept.stages]


def test_counts():
    assert pairs_of([(0, 0, 0.5), (0, 1, 0.1), (2, 3, 0.3)]).counts == Counts(3, 2, 3, 2, pytest.approx(0.3))
    assert pairs_of([]).counts == Counts(0, 0, 0, 0, None)


def test_correlation_band_ends_are_kept():
    pairs = pairs_of([(0, 0, 0.1), (1, 1, 0.3), (2, 2, 0.9)])
    assert len(pairs.filter(filters.correlation(0.1, 0.3))) == 2
    assert len(pairs.filter(filters.correlation())) == 3
    with pytest.raises(ValueError, match=r"minimum must not exceed maximum, got 0\.5 and 0\.1"):
        filters.correlation(0.5, 0.1)
    for bad, error, got in ((float("nan"), ValueError, "NaN"), ("a", TypeError, "'a'"), (True, TypeError, "True")):
        with pytest.raises(error, match=f"minimum must be a number or None, got {got}"):
            filters.correlation(bad)
        with pytest.raises(error, match=f"maximum must be a number or None, got {got}"):
            filters.correlation(0.1, bad)


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "\n",
        "\n\n",
        "\\n",
        " .",
        "...",
        "?!",
        " -",
        "\N{EN DASH}",
        "<|endoftext|>",
        " <bos>",
        "<pad>",
        "|bos|",
        "[CLS]",
        "\t",
    ],
)
def test_junk_tokens(token):
    assert is_junk(token)


@pytest.mark.parametrize("token", ["the", " +", "=", "*", "a.", "-5", "n", "\\", "é", "<", "%"])
def test_tokens_that_mean_something(token):
    assert not is_junk(token)


def labels_of(*tokens):
    flat = [token for own in tokens for token in own]
    offsets = np.cumsum([0] + [len(own) for own in tokens])
    zeros = np.zeros(len(flat), dtype=np.int64)
    return Labels(
        offsets,
        np.ones(len(flat), np.float32),
        flat,
        [""] * len(flat),
        [""] * len(flat),
        zeros,
        zeros,
        [None] * (len(offsets) - 1),
    )


def test_junk_rules():
    a = labels_of(["x"] * 5, [".", ",", "x", "x", "x"], [".", ",", "\n", "x", "x"], [".", "x"], [])
    b = labels_of(["y"] * 5)
    np.testing.assert_allclose(a.junk_share(), [0, 0.4, 0.6, 0.5, 0])
    pairs = pairs_of([(feature, 0, 0.5) for feature in range(5)])
    np.testing.assert_array_equal(pairs.filter(filters.junk(a, b)).feature_a, [0, 1, 3, 4])
    np.testing.assert_array_equal(pairs.filter(filters.junk(a, b, "any")).feature_a, [0, 4])
    swapped = Pairs(pairs.feature_b, pairs.feature_a, pairs.correlation)
    np.testing.assert_array_equal(swapped.filter(filters.junk(b, a)).feature_b, [0, 1, 3, 4])


def test_shared_words_are_whole_and_folded():
    a = labels_of([" Man", " king"], [" woman", "Brockman"], ["."], [], [" man", " king"])
    b = labels_of(["man", " Queen"], ["KING", "man", "man"], [" ."], [])
    pairs = pairs_of([(a, b, 0.5) for a in range(5) for b in range(4)])
    kept = pairs.filter(filters.shared_word(a, b))
    assert list(zip(kept.feature_a.tolist(), kept.feature_b.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (2, 2),
        (4, 0),
        (4, 1),
    ]
    two = pairs.filter(filters.shared_word(a, b, 2))
    assert (two.feature_a.tolist(), two.feature_b.tolist()) == ([0, 4], [1, 1])
    assert (kept.stages[0].name, two.stages[0].name) == ("shared word", "2 shared words")
    with pytest.raises(ValueError, match="minimum must be at least 1, got 0"):
        filters.shared_word(a, b, 0)


def test_pieces_of_one_word_share_it():
    """Tokens are pieces: what is shared is the word that they are part of, not the piece."""
    pieces = labels_of(["ingham"], [" Birm"], ["ham"])
    split = replace(pieces, left=["in Birm", "in", "the Birming"], right=[", as", "ingham", " is"])
    fragment = replace(labels_of(["ham"]), left=["eat "], right=["."])
    kept = pairs_of([(a, b, 0.5) for a in range(3) for b in range(3)]).filter(filters.shared_word(split, split))
    assert len(kept) == 9
    assert len(pairs_of([(2, 0, 0.5)]).filter(filters.shared_word(split, fragment))) == 0


@given(
    rows,
    st.sampled_from([None, 1, 2, 3]),
    st.sampled_from([None, 1, 2, 3]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from(["a", "b"]),
)
def test_multiplicity_equals_loops(listed, minimum, maximum, keep, side):
    if minimum is not None and maximum is not None and minimum > maximum:
        minimum, maximum = maximum, minimum
    hubs = Counter(row[side == "b"] for row in listed)
    large = [row for row in listed if minimum is None or hubs[row[side == "b"]] >= minimum]
    for policy in ("drop", "first", "best"):
        few = None if maximum is None or keep is None or policy == "drop" else min(keep, maximum)
        kept = pairs_of(listed).filter(filters.multiplicity(minimum, maximum, side, policy, few))
        expected, seen = [], Counter()
        order = sorted(large, key=lambda row: -row[2]) if policy == "best" else large
        for row in order:
            hub = row[side == "b"]
            seen[hub] += 1
            rank_fits = policy != "drop" and maximum is not None and seen[hub] <= (few or maximum)
            if maximum is None or hubs[hub] <= maximum or rank_fits:
                expected.append(row[:2])
        expected = [row[:2] for row in listed if row[:2] in expected]
        assert list(zip(kept.feature_a.tolist(), kept.feature_b.tolist(), strict=True)) == expected


def test_multiplicity_names_and_refusals():
    assert filters.multiplicity(None, 10, "a", "best").name == "pairs of A <= 10 best"
    assert filters.multiplicity(11, side="b").name == "11 <= pairs of B"
    assert filters.multiplicity(None, 10, "a", "best", 3).name == "pairs of A <= 10 best 3"
    for arguments, sentence in (
        ({"minimum": 3, "maximum": 2}, "minimum must not exceed maximum, got 3 and 2"),
        ({"maximum": 0}, "maximum must be at least 1, got 0"),
        ({"maximum": 2, "policy": "best", "keep": 0}, "keep must be at least 1, got 0"),
        ({"maximum": 2, "policy": "best", "keep": 3}, "keep must be at most maximum, .* got 3 with 2 and best"),
        ({"maximum": 2, "keep": 1}, "keep must be at most maximum, .* got 1 with 2 and drop"),
        ({"policy": "first", "keep": 1}, "keep must be at most maximum, .* got 1 with None and first"),
        ({"side": "c"}, "side must be one of a, b, got 'c'"),
        ({"policy": "worst"}, "policy must be one of drop, first, best, got 'worst'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            filters.multiplicity(**arguments)


def test_best_policies_go_by_what_the_pairs_were_chosen_by():
    ids = np.array([0, 0, 0]), np.array([0, 1, 2])
    pairs = Pairs(*ids, np.array([0.9, 0.5, 0.1]), metric="jaccard", value=np.array([0.1, 0.2, 0.8]))
    for rule in (filters.multiplicity(maximum=1, policy="best"), filters.one_to_one("best")):
        kept = pairs.filter(rule)
        assert kept.feature_b.tolist() == [2]
        assert kept.correlation.tolist() == [0.1]
    again = Pairs.from_arrow(pairs.to_arrow(), pairs.stages, pairs.metric)
    np.testing.assert_array_equal(again.weight, pairs.value)
    assert pairs_of([(0, 0, 0.5)]).to_arrow()["value"].null_count == 1


def test_correlation_given_the_token():
    pairs = pairs_of([(0, 0, 0.9), (1, 1, 0.8), (2, 2, 0.7)])
    beyond = Pairs(pairs.feature_a, pairs.feature_b, pairs.correlation, np.array([0.05, 0.1, 0.3]))
    kept = beyond.filter(filters.correlation(0.1, of="given_token"))
    assert kept.feature_a.tolist() == [1, 2]
    assert kept.stages[0].name == "0.1 <= r given token"
    assert beyond.filter(filters.correlation(None, 0.1, of="given_token")).feature_a.tolist() == [0, 1]
    with pytest.raises(ValueError, match="of must be 'plain' for activations without token ids"):
        pairs.filter(filters.correlation(0.1, of="given_token"))
    with pytest.raises(ValueError, match="of must be one of plain, given_token, matched, got 'r'"):
        filters.correlation(0.1, of="r")


def test_correlation_that_was_matched_by():
    ids, plain, value = np.arange(3), np.array([0.9, 0.05, 0.7]), np.array([0.05, 0.3, 0.2])
    band = filters.correlation(0.1, of="matched")
    assert band.name == "0.1 <= r matched"
    assert Pairs(ids, ids, plain, value=value).filter(band).feature_a.tolist() == [1, 2]
    assert Pairs(ids, ids, plain).filter(band).feature_a.tolist() == [0, 2]
    with pytest.raises(ValueError, match="of must not be 'matched' for pairs matched by jaccard"):
        Pairs(ids, ids, plain, metric="jaccard", value=value).filter(band)


@pytest.mark.parametrize("bad", ["x", filters.correlation, [filters.correlation(0.1)], None])
def test_what_is_no_filter_is_refused_by_name(bad):
    with pytest.raises(TypeError, match=r"filters must be made by analogue\.filters, got "):
        pairs_of([(0, 0, 0.5)]).filter(bad)


def test_pairs_in_a_line():
    pairs = pairs_of([(0, 0, 0.5), (1, 1, 0.25)])
    assert repr(pairs.filter(filters.correlation(0.3))) == "Pairs(1 pairs, mean r 0.500, 1 stages, by pearson)"
    assert repr(pairs_of([])) == "Pairs(0 pairs, 0 stages, by pearson)"
    given = Pairs(pairs.feature_a, pairs.feature_b, pairs.correlation, value=pairs.correlation)
    assert repr(given) == "Pairs(2 pairs, mean r 0.375, 0 stages, by pearson given groups)"


def test_unknown_policies():
    with pytest.raises(ValueError, match="policy must be one of strict, best, first, got 'worst'"):
        filters.one_to_one("worst")


@given(rows)
def test_entering_undoes_a_stage_and_all_after_it(listed):
    pairs = pairs_of(listed)
    rules = (filters.correlation(0.1, 0.5), filters.one_to_one("best"), filters.correlation(0.2))
    kept = pairs.filter(*rules)
    for at, stage in enumerate(kept.stages):
        found, wanted = kept.entering(stage.name), pairs.filter(*rules[:at])
        assert [each.name for each in found.stages] == [each.name for each in wanted.stages]
        ids = (list(zip(p.feature_a.tolist(), p.feature_b.tolist(), strict=True)) for p in (found, wanted))
        assert sorted(next(ids)) == sorted(next(ids))
        assert found.counts.mean_correlation == pytest.approx(wanted.counts.mean_correlation)
    with pytest.raises(ValueError, match=r"stage must be one of 0\.1 <= r <= 0\.5, one_to_one best, .*, got 'junk'"):
        kept.entering("junk")
