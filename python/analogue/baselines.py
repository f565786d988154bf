"""Baselines: what a comparison's numbers are where nothing is shared, and where everything is; never a p-value."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import _checks
from .capture import site_width
from .corpus import Corpus
from .dictionaries import Dictionary, load_dictionary, neurons
from .dictionaries.autoencoder import ReLU
from .dictionaries.neurons import Neurons
from .ops import infer_device
from .progress import Progress
from .sides import Side, check_checkpoint, file_hashes, load_model
from .site_rows import site_rows
from .sites import neuron_directions
from .spaces import FeatureSpace
from .training import train_topk

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

SAID = {
    "rerandomized": "A with its weights drawn again, against B: a floor, not a p-value",
    "step0": "A before training, against B: a floor, not a p-value",
    "shuffled-tokens": "A against B with its tokens in another order: a floor, not a p-value",
    "second-seed": "A's dictionary against another of its site: what a second one reaches, not a p-value",
}
_DRAWN = {
    "embeddings": {"embeddings": True, "norms": False},
    "norms": {"embeddings": False, "norms": True},
    "embeddings+norms": {"embeddings": True, "norms": True},
    "neither": {"embeddings": False, "norms": False},
}
TRAINED_ON = 200_000
_TRAIN_TOKENS = 500_000


@dataclass(frozen=True)
class Baseline:
    """A control to stand beside a comparison of A with B.

    Attributes
    ----------
    name : {"rerandomized", "second-seed", "shuffled-tokens", "step0"}
        "rerandomized": A with every weight drawn again, and a dictionary trained on it, against B; floor.
        "step0": a checkpoint of A from before training, and a dictionary trained on it, against B; floor.
        "shuffled-tokens": A against B with its tokens in another order; floor.
        "second-seed": A's dictionary against another one of the same site of A; skyline.
    given : str or None
        The checkpoint of "step0"; the dictionary of "second-seed", which is trained where none is given; of
        "rerandomized" what is drawn beside the other weights: "embeddings" (the default), "norms", "embeddings+norms"
        or "neither".
    """

    name: str
    given: str | None = None

    def __post_init__(self) -> None:
        _checks.choice("baseline", self.name, tuple(SAID))
        if self.name == "step0" and not self.given:
            raise ValueError("baseline step0 needs the checkpoint: step0=MODEL")
        if self.name == "rerandomized" and self.given is not None:
            _checks.choice("what rerandomized draws", self.given, _DRAWN)
        if self.given is not None and self.name == "shuffled-tokens":
            raise ValueError(f"baseline {self.name} takes no checkpoint, got {self.given}")

    @classmethod
    def parse(cls, text: str) -> Baseline:
        """Read ``name`` or ``name=checkpoint``."""
        name, _, given = text.partition("=")
        return cls(name, given or None)


def parsed(baselines: Iterable[str | Baseline]) -> list[Baseline]:
    """Read baselines, each once."""
    found = [each if isinstance(each, Baseline) else Baseline.parse(each) for each in baselines]
    names = [baseline.name for baseline in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"baselines must be named once, got {twice} more than once")
    return found


def rerandomized(
    model: PreTrainedModel, seed: int = 0, *, embeddings: bool = True, norms: bool = False
) -> PreTrainedModel:
    """Return the same architecture with its weights drawn again, from normal distributions.

    Every tensor keeps its mean and its standard deviation to rounding; weights that are tied stay tied.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        It is copied.
    seed : int
    embeddings, norms : bool
        Draw those of embedding and of normalisation modules again too.
    """
    import torch

    drawn = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(_checks.integer("seed", seed, minimum=0))
    done: set[int] = set()
    with torch.no_grad():
        for module in drawn.modules():
            keep = (_is_embedding(module) and not embeddings) or (_is_norm(module) and not norms)
            for weights in module.parameters(recurse=False):
                if id(weights) in done:
                    continue
                done.add(id(weights))
                if not keep and weights.numel() > 1:
                    weights.copy_(_drawn_like(weights, generator))
    return drawn


def baseline_side(
    baseline: Baseline,
    side: Side,
    corpus: Corpus,
    *,
    l0: float,
    seed: int = 0,
    train_tokens: int = _TRAIN_TOKENS,
    device: str = "auto",
    progress: Progress | None = None,
) -> Side:
    """Return what stands in A's place, or for "second-seed" in B's: A's first site in another model or dictionary.

    Parameters
    ----------
    baseline : Baseline
        Not "shuffled-tokens", which needs no model.
    side : Side
        A. Only its first site is read.
    corpus : Corpus
        What a dictionary is trained on: at most 200 000 of its kept tokens, passed over until ``train_tokens`` were
        seen.
    l0 : float
        Features of A's dictionary that fire on a token; the trained one's k. Of rectified pre-activations, what the
        checkpoint promises is taken instead.
    seed, train_tokens, device, progress
        See `train_topk`, and `capture` for the device.

    Raises
    ------
    ValueError
        If the site has neurons and another dictionary of it is asked for, or a checkpoint does not fit.
    """
    site, dictionary = next(iter(side.dictionaries.items()))
    check_baseline(baseline, side)
    model, name, files = side.model, side.name, side.files
    if baseline.name == "second-seed":
        if baseline.given is not None:
            return Side(model, {site: _second(baseline.given, site, dictionary)}, name, files)
    elif baseline.name == "step0":
        name = str(baseline.given)
        model, files = load_model(name, dtype=str(model.dtype).removeprefix("torch."))[0], file_hashes(Path(name))
    else:
        model, name, files = (
            rerandomized(model, seed, **_DRAWN[baseline.given or "embeddings"]),
            f"{side.name} rerandomized".strip(),
            {},
        )
    if not hasattr(model, "hf_device_map"):
        model.to(infer_device(device))
    if isinstance(dictionary, Neurons):
        own: Dictionary = neurons(site_width(model, site), site, neuron_directions(model, site))
    else:
        trained = train_topk(
            site_rows(model, site, corpus, TRAINED_ON),
            dictionary.n_features,
            min(max(1, round(_fired(baseline, dictionary, site, l0))), dictionary.n_features),
            tokens=train_tokens,
            seed=_training_seed(seed),
            site=site,
            stage=f"training a dictionary for {baseline.name}",
            progress=progress,
        )
        own = trained if dictionary.activation == "post" else replace(trained, activation="pre", nonlinearity=ReLU())
    return Side(model, {site: own}, name, files)


def check_baseline(baseline: Baseline, side: Side) -> None:
    """Say what `baseline_side` would refuse, before anything is captured or trained.

    Raises
    ------
    FileNotFoundError, ValueError
        If a checkpoint is not there or does not fit, or the site's features do not serve.
    """
    site, dictionary = next(iter(side.dictionaries.items()))
    if baseline.name == "step0":
        check_checkpoint(str(baseline.given))
    if baseline.name == "second-seed" and isinstance(dictionary, Neurons):
        raise ValueError(f"baseline second-seed needs an SAE at {site}, and its features are neurons")
    if baseline.name == "second-seed" and baseline.given is not None:
        _second(baseline.given, site, dictionary)
    elif baseline.name != "shuffled-tokens" and not isinstance(dictionary, Neurons):
        _fired(baseline, dictionary, site, 1.0)


def shuffled(space: FeatureSpace, seed: int = 0) -> FeatureSpace:
    """Return a space whose tokens stand in another order: every feature keeps its activations, none its places."""
    acts = space.recorded_activations()
    order = np.random.default_rng(_checks.integer("seed", seed, minimum=0)).permutation(acts.n_tokens)
    moved = replace(acts.take(order), token_ids=None, document_ids=None, positions=None)
    return replace(space, activations=moved)


def _second(given: str, site: str, dictionary: Dictionary) -> Dictionary:
    second = load_dictionary(given, site=site, activation=dictionary.activation)
    if second.d_in != dictionary.d_in:
        raise ValueError(f"{given} must have width {dictionary.d_in}, that of {site}, got {second.d_in}")
    return second


def _fired(baseline: Baseline, dictionary: Dictionary, site: str, l0: float) -> float:
    """Return how many features fire on a token: ``l0``, which was counted, unless all that are positive were."""
    if dictionary.activation == "post":
        return l0
    if dictionary.promised_l0 is None:
        raise ValueError(
            f"baseline {baseline.name} needs features after the nonlinearity: the checkpoint of {site} does not say "
            "how many fire on a token"
        )
    return dictionary.promised_l0


def _training_seed(seed: int) -> int:
    """Return a seed that no one chooses, so that the dictionary does not begin with the weights that A's began with."""
    return int(
        np.random.SeedSequence(entropy=_checks.integer("seed", seed, minimum=0), spawn_key=(1,)).generate_state(1)[0]
    )


def _is_embedding(module: Module) -> bool:
    from torch.nn import Embedding

    return isinstance(module, Embedding)


def _is_norm(module: Module) -> bool:
    return "norm" in type(module).__name__.lower()


def _drawn_like(weights: Tensor, generator: object) -> Tensor:
    """Draw normal numbers with the mean and standard deviation of a tensor."""
    import torch

    noise = torch.randn(weights.shape, generator=generator, dtype=torch.float32).double()  # type: ignore[call-overload]
    noise = (noise - noise.mean()) / noise.std()
    values = weights.detach().cpu().double()
    scaled: Tensor = values.mean() + values.std() * noise
    return scaled.to(weights.dtype)
