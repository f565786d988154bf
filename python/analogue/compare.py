"""Compare one pair of feature spaces: match, filter, score, and keep what led there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _checks, filters
from .files import read_json, write_json
from .labels import Labels
from .matching import RULES, Matches, match
from .nulls import NULLS, Score, permutation_test
from .pairs import Counts, Filter, Pairs
from .runs import MANIFEST, RUN_FORMAT, checked, new_run, open_run, read_arrays, versions, write_arrays
from .similarity import MEASURES
from .spaces import FeatureSpace, Store

Progress = Callable[[str, int, int], None]

_OWN_KEYS = {"format", "versions", "sites", "rows", "settings", "stages", "features", "stores", "files"}


@dataclass(frozen=True)
class Settings:
    """What a comparison does between activations and scores; all of it is saved with the result.

    Attributes
    ----------
    pairs : {"mutual", "b_to_a", "a_to_b"}
        The pairing rule.
    one_to_one : {"strict", "best", "first"} or None
        Keep every feature at most once; mutual pairs are one-to-one already.
    min_activations : int
        Tokens a feature must fire on to be a candidate.
    min_correlation, max_correlation : float or None
        The correlation band.
    junk : {"majority", "any", "off"}
        The junk rule, see `filters.junk`.
    null : {"pairing"}
        The null hypothesis, see `permutation_test`.
    measures : tuple of str
        Similarity measures to score.
    permutations, seed : int
        Row permutations drawn, and the seed they come from.
    min_pairs : int
        With fewer pairs there is no score.
    """

    pairs: str = "mutual"
    one_to_one: str | None = None
    min_activations: int = 20
    min_correlation: float | None = 0.1
    max_correlation: float | None = None
    junk: str = "majority"
    null: str = "pairing"
    measures: tuple[str, ...] = ("svcca", "rsa", "cka")
    permutations: int = 1000
    seed: int = 0
    min_pairs: int = 10

    def __post_init__(self) -> None:
        _checks.choice("pairs", self.pairs, RULES)
        _checks.choice("junk", self.junk, (*filters.JUNK_RULES, "off"))
        _checks.choice("null", self.null, NULLS)
        _checks.integer("min_activations", self.min_activations, minimum=1)
        _checks.integer("permutations", self.permutations, minimum=1)
        _checks.integer("seed", self.seed, minimum=0)
        _checks.integer("min_pairs", self.min_pairs, minimum=1)
        for name in ("min_correlation", "max_correlation"):
            _checks.number_or_none(name, getattr(self, name))
        if isinstance(self.measures, str):
            raise TypeError(f"measures must be a tuple of names, got the string {self.measures!r}")
        if not self.measures:
            raise ValueError(f"measures must name at least one of {', '.join(MEASURES)}, got none")
        for measure in self.measures:
            _checks.choice("measures", measure, MEASURES)
        filters.correlation(self.min_correlation, self.max_correlation)
        if self.one_to_one is not None:
            _checks.choice("one_to_one", self.one_to_one, filters.ONE_TO_ONE)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two feature spaces compared: the pairs that were kept, the scores, and how they came about.

    Attributes
    ----------
    spaces : dict of {"a", "b"} to FeatureSpace
        What was compared.
    pairs : Pairs
        Kept pairs, with every stage and what it dropped.
    scores : dict of str to Score
        By measure.
    rows : {"decoder", "activations"}
        What was scored: decoder directions, or activations over kept tokens where a side has no decoder.
    directions : dict of {"a", "b"} to ndarray, shape (n, d), or None
        The rows that were scored, in the order of the pairs; None for a run that was saved without the activations
        they are.
    matched : dict
        Before any pairing rule: candidates of either side, their mean correlation with their best partner, and
        how many features are the best partner of how many (``many_to_one``).
    settings : Settings
    provenance : mapping
        Models, dictionaries and text with their SHA-256, tokens kept and masked.
    """

    spaces: dict[str, FeatureSpace]
    pairs: Pairs
    scores: dict[str, Score]
    rows: str
    directions: dict[str, NDArray[np.float32]] | None
    matched: dict[str, Any]
    settings: Settings
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[Labels, Labels]:
        """The labels of side A and of side B."""
        return self.spaces["a"].labels, self.spaces["b"].labels

    @property
    def caveat(self) -> str | None:
        """One sentence where the pairing null does not hold for these pairs, whatever the scores, else None."""
        if self.rows == "activations":
            return "pairs were chosen by the correlation of the very rows that are scored, so p is no evidence"
        most = self.pairs.counts.highest_multiplicity
        if most > 1:
            return (
                f"a feature stands in up to {most} pairs, and the {self.settings.null} null does not hold for repeats"
            )
        return None

    @property
    def summary(self) -> dict[str, Any]:
        """Pairs kept, their mean correlation plain and given the token, and what stood before the filters."""
        given = self.pairs.correlation_given_token if len(self.pairs) else None
        return {
            "pairs": len(self.pairs),
            "mean_correlation": self.pairs.counts.mean_correlation,
            "mean_correlation_given_token": None if given is None else float(given.mean()),
            "share_given_token_above_0.1": None if given is None else float((given > 0.1).mean()),
            **self.matched,
            "verdict": None,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return sites, summary, row counters and scores as plain JSON values."""
        kind = {"pairs_kind": self.settings.pairs, "rows": self.rows, "note": self.caveat}
        return {
            "sites": {side: space.site for side, space in self.spaces.items()},
            "summary": self.summary,
            "stages": [{"name": stage.name, **stage.counts._asdict()} for stage in self.pairs.stages],
            "scores": [kind | score.to_dict() for score in self.scores.values()],
        }

    def save(self, directory: str | Path, *, overwrite: bool = False, activations: bool = True) -> None:
        """Write a run folder, whole or not at all; `analogue.report.save` adds the figures.

        Parameters
        ----------
        directory : path
            The folder to make.
        overwrite : bool
            Replace a run that stands there.
        activations : bool
            Save the activations too; without them the run cannot be matched again.

        Raises
        ------
        FileExistsError
            If ``directory`` exists and ``overwrite`` is false.
        """
        with new_run(directory, overwrite=overwrite) as folder:
            self.write_into(folder, activations=activations)

    def write_into(self, folder: Path, *, activations: bool = True) -> None:
        """Write the run into an empty folder, with labels and (if wanted) activations of both sides."""
        stores = {
            side: space.write(folder, f"labels_{side}.parquet", f"activations_{side}" if activations else None)
            for side, space in self.spaces.items()
        }
        self.write_cell(folder, stores)

    def write_cell(self, folder: Path, stores: Mapping[str, Store]) -> None:
        """Write the run's own files; ``stores`` says where labels and activations stand, seen from ``folder``."""
        import pyarrow.parquet as pq

        content = self.to_dict()
        table = self.pairs.to_arrow()
        for side, space in self.spaces.items():
            features = table[f"feature_{side}"].to_numpy()
            table = table.append_column(f"firing_rate_{side}", [space.firing_rates()[features]])
            table = table.append_column(f"label_{side}", [[space.labels.tokens(f) for f in features.tolist()]])
        pq.write_table(table, folder / "pairs.parquet")
        write_json(folder / "scores.json", content["scores"])
        write_json(folder / "summary.json", content["summary"])
        write_arrays(folder / "nulls.npz", {name: s.draws for name, s in self.scores.items() if s.draws is not None})
        if self.rows == "decoder" and self.directions is not None:
            write_arrays(folder / "directions.npz", self.directions)
        manifest = {
            "format": RUN_FORMAT,
            "versions": versions(),
            "sites": content["sites"],
            "rows": self.rows,
            "settings": asdict(self.settings),
            "stages": content["stages"],
            "features": {side: space.labels.n_features for side, space in self.spaces.items()},
            "stores": stores,
            **self.provenance,
        }
        write_json(folder / MANIFEST, manifest)

    @classmethod
    def load(cls, directory: str | Path) -> Comparison:
        """Read a run folder back; every file that is read is compared with its hash in the manifest."""
        import pyarrow.parquet as pq

        folder = Path(directory)
        manifest = open_run(folder, RUN_FORMAT)
        counters = [(stage.pop("name"), Counts(**stage)) for stage in manifest["stages"]]
        draws = read_arrays(checked(folder, "nulls.npz", manifest))
        stored = read_json(checked(folder, "scores.json", manifest))
        summary = read_json(checked(folder, "summary.json", manifest))
        spaces = {
            side: FeatureSpace.read(folder, site, manifest["stores"][side], manifest["features"][side])
            for side, site in manifest["sites"].items()
        }
        pairs = Pairs.from_arrow(pq.read_table(checked(folder, "pairs.parquet", manifest)), counters)
        directions = None
        if manifest["rows"] == "decoder":
            directions = read_arrays(checked(folder, "directions.npz", manifest))
        elif all(space.activations is not None for space in spaces.values()):
            directions = _rows(spaces, pairs, "activations")
        return cls(
            spaces=spaces,
            pairs=pairs,
            scores={s["measure"]: Score.from_dict(s, draws=draws.get(s["measure"])) for s in stored},
            rows=manifest["rows"],
            directions=directions,
            matched={name: summary[name] for name in ("candidates", "mean_best_correlation", "many_to_one")},
            settings=Settings(**manifest["settings"] | {"measures": tuple(manifest["settings"]["measures"])}),
            provenance={name: value for name, value in manifest.items() if name not in _OWN_KEYS},
        )


def compare_spaces(
    a: FeatureSpace,
    b: FeatureSpace,
    settings: Settings | None = None,
    *,
    device: str = "auto",
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two feature spaces that were captured on the same tokens.

    The stages are, in this order: candidates, pairing rule, one-to-one, correlation band, junk, score.
    """
    settings = settings or Settings()
    matches = match(
        a.recorded_activations(),
        b.recorded_activations(),
        min_activations=settings.min_activations,
        device=device,
    )
    spaces = {"a": a, "b": b}
    pairs = matches.pairs(settings.pairs).filter(*_stages(a, b, settings))
    rows = "decoder" if a.has_decoder and b.has_decoder else "activations"
    directions = _rows(spaces, pairs, rows)
    scores = permutation_test(
        directions["a"],
        directions["b"],
        measures=settings.measures,
        null=settings.null,
        permutations=settings.permutations,
        seed=settings.seed,
        min_pairs=settings.min_pairs,
        progress=None if progress is None else lambda done, total: progress("permutations", done, total),
    )
    return Comparison(
        spaces=spaces,
        pairs=pairs,
        scores=scores,
        rows=rows,
        directions=directions,
        matched=_matched(matches),
        settings=settings,
        provenance=provenance or {},
    )


def _rows(spaces: Mapping[str, FeatureSpace], pairs: Pairs, kind: str) -> dict[str, NDArray[np.float32]]:
    return {side: spaces[side].score_rows(getattr(pairs, f"feature_{side}"), kind) for side in ("a", "b")}


def _stages(a: FeatureSpace, b: FeatureSpace, settings: Settings) -> list[Filter]:
    stages = []
    if settings.one_to_one is not None:
        stages.append(filters.one_to_one(settings.one_to_one))
    if settings.min_correlation is not None or settings.max_correlation is not None:
        stages.append(filters.correlation(settings.min_correlation, settings.max_correlation))
    if settings.junk != "off":
        stages.append(filters.junk(a.labels, b.labels, settings.junk))
    return stages


def _matched(matches: Matches) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {"candidates": {}, "mean_best_correlation": {}, "many_to_one": {}}
    for side, other, best, correlation in (
        ("a", "b", matches.best_b, matches.corr_b),
        ("b", "a", matches.best_a, matches.corr_a),
    ):
        chosen = best >= 0
        partners_of, features = np.unique(np.unique(best[chosen], return_counts=True)[1], return_counts=True)
        found["candidates"][side] = int(chosen.sum())
        found["mean_best_correlation"][side] = float(correlation[chosen].mean()) if chosen.any() else None
        found["many_to_one"][other] = [[int(m), int(n)] for m, n in zip(partners_of, features, strict=True)]
    return found
