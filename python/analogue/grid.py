"""Grids: every site of one model against every site of another, each model reading the text once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from . import _checks
from .aligned_corpus import AlignedCorpus
from .capture import capture
from .cells import cell_records, record_schema
from .compare import Progress, compare_spaces
from .comparison import Comparison
from .corpus import Corpus
from .directions import rows_in_common
from .files import write_json
from .inspect import inspect_all
from .labels import top_contexts
from .provenance import run_record
from .runs import GRID_FORMAT, MANIFEST, new_run, open_run, seal, versions
from .settings import Settings, settings_or_default
from .sides import Side
from .spaces import FeatureSpace, relocated

CHECKS = ("stop", "warn", "off")


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

    def __repr__(self) -> str:
        return f"Grid({len(self.cells)} cells{'' if self.control is None else ' and a control'})"

    @property
    def comparisons(self) -> dict[str, Comparison]:
        """Every cell and the control, by the folder it has in the grid's."""
        places = {f"cells/{a}--{b}": cell for (a, b), cell in self.cells.items()}
        return places if self.control is None else places | {"control": self.control}

    def records(self) -> list[dict[str, Any]]:
        """Return the rows of ``grid.parquet``: one a cell and measure, the control's last, see `cell_records`."""
        return cell_records({"cell": self.cells.values(), "control": [] if self.control is None else [self.control]})

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
            self.seal_cells(folder)

    def seal_cells(self, folder: Path) -> None:
        """Add the hashes of their files to the manifests of cells and control, once nothing is added to them."""
        for name in self.comparisons:
            seal(folder / name)

    def write_into(self, folder: Path, *, activations: bool = True) -> None:
        """Write ``sites``, ``cells``, ``control``, ``grid.parquet`` and the manifest into an empty folder.

        Cells are not sealed yet, see `seal_cells`.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        stores = {}
        for (side, site), space in self._spaces().items():
            place = folder / "sites" / f"{side.upper()}--{site}"
            place.mkdir(parents=True)
            stores[side, site] = space.write(place, "labels.parquet", "activations" if activations else None)
        for name, comparison in self.comparisons.items():
            place = folder / name
            place.mkdir(parents=True)
            if comparison is self.control:
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
            "control": self.control is not None,
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
        own = {"format", "versions", "cells", "control", "settings", "stages", "files"}
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
    corpus: Corpus | AlignedCorpus,
    settings: Settings | None = None,
    *,
    check: str = "stop",
    batch_size: int | None = None,
    device: str = "auto",
    arguments: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Comparison | Grid:
    """Compare two models on one text; each reads it once, whatever the number of sites.

    Parameters
    ----------
    side_a, side_b : Side
        Models with dictionaries at one or more sites.
    corpus : Corpus or AlignedCorpus
        The text: read by the tokenizer that both models share, or by two that `align` has aligned.
    settings : Settings, optional
        Pairing rule, filters, measures and null.
    check : {"stop", "warn", "off"}
        What follows where a dictionary seems to be at the wrong site or to be fed with something else than in training,
        see `inspect`: no comparison, a warning, or it is not looked at.
    batch_size, device
        See `capture`.
    arguments : mapping, optional
        What to record as the arguments of the run.
    progress : callable, optional
        Called with a stage's name, what is done and the total.

    Returns
    -------
    Comparison or Grid
        A Grid when a side has several sites.

    Raises
    ------
    ValueError
        If ``check`` is "stop" and `inspect` finds a problem.
    """
    grid = compare_grid(
        side_a,
        side_b,
        corpus,
        settings,
        check=check,
        batch_size=batch_size,
        device=device,
        arguments=arguments,
        progress=progress,
    )
    return grid if len(grid.cells) > 1 else next(iter(grid.cells.values()))


def compare_grid(
    side_a: Side,
    side_b: Side,
    corpus: Corpus | AlignedCorpus,
    settings: Settings | None = None,
    *,
    control: Side | None = None,
    check: str = "stop",
    batch_size: int | None = None,
    device: str = "auto",
    arguments: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Grid:
    """Compare as `compare` does, and a control that should share nothing with side B: its first site with B's first."""
    sides = {"a": side_a, "b": side_b} | ({} if control is None else {"control": control})
    settings = settings_or_default(settings)
    _checks.choice("check", check, CHECKS)
    if settings.by == "directions":
        _refuse_other_spaces([side for key, side in sides.items() if key != "b"], side_b)
    read = {key: corpus.corpus(key) if isinstance(corpus, AlignedCorpus) else corpus for key in sides}
    inspections = {key: _inspected(side, read[key], check, device) for key, side in sides.items()}
    spaces = {key: _spaces(key, side, corpus, settings, batch_size, device, progress) for key, side in sides.items()}
    arguments = arguments or {}

    def compared(key: str, role: str, space_a: FeatureSpace, space_b: FeatureSpace) -> Comparison:
        sites = {"a": space_a.site, "b": space_b.site}
        record = {"role": role} | run_record({"a": sides[key], "b": side_b}, corpus, arguments, sites)
        record["inspections"] = {
            side: inspections[own][sites[side]]
            for side, own in (("a", key), ("b", "b"))
            if sites[side] in inspections[own]
        }
        return compare_spaces(space_a, space_b, settings, device=device, provenance=record, progress=progress)

    role = "cell" if len(spaces["a"]) * len(spaces["b"]) > 1 or control is not None else "run"
    cells = {(a.site, b.site): compared("a", role, a, b) for a in spaces["a"] for b in spaces["b"]}
    held = None if control is None else compared("control", "control", spaces["control"][0], spaces["b"][0])
    return Grid(cells, held, run_record(sides, corpus, arguments) | {"inspections": inspections})


def _inspected(side: Side, corpus: Corpus, check: str, device: str) -> dict[str, dict[str, Any]]:
    """Inspect a side's dictionaries as ``check`` says; return what was found, as plain JSON values."""
    if check == "off":
        return {}
    found = inspect_all(side.model, side.dictionaries, corpus, device=device)
    for site, inspection in found.items():
        for problem in inspection.problems:
            sentence = f"{side.name} {site}: {problem}".strip()
            if check == "stop":
                raise ValueError(f"{sentence}; check=warn goes on all the same")
            warnings.warn(sentence, stacklevel=2)
    return {site: inspection.to_dict() for site, inspection in found.items()}


def _refuse_other_spaces(sides: Sequence[Side], side_b: Side) -> None:
    """Say before anything is captured that directions cannot be compared."""
    for side in sides:
        for (site, dictionary), (site_b, other) in product(side.dictionaries.items(), side_b.dictionaries.items()):
            rows_in_common(dictionary, other, (f"{side.name} {site}".strip(), f"{side_b.name} {site_b}".strip()))


def _spaces(
    key: str,
    side: Side,
    corpus: Corpus | AlignedCorpus,
    settings: Settings,
    batch_size: int | None,
    device: str,
    progress: Progress | None,
) -> list[FeatureSpace]:
    aligned, read = (corpus, corpus.corpus(key)) if isinstance(corpus, AlignedCorpus) else (None, corpus)
    captured = capture(
        side.model,
        read,
        side.dictionaries,
        batch_size=batch_size,
        device=device,
        progress=None if progress is None else lambda done, total: progress(f"model {key}", done, total),
    )
    spaces = []
    for site in side.dictionaries:
        acts = captured.pop(site)
        if aligned is not None:
            acts = aligned.on_units(key, acts)
        dictionary = side.dictionaries[site]
        w_dec = dictionary.w_dec
        directions = None if w_dec is None else w_dec.detach().cpu().float().numpy()
        labels = top_contexts(acts, corpus, **settings.labelling)
        spaces.append(FeatureSpace(site, labels, acts, directions, dictionary=dictionary))
    return spaces
