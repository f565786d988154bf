"""The part of the settings that leads to pairs: how partners are found, what pairs they make, and which stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _checks, filters
from .given import GIVEN
from .label_settings import LabelSettings
from .labels import Labels
from .matching import METRICS
from .pairs import Filter
from .rules import DIRECTIONS, RULES

BY = ("activations", "directions")
ASSIGNMENT_TOP = 8
STAGES = ("multiplicity", "one_to_one", "correlation", "junk", "shared_words")
# The sides whose features may have many pairs under a rule; under "capacity" it depends on the direction.
_HUBS = {"b_to_a": ("a",), "a_to_b": ("b",), "union": ("a", "b"), "mutual": (), "assignment": ()}


@dataclass(frozen=True)
class PairSettings(LabelSettings):
    """How pairs come about and which of them stay; part of `Settings`.

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
    stages : tuple of str
        The order of the filters after the pairing rule; it names each that the settings ask for, once.
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
    stages: tuple[str, ...] = STAGES

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.choice("by", self.by, BY)
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
        _checks.integer("min_activations", self.min_activations, minimum=1)
        for name in ("min_correlation", "max_correlation", "min_correlation_given_token"):
            _checks.number_or_none(name, getattr(self, name))
        filters.correlation(self.min_correlation, self.max_correlation)
        if self.one_to_one is not None:
            _checks.choice("one_to_one", self.one_to_one, filters.ONE_TO_ONE)
        self._check_stages()

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

    def _check_stages(self) -> None:
        if isinstance(self.stages, str):
            raise TypeError(f"stages must be a tuple of names, got the string {self.stages!r}")
        for name in self.stages:
            _checks.choice("stages", name, STAGES)
        twice = [name for place, name in enumerate(self.stages) if name in self.stages[:place]]
        if twice:
            raise ValueError(f"stages must name every filter once, got {twice[0]} twice")
        missing = [name for name in self._asked if name not in self.stages]
        if missing:
            raise ValueError(f"stages must name {', '.join(missing)} too, which the settings ask for")

    @property
    def partners(self) -> int:
        """The ``top`` that matching runs with."""
        return self.top if self.top is not None else ASSIGNMENT_TOP if self.pairs == "assignment" else 1

    @property
    def rule(self) -> dict[str, Any]:
        """The arguments of `Matches.pairs`."""
        return {"rule": self.pairs, "k": self.capacity, "direction": self.direction}

    def filters(self, labels_a: Labels, labels_b: Labels, *, bands: bool = True) -> list[Filter]:
        """Return the filters in the order of ``stages``, without those of correlation where no ``bands`` are wanted."""
        return [rule for rules in self.filters_by_stage(labels_a, labels_b, bands=bands).values() for rule in rules]

    def filters_by_stage(self, labels_a: Labels, labels_b: Labels, *, bands: bool = True) -> dict[str, list[Filter]]:
        """Return what `filters` does, by the name in ``stages``; a correlation band on r given the token is its own."""
        stages = {
            "multiplicity": self._multiplicities(),
            "one_to_one": [] if self.one_to_one is None else [filters.one_to_one(self.one_to_one)],
            "correlation": self._correlation_bands() if bands else [],
            "junk": [] if self.junk == "off" else [filters.junk(labels_a, labels_b, self.junk, self.junk_list)],
            "shared_words": [filters.shared_word(labels_a, labels_b, self.shared_words)] if self.shared_words else [],
        }
        return {name: stages[name] for name in self.stages if stages[name]}

    @property
    def _asked(self) -> list[str]:
        """The filters that the settings ask for, which ``stages`` must name."""
        asked = {
            "multiplicity": self.min_multiplicity is not None or self.max_multiplicity is not None,
            "one_to_one": self.one_to_one is not None,
            "correlation": self._ends != (None, None, None),
            "junk": self.junk != "off",
            "shared_words": self.shared_words > 0,
        }
        return [name for name in STAGES if asked[name]]

    @property
    def _ends(self) -> tuple[float | None, ...]:
        return self.min_correlation, self.max_correlation, self.min_correlation_given_token

    def _multiplicities(self) -> list[Filter]:
        band, kept = (self.min_multiplicity, self.max_multiplicity), self.multiplicity_keep
        sides = self._hub_sides if band != (None, None) else ()
        return [filters.multiplicity(*band, side, self.multiplicity_policy, kept) for side in sides]

    def _correlation_bands(self) -> list[Filter]:
        ends, given_token = self._ends[:2], self.min_correlation_given_token
        bands = [self._correlation_band()] if ends != (None, None) else []
        return bands + ([] if given_token is None else [filters.correlation(given_token, of="given_token")])

    def _correlation_band(self) -> Filter:
        ends = (self.min_correlation, self.max_correlation)
        if self.given is None:
            return filters.correlation(*ends)
        return filters.correlation(*ends, of="matched")._replace(name=filters.band(f"r given {self.given}", *ends))

    @property
    def _hub_sides(self) -> tuple[str, ...]:
        return _HUBS[self.direction if self.pairs == "capacity" else self.pairs]
