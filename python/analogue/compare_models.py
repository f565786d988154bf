"""Compare two models: every site of one against every site of the other, and baselines beside them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from . import _checks
from .aligned_corpus import AlignedCorpus
from .baselines import SAID, TRAINED_ON, Baseline, baseline_side, check_baseline, parsed, shuffled
from .capture import capture
from .compare import compare_spaces
from .comparison import Comparison
from .corpus import Corpus
from .directions import rows_in_common
from .grid import Grid
from .inspect import inspect_all
from .labels import top_contexts
from .progress import Progress
from .provenance import run_record
from .settings import Settings, settings_or_default
from .sides import Side
from .spaces import FeatureSpace

CHECKS = ("stop", "warn", "off")


def compare(
    side_a: Side,
    side_b: Side,
    corpus: Corpus | AlignedCorpus,
    settings: Settings | None = None,
    *,
    check: str = "stop",
    baselines: Iterable[str | Baseline] = (),
    batch_size: int | None = None,
    device: str = "auto",
    arguments: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Comparison | Grid:
    """Compare two models on one text; each reads it once, whatever the number of sites.

    Parameters
    ----------
    side_a, side_b : Side
        Models with dictionaries at one or more sites.
    corpus : Corpus or AlignedCorpus
        The text: read by the tokenizer that both models share, or by two that `align` has aligned.
    settings : Settings, optional
        Pairing rule, filters, measures and null.
    check : {"stop", "warn", "off"}
        What follows where a dictionary seems to be at the wrong site or to be fed with something else than in training,
        see `inspect`: no comparison, a warning, or it is not looked at.
    baselines : iterable of str or Baseline
        Controls to stand beside the comparison of the first sites, see `Baseline`: "rerandomized", "shuffled-tokens",
        "step0=MODEL", "second-seed" or "second-seed=SAE". They say what the numbers are where nothing, or everything,
        is shared; no p-value comes of them. Dictionaries are trained for them where none is given.
    batch_size, device
        See `capture`.
    arguments : mapping, optional
        What to record as the arguments of the run.
    progress : callable, optional
        Called with a stage's name, what is done and the total.

    Returns
    -------
    Comparison or Grid
        A Grid when a side has several sites, or where there are baselines.

    Raises
    ------
    ValueError
        If ``check`` is "stop" and `inspect` finds a problem.
    """
    grid = compare_grid(
        side_a,
        side_b,
        corpus,
        settings,
        check=check,
        baselines=baselines,
        batch_size=batch_size,
        device=device,
        arguments=arguments,
        progress=progress,
    )
    return grid if len(grid.comparisons) > 1 else next(iter(grid.cells.values()))


def compare_grid(
    side_a: Side,
    side_b: Side,
    corpus: Corpus | AlignedCorpus,
    settings: Settings | None = None,
    *,
    control: Side | None = None,
    check: str = "stop",
    baselines: Iterable[str | Baseline] = (),
    batch_size: int | None = None,
    device: str = "auto",
    arguments: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Grid:
    """Compare as `compare` does, and a control that should share nothing with side B: its first site with B's first."""
    sides = {"a": side_a, "b": side_b} | ({} if control is None else {"control": control})
    settings = settings_or_default(settings)
    wanted = parsed(baselines)
    _checks.choice("check", check, CHECKS)
    if settings.by == "directions":
        _refuse_other_spaces([side for key, side in sides.items() if key != "b"], side_b)
        if any(baseline.name == "shuffled-tokens" for baseline in wanted):
            raise ValueError("baseline shuffled-tokens needs by=activations: directions are the same in any order")
    for baseline in wanted:
        check_baseline(baseline, side_a)
    read = {key: corpus.corpus(key) if isinstance(corpus, AlignedCorpus) else corpus for key in sides}
    given = {
        baseline.name: baseline_side(baseline, side_a, read["a"], l0=1.0)
        for baseline in wanted
        if baseline.name == "second-seed" and baseline.given is not None
    }
    known = sides | given
    inspections = {key: _inspected(key, side, read.get(key, read["a"]), check, device) for key, side in known.items()}
    options: dict[str, Any] = {"labelling": settings.labelling, "batch_size": batch_size, "device": device}
    spaces = {
        key: _spaces(key, side, corpus, stage=f"model {key}", progress=progress, **options)
        for key, side in sides.items()
    }
    arguments = arguments or {}
    alone = len(spaces["a"]) * len(spaces["b"]) == 1 and control is None and not wanted

    def said(role: str, pair: Mapping[str, Side]) -> str:
        """Say what a baseline is, and what its numbers depend on beyond that."""
        more = SAID[role]
        (new,) = pair["b"].dictionaries.values() if role == "second-seed" else list(pair["a"].dictionaries.values())[:1]
        if role != "shuffled-tokens" and new.format == "trained":
            more += f"; its dictionary was trained on {min(TRAINED_ON, read['a'].n_kept)} tokens of this text"
        first = f"{spaces['a'][0].site} x {spaces['b'][0].site}"
        return more if len(spaces["a"]) * len(spaces["b"]) == 1 else f"{more}; stands beside {first} only"

    def compared(
        role: str, pair: Mapping[str, Side], a: FeatureSpace, b: FeatureSpace, chosen: Settings = settings
    ) -> Comparison:
        sites = {"a": a.site, "b": b.site}
        record = {"role": role} | run_record(pair, corpus, arguments, sites) | {"inspections": {}}
        for letter, own in pair.items():
            key = next((key for key, side in known.items() if side is own), None)
            if key is not None and sites[letter] in inspections[key]:
                record["inspections"][letter] = inspections[key][sites[letter]]
        if role in SAID:
            record["baseline"] = said(role, pair)
        return compare_spaces(a, b, chosen, device=device, provenance=record, progress=progress)

    both = {"a": side_a, "b": side_b}
    cells = {
        (a.site, b.site): compared("run" if alone else "cell", both, a, b) for a in spaces["a"] for b in spaces["b"]
    }
    controls = {}
    first_a, first_b = spaces["a"][0], spaces["b"][0]
    if control is not None:
        controls["control"] = compared("control", both | {"a": control}, spaces["control"][0], first_b)
    plain = replace(settings, split_half=False, convergence=False)
    for baseline in wanted:
        if baseline.name == "shuffled-tokens":
            moved = shuffled(first_b, settings.seed)
            controls[baseline.name] = compared(baseline.name, both, first_a, moved, plain)
            continue
        acts = first_a.recorded_activations()
        side = given.get(baseline.name) or baseline_side(
            baseline,
            side_a,
            read["a"],
            l0=acts.nnz / acts.n_tokens,
            seed=settings.seed,
            device=device,
            progress=progress,
        )
        (space,) = _spaces("a", side, corpus, stage=f"model of {baseline.name}", progress=progress, **options)
        if baseline.name == "second-seed":
            controls[baseline.name] = compared(baseline.name, {"a": side_a, "b": side}, first_a, space, plain)
        else:
            controls[baseline.name] = compared(baseline.name, {"a": side, "b": side_b}, space, first_b, plain)
    return Grid(cells, controls, run_record(sides, corpus, arguments) | {"inspections": inspections})


def _inspected(key: str, side: Side, corpus: Corpus, check: str, device: str) -> dict[str, dict[str, Any]]:
    """Inspect a side's dictionaries as ``check`` says; return what was found, as plain JSON values."""
    if check == "off":
        return {}
    found = inspect_all(side.model, side.dictionaries, corpus, device=device)
    for site, inspection in found.items():
        for problem in inspection.problems:
            beside = "" if key in ("a", "b") else f"{key}, "
            sentence = f"{beside}{side.name} {site}: {problem}".strip()
            if check == "stop":
                raise ValueError(f"{sentence}; check=warn goes on all the same")
            warnings.warn(sentence, stacklevel=2)
    return {site: inspection.to_dict() for site, inspection in found.items()}


def _refuse_other_spaces(sides: Sequence[Side], side_b: Side) -> None:
    """Say before anything is captured that directions cannot be compared."""
    for side in sides:
        for (site, dictionary), (site_b, other) in product(side.dictionaries.items(), side_b.dictionaries.items()):
            rows_in_common(dictionary, other, (f"{side.name} {site}".strip(), f"{side_b.name} {site_b}".strip()))


def _spaces(
    key: str,
    side: Side,
    corpus: Corpus | AlignedCorpus,
    *,
    labelling: Mapping[str, Any],
    batch_size: int | None,
    device: str,
    stage: str,
    progress: Progress | None,
) -> list[FeatureSpace]:
    """Capture and label every site of a model that reads what side ``key`` reads."""
    aligned, read = (corpus, corpus.corpus(key)) if isinstance(corpus, AlignedCorpus) else (None, corpus)
    captured = capture(
        side.model,
        read,
        side.dictionaries,
        batch_size=batch_size,
        device=device,
        progress=None if progress is None else lambda done, total: progress(stage, done, total),
    )
    spaces = []
    for site, dictionary in side.dictionaries.items():
        acts = captured.pop(site)
        if aligned is not None:
            acts = aligned.on_units(key, acts)
        w_dec = dictionary.w_dec
        directions = None if w_dec is None else w_dec.detach().cpu().float().numpy()
        labels = top_contexts(acts, corpus, **labelling)
        spaces.append(FeatureSpace(site, labels, acts, directions, dictionary=dictionary))
    return spaces
