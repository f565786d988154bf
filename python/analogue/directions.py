"""Match the latents of two dictionaries of one space by their decoder and encoder directions, without activations.

One space: two seeds, two widths, two layers of one model, a base model and its fine-tune. What two such dictionaries
share is the skyline against which a match across models is read: two models cannot be expected to agree more than two
trainings on the same activations do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .dictionaries import Dictionary
from .dictionaries.autoencoder import SparseAutoencoder
from .direction_matches import DirectionMatches, Partners
from .geometry import Rows, nearest_rows, row_cosines
from .ops import correlation_best

ON = ("decoder", "encoder", "both")
MEASURES = ("cosine", "distance")


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

    How to read it: decoder rows that share nothing still have the mean max cosine of random directions (0.30 for 2048
    latents in 128 dimensions), so the shares above the threshold say more than the mean. The share of latents that
    two seeds of one recipe have in common (30 % of 131 072 in Paulo & Belrose 2025) is what a match across two models
    can be measured by, not 1. The seeds must differ from the first row on: dictionaries that began with the same
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
