"""Settings: what a comparison does between activations and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _checks, filters
from .given import GIVEN
from .junk import check_rule
from .junk_lists import DEFAULT, load_junk
from .labels import Labels
from .matching import METRICS
from .nulls import CLOSED_MEASURES, CLOSED_NULLS, NULLS
from .nulls.permutations import METHODS, ORIGINAL
from .pairs import Filter
from .rules import DIRECTIONS, RULES
from .similarity import MEASURES

BY = ("activations", "directions")
ASSIGNMENT_TOP = 8
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
# The sides whose features may have many pairs under a rule; under "capacity" it depends on the direction.
_HUBS = {"b_to_a": ("a",), "a_to_b": ("b",), "union": ("a", "b"), "mutual": (), "assignment": ()}


@dataclass(frozen=True)
class Settings:
    """What a comparison does between activations and scores; all of it is saved with the result.

    What would not be used is refused.

    Attributes
    ----------
    by : {"activations", "directions"}
        What partners are matched by: how activations go together, or, for two dictionaries of one space, the cosine
        of their decoder rows, see `match_directions`.
    metric : {"pearson", "cosine", "jaccard"}
        How activations are taken to go together, see `match`; pairs carry their plain correlation whatever it is.
    given : {"token", "bigram"} or None
        Match by the correlation that is left given it, see `match`.
    pairs : {"mutual", "b_to_a", "a_to_b", "union", "capacity", "assignment"}
        The pairing rule, see `Matches.pairs`.
    capacity : int or None
        Pairs that a feature may have under the rule "capacity".
    direction : {"b_to_a", "a_to_b"}
        Which side chooses under the rule "capacity", which alone takes it.
    top : int or None
        Partners kept for each feature; None: 8 for "assignment", which alone looks beyond the best one, else 1.
    min_multiplicity, max_multiplicity : int or None
        Keep features of the chosen side with so many pairs, see `filters.multiplicity`.
    multiplicity_policy : {"drop", "first", "best"}
        What a feature with more than ``max_multiplicity`` pairs keeps.
    multiplicity_keep : int or None
        How many of them under "first" and "best"; None: ``max_multiplicity``.
    one_to_one : {"strict", "best", "first"} or None
        Keep every feature at most once; mutual and assignment pairs are one-to-one already.
    min_activations : int
        Tokens a feature must fire on to be a candidate; matched by directions, to stay.
    min_correlation, max_correlation : float or None
        The band of the correlation that pairs are matched by: the one given the token or bigram where ``given`` is,
        else the plain one, whatever ``metric`` and ``by``.
    min_correlation_given_token : float or None
        The least correlation given the token's identity.
    junk : {"majority", "any", "off"} or int
        The junk rule, see `filters.junk`.
    junk_preset : str
        What is junk: names of presets and sets with commas between, see `load_junk`.
    shared_words : int
        The least number of top words that both features of a pair have, see `filters.shared_word`; 0: none are asked.
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

    by: str = "activations"
    metric: str = "pearson"
    given: str | None = None
    pairs: str = "mutual"
    capacity: int | None = None
    direction: str = "b_to_a"
    top: int | None = None
    min_multiplicity: int | None = None
    max_multiplicity: int | None = None
    multiplicity_policy: str = "drop"
    multiplicity_keep: int | None = None
    one_to_one: str | None = None
    min_activations: int = 20
    min_correlation: float | None = 0.1
    max_correlation: float | None = None
    min_correlation_given_token: float | None = None
    junk: str | int = "majority"
    junk_preset: str = DEFAULT
    shared_words: int = 0
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
        _checks.choice("by", self.by, BY)
        if self.by == "directions" and (self.split_half or self.convergence):
            raise ValueError("split_half and convergence need by=activations: directions are the same for any text")
        _checks.choice("metric", self.metric, METRICS)
        if self.by == "directions" and self.metric != "pearson":
            raise ValueError(f"metric needs by=activations, got {self.metric} with by=directions")
        if self.given is not None and not isinstance(self.given, str):
            raise TypeError(
                f"given must be {', '.join(GIVEN)} or None, got {type(self.given).__name__}: `match` takes group ids"
            )
        if self.given is not None:
            _checks.choice("given", self.given, GIVEN)
        if self.given is not None and (self.metric != "pearson" or self.by == "directions"):
            raise ValueError(f"given needs metric=pearson and by=activations, got {self.metric} and {self.by}")
        self._check_rule()
        self._check_words()
        _checks.integer("min_activations", self.min_activations, minimum=1)
        for name in ("min_correlation", "max_correlation", "min_correlation_given_token"):
            _checks.number_or_none(name, getattr(self, name))
        filters.correlation(self.min_correlation, self.max_correlation)
        if self.one_to_one is not None:
            _checks.choice("one_to_one", self.one_to_one, filters.ONE_TO_ONE)
        self._check_scores()

    def _check_words(self) -> None:
        check_rule("junk", self.junk, "off")
        load_junk(self.junk_preset)
        if self.junk == "off" and self.junk_preset != DEFAULT:
            raise ValueError(f"junk_preset needs a junk rule, got {self.junk_preset} with junk=off")
        _checks.integer("shared_words", self.shared_words, minimum=0)

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

    def _check_rule(self) -> None:
        _checks.choice("pairs", self.pairs, RULES)
        _checks.choice("direction", self.direction, DIRECTIONS)
        _checks.choice("multiplicity_policy", self.multiplicity_policy, filters.MULTIPLICITY_POLICIES)
        if (self.capacity is None) == (self.pairs == "capacity"):
            raise ValueError(
                f"capacity must be given with pairs=capacity and only there, got {self.capacity} with {self.pairs}"
            )
        if self.direction != DIRECTIONS[0] and self.pairs != "capacity":
            raise ValueError(f"direction goes with pairs=capacity only, got {self.direction} with {self.pairs}")
        low, high, keep = self.min_multiplicity, self.max_multiplicity, self.multiplicity_keep
        for name in ("capacity", "top", "min_multiplicity", "max_multiplicity", "multiplicity_keep"):
            if (value := getattr(self, name)) is not None:
                _checks.integer(name, value, minimum=1)
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_multiplicity must not exceed max_multiplicity, got {low} and {high}")
        if keep is not None and (high is None or keep > high or self.multiplicity_policy == "drop"):
            raise ValueError(
                f"multiplicity_keep must be at most max_multiplicity, with the policy first or best, got {keep} with "
                f"{high} and {self.multiplicity_policy}"
            )
        if low is not None and len(self._hub_sides) != 1:
            raise ValueError(
                f"min_multiplicity needs pairs of many to one: b_to_a, a_to_b or capacity, got pairs={self.pairs}"
            )

    @property
    def partners(self) -> int:
        """The ``top`` that matching runs with."""
        return self.top if self.top is not None else ASSIGNMENT_TOP if self.pairs == "assignment" else 1

    @property
    def rule(self) -> dict[str, Any]:
        """The arguments of `Matches.pairs`."""
        return {"rule": self.pairs, "k": self.capacity, "direction": self.direction}

    def filters(self, labels_a: Labels, labels_b: Labels, *, bands: bool = True) -> list[Filter]:
        """Return the filters in their order: multiplicity, one-to-one, correlation bands (if wanted), junk, words."""
        stages = []
        if self.min_multiplicity is not None or self.max_multiplicity is not None:
            for side in self._hub_sides:
                band, kept = (self.min_multiplicity, self.max_multiplicity), self.multiplicity_keep
                stages.append(filters.multiplicity(*band, side, self.multiplicity_policy, kept))
        if self.one_to_one is not None:
            stages.append(filters.one_to_one(self.one_to_one))
        if bands and (self.min_correlation is not None or self.max_correlation is not None):
            stages.append(self._correlation_band())
        if bands and self.min_correlation_given_token is not None:
            stages.append(filters.correlation(self.min_correlation_given_token, of="given_token"))
        if self.junk != "off":
            stages.append(filters.junk(labels_a, labels_b, self.junk, self.junk_preset))
        if self.shared_words:
            stages.append(filters.shared_word(labels_a, labels_b, self.shared_words))
        return stages

    def _correlation_band(self) -> Filter:
        ends = (self.min_correlation, self.max_correlation)
        if self.given is None:
            return filters.correlation(*ends)
        return filters.correlation(*ends, of="matched")._replace(name=filters.band(f"r given {self.given}", *ends))

    @property
    def _hub_sides(self) -> tuple[str, ...]:
        return _HUBS[self.direction if self.pairs == "capacity" else self.pairs]


def settings_or_default(settings: Settings | None) -> Settings:
    """Return the settings, or the default ones for None; anything else is refused."""
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"settings must be Settings or None, got {type(settings).__name__}")
    return settings or Settings()
