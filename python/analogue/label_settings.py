"""The part of the settings that is about labels: how features are labelled, and what filters ask of the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _checks
from .junk import check_rule
from .junk_lists import DEFAULT, JunkList, as_junk_list, named_junk
from .labels import TARGETS, UNITS


@dataclass(frozen=True)
class LabelSettings:
    """How features are labelled, and what the junk and shared-word filters ask of their labels; part of `Settings`.

    Attributes
    ----------
    label_k : int
        Top tokens of every feature, see `top_contexts`.
    label_window : int
        Context on each side of a token.
    label_unit : {"tokens", "words"}
        What the window counts.
    label_target : {"token", "next"}
        Whether the activating token is the label, or the one after it.
    one_per_document : bool
        Take the strongest token of a document only.
    junk : {"majority", "any", "off"} or int
        The junk rule, see `filters.junk`.
    junk_preset : str or JunkList
        What is junk: names of presets, sets and own files with commas between, see `load_junk`. Files are read at once,
        and what they say is saved with the run.
    junk_keep : str
        Characters that are junk in no set, such as "-+*/", see `JunkList.keeping`.
    shared_words : int
        The least number of top words that both features of a pair have, see `filters.shared_word`; 0: none are asked.
    """

    label_k: int = 5
    label_window: int = 5
    label_unit: str = "tokens"
    label_target: str = "token"
    one_per_document: bool = False
    junk: str | int = "majority"
    junk_preset: str | JunkList = DEFAULT
    junk_keep: str = ""
    shared_words: int = 0

    def __post_init__(self) -> None:
        _checks.integer("label_k", self.label_k, minimum=1)
        _checks.integer("label_window", self.label_window, minimum=0)
        _checks.choice("label_unit", self.label_unit, UNITS)
        _checks.choice("label_target", self.label_target, TARGETS)
        check_rule("junk", self.junk, "off")
        object.__setattr__(self, "junk_preset", named_junk(self.junk_preset))
        if self.junk == "off" and self.junk_preset != DEFAULT:
            name = as_junk_list(self.junk_preset).name
            raise ValueError(f"junk_preset needs a junk rule, got {name} with junk=off")
        if not isinstance(self.junk_keep, str):
            raise TypeError(f"junk_keep must be a string of characters, got {type(self.junk_keep).__name__}")
        if self.junk == "off" and self.junk_keep:
            raise ValueError(f"junk_keep needs a junk rule, got {self.junk_keep} with junk=off")
        _checks.integer("shared_words", self.shared_words, minimum=0)

    @property
    def labelling(self) -> dict[str, Any]:
        """The arguments of `top_contexts`."""
        size = {"k": self.label_k, "window": self.label_window, "unit": self.label_unit}
        return size | {"target": self.label_target, "one_per_document": self.one_per_document}

    @property
    def junk_list(self) -> JunkList:
        """What is junk, less the characters that are kept."""
        return as_junk_list(self.junk_preset).keeping(self.junk_keep)


def saved_junk(preset: str | JunkList) -> str | dict[str, Any]:
    """Return a junk preset as plain JSON values: names as they are, and what own files said."""
    return preset if isinstance(preset, str) else preset.to_dict()


def read_junk(saved: str | Mapping[str, Any]) -> str | JunkList:
    """Read back what `saved_junk` returned."""
    return saved if isinstance(saved, str) else JunkList.from_dict(saved)
