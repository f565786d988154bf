"""Labels: the tokens a feature fires on, with their context, and which of them are junk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .aligned_corpus import AlignedCorpus
from .corpus import Corpus
from .given import Activations
from .junk_lists import DEFAULT, JunkList, as_junk_list
from .pairs import Pairs
from .places import token_places
from .sequences import sample_positions, top_positions
from .tokens import top_token_texts
from .words import WordWindows, folded, words_at

if TYPE_CHECKING:
    import pyarrow

UNITS = ("tokens", "words")
TARGETS = ("token", "next")

Window = int | tuple[int, int]


@dataclass(frozen=True, eq=False)
class Labels:
    """The top activating tokens of every feature, one row a token, grouped by feature, largest first.

    A feature has fewer than k rows when it fires on fewer than k tokens, and none when it never fires: a token with an
    activation of 0 is never a label. Texts that stand in no document are held so too: what a feature promotes (see
    `logit_lens`), what others wrote about it (see `Explanations.labels`).

    Attributes
    ----------
    offsets : ndarray of int64, shape (F + 1,)
        Feature `f` holds rows ``offsets[f]:offsets[f + 1]``.
    activation : ndarray of float32, shape (rows,)
        Always above 0.
    token, left, right : list of str, length rows
        The text of the activating token and of the window before and after it.
    document_id, position : ndarray of int64, shape (rows,)
        Where it stands: the document, and the position (in tokens) in that document; -1 where it is from none.
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

    def words(self, feature: int) -> frozenset[str]:
        """Return the whole words that the top tokens of a feature are part of, folded: case and Unicode form left out.

        Words are made whole as far as the window goes, and of a token without letters or digits it is the token; see
        `analogue.words.words_at`.
        """
        contexts = self.contexts(feature)
        return frozenset(folded(word) for context in contexts for word in words_at(*context))

    def junk_counts(self, preset: str | JunkList = DEFAULT) -> NDArray[np.int64]:
        """Return, for every feature, how many of its top tokens are junk, shape (F,); see `load_junk` for presets."""
        before = np.concatenate([[0], np.cumsum(as_junk_list(preset).flags(self.token))])
        counts: NDArray[np.int64] = before[self.offsets[1:]] - before[self.offsets[:-1]]
        return counts

    def junk_share(self, preset: str | JunkList = DEFAULT) -> NDArray[np.float64]:
        """Return, for every feature, the share of its top tokens that are junk, shape (F,); 0 without tokens."""
        share: NDArray[np.float64] = self.junk_counts(preset) / np.maximum(np.diff(self.offsets), 1)
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
        if len(features) and not 0 <= features.min() <= features.max() < n_features:
            got = f"{features.min()}..{features.max()}"
            raise ValueError(f"n_features must be that of the labels, whose features are {got}, got {n_features}")
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


def top_contexts(
    acts: Activations,
    corpus: Corpus | AlignedCorpus,
    k: int = 5,
    window: Window = 5,
    *,
    unit: str = "tokens",
    one_per_document: bool = False,
    target: str = "token",
) -> Labels:
    """Label every feature with its top activating tokens and their contexts.

    Parameters
    ----------
    acts : FeatureActivations or ActivationShards
        Captured on ``corpus`` (it must carry token ids, document ids and positions).
    corpus : Corpus or AlignedCorpus
        The text; of an `AlignedCorpus` the units stand for tokens.
    k : int
        Tokens a feature; where there are fewer, those.
    window : int or (int, int)
        Context on each side, or before and after; never beyond the document.
    unit : {"tokens", "words"}
        What the window counts. Words stand between white space and are never cut; the word that the token is part of is
        there whole and counts as none.
    one_per_document : bool
        Take the strongest token of a document only.
    target : {"token", "next"}
        What the labels mark: the activating token, or the one after it in the document, for features that say what
        comes next ("I am" before any name). Then tokens at a document's end are no top tokens, nor those before a
        special token, unless the corpus keeps these; activations and `Labels.top_token` stay the activating token's.

    Raises
    ------
    TypeError, ValueError
        If a number or name is out of range, or ``acts`` were not captured on ``corpus``: another text or tokenizer.
    """
    cut = _Cut(acts, corpus, window, unit, target)
    return cut.labels(*top_positions(acts, k, one_per_document=one_per_document, among=cut.among))


def sample_contexts(
    acts: Activations,
    corpus: Corpus | AlignedCorpus,
    k: int = 5,
    bands: int = 5,
    window: Window = 5,
    *,
    unit: str = "tokens",
    one_per_document: bool = False,
    target: str = "token",
    seed: int = 0,
) -> Labels:
    """Label every feature with tokens drawn from bands of its activations, see `sample_positions`.

    Look at them beside the top ones; junk and shared words are asked of these, not of a sample.

    Parameters
    ----------
    acts, corpus, window, unit, target
        See `top_contexts`.
    k, bands, one_per_document, seed
        See `sample_positions`: k tokens a feature and band.
    """
    cut = _Cut(acts, corpus, window, unit, target)
    rows, values = sample_positions(acts, k, bands, one_per_document=one_per_document, seed=seed, among=cut.among)
    return cut.labels(rows.reshape(acts.n_features, -1), values.reshape(acts.n_features, -1))


def check_covers(name: str, labels: Labels, pairs: Pairs, side: str) -> Labels:
    """Return labels that are of the dictionary of a side of pairs, as far as its size tells; refuse others by name."""
    if not isinstance(labels, Labels):
        raise TypeError(f"{name} must be Labels, got {type(labels).__name__}")
    own = f"{name} must be of the pairs' dictionary, which has"
    if pairs.n_features is not None and labels.n_features != pairs.n_features["ab".index(side)]:
        wanted = pairs.n_features["ab".index(side)]
        raise ValueError(f"{own} {wanted} features, got labels of {labels.n_features} features")
    highest = int((pairs.feature_a if side == "a" else pairs.feature_b).max(initial=-1))
    if highest >= labels.n_features:
        raise ValueError(f"{own} a feature {highest}, got labels of {labels.n_features} features")
    return labels


class _Cut:
    """Cuts tokens out of a corpus, with the window around them."""

    def __init__(
        self, acts: Activations, corpus: Corpus | AlignedCorpus, window: Window, unit: str, target: str
    ) -> None:
        sides = window if isinstance(window, tuple) else (window, window)
        if len(sides) != 2:
            raise ValueError(f"window must be one number or two, before and after, got {window!r}")
        self._before, self._after = (_checks.integer("window", side, minimum=0) for side in sides)
        self._unit = _checks.choice("unit", unit, UNITS)
        self._ahead = TARGETS.index(_checks.choice("target", target, TARGETS))
        self._acts, self._corpus = acts, corpus
        self._places = token_places(acts, corpus)
        self._ends = np.cumsum([len(own) for own in corpus.document_offsets])

    @property
    def among(self) -> NDArray[np.bool_] | None:
        """The rows whose label is a token that may be marked, shape (T,); None for all."""
        if not self._ahead:
            return None
        last = self._ends[np.searchsorted(self._ends, self._places, side="right")] - 1
        follows = self._places < last
        if not self._corpus.keep_special:
            after = np.concatenate(self._corpus.document_token_ids)[np.minimum(self._places + 1, last)]
            follows &= ~np.isin(after, list(self._corpus.special_ids))
        return np.asarray(follows)

    def labels(self, rows: NDArray[np.int64], values: NDArray[np.float32]) -> Labels:
        """Return labels of rows and activations (F, k), where -1 is no row."""
        found = rows >= 0
        places = self._places[rows[found]] + self._ahead
        documents = np.searchsorted(self._ends, places, side="right")
        firsts = np.concatenate([[0], self._ends])[documents]
        left, token, right = self._texts(documents, places, firsts)
        offsets = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
        top_token = top_token_texts(self._acts, self._corpus)
        return Labels(offsets, values[found], token, left, right, documents, places - firsts, top_token)

    def _texts(
        self, documents: NDArray[np.int64], places: NDArray[np.int64], firsts: NDArray[np.int64]
    ) -> tuple[list[str], list[str], list[str]]:
        """Return what stands before, of and after the tokens at these places; ``firsts``: of their documents."""
        texts, spans = self._corpus.texts, np.concatenate(self._corpus.document_offsets)
        starts, ends = spans[places].T
        if self._unit == "tokens":
            lefts = spans[np.maximum(places - self._before, firsts), 0]
            rights = spans[np.minimum(places + self._after, self._ends[documents] - 1), 1]
        else:
            shown, which = np.unique(documents, return_inverse=True)
            windows = WordWindows([texts[document] for document in shown.tolist()])
            lefts, rights = windows.around(which, starts, ends, self._before, self._after)
        rows = list(zip(*(edge.tolist() for edge in (documents, lefts, starts, ends, rights)), strict=True))
        return (
            [texts[document][left:start] for document, left, start, _, _ in rows],
            [texts[document][start:end] for document, _, start, end, _ in rows],
            [texts[document][end:right] for document, _, _, end, right in rows],
        )
