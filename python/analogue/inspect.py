"""Inspect: is this dictionary at the right site, fed as it was trained? What it explains here, and near by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from . import _checks
from .corpus import Corpus
from .dictionaries import Dictionary
from .dictionaries.neurons import Neurons
from .ops import infer_device
from .site_rows import rows_of, site_rows
from .sites import Site, available_sites, check_model, find_site, site_name

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_AS_CAPTURED, _CENTRED = "as captured", "mean-centred"
_ROWS_AT_ONCE = 512
# What another reading must leave unexplained, of what the one asked for does, and what it must explain, to be clearly
# better: one layer off leaves 1.3 to 2 times the right layer's in the embedded models (benches/RESULTS.md).
_CLEARLY, _LEAST_EXPLAINED = 0.85, 0.3
_L0_FACTOR = 1.5


@dataclass(frozen=True)
class Reading:
    """How well a dictionary reconstructs activations that were read in one way.

    Attributes
    ----------
    site : str
        Where they were read.
    way : str
        "as captured", "mean-centred" (every row less the mean of its own entries), "with BOS" or "without BOS".
    explained_variance : float
        1 - sum |x - decode(encode(x))|^2 / sum |x - mean|^2; at most 1, below 0 when the mean alone does better.
    l0 : float
        Mean number of features that fire on a token.
    """

    site: str
    way: str
    explained_variance: float
    l0: float

    def __str__(self) -> str:
        where = self.site if self.way == _AS_CAPTURED else f"{self.site} {self.way}"
        return f"{where}: explains {self.explained_variance:.1%} of the variance, {self.l0:.1f} features a token"


@dataclass(frozen=True)
class Inspection:
    """What a dictionary makes of a few tokens at its site, and at the sites it may have been meant for.

    Attributes
    ----------
    site : str
        The site asked for.
    tokens : int
        Kept tokens read there; other readings take a part of them.
    promised_l0 : float or None
        Features a token by the checkpoint; None where it does not say.
    reading : Reading
        At the site asked for.
    others : tuple of Reading
        The same part one layer up and down, the other parts of the layer, the site mean-centred, and the text with or
        without BOS; those of the dictionary's width, and of two names for the same vectors the first. Best first.
    problems : tuple of str
        A sentence for everything that seems wrong; none when nothing does.
    notes : tuple of str
        Where the text differs from what the checkpoint says of its training: BOS, and a longer context.
    """

    site: str
    tokens: int
    promised_l0: float | None
    reading: Reading
    others: tuple[Reading, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def __str__(self) -> str:
        promised = "" if self.promised_l0 is None else f" ({self.promised_l0:g} promised)"
        verdict = self.problems or ("nothing that was tried explains clearly more",)
        return "\n".join(
            [f"{self.reading}{promised}", *(f"  {reading}" for reading in self.others), *verdict, *self.notes]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return asdict(self) | {
            "others": [asdict(reading) for reading in self.others],
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


def inspect(
    model: PreTrainedModel,
    dictionary: Dictionary,
    corpus: Corpus,
    site: str | None = None,
    *,
    max_tokens: int = 2048,
    device: str = "auto",
) -> Inspection:
    """Check that a dictionary stands at the right site of the right model and reads what it was trained on.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    dictionary : Dictionary
        An SAE; neurons reconstruct any site and are refused.
    corpus : Corpus
        Text in the model's tokens. Blocks are taken evenly over it.
    site : str, optional
        Where the dictionary is to be used; by default the site its checkpoint names.
    max_tokens : int
        Tokens to read at the site, to the nearest block; other readings are compared on a quarter of them.
    device : str
        ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    Inspection
        A problem is named where another reading leaves less than 85 % of the unexplained variance and explains at least
        30 %, where features a token are more than 1.5 times away from what the checkpoint promises, and where a
        reconstruction is no better than the mean.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, the dictionary names no site, the model has none such, or widths differ.
    """
    check_model(model)
    place = site_name(model, _checked_site(dictionary, site))
    wanted = _checks.integer("max_tokens", max_tokens, minimum=1)
    device_used = infer_device(device)
    if not hasattr(model, "hf_device_map"):
        model.to(device_used)
    sae = dictionary.to(device_used)

    rows = rows_of(model, _candidates(model, place), corpus, wanted)
    asked = rows[place]
    if asked.shape[1] != sae.d_in:
        raise ValueError(f"the dictionary takes vectors of width {sae.d_in}, but {place} gives {asked.shape[1]}")
    part = slice(None, None, 4)
    reading = _reading(sae, place, _AS_CAPTURED, asked)
    paired = _reading(sae, place, _AS_CAPTURED, asked[part])
    others = [
        _reading(sae, name, _AS_CAPTURED, own[part])
        for name, own in _different(rows).items()
        if name != place and own.shape[1] == sae.d_in
    ]
    others.append(_reading(sae, place, _CENTRED, asked[part] - asked[part].mean(dim=1, keepdim=True)))
    for way, other_text in _with_and_without_bos(model, corpus):
        moved = site_rows(model, place, other_text, wanted)
        others.append(_reading(sae, place, way, moved[part]))
    ranked = tuple(sorted(others, key=lambda other: -other.explained_variance))
    problems = tuple(_problems(reading, paired, ranked[0], sae.promised_l0))
    notes = tuple(_notes(model, sae, corpus))
    return Inspection(place, len(asked), sae.promised_l0, reading, ranked, problems, notes)


def inspect_all(
    model: PreTrainedModel, dictionaries: Mapping[str, Dictionary], corpus: Corpus, *, device: str = "auto"
) -> dict[str, Inspection]:
    """Inspect the dictionary of every site.

    Neurons, which reconstruct whatever they read, transcoders, which reconstruct what they do not read, and rectified
    pre-activations, which reconstruct nothing, are passed over.
    """
    return {
        site: inspect(model, dictionary, corpus, site, device=device)
        for site, dictionary in dictionaries.items()
        if not isinstance(dictionary, Neurons) and dictionary.activation == "post" and dictionary.site_out is None
    }


def _checked_site(dictionary: Dictionary, site: str | None) -> str:
    if not isinstance(dictionary, Dictionary):
        raise TypeError(f"dictionary must be a Dictionary, got {type(dictionary).__name__}")
    if isinstance(dictionary, Neurons):
        raise TypeError("dictionary must be an SAE, got neurons, which are whatever the site gives")
    if dictionary.activation != "post":
        raise ValueError("dictionary must give features after the nonlinearity, got rectified pre-activations")
    if dictionary.site_out is not None:
        raise ValueError(f"dictionary must reconstruct what it reads, got a transcoder to {dictionary.site_out}")
    place = site if site is not None else dictionary.site
    if place is None:
        raise ValueError("site must be given for a dictionary whose checkpoint does not name one, got None")
    return place


def _candidates(model: PreTrainedModel, site: str) -> dict[str, Site]:
    """Return the site and its neighbours, one layer up and down, and the other parts of its layer."""
    there = available_sites(model)
    named = re.fullmatch(r"layers\.(\d+)(\..+)?", site)
    if named:
        layer, part = int(named[1]), named[2] or ""
        near = [f"layers.{layer + step}{part}" for step in (-1, 1) if f"layers.{layer + step}" in there]
        near += [name for name in there if re.match(rf"layers\.{layer}(\.|$)", name)]
    else:
        near = [name for name in there if re.fullmatch(r"layers\.\d+", name)]
    return {name: find_site(model, name) for name in dict.fromkeys([site, *near])}


def _different(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out sites with the rows of one before: a block's input is the output of the one below."""
    import torch

    found: dict[str, Tensor] = {}
    for name, own in rows.items():
        if not any(torch.equal(own, other) for other in found.values()):
            found[name] = own
    return found


def _reading(sae: Dictionary, site: str, way: str, x: Tensor) -> Reading:
    """Reconstruct rows; sums of squares are float64, so that a large common offset costs no digits."""
    import torch

    if sae.centred:  # what it reconstructs
        x = x - x.mean(dim=1, keepdim=True)
    unexplained = fired = 0.0
    for block in torch.split(x, _ROWS_AT_ONCE):
        features = sae.encode(block)
        fired += float((features != 0).sum())
        unexplained += float((block.to(features.device) - sae.decode(features, block)).double().square().sum())
    centred = x.double() - x.double().mean(dim=0)
    total = float(centred.square().sum())
    explained = 1 - unexplained / total if total > 0 else float("nan")
    return Reading(site, way, explained, fired / len(x))


def _with_and_without_bos(model: PreTrainedModel, corpus: Corpus) -> Iterator[tuple[str, Corpus]]:
    """Yield the corpus the other way: without what stands before its blocks, or with the BOS that does not."""
    bos = getattr(model.config.get_text_config(), "bos_token_id", None)
    if corpus.prefix:
        yield "without BOS", replace(corpus, prefix=(), cuts=None)
    elif isinstance(bos, int) and corpus.context_length > 2 + len(corpus.suffix):
        yield "with BOS", replace(corpus, prefix=(bos,), cuts=None)


def _notes(model: PreTrainedModel, sae: Dictionary, corpus: Corpus) -> Iterator[str]:
    """Say where the text is not as the checkpoint says it was in training."""
    bos = getattr(model.config.get_text_config(), "bos_token_id", None)
    begins = bool(corpus.prefix) and corpus.prefix[0] == bos
    if sae.bos is not None and sae.bos != begins:
        said, here = ("began with BOS", "do not") if sae.bos else ("did not begin with BOS", "do")
        yield f"by the checkpoint texts {said} in training, and here they {here}"
    if sae.context_length is not None and corpus.context_length > sae.context_length:
        yield f"blocks have {corpus.context_length} tokens, where training had {sae.context_length} by the checkpoint"


def _problems(reading: Reading, paired: Reading, best: Reading, promised: float | None) -> Iterator[str]:
    """Say what seems wrong; ``paired`` is the reading on the rows that ``best`` was read on."""
    left, best_left = 1 - paired.explained_variance, 1 - best.explained_variance
    if best_left < _CLEARLY * left and best.explained_variance >= _LEAST_EXPLAINED:
        how = "" if best.way == _AS_CAPTURED else f" {best.way}"
        yield (
            f"{best.site}{how} explains {best.explained_variance:.1%} of the variance, where {reading.site} "
            f"{reading.way} explains {paired.explained_variance:.1%}: the dictionary seems trained on the former"
        )
    elif not reading.explained_variance > 0:
        yield (
            f"the dictionary reconstructs {reading.site} no better than its mean does (explained variance "
            f"{reading.explained_variance:.2f}), and nothing near it: it may belong to another model"
        )
    if promised is not None and not promised / _L0_FACTOR <= reading.l0 <= promised * _L0_FACTOR:
        yield (
            f"{reading.l0:.1f} features fire on a token of {reading.site}, where the checkpoint promises "
            f"{promised:g}: another nonlinearity or another scale of the input than in training"
        )
