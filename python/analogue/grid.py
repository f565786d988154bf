"""Grids: every site of one model against every site of another, each model reading the text once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cells import cell_records, record_schema
from .comparison import Comparison
from .files import write_json
from .runs import GRID_FORMAT, MANIFEST, new_run, open_run, seal, versions
from .spaces import FeatureSpace, relocated


@dataclass(frozen=True, eq=False)
class Grid:
    """Comparisons of all pairs of sites of two models.

    Attributes
    ----------
    cells : dict of (site_a, site_b) to Comparison
    controls : dict of str to Comparison
        What stands beside the cells, by name: "control" is a comparison with a model that should share nothing, a
        never-trained one for instance; for the others see `Baseline`.
    provenance : mapping
        Models, dictionaries and text with their SHA-256, tokens kept and masked.
    """

    cells: dict[tuple[str, str], Comparison]
    controls: Mapping[str, Comparison] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        beside = f" and {', '.join(self.controls)}" if self.controls else ""
        return f"Grid({len(self.cells)} cells{beside})"

    @property
    def control(self) -> Comparison | None:
        """The comparison with a model that should share nothing, where there is one."""
        return self.controls.get("control")

    @property
    def comparisons(self) -> dict[str, Comparison]:
        """Every cell and control, by the folder it has in the grid's."""
        places = {f"cells/{a}--{b}": cell for (a, b), cell in self.cells.items()}
        return places | {_folder(name): control for name, control in self.controls.items()}

    def records(self) -> list[dict[str, Any]]:
        """Return the rows of ``grid.parquet``: one a cell and measure, the controls' last, see `cell_records`."""
        return cell_records({"cell": self.cells.values()} | {name: [each] for name, each in self.controls.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return cells and controls as plain JSON values."""
        return {
            "cells": [cell.to_dict() for cell in self.cells.values()],
            "controls": {name: control.to_dict() for name, control in self.controls.items()},
        }

    def save(self, directory: str | Path, *, overwrite: bool = False, activations: bool = True) -> None:
        """Write a grid folder, whole or not at all; `analogue.report.save` adds the figures."""
        with new_run(directory, overwrite=overwrite) as folder:
            self.write_into(folder, activations=activations)
            self.seal_cells(folder)

    def seal_cells(self, folder: Path) -> None:
        """Add the hashes of their files to the manifests of cells and controls, once nothing is added to them."""
        for name in self.comparisons:
            seal(folder / name)

    def write_into(self, folder: Path, *, activations: bool = True) -> None:
        """Write ``sites``, ``cells``, controls, ``grid.parquet`` and the manifest into an empty folder.

        Cells are not sealed yet, see `seal_cells`.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        stores = {}
        for (side, site), space in self._spaces().items():
            place = folder / "sites" / f"{side.upper()}--{site}"
            place.mkdir(parents=True)
            acts = "activations" if activations else None
            stores[side, site] = space.write(place, "labels.parquet", acts, "dictionary")
        for name, comparison in self.comparisons.items():
            place = folder / name
            place.mkdir(parents=True)
            if comparison in self.controls.values():
                comparison.write_into(place, activations=activations)
            else:
                sites = {side: space.site for side, space in comparison.spaces.items()}
                ways = {s: f"../../sites/{s.upper()}--{site}" for s, site in sites.items()}
                comparison.write_cell(place, {s: relocated(stores[s, site], ways[s]) for s, site in sites.items()})
        pq.write_table(pa.Table.from_pylist(self.records(), record_schema()), folder / "grid.parquet")
        manifest = {
            "format": GRID_FORMAT,
            "versions": versions(),
            "cells": [list(sites) for sites in self.cells],
            "controls": list(self.controls),
            "settings": next(iter(self.cells.values())).settings.to_dict(),
            "stages": {name: comparison.to_dict()["stages"] for name, comparison in self.comparisons.items()},
            **self.provenance,
        }
        write_json(folder / MANIFEST, manifest)

    def _spaces(self) -> dict[tuple[str, str], FeatureSpace]:
        return {(side, space.site): space for cell in self.cells.values() for side, space in cell.spaces.items()}

    @classmethod
    def load(cls, directory: str | Path) -> Grid:
        """Read a grid folder back."""
        folder = Path(directory)
        manifest = open_run(folder, GRID_FORMAT)
        own = {"format", "versions", "cells", "controls", "settings", "stages", "files"}
        return cls(
            cells={(a, b): Comparison.load(folder / "cells" / f"{a}--{b}") for a, b in manifest["cells"]},
            controls={name: Comparison.load(folder / _folder(name)) for name in manifest["controls"]},
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


def _folder(control: str) -> str:
    return control if control == "control" else f"baselines/{control}"
