"""The row nulls by name: what each permutes, what it keeps, and what a small p means under it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Null:
    """A null hypothesis in words.

    Attributes
    ----------
    name : str
        The name in `permutation_test` and in every saved score.
    permutes, keeps : str
        What a draw changes, and what is the same in every draw.
    small_p : str
        What a small p is evidence of.
    not_evidence_of : str
        What it is easily taken for and does not show.
    """

    name: str
    permutes: str
    keeps: str
    small_p: str
    not_evidence_of: str


NULLS: dict[str, Null] = {
    null.name: null
    for null in (
        Null(
            "pairing",
            permutes="the rows of B, all of them",
            keeps="the rows of both sides as sets, and every basis, rank and Gram matrix of a side",
            small_p="the rows are not exchangeable: the sides are related, or either has siblings (features of one "
            "dictionary that share a token) that were paired with siblings",
            not_evidence_of="shared geometry, unless the pairs are one-to-one and free of siblings: a model that was "
            "never trained reaches z = 18 on pairs of many to one",
        ),
        Null(
            "siblings",
            permutes="whole sibling groups of B's rows, among groups of equal size, members in order",
            keeps="what `pairing` keeps, and which rows of B are siblings and paired with siblings",
            small_p="the geometries agree between tokens, beyond what either model's own siblings give",
            not_evidence_of="agreement within a sibling group, nor among groups whose size no other has: they stay "
            "where they are; a large p with few movable rows is no evidence of anything",
        ),
        Null(
            "one-per-token",
            permutes="the rows of B, after only the best pair of every top token of either side was kept",
            keeps="what `pairing` keeps; closed forms hold",
            small_p="the geometries agree between tokens: no two kept rows of a side share a top token",
            not_evidence_of="agreement of the pairs that were left out, nor of more than a shared order of firing "
            "rates where decoders carry their own rate (then adjust for rates)",
        ),
        Null(
            "stratified",
            permutes="the rows of B within strata, or whole groups among groups of equal size and equal strata",
            keeps="what `pairing` keeps, and the strata that are paired with one another",
            small_p="the sides agree beyond what the strata explain",
            not_evidence_of="shared geometry where siblings lie in one stratum: strata alone are no repair for them",
        ),
    )
}

RATE_ADJUSTED = Null(
    "rate-adjusted",
    permutes="what the null it is added to permutes, after each side's log firing rate was regressed out of its rows",
    keeps="what that null keeps; the rows lose their mean and one axis",
    small_p="what it means there, and not by one axis of firing rate in each model alone",
    not_evidence_of="agreement beyond rates where they enter along more axes, or not in proportion to their log",
)
