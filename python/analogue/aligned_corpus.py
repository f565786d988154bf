"""AlignedCorpus: one text as two tokenizers read it, and the units of text that both sides' activations are put on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .activations import FeatureActivations
from .alignment import Characters, Ints, Tokens, Units
from .corpus import Corpus
from .pooling import POOLS, pooled

ALIGNMENTS = ("last", "overlap", "word")
LOW_SHARE = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class AlignedCorpus:
    """One text as two tokenizers read it, cut into units that begin and end with a token of either side.

    Make one with `align`. A unit enters the statistics when all of its tokens that stand for it are kept on both sides,
    and its tokens fit one block on both; these units are the T rows of aligned activations.

    Attributes
    ----------
    a, b : Corpus
        What the models of either side read. Their blocks are cut where units end and hold the same text: before every
        unit both models have seen the same characters. Tokens of the last document beyond the other side's last are
        left out.
    rule : {"last", "overlap", "word"}
        See `align`.
    pool : {"mean", "max", "sum"} or None
        None under "last".
    document_offsets : tuple of ndarray of int32, shape (units, 2), one a document
        Unit `u` stands for ``text[start:end]``: all characters of its tokens on either side.
    document_token_ids : tuple of ndarray of int64, shape (units,), one a document
        An id for every unit. Two units have one id when both models read the same tokens there, A's and B's; with one
        tokenizer that is the token's identity. Ids are not those of a vocabulary; they have the order of A's.
    special_ids : frozenset of int
        The units that a special token of either side is part of, by id.
    kept_token_ids, kept_document_ids, kept_positions : ndarray of int64, shape (T,)
        The id, the document, and the position (in units) in that document of every unit that enters.
    rows_a, rows_b : ndarray of int64, shape (T, 2)
        The first and last of the kept tokens of ``a`` and of ``b`` that stand for a unit; under "last" they are one.
    characters : tuple of int
        Characters that are not white space: in units that enter, and in all that both sides read.
    """

    a: Corpus
    b: Corpus
    rule: str
    pool: str | None
    document_offsets: tuple[NDArray[np.int32], ...]
    document_token_ids: tuple[Ints, ...]
    special_ids: frozenset[int]
    kept_token_ids: Ints
    kept_document_ids: Ints
    kept_positions: Ints
    rows_a: Ints
    rows_b: Ints
    characters: tuple[int, int]

    def __repr__(self) -> str:
        shares = " and ".join(f"{share:.0%}" for share in self.token_shares.values())
        return f"AlignedCorpus({self.n_kept} units by {self.rule}, {shares} of the tokens)"

    @property
    def texts(self) -> tuple[str, ...]:
        """The documents."""
        return self.a.texts

    @property
    def keep_special(self) -> bool:
        """Whether special tokens in the text are kept on both sides."""
        return self.a.keep_special and self.b.keep_special

    @property
    def n_kept(self) -> int:
        """T, the number of units that enter the statistics."""
        return len(self.kept_token_ids)

    @property
    def token_shares(self) -> dict[str, float]:
        """The share of either side's kept tokens that stand for a unit."""
        return {
            side: float((rows[:, 1] - rows[:, 0] + 1).sum() / max(corpus.n_kept, 1))
            for side, corpus, rows in (("a", self.a, self.rows_a), ("b", self.b, self.rows_b))
        }

    @property
    def warning(self) -> str | None:
        """One sentence where less than half of a side's tokens stand for a unit, else None."""
        shares = self.token_shares
        side = min(shares, key=lambda name: shares[name])
        if shares[side] >= LOW_SHARE:
            return None
        instead = "; overlap pools them all" if self.rule == "last" else ""
        return f"only {shares[side]:.0%} of the tokens of {side.upper()} enter{instead}"

    def report(self) -> dict[str, Any]:
        """Return the rule, what of the text is aligned, and the warning, as plain JSON values."""
        within, total = self.characters
        return {
            "rule": self.rule,
            "pool": self.pool,
            "units": sum(map(len, self.document_offsets)),
            "kept": self.n_kept,
            "token_share": self.token_shares,
            "character_share": within / max(total, 1),
            "warning": self.warning,
        }

    def corpus(self, side: str) -> Corpus:
        """Return what the models of a side read; a control stands in for A."""
        return self.b if side == "b" else self.a

    def on_units(self, side: str, acts: FeatureActivations) -> FeatureActivations:
        """Put activations of a side on the units: one row each, the same rows for both sides.

        Under "last" it is the row of the unit's last token, under the other rules every feature's mean, max or sum over
        the tokens of the unit, 0 where it does not fire.

        Parameters
        ----------
        side : {"a", "b"}
            Or a control's name, which stands in for A.
        acts : FeatureActivations
            Captured on ``corpus(side)``, in memory.

        Returns
        -------
        FeatureActivations
            F features on T units; ``token_ids``, ``document_ids`` and ``positions`` are those of the units.
        """
        if not isinstance(acts, FeatureActivations):
            raise TypeError(f"acts must be FeatureActivations in memory to be aligned, got {type(acts).__name__}")
        if acts.n_tokens != self.corpus(side).n_kept:
            raise ValueError(
                f"acts must hold the {self.corpus(side).n_kept} kept tokens of side {side}, got {acts.n_tokens}"
            )
        rows = self.rows_b if side == "b" else self.rows_a
        on_units = acts.take(rows[:, 1]) if self.pool is None else pooled(acts, rows[:, 0], rows[:, 1], self.pool)
        return replace(
            on_units,
            token_ids=self.kept_token_ids,
            document_ids=self.kept_document_ids,
            positions=self.kept_positions,
        )


def align(corpus_a: Corpus, corpus_b: Corpus, rule: str = "last", pool: str | None = None) -> AlignedCorpus:
    """Align two tokenizers on one text, by the characters that their tokens stand for.

    A unit is the text between two neighbouring characters behind which a token ends on both sides, see
    `alignment.token_ends`. Offsets are those of the raw text, whatever a tokenizer's normaliser does to it.

    Parameters
    ----------
    corpus_a, corpus_b : Corpus
        The same documents, read by the tokenizer of either side; one may have stopped earlier (``max_tokens``).
    rule : {"last", "overlap", "word"}
        What stands for a unit on either side. ``last``: its last token, which has seen all of it. ``overlap``: all of
        its tokens, pooled. ``word``: likewise, and units never end within a word, a run of letters, digits and their
        marks; a script without spaces between words has long ones.
    pool : {"mean", "max", "sum"}, optional
        How features' activations are pooled over a unit's tokens; by default "mean" where the rule pools.

    Raises
    ------
    TypeError, ValueError
        If the documents differ, ``pool`` goes with "last", or no unit enters.
    """
    _checks.choice("rule", rule, ALIGNMENTS)
    if rule == "last" and pool is not None:
        raise ValueError(f"pool goes with the rules overlap and word, got {pool} with last")
    how = None if rule == "last" else _checks.choice("pool", POOLS[0] if pool is None else pool, POOLS)
    texts = _common_texts(corpus_a, corpus_b)
    characters = Characters.of(texts)
    tokens_a, tokens_b = (Tokens.of(c.document_offsets[: len(texts)], characters) for c in (corpus_a, corpus_b))
    common = min(int(tokens_a.reach[-1]), int(tokens_b.reach[-1]))
    units = Units.of(tokens_a.until(common), tokens_b.until(common), characters, words=rule == "word")
    nothing = "corpus_a and corpus_b must have kept tokens that end at the same character, got none"
    if not len(units.ends):
        raise ValueError(nothing)
    starts = units.block_starts((corpus_a.room, corpus_b.room))
    sides = [_recut(*side) for side in zip((corpus_a, corpus_b), units.sides, starts, strict=True)]
    enters_a, rows_a = _rows(sides[0], units, 0, rule)
    enters_b, rows_b = _rows(sides[1], units, 1, rule)
    entering = np.flatnonzero(enters_a & enters_b)
    if not len(entering):
        raise ValueError(nothing)

    spans, documents = units.spans(), np.arange(len(texts) + 1)
    before = np.searchsorted(units.documents, documents)
    filled = np.append(0, np.cumsum(~characters.blank))
    within = filled[spans[entering, 1]] - filled[spans[entering, 0]]
    ids = units.ids([np.concatenate(side.document_token_ids) for side in sides])
    special = _special(sides[0], units, 0) | _special(sides[1], units, 1)
    offsets = (spans - characters.starts[units.documents, None]).astype(np.int32)
    return AlignedCorpus(
        a=sides[0],
        b=sides[1],
        rule=rule,
        pool=how,
        document_offsets=tuple(np.split(offsets, before[1:-1])),
        document_token_ids=tuple(np.split(ids, before[1:-1])),
        special_ids=frozenset(ids[special].tolist()),
        kept_token_ids=ids[entering],
        kept_document_ids=units.documents[entering],
        kept_positions=entering - before[units.documents[entering]],
        rows_a=rows_a[entering],
        rows_b=rows_b[entering],
        characters=(int(within.sum()), int(filled[common])),
    )


def _common_texts(a: Corpus, b: Corpus) -> tuple[str, ...]:
    for name, corpus in (("corpus_a", a), ("corpus_b", b)):
        if not isinstance(corpus, Corpus):
            raise TypeError(f"{name} must be a Corpus, got {type(corpus).__name__}")
    number = min(a.n_documents, b.n_documents)
    for name, text, other in zip(a.names, a.texts[:number], b.texts[:number], strict=False):
        if text != other:
            raise ValueError(f"corpus_a and corpus_b must hold the same documents, but {name} differs")
    return a.texts[:number]


def _recut(corpus: Corpus, tokens: Tokens, starts: Ints) -> Corpus:
    """Return a corpus of some first documents and tokens, with blocks that begin with the given tokens."""
    sizes = np.diff(tokens.firsts).tolist()
    borders = np.searchsorted(starts, tokens.firsts)
    return replace(
        corpus,
        texts=corpus.texts[: len(sizes)],
        names=corpus.names[: len(sizes)],
        document_token_ids=tuple(ids[:size] for ids, size in zip(corpus.document_token_ids, sizes, strict=False)),
        document_offsets=tuple(spans[:size] for spans, size in zip(corpus.document_offsets, sizes, strict=False)),
        cuts=tuple(
            starts[first:stop] - begin
            for first, stop, begin in zip(borders[:-1], borders[1:], tokens.firsts[:-1], strict=True)
        ),
    )


def _rows(corpus: Corpus, units: Units, side: int, rule: str) -> tuple[NDArray[np.bool_], Ints]:
    """Return whether a side lets a unit enter, and the first and last kept tokens that stand for it, shape (U, 2)."""
    first, last, firsts = units.first[side], units.last[side], units.sides[side].firsts
    kept = np.zeros(firsts[-1], dtype=bool)
    kept[firsts[corpus.kept_document_ids] + corpus.kept_positions] = True
    before = np.append(0, np.cumsum(kept))
    standing = last if rule == "last" else first
    enters = (before[last + 1] - before[standing] == last - standing + 1) & (last - first < corpus.room)
    return enters, np.stack([before[standing], before[last]], axis=1)


def _special(corpus: Corpus, units: Units, side: int) -> NDArray[np.bool_]:
    """Return whether a special token of a side is part of a unit, shape (U,)."""
    special = np.isin(np.concatenate(corpus.document_token_ids), list(corpus.special_ids))
    before = np.append(0, np.cumsum(special))
    return np.asarray(before[units.last[side] + 1] > before[units.first[side]])
