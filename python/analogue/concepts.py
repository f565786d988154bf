"""Concepts: the shipped and the user's, and the features whose top contexts hit their words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .concept import Concept
from .concept_explanation import ConceptExplanation, by_context, explain_feature
from .concept_files import Definition, read, resolve, shipped
from .explanations import Explanations, as_labels
from .junk_lists import is_junk
from .keywords import Where, keyword_hits
from .labels import Labels

if TYPE_CHECKING:
    import pyarrow


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
        definitions = _beside(shipped(), read(paths))
        return cls(tuple(resolve(definitions, name) for name in names or definitions))

    @classmethod
    def from_toml(cls, *paths: str | Path) -> Concepts:
        """Load the concepts of your own files or folders alone; see `load`.

        A file has the keys ``name`` and ``words``, and may have ``case`` ("fold", which is the default, or "exact"),
        ``inherits`` (concepts whose words and removed words it takes over), ``union`` and ``minus`` (concepts whose
        words are added and taken away), and a table ``[removed]`` of words that are left out, each with the reason.
        """
        own = read(paths)
        definitions = _beside(shipped(), own)
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
        where : {"word", "token", "window", "phrase"}
            What must be a word of the concept, see `keyword_hits`: the whole word of the activating token, the token
            alone, any word in the window, or a phrase in it.
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

    def explain(self, labels: Labels | Explanations, feature: int, where: Where = "word") -> ConceptExplanation:
        """Say which words of which concepts match a feature in which context, or that none does.

        What is only near, and what would match had it not been removed, is said too; ``print`` the result.
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

    def mixed_control(self, seed: int = 0) -> Concept:
        """Draw a control: one word from each of these concepts, folded, so that no meaning holds them together.

        Of concepts that share words no word is drawn twice; one whose words are all drawn is passed over.
        """
        rng = np.random.default_rng(seed)
        drawn: dict[str, None] = {}
        for concept in self:
            left = [word for word in dict.fromkeys(map(str.casefold, concept.words)) if word not in drawn]
            if left:
                drawn[left[rng.integers(len(left))]] = None
        return Concept("mixed", tuple(drawn))

    def _new_words(self, given: Labels | Explanations) -> dict[str, tuple[int, int]]:
        """Count features and contexts of the label words that are in no concept, removed words included."""
        known = {word.casefold() for concept in self for word in (*concept.words, *concept.removed)}
        known |= _function_words()
        contexts: Counter[str] = Counter()
        features: Counter[str] = Counter()
        labels = as_labels("labels", given)
        for feature in range(labels.n_features):
            new = [_words(*context) - known for context in labels.contexts(feature)]
            for words in new:
                contexts.update(words)
            features.update(set().union(*new))
        return {word: (features[word], times) for word, times in contexts.items()}


def _words(left: str, token: str, right: str) -> set[str]:
    """Return the words that the activating token belongs to, folded; junk, numerals and what the edge cuts are none."""
    if is_junk(token):
        return set()
    before, after = left[left.rfind(" ") + 1 :], right.partition(" ")[0]  # no word goes on beyond a space
    text, start, end = before + token + after, len(before), len(before) + len(token)
    first_cut, last_cut = bool(left) and before == left, bool(right) and after == right
    words = set()
    for match in _word_pattern().finditer(text):
        cut = (first_cut and match.start() == 0) or (last_cut and match.end() == len(text))
        if match.start() < end and match.end() > start and not cut:
            words.add(unicodedata.normalize("NFC", match[0]).casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return {word for word in words if not any(map(str.isdigit, word))}


@cache
def _word_pattern() -> re.Pattern[str]:
    """Match runs of letters, digits and marks, with apostrophes inside, save that of a final s."""
    marks = "".join(mark for mark in map(chr, range(0x300, 0x20000)) if unicodedata.category(mark).startswith("M"))
    run = rf"(?:[^\W_]+|[{re.escape(marks)}]+)+"
    return re.compile(rf"{run}(?:['\N{{RIGHT SINGLE QUOTATION MARK}}](?![sS]\b){run})*")


@cache
def _function_words() -> frozenset[str]:
    import tomllib
    from importlib import resources

    text = (resources.files("analogue") / "data" / "function_words.toml").read_text(encoding="utf-8")
    return frozenset(tomllib.loads(text)["words"])


def _beside(definitions: dict[str, Definition], own: Iterable[Definition]) -> dict[str, Definition]:
    for definition in own:
        if definition.name in definitions:
            taken = definitions[definition.name].source
            raise ValueError(f"{definition.source}: name must not be taken, got {definition.name!r} of {taken}")
        definitions[definition.name] = definition
    return definitions
