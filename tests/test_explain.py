"""What a score hangs on: against recomputation on the embedded pair, and on copies that were planted."""

import json
from dataclasses import replace

import numpy as np
import pytest

import analogue as an
from analogue.report import explanation_tables
from analogue.scoring import groups_of, scored_rows


@pytest.fixture(scope="module")
def cell(demo):
    return demo.cells["layers.2", "layers.3"]


def without(cell, positions, measure="cka"):
    kept = np.setdiff1d(np.arange(len(cell.pairs)), positions)
    return getattr(an.similarity, measure)(cell.directions["a"][kept], cell.directions["b"][kept])


def test_influences_are_those_of_leaving_out(cell):
    found = an.explain(cell)
    assert found.leverage.observed == pytest.approx(cell.scores["cka"].observed)
    best = found.pairs(1)[0]
    row = found.leverage.order[0]
    assert best["feature_a"] == cell.pairs.feature_a[row]
    assert best["label_b"] == cell.labels[1].tokens(cell.pairs.feature_b[row])
    assert best["without"] == pytest.approx(without(cell, [row]), abs=1e-10)
    assert best["influence"] == pytest.approx(cell.scores["cka"].observed - best["without"])
    assert len(found.pairs()) == len(cell.pairs)


def test_sibling_groups_are_left_out_whole(cell):
    groups = groups_of(cell.pairs, cell.labels)
    sizes = np.bincount(groups)
    listed = [group for group in an.explain(cell).groups() if "siblings" in group["kinds"]]
    assert len(listed) == (sizes > 1).sum()
    largest = max(listed, key=lambda group: group["size"])
    rows = np.flatnonzero(groups == sizes.argmax())
    assert largest["size"] == len(largest["pairs"]) == len(rows)
    assert largest["without"] == pytest.approx(without(cell, rows), abs=1e-10)
    assert {pair["feature_a"] for pair in largest["pairs"]} == set(cell.pairs.feature_a[rows].tolist())


def test_planted_copies_are_the_group_it_hangs_on(cell):
    """Nine pairs overwritten by one: no single one of them says what all of them do."""
    rng = np.random.default_rng(0)
    unlike = {side: rows[rng.permutation(len(rows))].copy() for side, rows in cell.directions.items()}
    copies = np.arange(20, 29)
    for rows in unlike.values():
        rows[copies] = 3 * rows[20] + 0.01 * rng.standard_normal((9, rows.shape[1]))
    planted = replace(cell, directions=unlike)
    found = an.explain(planted).groups(1)[0]
    assert "near-copies" in found["kinds"]
    assert {pair["feature_a"] for pair in found["pairs"]} == set(cell.pairs.feature_a[copies].tolist())
    alone = max(abs(pair["influence"]) for pair in an.explain(planted).pairs())
    assert found["influence"] > 2 * alone


def test_only_scored_pairs_are_looked_at(cell):
    null = replace(cell.null, name="one-per-token")
    found = an.explain(replace(cell, scoring=replace(cell.scoring, null=null)), "rsa")
    kept = scored_rows(cell.pairs, cell.labels, "one-per-token")
    np.testing.assert_array_equal(found.rows, kept)
    assert found.leverage.observed == pytest.approx(an.similarity.rsa(*(d[kept] for d in cell.directions.values())))
    assert all(group["kinds"] == ["near-copies"] for group in found.groups())
    (pairs,) = explanation_tables(found)  # no empty table of groups
    assert "no groups: no two of the scored pairs are near-copies, repeats or siblings (under one-per-token" in str(
        pairs.caption
    )


def test_tables_and_json_say_the_same(cell):
    found = an.explain(cell)
    said = json.loads(json.dumps(found.to_dict(3), allow_nan=False))
    assert (said["measure"], said["null"], said["n"]) == ("cka", "siblings", len(cell.pairs))
    assert len(said["pairs"]) == len(said["groups"]) == 3
    pairs, groups = explanation_tables(found, 3)
    assert list(pairs.columns[2].cells) == [str(pair["feature_a"]) for pair in said["pairs"]]
    assert list(groups.columns[2].cells) == [str(group["size"]) for group in said["groups"]]
    assert list(groups.columns[4].cells) == [f"{group['influence']:+.4f}" for group in said["groups"]]


def test_fast_forms_are_marked(cell):
    pairs = next(iter(explanation_tables(an.explain(cell, "svcca_capped"), 25)))
    marked = [text.startswith("~") for text in pairs.columns[5].cells]
    assert any(marked)
    assert not all(marked)
    assert "fast form (~); the 20 of largest influence by it were computed again, all others are approximate" in str(
        pairs.caption
    )
    assert an.explain(cell, "svcca_capped").to_dict(1)["exact_pairs"] == 20


def test_a_value_that_any_data_has_is_not_explained_bare(cell):
    """Of fewer pairs than a side has dimensions, some or all canonical correlations are 1 for any data."""
    for measure, n in (("svcca", 40), ("svcca", 12), ("pwcca", 12)):
        few = cell.pairs.select(np.arange(n))
        rows = {side: directions[:n] for side, directions in cell.directions.items()}
        found = an.explain(replace(cell, pairs=few, directions=rows), measure)
        score = an.permutation_test(*rows.values(), measure, permutations=1)[measure]
        assert score.saturated == (n == 12)
        said = found.to_dict(1)
        names = ("kx", "ky", "forced_ones", "saturated", "warning")
        assert [said[name] for name in names] == [getattr(score, name) for name in names]
        assert said["forced_ones"] > 0
        assert score.warning in str(next(iter(explanation_tables(found))).caption)
    unforced = an.explain(cell).to_dict(1)
    assert [unforced[name] for name in names] == [None] * 5


def test_the_command(run, demo, cell, tmp_path):
    demo.save(tmp_path / "grid", activations=False)
    folder = tmp_path / "grid" / "cells" / "layers.2--layers.3"
    status, printed, _ = run("explain", folder, "--top", "2")
    assert status == 0
    words = " ".join(printed.split())
    assert "layers.2 x layers.3: pairs that cka of" in words
    assert "groups of alike pairs" in words
    status, printed, _ = run("explain", folder, "--measure", "rsa", "--top", "2", "--json")
    assert (status, json.loads(printed)) == (0, json.loads(json.dumps(an.explain(cell, "rsa").to_dict(2))))
    status, printed, _ = run("explain", tmp_path / "grid", "--top", "1", "--json")
    cells = json.loads(printed)["cells"]
    assert [found["role"] for found in cells] == ["cell"] * 4 + ["control"]
    status, _, error = run("explain", folder, "--measure", "magic")
    assert (status, "measure must be one of" in error) == (2, True)
    status, _, error = run("explain", tmp_path)
    assert (status, "is not a run folder" in error) == (2, True)


def test_what_cannot_be_explained(demo, cell):
    with pytest.raises(TypeError, match="comparison must be a Comparison, such as a grid's cell, got Grid"):
        an.explain(demo)
    with pytest.raises(ValueError, match="comparison must hold the rows that were scored"):
        an.explain(replace(cell, directions=None))
