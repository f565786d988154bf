"""Explanations: descriptions of features from elsewhere, by feature id, searched as labels are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import _checks
from .explanation_files import Record, read_records
from .labels import Labels

_ALPHA = 0.05


class Description(NamedTuple):
    """What one explainer wrote about a feature."""

    text: str
    explainer: str | None
    """The model or person; None where the file does not say."""
    score: float | None
    """As the file has it; of delphi the balanced accuracy of detection, or of fuzzing where there is no other."""


class Agreement(NamedTuple):
    """How many features have an explanation with one of their own top words in it, see `Explanations.agreement`."""

    share: float
    """Of the features that have both."""
    chance: float
    """The mean share when the explanations are dealt out to these features at random."""
    p_value: float
    """(1 + deals with at least that share) / (1 + deals)."""
    features: int
    """Features with both."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanations:
    """Descriptions of the features of one dictionary, written elsewhere; `load_explanations` reads them.

    ``explanations[7]`` are those of feature 7, the newest first. The concept search takes explanations wherever it
    takes labels.

    Attributes
    ----------
    descriptions : tuple of tuple of Description, length F
        Empty for a feature without any.
    source : str or None
        The dictionary as the file names it: Neuronpedia's source id, delphi's module.
    blank : int
        Blank texts that were passed over.
    """

    descriptions: tuple[tuple[Description, ...], ...]
    source: str | None = None
    blank: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "descriptions", tuple(map(tuple, self.descriptions)))
        for feature, own in enumerate(self.descriptions):
            for found in own:
                if not isinstance(found, Description) or not isinstance(found.text, str):
                    raise TypeError(f"descriptions of feature {feature} must be Description objects, got {found!r:.80}")
                if not found.text.strip():
                    raise ValueError(f"descriptions of feature {feature} must not be blank, got {found.text!r}")

    @property
    def n_features(self) -> int:
        """F, the full width of the dictionary."""
        return len(self.descriptions)

    @property
    def n_explained(self) -> int:
        """Features with a description."""
        return sum(map(bool, self.descriptions))

    def __repr__(self) -> str:
        texts = sum(map(len, self.descriptions))
        return f"Explanations({texts} of {self.n_explained} features, {self.n_features} in all)"

    def __getitem__(self, feature: int) -> tuple[Description, ...]:
        _checks.integer("feature", feature, minimum=0)
        if feature >= self.n_features:
            raise ValueError(f"feature must be below {self.n_features}, the explained width, got {feature}")
        return self.descriptions[feature]

    def labels(self) -> Labels:
        """Return the descriptions as labels, one row each: the whole text stands where the token does.

        So every word of a text is one that the label is about: for `keyword_hits` "word" and "window" are the same,
        "phrase" works as ever, and "token" asks for a text that is the keyword and no more. Of a text there are no
        activation (1 stands for it), document or position (-1), and no top token: no feature has siblings by these.
        """
        return self._labels

    @cached_property
    def _labels(self) -> Labels:
        texts = [description.text for own in self.descriptions for description in own]
        rows, nowhere = len(texts), np.full(len(texts), -1, dtype=np.int64)
        return Labels(
            np.cumsum([0, *map(len, self.descriptions)], dtype=np.int64),
            np.ones(rows, dtype=np.float32),
            texts,
            [""] * rows,
            [""] * rows,
            nowhere,
            nowhere,
            [None] * self.n_features,
        )

    def agreement(self, labels: Labels, *, shuffles: int = 99, seed: int = 0) -> Agreement:
        """Say how many features have a word of their own top tokens in an explanation, and how many would by chance.

        Explanations go with a dictionary by feature id alone, so those of another one of the same width fit as well:
        their words agree no more often than shuffled ones. A warning says so when p is above 0.05.

        Parameters
        ----------
        labels : Labels
            Of the features themselves, such as from `top_contexts`; words are those of `Labels.words`.
        shuffles : int
            Deals of the explanations to the features that have both, at random.
        seed : int

        Raises
        ------
        TypeError, ValueError
            If these are no labels, or of another width, or no feature has both.
        """
        from scipy.sparse import csr_array

        if not isinstance(labels, Labels):
            raise TypeError(f"labels must be Labels, got {type(labels).__name__}")
        if labels.n_features != self.n_features:
            raise ValueError(f"labels must be of {self.n_features} features, as are these, got {labels.n_features}")
        _checks.integer("shuffles", shuffles, minimum=1)
        sides = [(self.labels().words(feature), labels.words(feature)) for feature in range(self.n_features)]
        both = [pair for pair in sides if all(pair)]
        if not both:
            raise ValueError("labels must share a feature that has words with the explanations, got none")
        ids: dict[str, int] = {}
        columns: tuple[list[int], list[int]] = ([], [])
        for pair in both:
            for found, words in zip(columns, pair, strict=True):
                found.extend(ids.setdefault(word, len(ids)) for word in words)
        texts, tops = (
            csr_array(
                (np.ones(len(found)), found, np.cumsum([0, *(len(pair[side]) for pair in both)])), (len(both), len(ids))
            )
            for side, found in enumerate(columns)
        )

        def share_of(order: Any) -> float:
            return float((texts[order].multiply(tops).sum(axis=1) > 0).mean())

        rng = np.random.default_rng(seed)
        observed = share_of(np.arange(len(both)))
        dealt = [share_of(rng.permutation(len(both))) for _ in range(shuffles)]
        reached = sum(value >= observed for value in dealt)
        agreement = Agreement(observed, float(np.mean(dealt)), (1 + reached) / (1 + shuffles), len(both))
        if agreement.p_value > _ALPHA:
            share, chance = f"{agreement.share:.1%}", f"{agreement.chance:.1%}"
            warnings.warn(
                f"of {agreement.features} explained features {share} have a top word of their own in the text, and "
                f"{chance} when shuffled: the explanations may be of another dictionary",
                stacklevel=2,
            )
        return agreement


def load_explanations(
    path: str | Path, n_features: int, *, feature: str = "feature", text: str = "text", source: str | None = None
) -> Explanations:
    """Read explanations that others wrote; the format is seen from the files.

    Neuronpedia exports: a file ``batch-N.jsonl.gz``, a folder of them, or a source's folder with one or several
    ``explanations*`` folders; embeddings are passed over line by line. Delphi: a run's folder or its ``explanations``,
    with ``MODULE_latentN.txt`` and the scores beside them. Else a ``.csv``, ``.jsonl`` or ``.json`` file (a list of
    objects) with a column for the feature and one for the text, and perhaps ``explainer`` and ``score``. Any file may
    be zipped by gzip.

    Parameters
    ----------
    path : path
    n_features : int
        F, the width of the dictionary.
    feature, text : str
        The columns of a plain file.
    source : str, optional
        Neuronpedia's source id (``layer``) or delphi's module, where a path holds several; others are left out.

    Returns
    -------
    Explanations
        All texts of a feature, the newest first: by ``createdAt``, and what has none by what stands later. Blank texts
        are passed over and counted.

    Raises
    ------
    FileNotFoundError
        If there is no such path.
    TypeError, ValueError
        One sentence, with file and line: a record without feature or text, a feature that is no integer, a line that
        is no UTF-8 or JSON, a file that is cut short. Likewise if features lie outside 0..F-1, or of several sources
        none was named.
    """
    width = _checks.integer("n_features", n_features, minimum=1)
    for name, value in (("feature", feature), ("text", text)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be the name of a column, got {value!r}")
    if not isinstance(path, str | Path):
        raise TypeError(f"path must be a file or folder, got {type(path).__name__}")
    found: dict[int, list[Record]] = {}
    sources: dict[str | None, None] = {}
    blank = 0
    for record in read_records(Path(path), feature, text):
        sources.setdefault(record.source)
        if source is not None and record.source != source:
            continue
        own = found.setdefault(record.feature, [])
        if record.text:
            own.append(record)
        else:
            blank += 1
    _check_sources(path, source, sources)
    _check_range(path, found, width)
    descriptions = tuple(_newest_first(found.get(number, ())) for number in range(width))
    return Explanations(descriptions, source or next(iter(sources)), blank)


def as_labels(name: str, given: Any) -> Labels:
    """Return labels as they are and explanations as labels; anything else is refused by name."""
    if isinstance(given, Explanations):
        return given.labels()
    if not isinstance(given, Labels):
        raise TypeError(f"{name} must be Labels or Explanations, got {type(given).__name__}")
    return given


def _newest_first(records: Sequence[Record]) -> tuple[Description, ...]:
    ordered = sorted(records, key=lambda record: record.created)[::-1]  # of one time the later in the file is first
    return tuple(Description(record.text, record.explainer, record.score) for record in ordered)


def _check_sources(path: str | Path, source: str | None, sources: dict[str | None, None]) -> None:
    if not sources:
        raise ValueError(f"{path} must hold explanations, got none")
    named = ", ".join(str(name) for name in list(sources)[:5]) + (", ..." if len(sources) > 5 else "")
    if source is not None and source not in sources:
        raise ValueError(f"source must be one of those in {path}, {named}, got {source!r}")
    if source is None and len(sources) > 1:
        raise ValueError(f"{path} holds explanations of {len(sources)} dictionaries ({named}): name one as source")


def _check_range(path: str | Path, features: dict[int, list[Record]], width: int) -> None:
    outside = [number for number in features if not 0 <= number < width]
    if outside:
        raise ValueError(
            f"n_features must be the width of the dictionary that {path} explains, but {len(outside)} of its "
            f"{len(features)} features lie outside 0..{width - 1}: it has {min(features)}..{max(features)}"
        )
