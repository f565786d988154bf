"""Hubs and bands of multiplicity against loops."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from analogue import FeatureActivations, Pairs, correlation_by_multiplicity, hubs, match
from analogue.labels import Labels

rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 30), st.floats(-1, 1)), max_size=40, unique_by=lambda row: row[:2]
)


def pairs_of(listed, given_token=True):
    a, b, r = (np.array(column) for column in zip(*listed, strict=True)) if listed else (np.empty(0),) * 3
    r = r.astype(np.float64)
    return Pairs(a.astype(np.int64), b.astype(np.int64), r, r / 2 if given_token else None)


def labels_of(prefix, n):
    zeros = np.zeros(2 * n, dtype=np.int64)
    tokens = [f"{prefix}{feature}{rank}" for feature in range(n) for rank in ("x", "y")]
    texts = [""] * len(tokens)
    return Labels(
        np.arange(0, 2 * n + 1, 2), np.ones(2 * n, np.float32), tokens, texts, texts, zeros, zeros, [None] * n
    )


@given(rows, st.sampled_from(["a", "b"]), st.sampled_from([1, 3, 20]))
def test_hubs_equal_loops(listed, side, top):
    sided = [row if side == "a" else (row[1], row[0], row[2]) for row in listed]
    expected = oracles.hub_table(sided)[:top]
    found = hubs(pairs_of(listed), side, top, labels=(labels_of("a", 5), labels_of("b", 31))).to_pylist()
    assert [(row["feature"], row["pairs"]) for row in found] == [row[:2] for row in expected]
    so_far = 0
    for row, (hub, times, mean, lowest, highest) in zip(found, expected, strict=True):
        so_far += times
        assert row["cumulative_share"] == pytest.approx(so_far / len(listed))
        assert row["mean_correlation"] == pytest.approx(mean, abs=1e-12)
        assert row["mean_correlation_given_token"] == pytest.approx(mean / 2, abs=1e-12)
        assert (row["lowest_correlation"], row["highest_correlation"]) == (lowest, highest)
        own, other = ("a", "b") if side == "a" else ("b", "a")
        order = [i for i, line in enumerate(sided) if line[0] == hub]
        order = sorted(order, key=lambda i: (-sided[i][2], i))[:10]
        assert row["partners"] == [sided[i][1] for i in order]
        assert row["label"] == [f"{own}{hub}x", f"{own}{hub}y"]
        assert row["partner_labels"] == [f"{other}{partner}x" for partner in row["partners"]]


def test_hubs_of_matches_are_the_choices_of_the_other_side():
    x = np.random.default_rng(0).random((60, 12)) * (np.random.default_rng(1).random((60, 12)) < 0.4)
    acts = FeatureActivations.from_dense(x), FeatureActivations.from_dense(x[:, :7] + x[:, 3:4])
    matches = match(*acts)
    for side, best in (("a", matches.best_a), ("b", matches.best_b)):
        table = hubs(matches, side)
        times = dict(zip(table["feature"].to_pylist(), table["pairs"].to_pylist(), strict=True))
        assert times == Counter(best.tolist())
        assert table["label"].null_count == table["mean_correlation_given_token"].null_count == table.num_rows


@given(rows, st.sampled_from(["a", "b"]), st.sampled_from([(1, 10, 50), (2,), (1, 2, 3, 4)]))
def test_bands_equal_loops(listed, side, bands):
    hub = [row[side == "b"] for row in listed]
    times = Counter(hub)
    edges = np.linspace(-0.5, 0.5, 11)
    found = correlation_by_multiplicity(pairs_of(listed), side, bands, edges).to_pylist()
    limits = list(zip([1, *(end + 1 for end in bands)], [*bands, 10**9], strict=True))
    for row, (lowest, highest) in zip(found, limits, strict=True):
        mine = [line for line, own in zip(listed, hub, strict=True) if lowest <= times[own] <= highest]
        assert row["pairs"] == sum(row["counts"]) == len(mine)
        assert row["features"] == len({line[side == "b"] for line in mine})
        counts = [0] * 10
        for _, _, r in mine:  # the last bin holds its upper edge too, and what lies beyond the ends
            counts[min(max(int(np.searchsorted(edges, r, side="right")) - 1, 0), 9)] += 1
        assert row["counts"] == counts
        mean = sum(line[2] for line in mine) / len(mine) if mine else None
        assert row["mean_correlation"] == (None if mean is None else pytest.approx(mean, abs=1e-12))
        beyond = row["mean_correlation_given_token"]
        assert beyond == (None if mean is None else pytest.approx(mean / 2, abs=1e-12))


def test_band_names():
    table = correlation_by_multiplicity(pairs_of([(0, 0, 0.5)], given_token=False))
    assert table["band"].to_pylist() == ["1", "2-10", "11-50", "51+"]
    assert table["mean_correlation_given_token"].null_count == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"side": "c"}, "side must be one of a, b, got 'c'"),
        ({"bands": (10, 1)}, "bands must rise, got 10, 1"),
        ({"bands": (0, 1)}, "bands must be at least 1, got 0"),
        ({"bins": (0.0,)}, "bins must have at least 2 edges, got 1"),
        ({"bins": (0.0, 0.5, 0.5)}, "bins must rise, got 0, 0.5, 0.5"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        correlation_by_multiplicity(pairs_of([(0, 0, 0.5)]), **arguments)


def test_hubs_say_no():
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        hubs(pairs_of([]), top=0)
    assert hubs(pairs_of([])).num_rows == 0
    for look in (hubs, correlation_by_multiplicity):
        with pytest.raises(TypeError, match="found must be Pairs or Matches, got list"):
            look([(0, 0, 0.5)])
