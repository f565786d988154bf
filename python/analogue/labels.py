"""Labels: the tokens a feature fires on most, with their context, and which of them are junk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._core import top_positions as core_top_positions
from .activations import FeatureActivations
from .corpus import Corpus
from .given import Activations
from .tokens import top_token_texts

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, eq=False)
class Labels:
    """The top activating tokens of every feature, one row a token, grouped by feature, largest first.

    A feature has fewer than k rows when it fires on fewer than k tokens, and none when it never fires.

    Attributes
    ----------
    offsets : ndarray of int64, shape (F + 1,)
        Feature `f` holds rows ``offsets[f]:offsets[f + 1]``.
    activation : ndarray of float32, shape (rows,)
        Always above 0.
    token, left, right : list of str, length rows
        The text of the activating token and of the window before and after it.
    document_id, position : ndarray of int64, shape (rows,)
        Where it stands: the document, and the position (in tokens) in that document.
    top_token : list of str or None, length F
        The text of the token with the largest summed activation, stripped and in lower case, see `top_tokens`; features
        of one text are siblings. None for a feature that never fires.
    """

    offsets: NDArray[np.int64]
    activation: NDArray[np.float32]
    token: list[str]
    left: list[str]
    right: list[str]
    document_id: NDArray[np.int64]
    position: NDArray[np.int64]
    top_token: list[str | None]

    @property
    def n_features(self) -> int:
        """F, the full width of the dictionary."""
        return len(self.offsets) - 1

    def tokens(self, feature: int) -> list[str]:
        """Return the top tokens of one feature, largest activation first."""
        return self.token[self.offsets[feature] : self.offsets[feature + 1]]

    def contexts(self, feature: int) -> list[tuple[str, str, str]]:
        """Return (left, token, right) for the top tokens of one feature, largest activation first."""
        rows = slice(self.offsets[feature], self.offsets[feature + 1])
        return list(zip(self.left[rows], self.token[rows], self.right[rows], strict=True))

    def junk_share(self) -> NDArray[np.float64]:
        """Return, for every feature, the share of its top tokens that are junk, shape (F,); 0 without tokens."""
        junk = np.fromiter((is_junk(token) for token in self.token), dtype=np.int64, count=len(self.token))
        before = np.concatenate([[0], np.cumsum(junk)])
        junk_tokens = before[self.offsets[1:]] - before[self.offsets[:-1]]
        share: NDArray[np.float64] = junk_tokens / np.maximum(np.diff(self.offsets), 1)
        return share

    def to_arrow(self) -> pyarrow.Table:
        """Return the rows as a table: feature, rank (from 0), activation, token, left, right, document_id, position.

        A last column, ``top_token``, is the feature's: the same in all its rows.
        """
        import pyarrow as pa

        sizes = np.diff(self.offsets)
        features = np.repeat(np.arange(self.n_features), sizes)
        return pa.table(
            {
                "feature": features,
                "rank": np.arange(len(self.token)) - np.repeat(self.offsets[:-1], sizes),
                "activation": self.activation,
                "token": self.token,
                "left": self.left,
                "right": self.right,
                "document_id": self.document_id,
                "position": self.position,
                "top_token": pa.array([self.top_token[feature] for feature in features.tolist()], pa.string()),
            }
        )

    @classmethod
    def from_arrow(cls, table: pyarrow.Table, n_features: int) -> Labels:
        """Read back what `to_arrow` returned; ``n_features`` counts features without rows too."""
        features = table["feature"].to_numpy()
        sizes = np.bincount(features, minlength=n_features)
        top_token: list[str | None] = [None] * n_features
        for feature, text in zip(features.tolist(), table["top_token"].to_pylist(), strict=True):
            top_token[feature] = text
        return cls(
            np.concatenate([[0], np.cumsum(sizes)]),
            table["activation"].to_numpy(),
            table["token"].to_pylist(),
            table["left"].to_pylist(),
            table["right"].to_pylist(),
            table["document_id"].to_numpy(),
            table["position"].to_numpy(),
            top_token,
        )


def top_positions(acts: Activations, k: int = 5) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the tokens on which every feature fires most, all features in one pass.

    Parameters
    ----------
    acts : FeatureActivations or ActivationShards
    k : int
        Tokens a feature.

    Returns
    -------
    positions : ndarray of int64, shape (F, k)
        Rows of ``acts``, largest activation first, the earlier row first on ties; -1 where a feature has fewer
        than k positive activations. An activation of 0 is never a top position.
    values : ndarray of float32, shape (F, k)
        Their activations; 0 beside a -1.
    """
    _checks.integer("k", k, minimum=1)
    if isinstance(acts, FeatureActivations):
        return core_top_positions(acts.indptr, acts.indices, acts.values, acts.n_features, k)
    best, most = np.full((acts.n_features, k), -1), np.zeros((acts.n_features, k), dtype=np.float32)
    for shard, start in zip(acts, acts.offsets, strict=False):
        positions, values = core_top_positions(shard.indptr, shard.indices, shard.values, shard.n_features, k)
        best = np.hstack([best, np.where(positions >= 0, positions + start, -1)])
        most = np.hstack([most, values])
        order = np.argsort(-most, axis=1, kind="stable")[:, :k]  # on ties what stood, from an earlier shard
        best, most = (np.take_along_axis(columns, order, axis=1) for columns in (best, most))
    return best, most


def top_contexts(acts: Activations, corpus: Corpus, k: int = 5, window: int = 5) -> Labels:
    """Label every feature with its top activating tokens and their contexts.

    Parameters
    ----------
    acts : FeatureActivations or ActivationShards
        Captured on ``corpus`` (it must carry token ids, document ids and positions).
    corpus : Corpus
        The text.
    k : int
        Tokens a feature.
    window : int
        Tokens of context on each side; never beyond the document.
    """
    _checks.integer("window", window, minimum=0)
    if acts.document_ids is None or acts.positions is None:
        raise ValueError("acts must carry document_ids and positions, got none; capture them from the corpus")
    rows, values = top_positions(acts, k)
    found = rows >= 0
    documents, positions = acts.document_ids[rows[found]], acts.positions[rows[found]]
    texts = [_window(corpus, d, p, window) for d, p in zip(documents.tolist(), positions.tolist(), strict=True)]
    left, token, right = (list(column) for column in zip(*texts, strict=True)) if texts else ([], [], [])
    offsets = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
    return Labels(offsets, values[found], token, left, right, documents, positions, top_token_texts(acts, corpus))


def _window(corpus: Corpus, document: int, position: int, window: int) -> tuple[str, str, str]:
    text, spans = corpus.texts[document], corpus.document_offsets[document]
    start, end = spans[position]
    first = spans[max(position - window, 0)][0]
    last = spans[min(position + window, len(spans) - 1)][1]
    return text[first:start], text[start:end], text[end:last]


def is_junk(token: str) -> bool:
    """Say whether a token carries no concept: blank, line break, punctuation or a special token (data/junk.toml)."""
    stripped = token.strip()
    characters, tokens = _junk()
    return stripped in tokens or all(character in characters for character in stripped)


@cache
def _junk() -> tuple[frozenset[str], frozenset[str]]:
    import tomllib
    from importlib import resources

    lists = tomllib.loads((resources.files("analogue") / "data" / "junk.toml").read_text(encoding="utf-8"))
    return frozenset(lists["characters"]), frozenset(lists["tokens"])
