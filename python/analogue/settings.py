"""Settings: what a comparison does between activations and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from . import _checks
from .label_settings import read_junk, saved_junk
from .nulls import CLOSED_MEASURES, CLOSED_NULLS, NULLS
from .nulls.permutations import METHODS, ORIGINAL
from .pair_settings import PairSettings
from .similarity import MEASURES

AUTO = "auto"
PANEL = ("rsa", "cka", "mutual_knn", "heldout_cca", "svcca_capped", "svcca")
REDRAWN = ("shift", "subset")
NULL_NAMES = (AUTO, *NULLS, *REDRAWN)
# What is asked for as a null and is none of a comparison's settings, and where it is instead.
_ELSEWHERE = {
    "rate-adjusted": "scores with the firing rate regressed out stand beside those of every row null",
    "token-conditional": "it is a null of mean r, drawn with token_null (--token-null)",
    "rematched": "it is in Python, analogue.rematch.rematched",
    "pair-subset": "it is in Python, analogue.rematch.pair_subset",
}
_CLOSED_FORMS = (AUTO, *CLOSED_NULLS)


@dataclass(frozen=True)
class Settings(PairSettings):
    """What a comparison does between activations and scores; all of it is saved with the result.

    What would not be used is refused. Arguments are also those of `analogue.label_settings.LabelSettings` (how features
    are labelled, junk, shared words) and of `analogue.pair_settings.PairSettings` (how pairs come about, which stay).

    Attributes
    ----------
    null : {"auto", "siblings", "one-per-token", "pairing", "stratified", "shift", "subset"}
        The null hypothesis, see `permutation_test`; "auto" takes the one that fits the pairs, see `choose_null`. The
        strata are fifths of the pairs by the firing rate of their B feature, the groups in them siblings. For the last
        two see `analogue.rematch`; "shift" needs pairs without a correlation band.
    method : {"permutation", "analytic"}
        Whether nulls are drawn or taken from closed forms, see `permutation_test`.
    measures : tuple of str
        Similarity measures to score. Those of rsa, cka and mutual_knn among them, or all where none is, are scored once
        more with the firing rates regressed out.
    permutations : int or "original"
        Row permutations drawn; "original": 100 for more than 100 pairs, else 1000.
    stop : int or None
        End the draws of a measure when so many have reached its observed value, see `permutation_test`.
    token_null : int or None
        Draws of the token-conditional null of mean r, each matched again, see `token_conditional`; None: no such test.
    seed : int
        The seed that permutations come from.
    min_pairs : int
        With fewer pairs there is no score.
    split_half : bool
        Match on half of the documents too, and correlate on the other half, see `split_half`.
    convergence : bool
        Pair and score growing parts of the text too, see `convergence`.
    """

    null: str = AUTO
    method: str = "permutation"
    measures: tuple[str, ...] = PANEL
    permutations: int | str = 1000
    stop: int | None = None
    token_null: int | None = None
    seed: int = 0
    min_pairs: int = 10
    split_half: bool = False
    convergence: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by == "directions" and (self.split_half or self.convergence):
            raise ValueError("split_half and convergence need by=activations: directions are the same for any text")
        self._check_scores()

    def _check_scores(self) -> None:
        if self.null in _ELSEWHERE:
            names = ", ".join(NULL_NAMES)
            raise ValueError(f"null must be one of {names}, got {self.null!r}: {_ELSEWHERE[self.null]}")
        _checks.choice("null", self.null, NULL_NAMES)
        _checks.choice("method", self.method, METHODS)
        if self.method == "analytic" and self.null not in _CLOSED_FORMS:
            raise ValueError(f"method=analytic needs null={' or '.join(_CLOSED_FORMS)}, got {self.null}")
        if self.permutations != ORIGINAL:
            _checks.integer("permutations", self.permutations, minimum=1)
        for name in ("stop", "token_null"):
            if (value := getattr(self, name)) is not None:
                _checks.integer(name, value, minimum=1)
        if self.by == "directions" and self.token_null is not None:
            raise ValueError("token_null needs by=activations: directions are the same whatever the activations")
        _checks.integer("seed", self.seed, minimum=0)
        _checks.integer("min_pairs", self.min_pairs, minimum=1)
        if isinstance(self.measures, str):
            raise TypeError(f"measures must be a tuple of names, got the string {self.measures!r}")
        if not self.measures:
            raise ValueError(f"measures must name at least one of {', '.join(MEASURES)}, got none")
        for measure in self.measures:
            _checks.choice("measures", measure, MEASURES)
        if self.null in REDRAWN:
            self._check_redrawn()

    def _check_redrawn(self) -> None:
        """Refuse what a null with other rows cannot have, all of it in one sentence."""
        needs = []
        if self.by == "directions":
            needs.append("by=activations, got by=directions")
        if self.permutations == ORIGINAL:
            needs.append(f"a number of permutations, got permutations={ORIGINAL}")
        if self.stop is not None:
            needs.append(f"no stop, got stop={self.stop}")
        if self.convergence:
            needs.append("no convergence, got convergence=True")
        if self.null == "shift":
            others = [measure for measure in self.measures if measure not in CLOSED_MEASURES]
            if others:
                needs.append(f"measures with closed moments ({', '.join(CLOSED_MEASURES)}), got {', '.join(others)}")
            if self._bands:
                bands = ", ".join(f"{name}={value:g}" for name, value in self._bands.items())
                needs.append(
                    "pairs without a correlation band (min_correlation None or -1, the others None), which almost no "
                    f"shifted pair passes, got {bands}"
                )
        if needs:
            raise ValueError(f"null={self.null} needs {'; and '.join(needs)}")

    @property
    def _bands(self) -> dict[str, float]:
        """The ends of correlation bands that leave a pair out."""
        names = ("min_correlation", "max_correlation", "min_correlation_given_token")
        values = {name: getattr(self, name) for name in names}
        return {
            name: value
            for name, value in values.items()
            if value is not None and not (name == "min_correlation" and value <= -1.0)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, with what own junk files said."""
        return asdict(self) | {"junk_preset": saved_junk(self.junk_preset)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Read back what `to_dict` returned."""
        lists = {name: tuple(saved[name]) for name in ("measures", "stages") if name in saved}
        return cls(**{**saved, **lists, "junk_preset": read_junk(saved["junk_preset"])})


def settings_or_default(settings: Settings | None) -> Settings:
    """Return the settings, or the default ones for None; anything else is refused."""
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"settings must be Settings or None, got {type(settings).__name__}")
    return settings or Settings()
