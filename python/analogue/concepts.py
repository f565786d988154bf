"""Concepts: the shipped and the user's, and the features whose top contexts hit their words."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .concept import Concept, mixed_words
from .concept_explanation import ConceptExplanation, by_context, explain_feature
from .concept_files import beside, read, resolve, shipped
from .corpus import Corpus
from .explanations import Explanations, as_labels
from .given import Activations
from .keywords import Where, keyword_hits
from .labels import Labels
from .mentions import specificity
from .producible import sentence, unproducible
from .vocabulary import count_words

if TYPE_CHECKING:
    import pyarrow
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, eq=False)
class Concepts:
    """A list of concepts, to look for in labels; ``concepts["time"]`` is one, iteration yields all.

    Attributes
    ----------
    concepts : tuple of Concept
        At least one, no two of one name.
    """

    concepts: tuple[Concept, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "concepts", tuple(self.concepts))
        if not self.concepts:
            raise ValueError("concepts must be at least one, got none")
        for concept in self.concepts:
            if not isinstance(concept, Concept):
                raise TypeError(f"concepts must be Concept objects, got {concept!r}")
        name, times = Counter(self.names).most_common(1)[0]
        if times > 1:
            raise ValueError(f"concepts must have names of their own, got {name!r} {times} times")

    @classmethod
    def load(cls, *names: str, files: str | Path | Iterable[str | Path] = ()) -> Concepts:
        """Load concepts by name, of the package and of files of your own beside them.

        Parameters
        ----------
        *names : str
            In the order wanted; none: all, in alphabetical order, those of ``files`` last.
        files : str, Path, or iterable of them
            TOML files of one concept each, or folders of them. They may inherit, join or take away concepts of the
            package, and may not have a name that is taken.

        Raises
        ------
        FileNotFoundError
            If a path has no such file.
        ValueError
            If a name is unknown or taken, if concepts come back to themselves, or if a file has a wrong key, type or
            word: file and line are said.
        """
        paths = [files] if isinstance(files, str | Path) else files
        definitions = beside(shipped(), read(paths))
        return cls(tuple(resolve(definitions, name) for name in names or definitions))

    @classmethod
    def from_toml(cls, *paths: str | Path) -> Concepts:
        """Load the concepts of your own files or folders alone; see `load`.

        A file has the keys ``name`` and ``words``, and may have ``case`` ("fold", which is the default, or "exact"),
        ``compounds`` (false: no word counts that a hyphen joins to another),
        ``inherits`` (concepts whose words and removed words it takes over), ``union`` and ``minus`` (concepts whose
        words are added and taken away), and a table ``[removed]`` of words that are left out, each with the reason.
        """
        own = read(paths)
        definitions = beside(shipped(), own)
        return cls(tuple(resolve(definitions, definition.name) for definition in own))

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(concept.name for concept in self.concepts)

    def __len__(self) -> int:
        return len(self.concepts)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def __getitem__(self, name: str) -> Concept:
        _checks.choice("concept", name, self.names)
        return self.concepts[self.names.index(name)]

    def features(
        self, labels: Labels | Explanations, where: Where = "word", least: int = 1
    ) -> dict[str, NDArray[np.int64]]:
        """Find the features of every concept.

        Parameters
        ----------
        labels : Labels or Explanations
            Of explanations every word counts, whether ``where`` is "word" or "window"; see `Explanations.labels`.
        where : {"word", "token", "window", "phrase", "substring"}
            What must be a word of the concept, see `keyword_hits`: the whole word of the activating token, the token
            alone, any word in the window, a phrase in it, or any piece of the token (wrong, and there to compare).
        least : int
            Top contexts that must have a word of the concept, whichever of them; 1 counts a feature with any.

        Returns
        -------
        dict of str to ndarray of int64
            Name of the concept, its features in increasing order: ids of the full dictionary.
        """
        _checks.integer("least", least, minimum=1)
        labels = as_labels("labels", labels)
        hits = keyword_hits(by_context(labels), [concept.group for concept in self], where)
        owner = np.repeat(np.arange(labels.n_features), np.diff(labels.offsets))
        found = {}
        for place, concept in enumerate(self):
            contexts = np.unique(hits.feature[hits.group == place])  # a context with two words counts once
            features, counts = np.unique(owner[contexts], return_counts=True)
            found[concept.name] = features[counts >= least]
        return found

    def coverage(
        self, labels_a: Labels | Explanations, labels_b: Labels | Explanations, where: Where = "word"
    ) -> pyarrow.Table:
        """Count what every word hits on both sides, before anything is scored.

        Parameters
        ----------
        labels_a, labels_b : Labels or Explanations
        where : {"word", "token", "window", "phrase", "substring"}
            As for `features`, whose features are those that are counted here for any word.

        Returns
        -------
        pyarrow.Table
            One row a word of a concept, those without a hit too: ``concept``, ``word``, and for each side the features
            with the word in a top context, ``features_a`` and ``features_b``, and these contexts, ``contexts_a`` and
            ``contexts_b``.
        """
        import pyarrow as pa

        sizes = [len(concept.words) for concept in self]
        first = np.cumsum([0, *sizes[:-1]])
        columns: dict[str, object] = {
            "concept": [concept.name for concept in self for _ in concept.words],
            "word": [word for concept in self for word in concept.words],
        }
        for side, given in (("a", labels_a), ("b", labels_b)):
            labels = as_labels(f"labels_{side}", given)
            hits = keyword_hits(labels, [concept.group for concept in self], where)
            words = first[hits.group] + hits.keyword
            columns[f"features_{side}"] = np.bincount(words, minlength=sum(sizes))
            contexts = np.zeros(sum(sizes), np.int64)
            np.add.at(contexts, words, hits.contexts)
            columns[f"contexts_{side}"] = contexts
        return pa.table(columns)

    def suggest(self, labels: Labels | Explanations, n: int = 20) -> pyarrow.Table:
        """Propose the words that most features fire on and no concept has.

        Words that a concept had removed are not proposed again, nor are numerals, junk, and the function words of
        English (data/function_words.toml).

        Returns
        -------
        pyarrow.Table
            At most ``n`` rows, most features first: ``word`` (folded), ``features`` with the word in a top context,
            and ``contexts``, these contexts.
        """
        import pyarrow as pa

        _checks.integer("n", n, minimum=1)
        counts = self._new_words(labels)
        rows = sorted(counts.items(), key=lambda row: (-row[1][0], -row[1][1], row[0]))[:n]
        columns = {
            "word": pa.array([word for word, _ in rows], pa.string()),
            "features": pa.array([features for _, (features, _) in rows], pa.int64()),
            "contexts": pa.array([contexts for _, (_, contexts) in rows], pa.int64()),
        }
        return pa.table(columns)

    def specificity(self, acts: Activations, corpus: Corpus) -> dict[str, NDArray[np.float64]]:
        """Return the share of every feature's positive activation, over the whole corpus, on words of each concept.

        A feature whose top contexts are all numbers need not be specific to them: most of its activation may lie
        elsewhere. A token counts if the whole word it belongs to is a word of the concept.

        Parameters
        ----------
        acts : FeatureActivations or ActivationShards
            Captured on ``corpus``.
        corpus : Corpus

        Returns
        -------
        dict of str to ndarray of float64, shape (F,)
            From 0 to 1, by the name of the concept; NaN for a feature that never fires.
        """
        return dict(zip(self.names, specificity(acts, corpus, [concept.group for concept in self]), strict=True))

    def unproducible(self, tokenizer: PreTrainedTokenizerFast) -> dict[str, tuple[str, ...]]:
        """Return the words, by concept, that a tokenizer loses and a model so never reads; see `warn_unproducible`.

        They are those that do not come back when they are tokenised and decoded: a piece of them is unknown, or an
        accent or, where case counts, the case is gone. A concept without such a word has no entry.
        """
        lost = {own.name: unproducible(own.words, tokenizer, own.case_sensitive) for own in self}
        return {name: words for name, words in lost.items() if words}

    def warn_unproducible(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Warn, once for all of them, of the words that a tokenizer loses, and list them."""
        said = sentence(self.unproducible(tokenizer))
        if said is not None:
            warnings.warn(said, stacklevel=2)

    def explain(self, labels: Labels | Explanations, feature: int, where: Where = "word") -> ConceptExplanation:
        """Say which words of which concepts match a feature in which context, or that none does.

        What is only near, and what would match had it not been removed, is said too; ``print`` the result.

        Parameters
        ----------
        labels : Labels or Explanations
        feature : int
            Its id in the full dictionary.
        where : {"word", "token", "window", "phrase", "substring"}
            As for `features`.
        """
        labels = as_labels("labels", labels)
        _checks.integer("feature", feature, minimum=0)
        if feature >= labels.n_features:
            raise ValueError(f"feature must be below {labels.n_features}, the labels' features, got {feature}")
        return explain_feature(labels, self.concepts, int(feature), where)

    def random_control(self, labels: Labels | Explanations, n: int, seed: int = 0) -> Concept:
        """Draw a control: ``n`` words that features fire on and that none of these concepts has or had removed.

        They are drawn from what `suggest` would propose, whatever their number of features.

        Raises
        ------
        ValueError
            If the labels have fewer such words.
        """
        _checks.integer("n", n, minimum=1)
        vocabulary = sorted(self._new_words(labels))
        if n > len(vocabulary):
            raise ValueError(f"n must be at most {len(vocabulary)}, the labels' words in no concept, got {n}")
        drawn = np.random.default_rng(seed).choice(len(vocabulary), n, replace=False)
        return Concept("random", tuple(vocabulary[word] for word in sorted(drawn.tolist())))

    def mixed_control(self, seed: int = 0, *, n: int | None = None) -> Concept:
        """Draw a control: one word from each of these concepts, folded, so that no meaning holds them together.

        Of concepts that share words no word is drawn twice; one whose words are all drawn is passed over.

        Parameters
        ----------
        seed : int
        n : int, optional
            So many words, one from each concept in random order, then a second from each, and so on.

        Raises
        ------
        ValueError
            If the concepts have fewer than ``n`` words.
        """
        return Concept("mixed", mixed_words(self.concepts, np.random.default_rng(seed), n))

    def _new_words(self, given: Labels | Explanations) -> dict[str, tuple[int, int]]:
        """Count features and contexts of the label words that are in no concept, removed words included."""
        known = {word.casefold() for concept in self for word in (*concept.words, *concept.removed)}
        return count_words(as_labels("labels", given), known)
