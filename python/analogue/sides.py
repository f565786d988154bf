"""Side: a model with the dictionaries at its sites, and how to load one from checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from . import _checks
from .capture import context_limit, site_width
from .corpus import DEFAULT_CONTEXT
from .devices import weights_in_memory
from .dictionaries import Dictionary, load_dictionary, neurons
from .files import sha256
from .sites import neuron_directions, site_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

DTYPES = ("float32", "bfloat16", "float16")

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True, eq=False)
class Side:
    """One model and the dictionaries at its sites.

    Attributes
    ----------
    model : transformers.PreTrainedModel
        Causal or encoder.
    dictionaries : mapping of str to Dictionary
        By site, see `capture`.
    name : str
        What reports call the model.
    files : mapping of str to str
        SHA-256 of the checkpoint's files, where it came from files.
    """

    model: PreTrainedModel
    dictionaries: Mapping[str, Dictionary]
    name: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.dictionaries:
            raise ValueError("dictionaries must hold at least one site, got none")


def load_side(
    model: str | Path,
    saes: str | Path | Sequence[str | Path] = (),
    sites: str | Sequence[str] = (),
    *,
    activation: str = "post",
    dtype: str = "float32",
    device_map: str | Mapping[str, int | str] | None = None,
) -> tuple[Side, PreTrainedTokenizerFast]:
    """Load a model, its tokenizer, and a dictionary for every site.

    Parameters
    ----------
    model : str or path
        A folder with a transformers checkpoint, or a hub id. Of an encoder with a decoder (T5) the encoder is loaded.
    saes : path or sequence of paths
        Hook folders, or repository folders that hold the site's; the nth goes with the nth site.
    sites : str or sequence of str
        Sites, by our names, TransformerLens's or module paths; none: the dictionaries' own. Without ``saes``: the
        activations of these sites themselves, with the directions they are written in where the model has such.
    activation : {"post", "pre"}
        SAE features after the nonlinearity, or rectified pre-activations.
    dtype : {"float32", "bfloat16", "float16"}
        Of the model's weights and activations. Dictionaries encode in float32 all the same.
    device_map : str or mapping of str to int or str, optional
        Spread a model that fits no single device, as accelerate does: ``auto``, ``balanced`` and so on, or a device
        (or ``disk``) for every module. By default the model goes where `capture` is told.

    Raises
    ------
    FileNotFoundError, ValueError
        One sentence saying which argument does not name a checkpoint, a dictionary, a site or a dtype, or that
        ``device_map`` is given and accelerate is not installed.
    """
    saes = [saes] if isinstance(saes, str | Path) else list(saes)
    sites = [sites] if isinstance(sites, str) else list(sites)
    _checks.choice("activation", activation, ("post", "pre"))
    _checks.choice("dtype", dtype, DTYPES)
    if not saes and not sites:
        raise ValueError(f"a dictionary or a site is needed for {model}, got neither")
    if saes and sites and len(saes) != len(sites):
        raise ValueError(f"saes and sites must go together one by one for {model}, got {len(saes)} and {len(sites)}")
    if not saes and activation == "pre":
        raise ValueError(f"activation must be 'post' for the neurons of {model}, got 'pre', which only SAEs have")
    network, tokenizer = load_model(model, dtype, device_map)
    sites = [site_name(network, site) for site in sites]
    dictionaries: dict[str, Dictionary] = {}
    for site, dictionary in _dictionaries(network, saes, sites, activation):
        if site in dictionaries:
            raise ValueError(f"every site of {model} must be named once, got {site} twice")
        dictionaries[site] = dictionary
    return Side(network, dictionaries, str(model), file_hashes(Path(model))), tokenizer


def shared_context_length(sides: Iterable[Side], wanted: int | None = None) -> int:
    """Return the context length for a text that all sides read.

    The default is the least of 256, what the models take, and what the dictionaries were trained with.

    Raises
    ------
    ValueError
        If ``wanted`` is more than a model takes.
    """
    least = DEFAULT_CONTEXT
    for side in sides:
        limit = context_limit(side.model)
        if wanted is not None and limit is not None and wanted > limit:
            raise ValueError(f"context_length must be at most {limit} for {side.name or 'a model'}, got {wanted}")
        advised = [d.context_length for d in side.dictionaries.values() if d.context_length]
        least = min(least, limit or least, *advised)
    return least if wanted is None else wanted


def _dictionaries(
    network: PreTrainedModel, saes: Sequence[str | Path], sites: Sequence[str], activation: str
) -> Iterator[tuple[str, Dictionary]]:
    if not saes:
        for site in sites:
            yield site, neurons(site_width(network, site), site, neuron_directions(network, site))
        return
    named: Sequence[str | None] = sites or [None] * len(saes)
    for path, wanted in zip(saes, named, strict=True):
        dictionary = load_dictionary(path, site=wanted, activation=activation)
        place = wanted or dictionary.site
        if place is None:
            raise ValueError(f"{path} does not say which site it was trained at; name the site")
        yield place, dictionary


def load_model(
    model: str | Path, dtype: str = "float32", device_map: str | Mapping[str, int | str] | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load a model and its tokenizer; see `load_side`."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer

    if device_map is not None and find_spec("accelerate") is None:
        raise ValueError("device_map needs accelerate, which is not installed: pip install 'analogue[accelerate]'")
    check_checkpoint(model)
    name = str(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        config = AutoConfig.from_pretrained(name)
        kind = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
        options = {} if device_map is None else {"device_map": device_map}
        network, report = kind.from_pretrained(
            name, config=config, dtype=getattr(torch, dtype), output_loading_info=True, **options
        )
    except Exception as error:  # transformers raises whatever its parsers do on a malformed file
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else error!r}"
        raise ValueError(f"{name} cannot be loaded as a model with its tokenizer ({reason})") from error
    # Transformers fills what is missing with random numbers. A pooler is never read here.
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise ValueError(f"{name} must hold all weights of its config, but {len(missing)} are missing: {missing[0]}")
    for key, weights in weights_in_memory(network):
        if not torch.isfinite(weights).all():
            raise ValueError(f"{name} must hold finite weights, but {key} has NaN or infinite values")
    return network.eval(), tokenizer


def check_checkpoint(model: str | Path) -> None:
    """Say what is missing of a model that is named by its folder; nothing is loaded."""
    name, folder = str(model), Path(model)
    if (name.startswith((".", "/", "~")) or name.count("/") > 1) and not folder.is_dir():
        raise FileNotFoundError(f"{name} is not a folder with a model")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{name} holds no transformers checkpoint: it has no config.json")
    if folder.is_dir() and not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise FileNotFoundError(f"{name} has no tokenizer: none of {', '.join(_TOKENIZER_FILES)} is there")


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a checkpoint's own files; what lies in folders below (optimizer states) is not read."""
    return {path.name: sha256(path) for path in sorted(folder.glob("*")) if path.is_file()}
