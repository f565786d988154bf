"""Side: a model with the dictionaries at its sites, and how to load one from checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .capture import site_width
from .dictionaries import Dictionary, load_dictionary, neurons
from .files import tree_sha256
from .sites import neuron_directions

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

DEFAULT_CONTEXT = 256


@dataclass(frozen=True, eq=False)
class Side:
    """One model and the dictionaries at its sites.

    Attributes
    ----------
    model : torch.nn.Module
        A Hugging Face model, causal or encoder.
    dictionaries : mapping of str to Dictionary
        By site, see `capture`.
    name : str
        What reports call the model.
    files : mapping of str to str
        SHA-256 of the checkpoint's files, where it came from files.
    """

    model: torch.nn.Module
    dictionaries: Mapping[str, Dictionary]
    name: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.dictionaries:
            raise ValueError("dictionaries must hold at least one site, got none")


def load_side(
    model: str | Path, saes: Sequence[str | Path] = (), sites: Sequence[str] = (), *, activation: str = "post"
) -> tuple[Side, PreTrainedTokenizerFast]:
    """Load a model in float32, its tokenizer, and a dictionary for every site.

    Parameters
    ----------
    model : str or path
        A folder with a transformers checkpoint, or a hub id.
    saes : sequence of str or path
        Hook folders, or repository folders that hold the site's; the nth goes with the nth site.
    sites : sequence of str
        Sites; none: the dictionaries' own. Without ``saes``: the neurons of these sites.
    activation : {"post", "pre"}
        SAE features after the nonlinearity, or rectified pre-activations.

    Raises
    ------
    FileNotFoundError, ValueError
        One sentence saying which argument does not name a checkpoint, a dictionary or a site.
    """
    network, tokenizer = _load_model(model)
    if not saes and not sites:
        raise ValueError(f"a dictionary or a site is needed for {model}, got neither")
    if saes and sites and len(saes) != len(sites):
        raise ValueError(f"saes and sites must go together one by one for {model}, got {len(saes)} and {len(sites)}")
    dictionaries: dict[str, Dictionary] = {}
    if saes:
        named: Sequence[str | None] = sites or [None] * len(saes)
        for path, site in zip(saes, named, strict=True):
            dictionary = load_dictionary(path, site=site, activation=activation)
            place = site or dictionary.site
            if place is None:
                raise ValueError(f"{path} does not say which site it was trained at; name the site")
            dictionaries[place] = dictionary
    else:
        dictionaries = {
            site: neurons(site_width(network, site), site, neuron_directions(network, site)) for site in sites
        }
    folder = Path(model)
    files = tree_sha256(folder) if folder.is_dir() else {}
    return Side(network, dictionaries, str(model), files), tokenizer


def shared_context_length(sides: Iterable[Side], wanted: int | None = None) -> int:
    """Return the context length for a text that all sides read.

    The default is the least of 256, what the models take, and what the dictionaries were trained with.

    Raises
    ------
    ValueError
        If ``wanted`` is more than a model takes.
    """
    limits = {side.name: getattr(side.model.config, "max_position_embeddings", None) for side in sides}
    known = {name: limit for name, limit in limits.items() if isinstance(limit, int) and limit > 0}
    for name, limit in known.items():
        if wanted is not None and wanted > limit:
            raise ValueError(f"context_length must be at most {limit} for {name}, got {wanted}")
    advised = [d.context_length for side in sides for d in side.dictionaries.values() if d.context_length]
    return wanted or min(DEFAULT_CONTEXT, *known.values(), *advised)


def _load_model(model: str | Path) -> tuple[torch.nn.Module, PreTrainedTokenizerFast]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    name = str(model)
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_local and not Path(name).is_dir():
        raise FileNotFoundError(f"{name} is not a folder with a model")
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise FileNotFoundError(f"{name} holds no transformers checkpoint: it has no config.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        network = AutoModel.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be loaded as a model with its tokenizer: {str(error).splitlines()[0]}"
        ) from error
    return network.eval(), tokenizer
