"""Junk: features that fire on tokens without a concept, where they are among the pairs, and why a pair goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .junk_lists import DEFAULT, JunkList, as_junk_list
from .labels import Labels, check_covers
from .pairs import Pairs

if TYPE_CHECKING:
    import pyarrow

RULES = ("majority", "any")


def check_rule(name: str, rule: str | int, *others: str) -> None:
    """Refuse what is no junk rule; ``others`` are names that are allowed too."""
    if isinstance(rule, int) and not isinstance(rule, bool):
        _checks.integer(name, rule, minimum=1)
    elif rule not in (*RULES, *others):
        raise ValueError(f"{name} must be {', '.join((*RULES, *others))} or a number of tokens, got {rule!r}")


def junk_features(labels: Labels, rule: str | int = "majority", preset: str | JunkList = DEFAULT) -> NDArray[np.bool_]:
    """Say of every feature whether it is junk by its top tokens, shape (F,); one without tokens is not.

    Parameters
    ----------
    labels : Labels
    rule : {"majority", "any"} or int
        ``majority``: over half of them are; ``any``: one is; m: at least m are, or all where there are fewer than m.
    preset : str or JunkList
        See `load_junk`.
    """
    check_rule("rule", rule)
    counts, sizes = labels.junk_counts(preset), np.diff(labels.offsets)
    if rule == "majority":
        return np.asarray(2 * counts > sizes)
    least = 1 if isinstance(rule, str) else rule
    return np.asarray((counts > 0) & (counts >= np.minimum(least, sizes)))


def _junk_sides(
    pairs: Pairs, labels_a: Labels, labels_b: Labels, rule: str | int, preset: str | JunkList
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say of every pair whether its A feature is junk, and whether its B feature is."""
    junk_a = junk_features(check_covers("labels_a", labels_a, pairs, "a"), rule, preset)
    junk_b = junk_features(check_covers("labels_b", labels_b, pairs, "b"), rule, preset)
    return junk_a[pairs.feature_a], junk_b[pairs.feature_b]


def share_by_correlation(
    pairs: Pairs,
    labels_a: Labels,
    labels_b: Labels,
    rule: str | int = "majority",
    preset: str | JunkList = DEFAULT,
    *,
    parts: int = 10,
) -> pyarrow.Table:
    """Count the junk in deciles of correlation, to see whether what correlates best is junk.

    Parameters
    ----------
    pairs : Pairs
        Such as they are before the junk filter.
    labels_a, labels_b, rule, preset
        See `filters.junk`.
    parts : int
        Parts of equal size, to one pair.

    Returns
    -------
    pyarrow.Table
        A row a part, lowest correlation first: part (from 1), pairs, lowest_correlation, highest_correlation, junk
        (pairs that the filter would drop), share (of the pairs), share_a and share_b (of the pairs with a junk feature
        on that side). With fewer pairs than parts there are as many rows as pairs.
    """
    import pyarrow as pa

    _checks.integer("parts", parts, minimum=1)
    order = np.argsort(pairs.correlation, kind="stable")
    junk_a, junk_b = _junk_sides(pairs, labels_a, labels_b, rule, preset)
    rows = [
        {
            "part": part,
            "pairs": len(rows),
            "lowest_correlation": float(pairs.correlation[rows[0]]),
            "highest_correlation": float(pairs.correlation[rows[-1]]),
            "junk": int((junk_a | junk_b)[rows].sum()),
            "share": float((junk_a | junk_b)[rows].mean()),
            "share_a": float(junk_a[rows].mean()),
            "share_b": float(junk_b[rows].mean()),
        }
        for part, rows in enumerate(np.array_split(order, min(parts, len(pairs)) or 1), start=1)
        if len(rows)
    ]
    count, number = pa.int64(), pa.float64()
    schema = {"part": count, "pairs": count, "lowest_correlation": number, "highest_correlation": number}
    schema |= {"junk": count, "share": number, "share_a": number, "share_b": number}
    return pa.Table.from_pylist(rows, pa.schema(schema))


def dropped(
    pairs: Pairs,
    labels_a: Labels,
    labels_b: Labels,
    rule: str | int = "majority",
    preset: str | JunkList = DEFAULT,
) -> pyarrow.Table:
    """List the pairs that the junk filter drops, and why.

    Parameters
    ----------
    pairs : Pairs
        Such as they are before the filter, or what a stage has dropped: ``stage.dropped``.
    labels_a, labels_b, rule, preset
        See `filters.junk`.

    Returns
    -------
    pyarrow.Table
        A row a pair, in the order of the pairs: feature_a, feature_b, correlation, side ("a", "b" or "both": whose
        feature is junk), and for each side tokens_a (its top tokens) and kinds_a (for each of them the set that it is
        junk by, else null).
    """
    import pyarrow as pa

    listed = as_junk_list(preset)
    junk_a, junk_b = _junk_sides(pairs, labels_a, labels_b, rule, listed)
    gone = np.flatnonzero(junk_a | junk_b)
    sides = np.where(junk_a & junk_b, "both", np.where(junk_a, "a", "b"))[gone]
    columns: dict[str, pa.Array] = {
        "feature_a": pa.array(pairs.feature_a[gone]),
        "feature_b": pa.array(pairs.feature_b[gone]),
        "correlation": pa.array(pairs.correlation[gone]),
        "side": pa.array(sides.tolist(), pa.string()),
    }
    for side, labels, features in (("a", labels_a, pairs.feature_a), ("b", labels_b, pairs.feature_b)):
        tokens = [labels.tokens(feature) for feature in features[gone].tolist()]
        columns[f"tokens_{side}"] = pa.array(tokens, pa.list_(pa.string()))
        columns[f"kinds_{side}"] = pa.array([listed.kinds(own) for own in tokens], pa.list_(pa.string()))
    return pa.table(columns)


def dropped_by_kind(table: pyarrow.Table, tokens: int = 5) -> pyarrow.Table:
    """Count what `dropped` lists, by the kind of junk.

    Parameters
    ----------
    table : pyarrow.Table
        From `dropped`.
    tokens : int
        Examples of every kind.

    Returns
    -------
    pyarrow.Table
        A row a kind, most pairs first: kind, features_a and features_b (junk features of that kind, each once), pairs
        (with one of them), mean_correlation (of these pairs), and tokens (the most frequent of that kind). The kind of
        a feature is that of most of its junk tokens, so a pair stands under two kinds where its sides differ.
    """
    import pyarrow as pa

    _checks.integer("tokens", tokens, minimum=0)
    features: dict[str, tuple[set[int], set[int]]] = {}
    pairs: dict[str, dict[int, float]] = {}
    texts: dict[str, Counter[str]] = {}
    for row, pair in enumerate(table.to_pylist()):
        for place, side in enumerate("ab"):
            if pair["side"] not in (side, "both"):
                continue
            kind = _most(pair[f"kinds_{side}"])
            features.setdefault(kind, (set(), set()))[place].add(pair[f"feature_{side}"])
            pairs.setdefault(kind, {})[row] = pair["correlation"]
            own = zip(pair[f"tokens_{side}"], pair[f"kinds_{side}"], strict=True)
            texts.setdefault(kind, Counter()).update(token for token, of in own if of == kind)
    rows = [
        {
            "kind": kind,
            "features_a": len(features[kind][0]),
            "features_b": len(features[kind][1]),
            "pairs": len(pairs[kind]),
            "mean_correlation": float(np.mean(list(pairs[kind].values()))),
            "tokens": [token for token, _ in texts[kind].most_common(tokens)],
        }
        for kind in sorted(pairs, key=lambda kind: -len(pairs[kind]))
    ]
    schema: dict[str, pa.DataType] = {"kind": pa.string()}
    schema |= dict.fromkeys(("features_a", "features_b", "pairs"), pa.int64())
    schema |= {"mean_correlation": pa.float64(), "tokens": pa.list_(pa.string())}
    return pa.Table.from_pylist(rows, pa.schema(schema))


def tables(
    pairs: Pairs,
    labels_a: Labels,
    labels_b: Labels,
    rule: str | int,
    preset: str | JunkList = DEFAULT,
    *,
    stage: str | None = None,
) -> dict[str, pyarrow.Table]:
    """Return the tables of junk that a run folder holds, by file name.

    Parameters
    ----------
    pairs : Pairs
        After all filters.
    labels_a, labels_b, preset
        See `filters.junk`.
    rule : {"majority", "any", "off"} or int
        "off" counts what "majority" would drop of the pairs.
    stage : str, optional
        The name of the junk filter among the stages of the pairs, where there is one.

    Returns
    -------
    dict of str to pyarrow.Table
        ``junk_by_correlation`` (`share_by_correlation` of the pairs as they were before that filter), and
        ``junk_dropped`` (`dropped`) where there is one.
    """
    asked = (labels_a, labels_b, "majority" if rule == "off" else rule, preset)
    before = pairs if stage is None else pairs.entering(stage)
    found = {"junk_by_correlation": share_by_correlation(before, *asked)}
    return found if stage is None else found | {"junk_dropped": dropped(before, *asked)}


def _most(kinds: Iterable[str | None]) -> str:
    return Counter(kind for kind in kinds if kind is not None).most_common(1)[0][0]
