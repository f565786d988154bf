"""What is shown of a run: against its own arrays, and with text that tries to be more than text."""

import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from analogue import showing
from analogue.report import shown_tables, write_grading
from analogue.report.layout import printable

NASTY = [
    "<script>alert(1)</script>",
    "\x1b[31mred",
    '"><img src=x onerror=y>',
    "=HYPERLINK(1)",
    "[bold]x[/bold]",
    "\u202e&\n\x9b",
]


@pytest.fixture(scope="module")
def cell(demo):
    return demo.cells["layers.2", "layers.3"]


@pytest.fixture(scope="module")
def saved(cell, tmp_path_factory):
    folder = tmp_path_factory.mktemp("show") / "run"
    cell.save(folder)
    return folder


@pytest.fixture(scope="module")
def bare(cell):
    """The same cell as it is read from a run without activations."""
    return replace(cell, spaces={side: replace(space, activations=None) for side, space in cell.spaces.items()})


@pytest.fixture(scope="module")
def nasty(cell):
    """The same cell with contexts that are markup, escape sequences and formulas."""
    spaces = {}
    for side, space in cell.spaces.items():
        n = len(space.labels.token)
        texts = {name: [NASTY[(i + j) % 6] for i in range(n)] for j, name in enumerate(("left", "token", "right"))}
        top = [NASTY[i % 6] for i in range(space.labels.n_features)]
        spaces[side] = replace(space, labels=replace(space.labels, **texts, top_token=top))
    return replace(cell, spaces=spaces)


def rows_with(cell, **wanted):
    table = cell.pairs.to_arrow().to_pylist()
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


def residual(x, groups):
    return x - (np.bincount(groups, x) / np.maximum(np.bincount(groups), 1))[groups]


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_feature_has_its_contexts_and_all_its_pairs(cell, side):
    feature = int(getattr(cell.pairs, f"feature_{side}")[3])
    shown = showing.feature(cell, side, feature)
    (own,) = shown.features
    space = cell.spaces[side]
    assert [(c.left, c.token, c.right) for c in own.contexts] == space.labels.contexts(feature)
    column = space.activations.dense_columns([feature])[0]
    assert own.firing_rate == pytest.approx((column > 0).mean())
    assert own.contexts[0].activation == column.max()
    documents, positions = space.activations.document_ids, space.activations.positions
    for context in own.contexts:
        row = np.flatnonzero((documents == context.document_id) & (positions == context.position))
        assert column[row] == context.activation
    found = {(p.a.feature, p.b.feature, p.correlation, p.stage) for p in shown.pairs}
    wanted = rows_with(cell, **{f"feature_{side}": feature})
    assert found == {(r["feature_a"], r["feature_b"], r["correlation"], r["dropped_by"] or "kept") for r in wanted}
    assert len(shown.pairs) == len(wanted)


def test_a_pair_is_found_wherever_it_went(cell, bare):
    kept = rows_with(cell, kept=True)[5]
    gone = rows_with(cell, dropped_by="junk majority")[0]
    for row, stage in ((kept, "kept"), (gone, "junk majority")):
        for run in (cell, bare):
            (pair,) = showing.pair(run, row["feature_a"], row["feature_b"]).pairs
            assert (pair.correlation, pair.correlation_given_token) == (
                row["correlation"],
                row["correlation_given_token"],
            )
            assert pair.stage == stage


def test_two_features_that_are_no_pair_are_correlated(cell, bare):
    a, b = kept = int(cell.pairs.feature_a[0]), int(cell.pairs.feature_b[9])
    assert not rows_with(cell, feature_a=a, feature_b=b)
    (pair,) = showing.pair(cell, *kept).pairs
    acts = [space.activations for space in cell.spaces.values()]
    x, y = (own.dense_columns([feature])[0].astype(np.float64) for own, feature in zip(acts, kept, strict=True))
    assert pair.stage is None
    assert pair.correlation == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    within = (residual(values, acts[0].token_ids) for values in (x, y))
    assert pair.correlation_given_token == pytest.approx(np.corrcoef(*within)[0, 1], abs=1e-6)
    (pair,) = showing.pair(bare, *kept).pairs
    assert (pair.correlation, pair.stage, pair.a.firing_rate) == (None, None, None)


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_hub_beside_those_that_chose_it(cell, side):
    row = cell.hubs[side].to_pylist()[0]
    shown = showing.hub(cell, side, row["feature"])
    assert [getattr(pair, "ba"[side == "b"]).feature for pair in shown.pairs] == row["partners"]
    assert {getattr(pair, side).feature for pair in shown.pairs} == {row["feature"]}
    values = [pair.correlation for pair in shown.pairs]
    assert values == sorted(values, reverse=True)
    assert f"the best partner of {row['pairs']} features of {'ba'[side == 'b'].upper()}" in shown.title
    never = next(
        f for f in range(cell.labels["ab".index(side)].n_features) if f not in cell.hubs[side]["feature"].to_pylist()
    )
    with pytest.raises(ValueError, match=rf"hub must be one of the 20 features of {side.upper()}.*, got {never}"):
        showing.hub(cell, side, never)


@pytest.mark.parametrize(
    ("stage", "dropped_by"),
    [
        ("kept", None),
        ("mutual", "mutual"),
        ("junk", "junk majority"),
        ("correlation", "0.1 <= r"),
        ("0.1 <= r", "0.1 <= r"),
    ],
)
def test_the_pairs_of_a_stage(cell, stage, dropped_by):
    wanted = sorted((row["correlation"] for row in rows_with(cell, dropped_by=dropped_by)), reverse=True)
    assert [pair.correlation for pair in showing.stage(cell, stage, None).pairs] == wanted
    shown = showing.stage(cell, stage, 3)
    assert [pair.correlation for pair in shown.pairs] == wanted[:3]
    assert str(len(wanted)) in shown.title
    assert {pair.stage for pair in shown.pairs} == {dropped_by or "kept"}


def test_a_sample_is_of_different_pairs_and_its_seed(cell):
    shown = showing.sample(cell, 40, seed=3)
    ids = [(pair.a.feature, pair.b.feature) for pair in shown.pairs]
    assert len(set(ids)) == 40
    kept = set(zip(cell.pairs.feature_a.tolist(), cell.pairs.feature_b.tolist(), strict=True))
    assert set(ids) <= kept
    assert showing.sample(cell, 40, seed=3) == shown
    assert showing.sample(cell, 40, seed=4) != shown
    everything = showing.sample(cell, len(kept)).pairs
    assert {(pair.a.feature, pair.b.feature) for pair in everything} == kept
    assert [pair.a.feature for pair in everything] != cell.pairs.feature_a.tolist()
    junk = showing.sample(cell, 5, stage="junk").pairs
    assert {pair.stage for pair in junk} == {"junk majority"}


def test_what_cannot_be_shown(cell):
    with pytest.raises(ValueError, match="feature must be at most 2047 on side A, got 2048"):
        showing.feature(cell, "a", 2048)
    with pytest.raises(ValueError, match="feature must be at least 0, got -1"):
        showing.pair(cell, 0, -1)
    with pytest.raises(ValueError, match="side must be one of a, b, got 'c'"):
        showing.hub(cell, "c", 0)
    with pytest.raises(
        ValueError, match=r"stage must be one of kept, mutual, .*, junk, got 'shared_words', which was not"
    ):
        showing.stage(cell, "shared_words")
    with pytest.raises(ValueError, match="n must be at most the 19 pairs there are, got 20"):
        showing.sample(cell, 20, stage="junk")
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        showing.stage(cell, top=0)
    with pytest.raises(TypeError, match="comparison must be a Comparison, such as a grid's cell, got dict"):
        showing.sample({}, 1)


@given(st.text(max_size=20))
def test_printable_text_is_one_line_that_steers_nothing(text):
    said = printable(text)
    assert said.isprintable()
    assert printable(said) == said
    if text.isprintable():
        assert said == text


def printed(tables):
    out = io.StringIO()
    console = Console(file=out, width=200)
    for table in tables:
        console.print(table)
    return out.getvalue()


def test_terminal_text_is_marked_and_harmless(nasty):
    a, b = int(nasty.pairs.feature_a[0]), int(nasty.pairs.feature_b[0])
    views = [showing.feature(nasty, "a", a), showing.pair(nasty, a, b), showing.stage(nasty)]
    text = "".join(printed(shown_tables(view, listed=listed)) for view in views for listed in (False, True))
    assert all(c == "\n" or c.isprintable() for c in text)
    assert "\\x1b[31mred" in text
    assert "[bold]x[/bold]" in text
    left, token, right = nasty.labels[0].contexts(a)[0]
    assert f"{printable(left)}«{printable(token)}»{printable(right)}" in text


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.marks = [], set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag == "mark":
            self.marks.append("")

    def handle_data(self, data):
        if self.marks and self.lasttag == "mark" and not self.marks[-1]:
            self.marks[-1] = data


def test_the_page_holds_text_and_nothing_else(nasty, tmp_path):
    shown = showing.sample(nasty, 7, seed=1)
    write_grading(shown, tmp_path / "grade.html")
    text = (tmp_path / "grade.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert not {"script", "img", "link", "iframe", "b"} & set(page.tags)
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "class", "type", "name"}
    assert page.tags.count("section") == 7
    assert "http:" not in text
    assert "https:" not in text
    assert all(c == "\n" or c.isprintable() for c in text)
    tokens = [context.token for pair in shown.pairs for side in (pair.a, pair.b) for context in side.contexts]
    assert page.marks == [printable(token) for token in tokens]


def test_the_csv_is_read_back_and_holds_no_formula(nasty, cell, tmp_path):
    shown = showing.sample(nasty, 30, seed=1)
    write_grading(shown, tmp_path / "grade.csv")
    with open(tmp_path / "grade.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    for row, pair in zip(rows, shown.pairs, strict=True):
        assert [row[name] for name in ("grade", "meaning_a", "meaning_b", "note")] == [""] * 4
        assert (int(row["feature_a"]), int(row["feature_b"])) == (pair.a.feature, pair.b.feature)
        assert float(row["correlation"]) == pair.correlation
        assert float(row["firing_rate_b"]) == pair.b.firing_rate
        assert row["contexts_a"].count("«") == len(pair.a.contexts)
        assert not any(value.startswith(("=", "+", "@", "\t", "\r")) for value in row.values())
        assert not any(value.startswith("-") for name, value in row.items() if "correlation" not in name)
        assert all(c == "\n" or c.isprintable() for value in row.values() for c in value)


def test_a_graded_file_is_not_lost(cell, tmp_path):
    path = tmp_path / "grade.csv"
    path.write_text("a week of work")
    shown = showing.sample(cell, 2)
    with pytest.raises(FileExistsError, match=r"grade\.csv exists already"):
        write_grading(shown, path)
    assert path.read_text() == "a week of work"
    write_grading(shown, path, overwrite=True)
    with pytest.raises(ValueError, match=r"path must end in \.csv or \.html, got .*grade\.txt"):
        write_grading(shown, tmp_path / "grade.txt")
    with pytest.raises(ValueError, match="shown must hold a pair at least, got none"):
        write_grading(replace(shown, pairs=()), tmp_path / "none.csv")


def test_the_command(run, saved, cell, tmp_path):
    a, b = int(cell.pairs.feature_a[0]), int(cell.pairs.feature_b[0])
    for options in (["--feature", f"b:{b}"], ["--pair", f"{a},{b}"], ["--stage", "junk"], ["--sample", 2]):
        status, out, err = run("show", saved, *options)
        assert (status, err) == (0, "")
        assert out.strip()
    status, out, _ = run("show", saved, "--pair", f"{a}, {b}", "--json")
    assert (status, json.loads(out)) == (0, json.loads(json.dumps(showing.pair(cell, a, b).to_dict())))
    hub = cell.hubs["a"]["feature"][0].as_py()
    status, out, _ = run("show", saved, "--hub", f"A:{hub}", "--json")
    assert json.loads(out)["features"][0]["feature"] == hub
    status, out, _ = run("show", saved, "--sample", 5, "--seed", 2, "--stage", "mutual", "--out", tmp_path / "g.csv")
    assert (status, out) == (0, f"5 pairs to grade are in {tmp_path / 'g.csv'}\n")
    with open(tmp_path / "g.csv", encoding="utf-8", newline="") as file:
        ids = [(int(row["feature_a"]), row["stage"]) for row in csv.DictReader(file)]
    assert ids == [(p.a.feature, "mutual") for p in showing.sample(cell, 5, 2, "mutual").pairs]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "one of --feature, --pair, --hub, --sample or --stage must be given, got none"),
        (["--feature", "a:1", "--hub", "a:1"], "must be given, got --feature and --hub"),
        (["--feature", "a:1", "--stage", "junk"], "--stage goes alone or with --sample, got it with --feature"),
        (["--feature", "1"], "--feature must be a side and an id, such as a:123, got '1'"),
        (["--hub", "c:1"], "--hub must be a side and an id"),
        (["--pair", "1"], "--pair must be two ids, of A and of B, such as 123,45, got '1'"),
        (["--pair", "1,x"], "--pair must be two ids"),
        (["--stage", "junk", "--out", "x.csv"], "--out needs --sample"),
        (["--sample", "0"], "n must be at least 1, got 0"),
        (["--sample", "1", "--seed", "-1"], "seed must be at least 0, got -1"),
        (["--sample", "1", "--out", "x.pdf"], "path must end in .csv or .html, got x.pdf"),
    ],
)
def test_bad_input_is_one_sentence(run, saved, options, said):
    status, out, err = run("show", saved, *options)
    assert (status, out) == (2, "")
    assert err.startswith("analogue: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_grid_names_its_cells(run, demo, tmp_path):
    demo.save(tmp_path / "grid", activations=False)
    status, _, err = run("show", tmp_path / "grid", "--feature", "a:1")
    assert status == 2
    assert "grid/cells/layers.2--layers.3, " in err
    status, out, _ = run("show", tmp_path / "grid" / "control", "--feature", "a:1")
    assert status == 0
    assert "fires on" not in out  # the activations were not saved
