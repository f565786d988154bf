"""Grids: every site of one model against every site of another, each model reading the text once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .activations import FeatureActivations
from .capture import capture
from .compare import Comparison, Progress, Settings, compare_spaces
from .corpus import Corpus
from .files import write_json
from .labels import top_contexts
from .runs import GRID_FORMAT, MANIFEST, new_run, open_run, seal, versions
from .sides import Side
from .spaces import FeatureSpace, relocated


@dataclass(frozen=True, eq=False)
class Grid:
    """Comparisons of all pairs of sites of two models.

    Attributes
    ----------
    cells : dict of (site_a, site_b) to Comparison
    control : Comparison or None
        The same comparison against a model that should share nothing, a never-trained one for instance.
    provenance : mapping
        Models, dictionaries and text with their SHA-256, tokens kept and masked.
    """

    cells: dict[tuple[str, str], Comparison]
    control: Comparison | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def records(self) -> list[dict[str, Any]]:
        """Return one record for each cell and measure, the control's last; the rows of ``grid.parquet``."""
        comparisons = [("cell", cell) for cell in self.cells.values()]
        if self.control is not None:
            comparisons.append(("control", self.control))
        names = ("pairs", "mean_correlation", "mean_correlation_given_token", "share_given_token_above_0.1")
        return [
            {
                "role": role,
                "site_a": comparison.spaces["a"].site,
                "site_b": comparison.spaces["b"].site,
                **{name: comparison.summary[name] for name in names},
                **score,
            }
            for role, comparison in comparisons
            for score in comparison.to_dict()["scores"]
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return cells and control as plain JSON values."""
        return {
            "cells": [cell.to_dict() for cell in self.cells.values()],
            "control": None if self.control is None else self.control.to_dict(),
        }

    def save(self, directory: str | Path, *, overwrite: bool = False, activations: bool = True) -> None:
        """Write a grid folder, whole or not at all; `analogue.report.save` adds the figures."""
        with new_run(directory, overwrite=overwrite) as folder:
            self.write_into(folder, activations=activations)

    def write_into(self, folder: Path, *, activations: bool = True) -> None:
        """Write ``sites``, ``cells``, ``control``, ``grid.parquet`` and the manifest into an empty folder."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        stores = {}
        for (side, site), space in self._spaces().items():
            place = folder / "sites" / f"{side.upper()}--{site}"
            place.mkdir(parents=True)
            stores[side, site] = space.write(place, "labels.parquet", "activations" if activations else None)
        for (site_a, site_b), cell in self.cells.items():
            place = folder / "cells" / f"{site_a}--{site_b}"
            place.mkdir(parents=True)
            sites = {"a": site_a, "b": site_b}
            cell.write_cell(
                place,
                {s: relocated(stores[s, site], f"../../sites/{s.upper()}--{site}") for s, site in sites.items()},
            )
            seal(place)
        if self.control is not None:
            place = folder / "control"
            place.mkdir()
            self.control.write_into(place, activations=activations)
            seal(place)
        pq.write_table(pa.Table.from_pylist(self.records()), folder / "grid.parquet")
        manifest = {
            "format": GRID_FORMAT,
            "versions": versions(),
            "cells": [list(sites) for sites in self.cells],
            "control": self.control is not None,
            **self.provenance,
        }
        write_json(folder / MANIFEST, manifest)

    def _spaces(self) -> dict[tuple[str, str], FeatureSpace]:
        return {(side, space.site): space for cell in self.cells.values() for side, space in cell.spaces.items()}

    @classmethod
    def load(cls, directory: str | Path) -> Grid:
        """Read a grid folder back."""
        folder = Path(directory)
        manifest = open_run(folder)
        own = {"format", "versions", "cells", "control", "files"}
        return cls(
            cells={(a, b): Comparison.load(folder / "cells" / f"{a}--{b}") for a, b in manifest["cells"]},
            control=Comparison.load(folder / "control") if manifest["control"] else None,
            provenance={name: value for name, value in manifest.items() if name not in own},
        )


def load_comparison(directory: str | Path) -> Comparison | Grid:
    """Read a run folder: a `Comparison`, or a `Grid` when it holds several sites.

    Raises
    ------
    FileNotFoundError
        If there is no run, or one of its files is missing.
    ValueError
        If a file is not the one that was written.
    """
    return Grid.load(directory) if open_run(directory)["format"] == GRID_FORMAT else Comparison.load(directory)


def compare(
    side_a: Side,
    side_b: Side,
    corpus: Corpus,
    settings: Settings | None = None,
    *,
    control: Side | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    arguments: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Comparison | Grid:
    """Compare two models on one text; each reads it once, whatever the number of sites.

    Parameters
    ----------
    side_a, side_b : Side
        Models that share the corpus's tokenizer, with dictionaries at one or more sites.
    corpus : Corpus
        The text.
    settings : Settings, optional
        Pairing rule, filters, measures and null.
    control : Side, optional
        A model that should share nothing with side B; its first site is compared with side B's first.
    batch_size, device
        See `capture`.
    arguments : mapping, optional
        What to record as the arguments of the run.
    progress : callable, optional
        Called with a stage's name, what is done and the total.

    Returns
    -------
    Comparison or Grid
        A Grid when a side has several sites or there is a control.
    """
    sides = {"a": side_a, "b": side_b} | ({} if control is None else {"control": control})
    spaces = {key: _spaces(side, corpus, batch_size, device, f"model {key}", progress) for key, side in sides.items()}
    provenance = {"arguments": dict(arguments or {}), **_provenance(sides, corpus)}
    cells = {}
    for space_a in spaces["a"]:
        for space_b in spaces["b"]:
            cell = compare_spaces(space_a, space_b, settings, provenance=provenance, progress=progress)
            cells[space_a.site, space_b.site] = cell
    if control is not None:
        held = compare_spaces(spaces["control"][0], spaces["b"][0], settings, provenance=provenance, progress=progress)
        return Grid(cells, held, provenance)
    return Grid(cells, None, provenance) if len(cells) > 1 else next(iter(cells.values()))


def _spaces(
    side: Side, corpus: Corpus, batch_size: int | None, device: str, stage: str, progress: Progress | None
) -> list[FeatureSpace]:
    captured: dict[str, FeatureActivations] = capture(
        side.model,
        corpus,
        side.dictionaries,
        batch_size=batch_size,
        device=device,
        progress=None if progress is None else lambda done, total: progress(stage, done, total),
    )
    spaces = []
    for site, acts in captured.items():
        w_dec = side.dictionaries[site].w_dec
        directions = None if w_dec is None else w_dec.detach().cpu().float().numpy()
        spaces.append(FeatureSpace(site, top_contexts(acts, corpus), acts, directions))
    return spaces


def _provenance(sides: Mapping[str, Side], corpus: Corpus) -> dict[str, Any]:
    return {
        "models": {key: {"name": side.name, "sha256": dict(side.files)} for key, side in sides.items()},
        "dictionaries": {
            key: {
                site: {"path": str(d.path) if d.path else None, "sha256": d.sha256, "n_features": d.n_features}
                for site, d in side.dictionaries.items()
            }
            for key, side in sides.items()
        },
        "text": {
            "names": list(corpus.names),
            "sha256": corpus.sha256,
            "tokens": corpus.n_tokens,
            "kept": corpus.n_kept,
            "masked": corpus.masked,
        },
    }
