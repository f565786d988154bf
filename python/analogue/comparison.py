"""Comparison: two feature spaces compared, and how it stands on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import junk
from .files import read_json, write_json
from .labels import Labels
from .nulls import Score
from .pairs import Pairs, Stage
from .robustness import SplitHalf
from .runs import MANIFEST, RUN_FORMAT, checked, new_run, open_run, read_arrays, versions, write_arrays
from .scoring_result import ChosenNull, Scoring
from .settings import Settings
from .spaces import FeatureSpace, Store, paired_rows
from .token_conditional import TokenConditional
from .verdict import Verdict, verdict

if TYPE_CHECKING:
    import pyarrow

_OWN_KEYS = {"format", "versions", "sites", "rows", "metric", "settings", "stages", "features", "stores", "files"}
MATCHED = ("candidates", "mean_best_correlation", "many_to_one", "unique_fraction", "mutual_fraction", "tokens_alone")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two feature spaces compared: the pairs that were kept, the scores, and how they came about.

    Attributes
    ----------
    spaces : dict of {"a", "b"} to FeatureSpace
        What was compared.
    pairs : Pairs
        Kept pairs, with every stage and what it dropped.
    scoring : Scoring
        The null that was chosen, the scores under it, and what else is tested; ``scores``, ``null``, ``rate_adjusted``
        and ``token_null`` are its parts.
    rows : {"decoder", "activations"}
        What was scored: decoder directions, or activations over kept tokens where a side has no decoder.
    directions : dict of {"a", "b"} to ndarray, shape (n, d), or None
        The rows that were scored, in the order of the pairs; None for a run that was saved without the activations
        they are.
    matched : dict
        Before any pairing rule: candidates of either side, their mean correlation with their best partner, and
        how many features are the best partner of how many (``many_to_one``); of all choices of the other side the
        share of different features (``unique_fraction``), and of the own candidates those that their best partner
        chooses (``mutual_fraction``).
    hubs, multiplicity : dict of {"a", "b"} to pyarrow.Table
        Before any rule: the features that most features of the other side choose, and the correlations in bands of
        how many do; see `hubs` and `correlation_by_multiplicity`.
    direction_match : dict or None
        What the two dictionaries share by their directions, see `DirectionMatches.to_dict`; None for pairs that were
        matched by activations.
    split_half : SplitHalf or None
    convergence : pyarrow.Table or None
        Where the settings ask for them.
    settings : Settings
    provenance : mapping
        Models, dictionaries and text with their SHA-256, tokens kept and masked.
    """

    spaces: dict[str, FeatureSpace]
    pairs: Pairs
    scoring: Scoring
    rows: str
    directions: dict[str, NDArray[np.float32]] | None
    matched: dict[str, Any]
    hubs: dict[str, pyarrow.Table]
    multiplicity: dict[str, pyarrow.Table]
    settings: Settings
    direction_match: dict[str, Any] | None = None
    split_half: SplitHalf | None = None
    convergence: pyarrow.Table | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        sites = f"{self.spaces['a'].site} x {self.spaces['b'].site}"
        return f"Comparison({sites}, {len(self.pairs)} pairs, {self.verdict.word or 'no verdict'})"

    @property
    def labels(self) -> tuple[Labels, Labels]:
        """The labels of side A and of side B."""
        return self.spaces["a"].labels, self.spaces["b"].labels

    @property
    def scores(self) -> dict[str, Score]:
        """The score of every measure."""
        return self.scoring.scores

    @property
    def null(self) -> ChosenNull:
        """The null of the scores, and why it was taken."""
        return self.scoring.null

    @property
    def rate_adjusted(self) -> dict[str, Score]:
        """Scores with firing rates regressed out, of the measures that a verdict rests on; see `Scoring`."""
        return self.scoring.rate_adjusted

    @property
    def token_null(self) -> TokenConditional | None:
        """Mean r against what the token's identity explains, where the settings ask for it."""
        return self.scoring.token_null

    @property
    def matched_by(self) -> str:
        """What partners were ranked by, in words: "r", "r given the token", "cosine", "decoder cosine", ..."""
        if self.settings.given is not None:
            return f"r given the {self.settings.given}"
        return "r" if self.pairs.metric == "pearson" else self.pairs.metric

    @property
    def alignment(self) -> dict[str, Any] | None:
        """How much of the text two tokenizers have in common, see `AlignedCorpus.report`; None with one tokenizer."""
        found: dict[str, Any] | None = self.provenance.get("text", {}).get("alignment")
        return found

    @property
    def caveat(self) -> str | None:
        """One sentence where the null does not hold for these pairs or cannot say much, whatever the scores."""
        return self._circular or self.null.caveat

    @property
    def _circular(self) -> str | None:
        if self.rows == "activations":
            return "pairs were chosen by the correlation of the very rows that are scored, so p is no evidence"
        if self.settings.by == "directions":
            return "pairs were chosen by the cosine of the very decoder rows that are scored, so p is no evidence"
        return None

    @property
    def verdict(self) -> Verdict:
        """What the scores say together, see `verdict`; none where the pairs were chosen by the rows that are scored."""
        return verdict(self.scores) if self._circular is None else Verdict(None, self._circular)

    @property
    def summary(self) -> dict[str, Any]:
        """Pairs kept, their mean correlation plain and given the token, and what stood before the filters.

        ``mean_value`` is the mean of what they were matched by, None where that is the plain correlation.
        ``share_given_token_above_0.1`` is 1 by the filter where the correlation band acts on r given the token.
        """
        value = self.pairs.value if len(self.pairs) else None
        given = self.pairs.correlation_given_token if len(self.pairs) else None
        optimum = next((stage["optimum"] for stage in self._stages if stage["optimum"]), None)
        return {
            "pairs": len(self.pairs),
            "mean_correlation": self.pairs.counts.mean_correlation,
            "mean_correlation_given_token": None if given is None else float(given.mean()),
            "mean_value": None if value is None else float(value.mean()),
            "share_given_token_above_0.1": None if given is None else float((given > 0.1).mean()),
            **self.matched,
            "alignment": self.alignment,
            "assignment": optimum,
            "directions": self.direction_match,
            "split_half": None if self.split_half is None else asdict(self.split_half),
            **self.scoring.summary(),
            "verdict": self.verdict.to_dict(),
        }

    @cached_property
    def junk_tables(self) -> dict[str, pyarrow.Table]:
        """What there is of junk among the pairs, see `junk.tables`."""
        stage = self.settings.filters_by_stage(*self.labels).get("junk")
        name = None if stage is None else stage[0].name
        return junk.tables(self.pairs, *self.labels, self.settings.junk, self.settings.junk_list, stage=name)

    @property
    def _stages(self) -> list[dict[str, Any]]:
        return [stage.to_dict() for stage in self.pairs.stages]

    def to_dict(self) -> dict[str, Any]:
        """Return sites, summary, stages, scores (the rate-adjusted last), junk and convergence as plain JSON values."""
        return {
            "sites": {side: space.site for side, space in self.spaces.items()},
            "summary": self.summary,
            "stages": self._stages,
            "scores": self.score_records(self.scores) + self.score_records(self.rate_adjusted),
            "junk_by_correlation": self.junk_tables["junk_by_correlation"].to_pylist(),
            "convergence": None if self.convergence is None else self.convergence.to_pylist(),
        }

    def score_records(self, scores: Mapping[str, Score]) -> list[dict[str, Any]]:
        """Return scores of these pairs as plain JSON values, with what the pairs and the rows were."""
        beyond = "share_given_token_above_0.1"
        kind: dict[str, Any] = {"pairs_kind": self.settings.pairs, "rows": self.rows, "null_reason": self.null.reason}
        kind |= {"caveat": self.caveat, beyond: self.summary[beyond]}
        return [kind | score.to_dict() for score in scores.values()]

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
        """Write the run into an empty folder, with labels, (if wanted) activations, and dictionaries trained for it."""
        stores = {
            side: space.write(
                folder, f"labels_{side}.parquet", f"activations_{side}" if activations else None, f"dictionary_{side}"
            )
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
        for side in self.spaces:
            pq.write_table(self.hubs[side], folder / f"hubs_{side}.parquet")
            pq.write_table(self.multiplicity[side], folder / f"multiplicity_{side}.parquet")
        for name, junk_table in self.junk_tables.items():
            pq.write_table(junk_table, folder / f"{name}.parquet")
        if self.convergence is not None:
            pq.write_table(self.convergence, folder / "convergence.parquet")
        write_arrays(folder / "nulls.npz", self.scoring.draws())
        if self.rows == "decoder" and self.directions is not None:
            write_arrays(folder / "directions.npz", self.directions)
        manifest = {
            "format": RUN_FORMAT,
            "versions": versions(),
            "sites": content["sites"],
            "rows": self.rows,
            "metric": self.pairs.metric,
            "settings": self.settings.to_dict(),
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
        stages = [Stage.from_dict(stage) for stage in manifest["stages"]]
        settings = Settings.from_dict(manifest["settings"])

        def table(name: str) -> pyarrow.Table:
            return pq.read_table(checked(folder, f"{name}.parquet", manifest))

        draws = read_arrays(checked(folder, "nulls.npz", manifest))
        scores = read_json(checked(folder, "scores.json", manifest))
        summary = read_json(checked(folder, "summary.json", manifest))
        spaces = {
            side: FeatureSpace.read(folder, site, manifest["stores"][side], manifest["features"][side])
            for side, site in manifest["sites"].items()
        }
        widths = (manifest["features"]["a"], manifest["features"]["b"])
        pairs = Pairs.from_arrow(table("pairs"), stages, manifest["metric"], widths)
        directions = None
        if manifest["rows"] == "decoder":
            directions = read_arrays(checked(folder, "directions.npz", manifest))
        elif all(space.activations is not None for space in spaces.values()):
            directions = paired_rows(spaces, pairs, "activations")
        return cls(
            spaces=spaces,
            pairs=pairs,
            scoring=Scoring.from_saved(scores, summary, draws),
            rows=manifest["rows"],
            directions=directions,
            matched={name: summary[name] for name in MATCHED},
            hubs={side: table(f"hubs_{side}") for side in spaces},
            multiplicity={side: table(f"multiplicity_{side}") for side in spaces},
            split_half=None if summary["split_half"] is None else SplitHalf(**summary["split_half"]),
            convergence=table("convergence") if settings.convergence else None,
            settings=settings,
            direction_match=summary["directions"],
            provenance={name: value for name, value in manifest.items() if name not in _OWN_KEYS},
        )
