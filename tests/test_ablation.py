"""Filters one by one: against comparisons that ask for those filters only, and against a loop over random subsets."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

import analogue as an
from analogue.compare import compare_spaces
from analogue.report import ablation_tables

FEW = {"measures": ("cka",), "permutations": 9, "null": "one-per-token"}
FIRST = an.Settings(
    pairs="b_to_a",
    one_to_one="first",
    stages=("junk", "one_to_one", "correlation"),
    **FEW,
)


@pytest.fixture(scope="module")
def cell(demo):
    return demo.cells["layers.2", "layers.3"]


@pytest.fixture(scope="module")
def first(cell):
    return compare_spaces(cell.spaces["a"], cell.spaces["b"], FIRST)


@pytest.fixture(scope="module")
def rows(first):
    return {row["filters"]: row for row in an.ablation(first, draws=19).to_pylist()}


@pytest.mark.parametrize(
    ("filters", "settings"),
    [
        ("none", {"junk": "off", "one_to_one": None, "min_correlation": None}),
        ("one_to_one alone", {"junk": "off", "min_correlation": None}),
        ("all but one_to_one", {"one_to_one": None}),
        ("all but correlation", {"min_correlation": None}),
        ("all", {}),
    ],
)
def test_every_set_of_filters_is_the_comparison_with_these(cell, rows, filters, settings):
    wanted = compare_spaces(cell.spaces["a"], cell.spaces["b"], replace(FIRST, **settings))
    row, score = rows[filters], wanted.scores["cka"]
    assert row["pairs"] == len(wanted.pairs)
    assert row["mean_correlation"] == pytest.approx(wanted.pairs.correlation.mean())
    assert row["mean_correlation_given_token"] == pytest.approx(wanted.pairs.correlation_given_token.mean())
    for name in ("observed", "null_mean", "null_std", "z", "p_value", "n"):
        assert row[name] == pytest.approx(getattr(score, name), abs=1e-12), name
    assert len(row["stages"]) == len(wanted.pairs.stages) - 2


def test_sets_of_three_filters(rows):
    names = ("junk", "one_to_one", "correlation")
    assert list(rows) == ["none", *(f"{n} alone" for n in names), *(f"all but {n}" for n in names), "all"]
    assert rows["all but junk"]["stages"] == ["one_to_one", "correlation"]
    assert rows["none"]["random_mean"] is None
    assert {row["null"] for row in rows.values()} == {"one-per-token"}


def test_random_pairs_are_those_of_a_loop(cell):
    table = an.ablation(cell, ("cka", "rsa"), draws=60).to_pylist()
    assert [(row["filters"], row["measure"]) for row in table][::2] == [
        (name, "cka") for name in ("none", "correlation alone", "junk alone", "all")
    ]
    base = cell.pairs.entering("0.1 <= r")
    x, y = (cell.spaces[side].directions[getattr(base, f"feature_{side}")] for side in "ab")
    rng = np.random.default_rng(7)
    for row in table:
        if row["filters"] == "none":
            assert row["pairs"] == row["n"] == len(base)
            continue
        subsets = (rng.permutation(len(base))[: row["n"]] for _ in range(60))
        drawn = [getattr(an.similarity, row["measure"])(x[chosen], y[chosen]) for chosen in subsets]
        assert row["random_mean"] == pytest.approx(np.mean(drawn), abs=5 * row["random_std"] / np.sqrt(30))
        assert row["random_std"] == pytest.approx(np.std(drawn), rel=0.5)
        assert row["random_z"] == pytest.approx((row["observed"] - row["random_mean"]) / row["random_std"])


def test_what_is_known_is_not_scored_again(cell, monkeypatch):
    calls = []
    scored = an.ablation.__globals__["score_pairs"]

    def counted(pairs, *arguments, **options):
        calls.append((len(pairs), arguments[2].measures))
        return scored(pairs, *arguments, **options)

    monkeypatch.setitem(an.ablation.__globals__, "score_pairs", counted)
    table = an.ablation(cell, ("cka", "procrustes"), draws=1).to_pylist()
    assert calls[-1] == (len(cell.pairs), ("procrustes",))
    known = next(row for row in table if (row["filters"], row["measure"]) == ("all", "cka"))
    assert known["p_value"] == cell.scores["cka"].p_value
    assert known["null_mean"] == cell.scores["cka"].null_mean


def test_one_filter_and_too_few_pairs(cell):
    strict = an.Settings(junk="off", min_correlation=0.99, **FEW)
    found = an.ablation(compare_spaces(*cell.spaces.values(), strict), draws=2).to_pylist()
    assert [row["filters"] for row in found] == ["none", "all"]
    last = found[-1]
    assert last["pairs"] < 10
    assert last["observed"] is None
    assert "pairs" in last["insufficient"]
    assert last["random_mean"] is None
    (table,) = ablation_tables(an.ablation(compare_spaces(*cell.spaces.values(), strict), draws=2))
    assert "all, cka: too few pairs" in str(table.caption)


def test_bad_arguments(cell):
    with pytest.raises(TypeError, match="comparison must be a Comparison, such as a grid's cell, got dict"):
        an.ablation({})
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        an.ablation(cell, draws=0)
    with pytest.raises(ValueError, match=r"measures must be one of .*'magic'"):
        an.ablation(cell, ("magic",))
    off = compare_spaces(*cell.spaces.values(), an.Settings(junk="off", min_correlation=None, **FEW))
    with pytest.raises(ValueError, match="comparison must have filters, got none"):
        an.ablation(off)
    redrawn = replace(cell, scoring=replace(cell.scoring, null=replace(cell.null, name="subset")))
    with pytest.raises(ValueError, match="comparison must have a null that permutes rows, got subset"):
        an.ablation(redrawn)
    bare = {side: replace(space, directions=None) for side, space in cell.spaces.items()}
    with pytest.raises(ValueError, match=r"directions of layers\.2 were not saved with this run"):
        an.ablation(replace(cell, spaces=bare), "cka")


def test_the_command(run, cell, demo, tmp_path):
    small = an.Grid({("layers.2", "layers.3"): cell}, demo.controls, demo.provenance)
    small.save(tmp_path / "grid", activations=False)
    files = [tmp_path / "filters.parquet", tmp_path / "filters.json"]
    options = ["--measures", "cka", "--draws", 5, "--out", files[0], "--out", files[1]]
    status, out, err = run("ablation", tmp_path / "grid", *options)
    assert status == 0, err
    assert "layers.2 x layers.3: filters one by one (null: siblings)" in out
    assert "control, layers.2 x layers.3" in out
    found = pq.read_table(files[0]).to_pylist()
    assert json.loads(files[1].read_text()) == found
    assert [row["role"] for row in found] == ["cell"] * 4 + ["control"] * 4
    assert found[3]["observed"] == pytest.approx(cell.scores["cka"].observed)
    status, _, err = run("ablation", tmp_path / "grid", *options)
    assert (status, err) == (2, f"analogue: {files[0]} exists already; choose another file, or overwrite it\n")
    status, _, err = run("ablation", tmp_path / "grid", "--out", tmp_path / "x.txt")
    assert (status, err) == (2, f"analogue: --out must end in .parquet or .json, got {tmp_path / 'x.txt'}\n")
    status, out, _ = run("ablation", tmp_path / "grid" / "control", "--measures", "cka", "--draws", 5, "--json")
    assert status == 0
    assert json.loads(out) == found[4:]
