"""Match the latents of two dictionaries of one space by their decoder and encoder directions, without activations.

One space: two seeds, two widths, two layers of one model, a base model and its fine-tune. What two such dictionaries
share is the skyline against which a match across models is read: two models cannot be expected to agree more than two
trainings on the same activations do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .activations import FeatureActivations
from .dictionaries import Dictionary
from .dictionaries.autoencoder import SparseAutoencoder
from .geometry import Rows, best_assignment, expected_max_cosine, nearest_rows, row_cosines
from .matches import Matches
from .correlations import check_same_tokens
from .ops import correlation_best

ON = ("decoder", "encoder", "both")
MEASURES = ("cosine", "distance")

_RATES = (1e-4, 1e-3, 1e-2, 1e-1)


class PwMcc(NamedTuple):
    """What an assignment reaches, and what none can exceed: the same number up to 8192 latents a side."""

    value: float
    upper_bound: float


@dataclass(frozen=True, eq=False)
class Partners:
    """Every latent's best partner on the other side by one kind of row.

    Attributes
    ----------
    best_a, cosine_a : ndarray of int64 and float64, shape (F_B,) or (F_B, top)
        For every latent of B its best latents of A, best first, and the cosine of the two rows. A latent whose row
        has length 0 is no candidate and has -1 and 0.0.
    best_b, cosine_b : ndarray of int64 and float64, shape (F_A,) or (F_A, top)
        For every latent of A its best latents of B.
    distance_a, distance_b : ndarray of float64, or None
        Squared Euclidean distances of the same pairs, where partners are the nearest rows; infinite for none.
    """

    best_a: NDArray[np.int64]
    cosine_a: NDArray[np.float64]
    best_b: NDArray[np.int64]
    cosine_b: NDArray[np.float64]
    distance_a: NDArray[np.float64] | None = None
    distance_b: NDArray[np.float64] | None = None

    def of(self, side: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the best partner and its cosine for every latent of side "a" or "b"."""
        best, cosine = (self.best_b, self.cosine_b) if side == "a" else (self.best_a, self.cosine_a)
        return (best, cosine) if best.ndim == 1 else (best[:, 0], cosine[:, 0])

    @property
    def mean_cosine(self) -> dict[str, float | None]:
        """Mean cosine of the live latents of "a" and of "b" with their best partners; None where there are none.

        By cosine this is the mean max cosine similarity (MMCS; Sharkey et al. 2022). It rises with the width of the
        other side and falls with d for directions that share nothing: read it beside `expected_max_cosine`.
        """
        means: dict[str, float | None] = {}
        for side in ("a", "b"):
            best, cosine = self.of(side)
            means[side] = float(cosine[best >= 0].mean()) if (best >= 0).any() else None
        return means

    @property
    def same_id(self) -> dict[str, float | None]:
        """Share of the live latents of "a" and of "b" whose best partner carries their own id.

        1 / F by chance. Near 1, the dictionaries started from the same weights (one seed for two sites, a fine-tune),
        and what they share may be what neither has unlearned: nothing about the model follows from it.
        """
        shares: dict[str, float | None] = {}
        for side in ("a", "b"):
            best, _ = self.of(side)
            live = np.flatnonzero(best >= 0)
            shares[side] = float((best[live] == live).mean()) if len(live) else None
        return shares


@dataclass(frozen=True, eq=False)
class DirectionMatches:
    """Two dictionaries of one space matched by their directions.

    Attributes
    ----------
    decoder, encoder : Partners or None
        By decoder rows and by encoder rows; None for the kind that was not asked for.
    threshold : float
        The cosine from which a latent counts as shared.
    measure : {"cosine", "distance"}
        What made a partner the best.
    rows : mapping of str to (ndarray, ndarray) of float32, shapes (F_A, d) and (F_B, d)
        What was matched, by kind of row.
    """

    decoder: Partners | None
    encoder: Partners | None
    threshold: float
    measure: str
    rows: Mapping[str, tuple[Rows, Rows]]

    @property
    def partners(self) -> dict[str, Partners]:
        """The kinds of row that were matched, decoder first."""
        kinds = {"decoder": self.decoder, "encoder": self.encoder}
        return {kind: found for kind, found in kinds.items() if found is not None}

    @property
    def shared(self) -> dict[str, NDArray[np.bool_]]:
        """Which latents of "a", shape (F_A,), and of "b", shape (F_B,), the other side has too.

        A latent is shared when the cosine with its best partner reaches the threshold. Matched on both kinds of row,
        decoder and encoder must name the same partner and both cosines reach it: the rule of Paulo & Belrose (2025),
        who name partners by two optimal assignments where this takes each latent's best. A latent of A may thus be
        shared with one of B that has another partner (a wider dictionary splits features), and the sides may differ.
        """
        masks = {}
        for side in ("a", "b"):
            found = [partners.of(side) for partners in self.partners.values()]
            named = np.stack([best for best, _ in found])
            reach = np.stack([cosine for _, cosine in found]) >= self.threshold
            masks[side] = (named >= 0).all(0) & (named == named[0]).all(0) & reach.all(0)
        return masks

    def pw_mcc(self, on: str | None = None, device: str = "auto") -> PwMcc | None:
        """Return the mean cosine of the one-to-one assignment that makes it largest.

        The pairwise dictionary mean correlation coefficient of Song et al. (2025), with signed cosines: a permuted
        copy has 1. No latent can serve two others, so it lies below the mean max cosine. The mean is over all live
        rows of the side that has fewer; one that is left without a partner of positive cosine counts 0.

        Parameters
        ----------
        on : {"decoder", "encoder"}, optional
            The rows to assign; by default the decoder's where they were matched.
        device : str
            Where candidates are looked for, see `infer_device`.

        Returns
        -------
        PwMcc or None
            None where a side has no live rows.

        Raises
        ------
        ValueError
            If these rows were not matched.
        """
        kind = _checks.choice("on", on or next(iter(self.partners)), self.partners)
        a, b = self.rows[kind]
        n = min(int(rows.any(axis=1).sum()) for rows in (a, b))
        found = best_assignment(a, b, device)
        return PwMcc(found.total / n, found.upper_bound / n) if n else None

    def shared_by_rate(
        self,
        rates_a: FeatureActivations | ArrayLike,
        rates_b: FeatureActivations | ArrayLike,
        edges: Sequence[float] = _RATES,
    ) -> list[dict[str, Any]]:
        """Count shared latents by how often they fire.

        Parameters
        ----------
        rates_a, rates_b : FeatureActivations, or array_like of float, shape (F_A,) and (F_B,)
            Activations of the two dictionaries, or the share of tokens every latent fires on.
        edges : sequence of float
            Where one band ends and the next begins; latents that never fire are a band of their own.

        Returns
        -------
        list of dict
            One for each side and band: ``side``, ``low`` <= rate < ``high`` (both 0: never fires; the last band
            includes 1), ``features``, ``shared``, and ``share`` (None in an empty band).

        Raises
        ------
        ValueError
            If the rates are not one share a latent, or the edges do not rise within 0..1.
        """
        cuts = _checks.array("edges", edges, ndim=1, dtype=np.float64)
        if len(cuts) and ((np.diff(cuts) <= 0).any() or cuts[0] <= 0 or cuts[-1] >= 1):
            raise ValueError(f"edges must rise between 0 and 1, got {cuts.tolist()}")
        bounds = [0.0, 0.0, *cuts.tolist(), 1.0]
        table = []
        for side, given in (("a", rates_a), ("b", rates_b)):
            shared = self.shared[side]
            rates = _rates(f"rates_{side}", given, len(shared))
            band = np.where(rates > 0, 1 + np.searchsorted(cuts, rates, side="right"), 0)
            for place, (low, high) in enumerate(pairwise(bounds)):
                members = band == place
                features, hits = int(members.sum()), int((members & shared).sum())
                share = hits / features if features else None
                count = {"side": side, "low": low, "high": high}
                table.append(count | {"features": features, "shared": hits, "share": share})
        return table

    def to_dict(
        self, rates_a: FeatureActivations | ArrayLike, rates_b: FeatureActivations | ArrayLike
    ) -> dict[str, Any]:
        """Return all figures as plain JSON values, with what chance gives; rates as for `shared_by_rate`."""
        chance = {}
        for kind, rows in self.rows.items():
            live_a, live_b = (int(side.any(axis=1).sum()) for side in rows)
            width = rows[0].shape[1]
            chance[kind] = {"a": expected_max_cosine(live_b, width), "b": expected_max_cosine(live_a, width)}
        assigned = self.pw_mcc()
        return {
            "measure": self.measure,
            "threshold": self.threshold,
            "mean_max_cosine": {kind: found.mean_cosine for kind, found in self.partners.items()},
            "mean_max_cosine_by_chance": chance,
            "same_id": {kind: found.same_id for kind, found in self.partners.items()},
            "pw_mcc": None if assigned is None else assigned._asdict(),
            "shared": {side: float(shared.mean()) for side, shared in self.shared.items()},
            "shared_by_firing_rate": self.shared_by_rate(rates_a, rates_b),
        }

    def matches(self, acts_a: FeatureActivations, acts_b: FeatureActivations) -> Matches:
        """Return the same partners with activations on one text, to choose pairs by any rule of `Matches.pairs`.

        Parameters
        ----------
        acts_a, acts_b : FeatureActivations
            Activations of the two dictionaries on the same tokens. They choose nothing: pairs carry the cosine of
            their decoder rows (or encoder rows, where only these were matched) as ``value``, and how their
            activations correlate as ``correlation``.

        Raises
        ------
        ValueError
            If the activations are not those of dictionaries of these widths, or not on the same tokens.
        """
        kind, found = next(iter(self.partners.items()))
        for name, acts, best in (("acts_a", acts_a, found.best_b), ("acts_b", acts_b, found.best_a)):
            if acts.n_features != len(best):
                raise ValueError(f"{name} must have the dictionary's {len(best)} features, got {acts.n_features}")
        check_same_tokens(acts_a, acts_b)
        return Matches(
            found.best_a, found.cosine_a, found.best_b, found.cosine_b, acts_a, acts_b, metric=f"{kind} cosine"
        )


def rows_in_common(dict_a: Dictionary, dict_b: Dictionary, names: tuple[str, str] = ("dict_a", "dict_b")) -> str:
    """Return the ``on`` that two dictionaries can be matched by: "both", or "decoder" where encoders do not compare.

    Raises
    ------
    ValueError
        If a dictionary has no decoder rows, or theirs differ in width; ``names`` says what to call them.
    """
    (d, e), (other_d, other_e) = (
        tuple(None if rows is None else rows.shape[1] for rows in (given.w_dec, getattr(given, "w_enc", None)))
        for given in (dict_a, dict_b)
    )
    if d is None or other_d is None:
        raise ValueError(f"{names[0] if d is None else names[1]} must have decoder rows to be matched by directions")
    _same_width("decoder", names, d, other_d)
    return "both" if e is not None and e == other_e else "decoder"


def match_directions(
    dict_a: Dictionary,
    dict_b: Dictionary,
    on: str = "decoder",
    top: int = 1,
    threshold: float = 0.7,
    measure: str = "cosine",
    fold_thresholds: bool = False,
    device: str = "auto",
) -> DirectionMatches:
    """Find every latent's best partner in another dictionary of the same space, by its directions.

    Needs no text and no model, only that both dictionaries read and write the same d numbers: two seeds, two widths,
    two layers of one model, a base model and its fine-tune. Cosines are signed: a latent is not negative, so a row and
    its opposite say opposite things. No F_A x F_B matrix is built, and the choice is exact on a CPU: ties go to the
    lowest id.

    How to read it: decoder rows that share nothing still have a mean max cosine of `expected_max_cosine`, 0.3 for
    8192 latents in 128 dimensions, so the shares above the threshold say more than the mean. The share of latents
    that two seeds of one recipe have in common (a third to two thirds in Paulo & Belrose 2025) is what a match across
    two models can be measured by, not 1. Both seeds must be of the start too: dictionaries that began with the same
    random rows keep much of them, see `Partners.same_id`.

    Parameters
    ----------
    dict_a, dict_b : Dictionary
        Dictionaries whose rows have one width d.
    on : {"decoder", "encoder", "both"}
        The rows to match by: what a latent writes, what it reads, or each by itself. ``both`` is the stricter test of
        a shared latent, see `DirectionMatches.shared`.
    top : int
        Partners kept for each latent.
    threshold : float
        The cosine from which a latent counts as shared.
    measure : {"cosine", "distance"}
        ``distance`` takes the nearest row by squared Euclidean distance, with the lengths that rows have when
        features are measured as `Dictionary.encode` gives them. It is the slower: float64 products.
    fold_thresholds : bool
        Fold JumpReLU thresholds into the rows first, as SAE Match does (Balagansky et al. 2025): the lengths of
        rows become comparable between dictionaries. For ``distance`` only: it leaves every direction as it is.
    device : str
        Where the products run: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    DirectionMatches

    Raises
    ------
    TypeError
        If ``dict_a`` or ``dict_b`` is no Dictionary.
    ValueError
        If a dictionary has no rows of the kind asked for, its rows hold NaN or infinities, the widths differ, or
        thresholds are to be folded that are not there or into cosines.
    """
    _checks.choice("on", on, ON)
    _checks.choice("measure", measure, MEASURES)
    top = _checks.integer("top", top, minimum=1)
    _checks.number_or_none("threshold", threshold)
    if threshold is None or not -1 <= threshold <= 1:
        raise ValueError(f"threshold must be a cosine from -1 to 1, got {threshold}")
    if fold_thresholds and measure == "cosine":
        raise ValueError("fold_thresholds changes lengths and no cosine: it needs measure='distance'")
    sides = {"dict_a": dict_a, "dict_b": dict_b}
    rows, found = {}, {}
    for kind in ("decoder", "encoder") if on == "both" else (on,):
        a, b = (_rows(name, side, kind, measure, fold_thresholds) for name, side in sides.items())
        _same_width(kind, ("dict_a", "dict_b"), a.shape[1], b.shape[1])
        rows[kind] = (a, b)
        found[kind] = _partners(a, b, top, measure, device)
    return DirectionMatches(found.get("decoder"), found.get("encoder"), float(threshold), measure, rows)


def _same_width(kind: str, names: tuple[str, str], width_a: int, width_b: int) -> None:
    if width_a != width_b:
        raise ValueError(
            f"{names[0]} and {names[1]} must be of one space, got {kind} rows of width {width_a} and {width_b}"
        )


def _rows(name: str, dictionary: Dictionary, kind: str, measure: str, fold_thresholds: bool) -> Rows:
    """Return the decoder or encoder rows of a dictionary; for distances with the lengths its features go with."""
    if not isinstance(dictionary, Dictionary):
        raise TypeError(f"{name} must be a Dictionary, got {type(dictionary).__name__}")
    given = dictionary
    if fold_thresholds:
        if not isinstance(given, SparseAutoencoder):
            raise ValueError(f"{name} must have thresholds to fold, got a dictionary of {given.format}")
        given = given.fold_thresholds()
    weights = given.w_dec if kind == "decoder" else getattr(given, "w_enc", None)
    if weights is None:
        raise ValueError(f"{name} must have {kind} rows to match by, got a dictionary of {given.format} without them")
    scale = getattr(given, "scale", None)
    if measure == "distance" and scale is not None:
        weights = weights * scale[:, None] if kind == "encoder" else weights / scale.clamp(min=1e-30)[:, None]
    held = weights.detach().cpu().float().numpy()
    return _checks.array(f"{kind} rows of {name}", held, ndim=2, dtype=np.float32)


def _partners(a: Rows, b: Rows, top: int, measure: str, device: str) -> Partners:
    if measure == "cosine":
        best_a, cosine_a, best_b, cosine_b = (
            _first(found, top) for found in correlation_best(a.T, b.T, top=top, metric="cosine", device=device)
        )
        return Partners(best_a, cosine_a, best_b, cosine_b)
    best_a, far_a, best_b, far_b = nearest_rows(a, b, top, device)
    columns = [
        np.stack([row_cosines(own, other[column]) * (column >= 0) for column in best.T], axis=1)
        for own, other, best in ((b, a, best_a), (a, b, best_b))
    ]
    cosine_a, cosine_b = columns
    return Partners(*(_first(found, top) for found in (best_a, cosine_a, best_b, cosine_b, far_a, far_b)))


def _first(found: NDArray[Any], top: int) -> NDArray[Any]:
    return found[:, 0] if top == 1 else found


def _rates(name: str, given: FeatureActivations | ArrayLike, features: int) -> NDArray[np.float64]:
    if isinstance(given, FeatureActivations):
        given = given.firing_counts / max(given.n_tokens, 1)
    rates = _checks.array(name, given, ndim=1, dtype=np.float64)
    if len(rates) != features:
        raise ValueError(f"{name} must have one rate for each of the {features} latents, got {len(rates)}")
    if len(rates) and (rates.min() < 0 or rates.max() > 1):
        raise ValueError(f"{name} must be shares of tokens from 0 to 1, got {rates.min():g} to {rates.max():g}")
    return rates
