"""Matches: every feature's best partners on the other side, and the pairs that a rule makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _checks, rules
from .assignment import Graph, assign, optimum
from .correlations import pair_correlations
from .given import Activations, count_alone
from .pairs import Counts, Pairs, Stage
from .rules import DIRECTIONS, RULES, Candidates, Chosen

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, eq=False, repr=False)
class Matches:
    """Every feature's best partner on the other side.

    Attributes
    ----------
    best_a, corr_a : ndarray of int64 and float64, shape (F_B,) or (F_B, top)
        For every B feature its best A features and their ``metric``, best first.
    best_b, corr_b : ndarray of int64 and float64, shape (F_A,) or (F_A, top)
        For every A feature its best B features. A feature that is no candidate has -1 and 0.0.
    acts_a, acts_b : FeatureActivations or ActivationShards
        What was matched.
    metric : {"pearson", "cosine", "jaccard"}
        What partners were ranked by.
    given : ndarray of int64, shape (T,), or None
        A group id for every token, where ``metric`` is the partial Pearson correlation given it.
    memory_limit : int, str or None
        What matching was given, and correlating pairs is held to.
    falling : bool
        Whether partners are listed by falling metric; directions that were matched by distance carry their cosine.
    """

    best_a: NDArray[np.int64]
    corr_a: NDArray[np.float64]
    best_b: NDArray[np.int64]
    corr_b: NDArray[np.float64]
    acts_a: Activations
    acts_b: Activations
    metric: str = "pearson"
    given: NDArray[np.int64] | None = None
    memory_limit: int | str | None = None
    falling: bool = True

    def __repr__(self) -> str:
        top = self.candidates.best_a.shape[1]
        sizes = f"{len(self.best_b)} x {len(self.best_a)} features, {self.acts_a.n_tokens} tokens, top {top}"
        return f"Matches({sizes}, by {self.metric}{'' if self.given is None else ' given groups'})"

    @property
    def token_ids(self) -> NDArray[np.int64] | None:
        """The vocabulary id of every token, where either side carries it."""
        return self.acts_a.token_ids if self.acts_a.token_ids is not None else self.acts_b.token_ids

    @property
    def tokens_alone(self) -> int | None:
        """Tokens that are alone in their group and carry nothing given it; None where no groups were given."""
        return None if self.given is None else count_alone(self.given)

    @property
    def candidates(self) -> Candidates:
        """Partners and their metric with one column a rank, whatever ``top``."""
        return Candidates(*map(_columns, (self.best_a, self.corr_a, self.best_b, self.corr_b)))  # type: ignore[arg-type]

    def pairs(self, rule: str = "mutual", *, k: int | None = None, direction: str = "b_to_a") -> Pairs:
        """Choose pairs by a rule.

        Parameters
        ----------
        rule : {"mutual", "b_to_a", "a_to_b", "union", "capacity", "assignment"}
            ``b_to_a``: every B feature with its best A (an A may serve many). ``a_to_b``: the other way.
            ``mutual``: those of ``b_to_a`` where each is the other's best. ``union``: ``b_to_a`` and ``a_to_b``.
            ``capacity``: those of ``direction`` where a feature is among the ``k`` best that chose its partner.
            ``assignment``: one-to-one, of largest total over all ``top`` candidates of either side; features without
            a positive one that is free stay unmatched. Its stage carries an upper bound of the total over all pairs.
        k : int
            Pairs that a feature may have under ``capacity``, which alone takes it.
        direction : {"b_to_a", "a_to_b"}
            Which side chooses under ``capacity``.

        Returns
        -------
        Pairs
            With correlations, correlations given the token's identity where the activations carry token ids,
            and the stages "candidates" and the rule's.
        """
        _checks.choice("rule", rule, RULES)
        _checks.choice("direction", direction, DIRECTIONS)
        if rule == "capacity":
            _checks.integer("k", k, minimum=1)
        elif k is not None:
            raise ValueError(f"k goes with the rule capacity only, got k={k} and the rule {rule}")
        if rule == "assignment":
            return self._assignment()
        candidates = self.candidates
        choose = {"a_to_b": rules.a_to_b, "union": rules.union}
        chosen = choose.get(direction if rule == "capacity" else rule, rules.b_to_a)(candidates)
        keep, name = np.ones(len(chosen.weight), dtype=bool), rule
        if rule == "mutual":
            keep = rules.is_mutual(chosen, candidates)
        elif k is not None:
            hub = chosen.feature_a if direction == "b_to_a" else chosen.feature_b
            keep, name = rules.within_capacity(hub, chosen.weight, k), f"capacity {k} {direction}"
        pairs = self._measured(chosen)
        return replace(pairs, stages=(Stage("candidates", pairs.counts),)).stage(name, keep)

    def _assignment(self) -> Pairs:
        candidates = self.candidates
        edges = rules.edges(candidates)
        n_a, n_b = (int((best[:, 0] >= 0).sum()) for best in (candidates.best_b, candidates.best_a))
        limit_a = rules.unlisted_at_most(candidates.best_b, candidates.weight_b, n_b, self.falling)
        limit_b = rules.unlisted_at_most(candidates.best_a, candidates.weight_a, n_a, self.falling)
        graph = Graph(*edges, limit_a, limit_b)
        matched = assign(graph)
        found = self._measured(edges.take(matched))
        # Candidates that were not chosen are no pairs that a stage dropped: there are `top` times as many.
        listed = Counts.of(edges.feature_a, edges.feature_b, self._plain(edges))
        stages = (Stage("candidates", listed), Stage("assignment", found.counts, optimum=optimum(graph, matched)))
        return replace(found, stages=stages)

    def _measured(self, chosen: Chosen) -> Pairs:
        token_ids = self.token_ids
        return Pairs(
            chosen.feature_a,
            chosen.feature_b,
            self._plain(chosen),
            correlation_given_token=None if token_ids is None else self._correlation(chosen, token_ids),
            metric=self.metric,
            value=None if self._is_plain else chosen.weight,
            n_features=(len(self.candidates.best_b), len(self.candidates.best_a)),
        )

    def _plain(self, chosen: Chosen) -> NDArray[np.float64]:
        return chosen.weight if self._is_plain else self._correlation(chosen)

    @property
    def _is_plain(self) -> bool:
        return self.metric == "pearson" and self.given is None

    def _correlation(self, chosen: Chosen, given: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        pairs = (chosen.feature_a, chosen.feature_b)
        return pair_correlations(self.acts_a, self.acts_b, *pairs, given, self.memory_limit)


def _columns(best: NDArray[Number]) -> NDArray[Number]:
    return best[:, None] if best.ndim == 1 else best
