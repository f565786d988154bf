"""DirectionMatches: what two dictionaries of one space have in common by their directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .activations import FeatureActivations
from .correlations import check_same_tokens
from .geometry import Rows, best_assignment, expected_max_cosine
from .given import Activations
from .matches import Matches
from .shards import ActivationShards

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
        rates_a: Activations | ArrayLike,
        rates_b: Activations | ArrayLike,
        edges: Sequence[float] = _RATES,
    ) -> list[dict[str, Any]]:
        """Count shared latents by how often they fire.

        Parameters
        ----------
        rates_a, rates_b : FeatureActivations or ActivationShards, or array_like of float, shape (F_A,) and (F_B,)
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

    def to_dict(self, rates_a: Activations | ArrayLike, rates_b: Activations | ArrayLike) -> dict[str, Any]:
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

    def matches(self, acts_a: Activations, acts_b: Activations) -> Matches:
        """Return the same partners with activations on one text, to choose pairs by any rule of `Matches.pairs`.

        Parameters
        ----------
        acts_a, acts_b : FeatureActivations or ActivationShards
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
        partners = (found.best_a, found.cosine_a, found.best_b, found.cosine_b)
        by_cosine = found.distance_a is None
        return Matches(*partners, acts_a, acts_b, metric=f"{kind} cosine", falling=by_cosine)


def _rates(name: str, given: Activations | ArrayLike, features: int) -> NDArray[np.float64]:
    if isinstance(given, FeatureActivations | ActivationShards):
        given = given.firing_counts / max(given.n_tokens, 1)
    rates = _checks.array(name, given, ndim=1, dtype=np.float64)
    if len(rates) != features:
        raise ValueError(f"{name} must have one rate for each of the {features} latents, got {len(rates)}")
    if len(rates) and (rates.min() < 0 or rates.max() > 1):
        raise ValueError(f"{name} must be shares of tokens from 0 to 1, got {rates.min():g} to {rates.max():g}")
    return rates
