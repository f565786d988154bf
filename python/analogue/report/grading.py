"""Grading: pairs to be judged by hand, as a CSV with columns to fill or a page to print."""

from __future__ import annotations

import csv
from html import escape
from pathlib import Path

from ..showing import Context, Shown, ShownFeature, ShownPair
from .layout import printable
from .showing import about, marked, numbers

GRADES = ("same", "related", "different", "junk")
TO_FILL = ("grade", "meaning_a", "meaning_b", "note")
_SIDE = ("feature", "top_token", "contexts", "firing_rate")
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
section { border-top: 1px solid #bbb; padding: .5rem 0 1rem; break-inside: avoid }
h2 { font-size: 1rem; margin: .4rem 0 }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem }
ol { margin: .3rem 0; padding-left: 1.6rem }
mark { background: #ffe08a; padding: 0 1px }
.numbers { color: #666; font-size: .85rem }
label { margin-right: 1rem } input[type=text] { width: 40% }
"""


def write_grading(shown: Shown, path: str | Path, *, overwrite: bool = False) -> None:
    """Write pairs for grading by hand: ``.csv`` or ``.html``, by the name's end.

    The CSV has the columns grade (same, related, different or junk), meaning_a, meaning_b and note to fill. The page
    is one file that loads nothing and runs nothing. In both the text of the corpus is escaped: control characters are
    spelt out, and no cell of the CSV begins like a formula.

    Parameters
    ----------
    shown : Shown
        From `showing.sample`.
    path : path
    overwrite : bool
        Replace a file that stands there, with whatever was filled in.

    Raises
    ------
    FileExistsError
        If there is a file and ``overwrite`` is false.
    ValueError
        If the name ends otherwise, or there are no pairs.
    """
    target = Path(path)
    if target.suffix not in (".csv", ".html"):
        raise ValueError(f"path must end in .csv or .html, got {target}")
    if not shown.pairs:
        raise ValueError("shown must hold a pair at least, got none")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists already; choose another file, or overwrite it with what was filled in")
    if target.suffix == ".html":
        target.write_text(_page(shown), encoding="utf-8")
        return
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        sides = [f"{name}_{side}" for name in _SIDE for side in "ab"]
        writer.writerow(["pair", *TO_FILL, *sides, "correlation", "correlation_given_token", "stage"])
        writer.writerows(_row(place, pair) for place, pair in enumerate(shown.pairs, start=1))


def _row(place: int, pair: ShownPair) -> list[object]:
    cells = [_cells(side) for side in (pair.a, pair.b)]
    sides = [cell[name] for name in _SIDE for cell in cells]
    values = [pair.correlation, pair.correlation_given_token, pair.stage]
    return [place, *[""] * len(TO_FILL), *sides, *("" if value is None else value for value in values)]


def _cells(feature: ShownFeature) -> dict[str, object]:
    """Return the cells of one side; quotes and numbers in front keep spreadsheets from taking text for a formula."""
    return {
        "feature": feature.feature,
        "top_token": "" if feature.top_token is None else f"'{printable(feature.top_token)}'",
        "contexts": "\n".join(f"{rank}. {marked(context)}" for rank, context in enumerate(feature.contexts, start=1)),
        "firing_rate": "" if feature.firing_rate is None else feature.firing_rate,
    }


def _page(shown: Shown) -> str:
    sections = "\n".join(_section(place, pair) for place, pair in enumerate(shown.pairs, start=1))
    title = escape(printable(shown.title))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Pairs to grade</h1>
<p>{title}. Is what the two features fire on (the marked token, in its context) the same?</p>
{sections}
</body>
</html>
"""


def _section(place: int, pair: ShownPair) -> str:
    sides = "\n".join(
        f"<div><h2>{escape(about(side))}</h2><ol>{''.join(map(_item, side.contexts))}</ol></div>"
        for side in (pair.a, pair.b)
    )
    grades = "".join(f'<label><input type="radio" name="grade{place}"> {grade}</label>' for grade in GRADES)
    return f"""<section>
<h2>{place}. A {pair.a.feature}, B {pair.b.feature}</h2>
<div class="sides">
{sides}
</div>
<p>{grades}<label>note <input type="text"></label></p>
<p class="numbers">{escape(numbers(pair))}</p>
</section>"""


def _item(context: Context) -> str:
    left, token, right = (escape(printable(text)) for text in (context.left, context.token, context.right))
    return f"<li><bdi>{left}<mark>{token}</mark>{right}</bdi></li>"
