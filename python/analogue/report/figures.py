"""Figures of a run, as PNG files."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..comparison import Comparison
from ..grid import Grid
from ..nulls import Score
from .layout import beside

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = "#3b6ea8", "#d1702b", "#9aa0a6"
_GREEN, _VIOLET = "#4d8c57", "#8a5fa8"


def draw_comparison(comparison: Comparison, folder: Path) -> None:
    """Draw correlations, many-to-one counts, convergence, and one null histogram for each score that has draws."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(_correlations(comparison), folder / "correlation.png")
    _save(_many_to_one(comparison), folder / "many_to_one.png")
    _save(_by_multiplicity(comparison), folder / "correlation_by_multiplicity.png")
    if comparison.convergence is not None:
        _save(_convergence(comparison, comparison.convergence), folder / "convergence.png")
    for name, score in comparison.scores.items():
        if score.draws is not None and score.observed is not None:
            _save(_null(comparison, score, score.draws, score.observed), folder / f"null_{name}.png")


def draw_grid(grid: Grid, folder: Path) -> None:
    """Draw a site x site heatmap of every measure: observed, and z against its null."""
    folder.mkdir(parents=True, exist_ok=True)
    measures = {name: None for cell in grid.cells.values() for name in cell.scores}
    for measure in measures:
        _save(_heatmap(grid, measure), folder / f"heatmap_{measure}.png")


def _new(columns: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * columns, 3.6), layout="constrained", dpi=130)
    axes = [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(ax: Axes, **style: Any) -> None:
    # Named, not left to the default: matplotlib warns when its default search for a place takes more than a second,
    # which on a busy machine any figure may.
    ax.legend(loc="best", frameon=False, **style)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Software": None})


def _title(comparison: Comparison, *, said: str) -> dict[str, Any]:
    role = beside(comparison.provenance.get("role"))
    sites = f"{role}A {comparison.spaces['a'].site}, B {comparison.spaces['b'].site}"
    return {"label": f"{sites}\n{said}", "fontsize": "medium"}


def _correlations(comparison: Comparison) -> Figure:
    figure, (ax,) = _new()
    pairs = comparison.pairs
    bins = np.linspace(-0.2, 1.0, 61).tolist()
    ax.hist(np.clip(pairs.correlation, -0.2, 1.0), bins=bins, color=_BLUE, alpha=0.75, label="plain")
    if pairs.correlation_given_token is not None:
        given = np.clip(pairs.correlation_given_token, -0.2, 1.0)
        ax.hist(given, bins=bins, color=_ORANGE, alpha=0.75, label="given the token")
    ax.set_title(**_title(comparison, said=f"{len(pairs)} kept pairs"))
    ax.set(xlabel="correlation", ylabel="pairs")
    _legend(ax)
    return figure


def _many_to_one(comparison: Comparison) -> Figure:
    figure, (ax,) = _new()
    for side, other, colour in (("a", "b", _BLUE), ("b", "a", _ORANGE)):
        counts = comparison.matched["many_to_one"][side]
        if counts:
            partners, features = zip(*counts, strict=True)
            label = f"{side.upper()} features chosen by {other.upper()}"
            ax.plot(partners, features, "o-", color=colour, markersize=3, linewidth=1, label=label)
    ax.set_title(**_title(comparison, said="features with the same best partner"))
    ax.set(
        xlabel="features that share one best partner",
        ylabel="partners",
        xscale="log",
        yscale="log",
    )
    if ax.lines:
        _legend(ax)
    return figure


def _by_multiplicity(comparison: Comparison) -> Figure:
    figure, axes = _new(columns=2)
    colours = (_GREY, _BLUE, _GREEN, _ORANGE)
    for ax, side, other in zip(axes, ("a", "b"), ("b", "a"), strict=True):
        for band, colour in zip(comparison.multiplicity[side].to_pylist(), colours, strict=True):
            if band["pairs"]:
                density = np.divide(band["counts"], band["pairs"])
                label = f"{band['band']}: {band['features']} features, {band['pairs']} pairs"
                ax.stairs(density, band["edges"], color=colour, label=label)
        ax.set_title(
            **_title(comparison, said=f"best pairs by how many of {other.upper()} choose one of {side.upper()}")
        )
        ax.set(xlabel="correlation", ylabel="share of the band's pairs", xlim=(-0.2, 1.02))
        if ax.patches:
            ax.set_ylim(0, 1.5 * ax.get_ylim()[1])  # room for the legend
            _legend(ax, fontsize="small")
    return figure


def _convergence(comparison: Comparison, table: pyarrow.Table) -> Figure:
    figure, (left, right) = _new(columns=2)
    columns = table.to_pydict()
    shares = (("mean_correlation", "mean r", _BLUE), ("mean_correlation_given_token", "mean r given token", _ORANGE))
    found = (
        ("found", "share of the final pairs found (1 at the end by definition)", _GREEN),
        ("found_of_candidates", "the same, of those whose features are candidates", _VIOLET),
    )
    for name, label, colour in (*shares, *found):
        left.plot(columns["tokens"], _numbers(columns[name]), "o-", color=colour, markersize=3, label=label)
    left.set_title(**_title(comparison, said=f"pairs: {columns['pairs'][0]} to {columns['pairs'][-1]}"))
    left.set(xlabel="tokens", ylim=(min(0.0, left.get_ylim()[0]), 1.05))
    measures = [name.removesuffix("_z") for name in columns if name.endswith("_z")]
    for measure, colour in zip(measures, cycle((_BLUE, _ORANGE, _GREEN, _VIOLET, _GREY))):
        right.plot(
            columns["tokens"], _numbers(columns[f"{measure}_z"]), "o-", color=colour, markersize=3, label=measure
        )
    right.set(xlabel="tokens", ylabel="z")
    for ax in (left, right):
        if ax.lines:
            _legend(ax, fontsize="small")
    return figure


def _numbers(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def _null(comparison: Comparison, score: Score, draws: NDArray[np.float64], observed: float) -> Figure:
    figure, (ax,) = _new()
    label = f"{score.null} null, {score.permutations} draws"
    if np.ptp(draws) > 1e-9:
        ax.hist(draws, bins=40, color=_GREY, label=label)
    else:  # a saturated measure: all draws are one value, and no bins fit between them
        ax.bar(draws.mean(), len(draws), width=1e-3, color=_GREY, label=label)
    ax.axvline(observed, color=_ORANGE, linewidth=2, label=f"observed {observed:.3f}")
    z = "undefined" if score.z is None else f"{score.z:.1f}"
    sizes = f"n = {score.n}" + ("" if score.kx is None else f", kx = {score.kx}, ky = {score.ky}")
    ax.set_title(**_title(comparison, said=f"{score.measure}: z = {z}, p = {score.p_value:.3g}, {sizes}"))
    ax.set(xlabel=score.measure, ylabel="draws")
    ax.locator_params(axis="x", nbins=6)
    ax.margins(y=0.25)  # room for the legend
    _legend(ax)
    return figure


def _heatmap(grid: Grid, measure: str) -> Figure:
    sites_a = list(dict.fromkeys(a for a, _ in grid.cells))
    sites_b = list(dict.fromkeys(b for _, b in grid.cells))
    figure, axes = _new(columns=2)
    for ax, quantity in zip(axes, ("observed", "z"), strict=True):
        values = np.full((len(sites_a), len(sites_b)), np.nan)
        for (a, b), cell in grid.cells.items():
            value = getattr(cell.scores[measure], quantity)
            values[sites_a.index(a), sites_b.index(b)] = np.nan if value is None else value
        known = np.append(values[np.isfinite(values)], 0.0)  # from 0, so that small differences look small
        image = ax.imshow(values, cmap="viridis", aspect="auto", vmin=known.min(), vmax=known.max())
        middle = (known.min() + known.max()) / 2
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            text = "none" if np.isnan(value) else f"{value:.3f}" if quantity == "observed" else f"{value:.1f}"
            ax.text(column, row, text, ha="center", va="center", color="white" if value <= middle else "black")
        ax.set_xticks(range(len(sites_b)), sites_b)
        ax.set_yticks(range(len(sites_a)), sites_a)
        ax.set(title=f"{measure}: {quantity}", xlabel="site of B", ylabel="site of A")
        figure.colorbar(image, ax=ax)
    return figure
