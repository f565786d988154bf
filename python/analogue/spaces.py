"""FeatureSpace: one site of one model, captured and labelled, and how it stands on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activations import FeatureActivations
from .dictionaries import Dictionary, sparsify
from .dictionaries.autoencoder import SparseAutoencoder
from .files import sha256
from .labels import Labels
from .pairs import Pairs

Store = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """The features of one site.

    Attributes
    ----------
    site : str
        Where the activations were taken.
    labels : Labels
        The top tokens of all F features.
    activations : FeatureActivations or None
        F features on T kept tokens; None for a run that was saved without them.
    directions : ndarray of float32, shape (F, d), or None
        Decoder directions; None when the features have none, or when the space was read back from a run.
    has_decoder : bool
        Whether the features have decoder directions, be they here or not.
    dictionary : Dictionary or None
        What the features were read with; None when the space was read back from a run.
    saved_dictionary : Path or None
        Where the dictionary stands in the run's folder that was read back: one that was trained for the run.
    """

    site: str
    labels: Labels
    activations: FeatureActivations | None
    directions: NDArray[np.float32] | None = None
    has_decoder: bool = False
    dictionary: Dictionary | None = None
    saved_dictionary: Path | None = None

    def __post_init__(self) -> None:
        if self.directions is not None:
            object.__setattr__(self, "has_decoder", True)
        widths = {"labels": self.labels.n_features}
        if self.activations is not None:
            widths["activations"] = self.activations.n_features
        if self.directions is not None:
            widths["directions"] = len(self.directions)
        if len(set(widths.values())) > 1:
            got = ", ".join(f"{name} of {width}" for name, width in widths.items())
            raise ValueError(f"a space must have one number of features at {self.site}, got {got}")

    def firing_rates(self) -> NDArray[np.float64]:
        """Return the share of kept tokens every feature fires on, shape (F,)."""
        acts = self.recorded_activations()
        return acts.firing_counts / max(acts.n_tokens, 1)

    def score_rows(self, features: NDArray[np.int64], kind: str) -> NDArray[np.float32]:
        """Return one row a feature: its decoder direction, or its activations over all kept tokens.

        Parameters
        ----------
        features : ndarray of int64, shape (n,)
        kind : {"decoder", "activations"}
        """
        if kind == "activations":
            return self.recorded_activations().dense_columns(features)
        if self.directions is None:
            why = "were not saved with this run: load the dictionary again" if self.has_decoder else "do not exist"
            raise ValueError(f"the decoder directions of {self.site} {why}")
        return self.directions[features]

    def recorded_activations(self) -> FeatureActivations:
        """Return the activations, or say that the run was saved without them."""
        if self.activations is None:
            raise ValueError(f"the activations of {self.site} were not saved with this run (--no-activations)")
        return self.activations

    def loaded_dictionary(self) -> Dictionary:
        """Return the dictionary, or say that the space was read back without it."""
        if self.dictionary is None:
            raise ValueError(f"the dictionary of {self.site} was not saved with this run: load it again")
        return self.dictionary

    def write(self, folder: Path, labels_name: str, activations_name: str | None, dictionary_name: str) -> Store:
        """Write labels, (given a name for them) activations, and a dictionary that stands nowhere else.

        Returns
        -------
        dict
            Where they stand and their SHA-256.
        """
        import pyarrow.parquet as pq

        pq.write_table(self.labels.to_arrow(), folder / labels_name)
        store: dict[str, Any] = {
            "has_decoder": self.has_decoder,
            "labels": {"path": labels_name, "sha256": sha256(folder / labels_name)},
            "activations": None,
        }
        if activations_name is not None:
            (folder / activations_name).mkdir()
            self.recorded_activations().write_into(folder / activations_name)
            digest = sha256(folder / activations_name / "manifest.json")
            store["activations"] = {"path": activations_name, "sha256": digest}
        if self._write_dictionary(folder / dictionary_name / self.site):
            path = f"{dictionary_name}/{self.site}"
            store["dictionary"] = {"path": path, "sha256": sha256(folder / path / sparsify.WEIGHTS)}
            store["dictionary_config"] = {"path": path, "sha256": sha256(folder / path / sparsify.CONFIG)}
        return store

    @classmethod
    def read(cls, folder: Path, site: str, store: Store, n_features: int) -> FeatureSpace:
        """Read back what `write` wrote; ``store`` holds paths relative to ``folder`` and their SHA-256."""
        import pyarrow.parquet as pq

        labels = Labels.from_arrow(pq.read_table(_checked(folder, store["labels"])), n_features)
        activations = None
        if store["activations"] is not None:
            manifest = _checked(folder, store["activations"], "manifest.json")
            activations = FeatureActivations.load(manifest.parent)
        saved = None
        if "dictionary" in store:
            saved = _checked(folder, store["dictionary"], sparsify.WEIGHTS).parent
            _checked(folder, store["dictionary_config"], sparsify.CONFIG)
        return cls(site, labels, activations, has_decoder=store["has_decoder"], saved_dictionary=saved)

    def _write_dictionary(self, place: Path) -> bool:
        """Write the dictionary if it was trained for this run; say whether it was."""
        if self.saved_dictionary is not None:
            import shutil

            shutil.copytree(self.saved_dictionary, place)
        elif isinstance(self.dictionary, SparseAutoencoder) and self.dictionary.format == "trained":
            sparsify.save(self.dictionary, place)
        else:
            return False
        return True


def paired_rows(spaces: Mapping[str, FeatureSpace], pairs: Pairs, kind: str) -> dict[str, NDArray[np.float32]]:
    """Return the rows that pairs are scored on, one a pair; ``kind`` as in `FeatureSpace.score_rows`."""
    return {side: spaces[side].score_rows(getattr(pairs, f"feature_{side}"), kind) for side in ("a", "b")}


def relocated(store: Store, prefix: str) -> Store:
    """Return the store as seen from another folder, from which ``prefix`` leads to it."""
    return {
        name: {**part, "path": f"{prefix}/{part['path']}"} if isinstance(part, dict) else part
        for name, part in store.items()
    }


def _checked(folder: Path, part: Mapping[str, Any], *below: str) -> Path:
    path = folder.joinpath(part["path"], *below)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, though the run in {folder} refers to it")
    if sha256(path) != part["sha256"]:
        raise ValueError(f"{path} was altered or cut short since the run was written: its SHA-256 differs")
    return path
