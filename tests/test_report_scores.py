"""What the tables of scores and verdicts say beside their numbers, on made scores."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analogue.nulls import Score
from analogue.report import figures
from analogue.report.scores import many_cells, scores, verdicts
from analogue.verdict import verdict


def score(name, **fields):
    made = {"n": 100, "permutations": 999, "observed": 0.2, "null_mean": 0.01, "null_std": 0.01, "z": 19.0}
    made |= {"p_value": 0.001, "p_error": 0.001}
    return Score(name, fields.pop("null", "siblings"), fields.pop("method", "permutation"), **made | fields)


def compared(*listed, adjusted=(), caveat=None):
    """A comparison as far as the tables look at it."""
    named = {own.measure: own for own in listed}
    return SimpleNamespace(
        scores=named,
        rate_adjusted={own.measure: own for own in adjusted},
        settings=SimpleNamespace(pairs="mutual"),
        rows="decoder",
        caveat=caveat,
        verdict=verdict(named),
    )


def notes(*listed, **more):
    caption = scores({"A x B": compared(*listed, **more)}).caption
    return [] if caption is None else [line.removeprefix("A x B: ") for line in caption.split("\n")]


def column(table, heading):
    return next(list(column.cells) for column in table.columns if column.header == heading)


def test_scores_without_a_reservation_have_no_note():
    assert notes(score("rsa"), score("cka")) == []


def test_notes_name_their_measures():
    said = notes(
        score("rsa", note="draws of 20 rows"),
        score("cka", note="draws of 20 rows"),
        score("mutual_knn", fallback="there is no closed form"),
        score("procrustes", insufficient="too few pairs", observed=None, p_value=None, p_error=None),
    )
    assert said == [
        "rsa, cka: draws of 20 rows",
        "mutual_knn: permuted (there is no closed form)",
        "procrustes: no score, too few pairs",
    ]


def test_what_is_forced_names_its_measure_once():
    some = score("svcca", kx=60, ky=60, forced_ones=21, saturated=False)
    all_ones = score("svcca_capped", kx=99, ky=40, forced_ones=40, saturated=True)
    assert notes(some, all_ones) == [
        f"svcca: {some.warning}",
        "svcca_capped is 1 for any data: 99 kept directions fill 100 centred rows",
    ]


def test_stopped_draws_leave_a_note():
    said = notes(
        score("rsa", stopped=True, permutations=17, p_value=10 / 17, p_error=0.119),
        score("cka", stopped=True, permutations=40, p_value=0.25, p_error=0.068),
    )
    assert said == ["rsa stopped after 17 draws, p = 0.59 ± 0.12; cka stopped after 40 draws, p = 0.25 ± 0.068"]


@pytest.mark.parametrize(("p", "error", "said"), [(0.045, 0.007, True), (0.03, 0.005, False), (0.07, 0.005, False)])
def test_a_p_that_draws_do_not_tell_from_alpha_is_noted(p, error, said):
    expected = [f"rsa: p = {p:g} ± {error:g}, within two standard errors of 0.05"] if said else []
    assert notes(score("rsa", p_value=p, p_error=error)) == expected


def test_scores_less_rate_stand_below_with_their_rows():
    adjusted = [score(name, n=97, observed=value) for name, value in (("rsa", 0.15), ("cka", 0.1))]
    table = scores({"A x B": compared(score("rsa"), score("cka"), score("svcca"), adjusted=adjusted)})
    assert column(table, "z less\nrate") == ["", "19.0", "19.0", "-"]
    first, last = str(table.caption).split("\n")
    assert first == "A x B: observed less rate, of 97 rows: rsa 0.150, cka 0.100"
    assert "of rsa, mutual_knn and cka only" in last
    none = score("rsa", observed=None, p_value=None, p_error=None, insufficient="too few pairs: 9")
    assert notes(score("rsa"), adjusted=[none])[0] == "rsa: no score less rate, too few pairs: 9"


def test_a_z_that_compares_with_no_other_is_noted():
    assert notes(score("heldout_r2"))[0].startswith("heldout_r2: its null hardly varies")


def test_a_bound_on_p_is_a_bound_in_every_table():
    closed = {"method": "analytic", "p_value": 1e-4, "p_error": None, "permutations": 0}
    made = compared(score("rsa", **closed), score("mutual_knn"), score("cka", **closed))
    assert column(scores({"A x B": made}), "p") == ["", "< 1e-4", "0.001", "< 1e-4"]
    table = verdicts({"A x B": made})
    assert (column(table, "p of rsa"), column(table, "p of mutual_knn")) == (["< 1e-4"], ["0.001"])
    record = score("rsa", **closed).to_dict()
    record |= {"role": "cell", "site_a": "x", "site_b": "y", "p_bh": 2e-4, "p_by": 3e-4, "p_sidak": 2e-4}
    assert column(many_cells(SimpleNamespace(records=lambda: [record])), "p") == ["< 1e-4"]


def test_no_effect_is_shown_under_a_null_on_another_scale():
    own = {"null": "shift, studentised", "method": "draws"}
    made = compared(*(score(name, observed=34.15, **own) for name in ("rsa", "cka")))
    table = verdicts({"A x B": made})
    assert (column(table, "verdict"), column(table, "cka - null")) == (["none"], ["-"])
    assert (column(table, "p of rsa"), column(table, "p of mutual_knn")) == (["0.001"], ["-"])


def test_a_legend_never_warns_of_a_busy_machine(monkeypatch):
    """Matplotlib warns where finding a place for a legend takes over a second, unless it was told how to find it."""
    seconds = iter(range(0, 10_000, 2))
    monkeypatch.setattr("matplotlib.legend.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    draws = np.random.default_rng(0).random(30)
    space = SimpleNamespace(site="layers.2")
    comparison = SimpleNamespace(provenance={}, spaces={"a": space, "b": space})
    FigureCanvasAgg(figures._null(comparison, score("rsa"), draws, 0.2)).draw()
    assert next(seconds) > 0
