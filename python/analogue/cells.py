"""The table of a grid: one record for every cell and measure, with its p among those of the other cells."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from .comparison import Comparison
from .nulls import benjamini_hochberg, benjamini_yekutieli, sidak

if TYPE_CHECKING:
    import pyarrow

_OF_PAIRS = ("mean_correlation", "mean_correlation_given_token", "share_given_token_above_0.1")
_ADJUSTED = {"p_bh": benjamini_hochberg, "p_by": benjamini_yekutieli, "p_sidak": sidak}
_BY_RATE = ("observed_rate_adjusted", "z_rate_adjusted", "p_value_rate_adjusted")


def cell_records(comparisons: Mapping[str, Collection[Comparison]]) -> list[dict[str, Any]]:
    """Return one record for each comparison and measure.

    Parameters
    ----------
    comparisons : dict of str to collection of Comparison
        By their role: "cell", "control" or the name of a baseline.

    Returns
    -------
    list of dict
        Sites, pairs, verdict, the score and three numbers of the rate-adjusted one. ``p_bh``, ``p_by`` and ``p_sidak``
        adjust the p of a measure for the number of cells (see `benjamini_hochberg`, `benjamini_yekutieli`, `sidak`;
        the least of the last is that of "the best cell"); controls are no cells and have none.
    """
    records = []
    for role, listed in comparisons.items():
        own = [record for comparison in listed for record in _records(comparison, role)]
        for measure in dict.fromkeys(record["measure"] for record in own) if role == "cell" else ():
            same = [record for record in own if record["measure"] == measure]
            for name, adjust in _ADJUSTED.items():
                for record, p in zip(same, adjust([record["p_value"] for record in same]).tolist(), strict=True):
                    record[name] = None if math.isnan(p) else p
        records += own
    return records


def _records(comparison: Comparison, role: str) -> list[dict[str, Any]]:
    summary = comparison.summary
    of_pairs = {
        "role": role,
        "site_a": comparison.spaces["a"].site,
        "site_b": comparison.spaces["b"].site,
        "pairs": summary["pairs"],
        **{name: summary[name] for name in _OF_PAIRS},
        "verdict": comparison.verdict.word,
    }
    records = []
    for record in comparison.score_records(comparison.scores):
        adjusted = comparison.rate_adjusted.get(record["measure"])
        by_rate = (None,) * len(_BY_RATE) if adjusted is None else (adjusted.observed, adjusted.z, adjusted.p_value)
        records.append(of_pairs | record | dict(zip(_BY_RATE, by_rate, strict=True)) | dict.fromkeys(_ADJUSTED))
    return records


def record_schema() -> pyarrow.Schema:
    """Return the columns of ``grid.parquet``, the same whatever the scores."""
    import pyarrow as pa

    text, count, number, truth = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    moments = ("null_mean", "null_std", "null_q05", "null_median", "null_q95", "null_q99", "null_skewness")
    return pa.schema(
        {
            **dict.fromkeys(("role", "site_a", "site_b"), text),
            "pairs": count,
            **dict.fromkeys(_OF_PAIRS, number),
            **dict.fromkeys(("verdict", "pairs_kind", "rows", "measure", "null", "null_reason", "method"), text),
            **dict.fromkeys(("observed", *moments, "z", "p_value", "p_error", "calibrated"), number),
            **dict.fromkeys((*_ADJUSTED, *_BY_RATE), number),
            **dict.fromkeys(("permutations", "n", "kx", "ky", "forced_ones", "groups", "largest_group"), count),
            "rows_movable": number,
            **dict.fromkeys(("saturated", "stopped"), truth),
            **dict.fromkeys(("insufficient", "fallback", "note", "caveat"), text),
        }
    )
