"""Capture: one forward pass of a model over a corpus, encoded at every wanted site, nonzeros kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from . import _checks
from .activations import PER_TOKEN, FeatureActivations, concatenate
from .capture_folder import capture_record, open_stores
from .corpus import Corpus
from .devices import input_device, is_out_of_memory, release_cached_memory
from .dictionaries import Dictionary
from .dictionaries.neurons import Neurons
from .forward import site_outputs
from .ops import infer_device
from .shard_writer import MAX_ENTRIES
from .shards import ActivationShards
from .sites import Site, available_sites, check_model, find_site, listed, site_name

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_TOKENS_AT_ONCE = 8192

Progress = Callable[[int, int], None]


@overload
def capture(
    model: PreTrainedModel,
    corpus: Corpus,
    sites: Mapping[str, Dictionary],
    *,
    batch_size: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, FeatureActivations]: ...
@overload
def capture(
    model: PreTrainedModel,
    corpus: Corpus,
    sites: Mapping[str, Dictionary],
    *,
    out: str | Path,
    batch_size: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    shard_entries: int = MAX_ENTRIES,
    overwrite: bool = False,
    resume: bool = False,
) -> dict[str, ActivationShards]: ...
def capture(
    model: PreTrainedModel,
    corpus: Corpus,
    sites: Mapping[str, Dictionary],
    *,
    out: str | Path | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    shard_entries: int = MAX_ENTRIES,
    overwrite: bool = False,
    resume: bool = False,
) -> dict[str, FeatureActivations] | dict[str, ActivationShards]:
    """Run a model over a corpus and encode what it gives at every site.

    The model reads the corpus once, whatever the number of sites, and each forward pass ends at the last of them.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Causal or encoder. It is moved to ``device`` and left there, unless it is spread over devices already; whether
        it is in training mode does not matter and is not changed.
    corpus : Corpus
        Its token ids must be the model's.
    sites : mapping of str to Dictionary
        By site, see `sites.available_sites`.
    out : path, optional
        A folder to fill with shards, ``out/SITE/``, while the capture runs; memory then holds one batch of codes. The
        model's weights are hashed first (2 GB a second), for ``resume``. By default all codes stay in memory.
    batch_size : int, optional
        Blocks in a forward pass; by default as many as hold about 8192 tokens. Where memory does not suffice for so
        many, from there on half as many, and so on down to one.
    device : str
        ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
    progress : callable, optional
        Called at the start and after each batch with the tokens that were read and the total.
    shard_entries, overwrite
        ``max_entries`` and ``overwrite`` of `ActivationShards.writer`, for ``out``.
    resume : bool
        Go on in ``out`` after the last whole shard of every site; begin where there is none. The batches are those of
        the first run, so the shards are those of a capture that was never killed, to the bit where sums repeat.

    Returns
    -------
    dict of str to FeatureActivations, or to ActivationShards with ``out``
        By site, in the order of ``sites``; the T rows are the corpus's kept tokens, in its order.

    Raises
    ------
    FileExistsError
        If ``out`` is not empty and neither ``overwrite`` nor ``resume`` is given, or it holds no capture.
    FileNotFoundError, ValueError
        If ``out`` is resumed with another model, corpus, site, dictionary, batch size or kind of device.
    TypeError, ValueError
        One sentence if the model has no such site, the dictionary has another width than its site, the corpus does
        not fit the model, neurons stand at another site than their directions, or a site gives NaN or infinite
        values.
    MemoryError
        If memory does not suffice for one block.
    """
    if out is None and (resume or overwrite):
        raise ValueError("out must name a folder for resume or overwrite, got None")
    check_model(model)
    _check_dictionaries(sites)
    found = {site: find_site(model, site) for site in sites}
    _check_neurons(model, sites)
    check_corpus(model, corpus)
    batch = _checks.integer("batch_size", batch_size, minimum=1) if batch_size is not None else _batch_size(corpus)
    place = infer_device(device)
    if not hasattr(model, "hf_device_map"):
        model.to(place)
    dictionaries = {site: dictionary.to(place) for site, dictionary in sites.items()}
    _check_widths(model, found, dictionaries)

    if out is None:
        parts: dict[str, list[FeatureActivations]] = {site: [] for site in sites}
        for site, piece in _pieces(model, corpus, found, dictionaries, batch, dict.fromkeys(sites, 0), progress):
            parts[site].append(piece)
        return {site: concatenate(parts.pop(site)) for site in sites}
    record = capture_record(model, corpus, dictionaries, batch, place)
    widths = {site: dictionary.n_features for site, dictionary in dictionaries.items()}
    with open_stores(out, record, widths, shard_entries, overwrite=overwrite, resume=resume) as stores:
        present = {site: store.n_tokens for site, store in stores.items()}
        for site, piece in _pieces(model, corpus, found, dictionaries, batch, present, progress):
            stores[site].append(piece)
    return {site: ActivationShards.load(Path(out) / site) for site in sites}


def site_width(model: PreTrainedModel, site: str) -> int:
    """Return the width of the vectors that a model gives at a site; it reads one token to see.

    Raises
    ------
    TypeError, ValueError
        If the model is not one of transformers, or has no such site.
    """
    return _widths(model, {site: find_site(model, site)})[site]


def context_limit(model: PreTrainedModel) -> int | None:
    """Return the most tokens in a block that a model takes, None when its config sets no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _pieces(
    model: PreTrainedModel,
    corpus: Corpus,
    sites: Mapping[str, Site],
    dictionaries: Mapping[str, Dictionary],
    batch: int,
    present: Mapping[str, int],
    progress: Progress | None,
) -> Iterator[tuple[str, FeatureActivations]]:
    """Yield every site's rows batch by batch, from the first that is not ``present``; batches stay whole."""
    per_token = {name: getattr(corpus, f"kept_{name}") for name in PER_TOKEN}
    ends = np.concatenate(([0], corpus.kept.sum(axis=1).cumsum()))  # kept tokens before every block
    fitting = batch
    done = 0
    if progress is not None:
        progress(0, corpus.n_tokens)
    for start in range(0, corpus.n_blocks, batch):
        end = min(start + batch, corpus.n_blocks)
        while start < end:
            stop = min(start + fitting, end)
            first, last = int(ends[start]), int(ends[stop])
            wanted = {site: place for site, place in sites.items() if present[site] < last and first < last}
            codes = _codes(model, corpus, slice(start, stop), wanted, dictionaries) if wanted else {}
            if codes is None:
                fitting = (stop - start) // 2
                continue
            of_rows = {name: values[first:last] for name, values in per_token.items()}
            for site in list(codes):
                piece = FeatureActivations.from_csr(*codes.pop(site), dictionaries[site].n_features, **of_rows)
                yield site, piece.rows(max(present[site] - first, 0), last - first)
            done += int(corpus.attention_mask[start:stop].sum())
            start = stop
        if progress is not None:
            progress(done, corpus.n_tokens)


def _codes(
    model: PreTrainedModel,
    corpus: Corpus,
    blocks: slice,
    sites: Mapping[str, Site],
    dictionaries: Mapping[str, Dictionary],
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]] | None:
    """Return the CSR arrays of every site at the kept tokens of a few blocks, None if memory does not suffice."""
    import torch

    longest = int(corpus.attention_mask[blocks].sum(axis=1).max())
    ids, attention, kept = (
        torch.from_numpy(values[blocks, :longest]).to(input_device(model))
        for values in (corpus.token_ids, corpus.attention_mask, corpus.kept)
    )

    def encode(site: str, rows: Tensor) -> Any:
        _check_finite(site, rows, corpus, blocks.start)
        return dictionaries[site].encode_sparse(rows)

    try:
        return site_outputs(model, sites, ids, attention, kept, encode)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if blocks.stop - blocks.start == 1:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise MemoryError(
                f"memory does not suffice for one block of {longest} tokens ({reason}); "
                "take a smaller context_length or dtype, or spread the model with device_map"
            ) from error
    release_cached_memory()  # behind the handler: the error's traceback keeps the tensors of the failed pass
    return None


def _widths(model: PreTrainedModel, sites: Mapping[str, Site]) -> dict[str, int]:
    import torch

    token = torch.zeros((1, 1), dtype=torch.int64, device=input_device(model))
    seen = token == 0
    return site_outputs(model, sites, token, seen, seen, lambda _, rows: rows.shape[1])


def _check_widths(model: PreTrainedModel, sites: Mapping[str, Site], dictionaries: Mapping[str, Dictionary]) -> None:
    """Compare widths on one token, before the long way through the corpus."""
    widths = _widths(model, sites)
    for site, dictionary in dictionaries.items():
        if dictionary.d_in != widths[site]:
            every = _widths(model, {name: find_site(model, name) for name in available_sites(model)})
            fitting = listed([name for name, width in every.items() if width == dictionary.d_in])
            raise ValueError(
                f"the dictionary for {site} takes vectors of width {dictionary.d_in}, but {site} gives {widths[site]}; "
                f"sites of width {dictionary.d_in}: {fitting or 'none'}"
            )


def _check_neurons(model: PreTrainedModel, sites: Mapping[str, Dictionary]) -> None:
    """Say so when activations would come from one place and the directions that go with them from another."""
    for site, dictionary in sites.items():
        if not isinstance(dictionary, Neurons) or dictionary.w_dec is None or dictionary.site is None:
            continue
        if site_name(model, site) != site_name(model, dictionary.site):
            raise ValueError(
                f"the neurons of {dictionary.site} must stand at {dictionary.site}, whose directions they have, "
                f"got them at {site}"
            )


def _check_dictionaries(sites: Any) -> None:
    if not isinstance(sites, Mapping) or not all(isinstance(value, Dictionary) for value in sites.values()):
        raise TypeError(f"sites must be a dict from site to Dictionary, got {sites!r:.200}")
    if not sites:
        raise ValueError("sites must hold at least one site with its dictionary, got none")


def check_corpus(model: PreTrainedModel, corpus: Corpus) -> None:
    """Refuse what is no corpus, keeps no token, or does not fit the model."""
    if not isinstance(corpus, Corpus):
        raise TypeError(f"corpus must be a Corpus, got {type(corpus).__name__}")
    if not corpus.n_kept:
        raise ValueError(f"corpus must keep at least one token, but all {corpus.n_tokens} are masked: {corpus.masked}")
    limit, longest = context_limit(model), corpus.token_ids.shape[1]
    if limit is not None and limit < longest:
        raise ValueError(f"corpus must have blocks of at most {limit} tokens, which the model takes, got {longest}")
    vocabulary, largest = model.get_input_embeddings().weight.shape[0], int(corpus.token_ids.max())
    if largest >= vocabulary:
        raise ValueError(
            f"corpus must hold token ids of the model, 0..{vocabulary - 1}, got {largest}; "
            "make it with the model's own tokenizer"
        )


def _batch_size(corpus: Corpus) -> int:
    return max(1, _TOKENS_AT_ONCE // int(corpus.token_ids.shape[1]))


def _check_finite(site: str, rows: Tensor, corpus: Corpus, block: int) -> None:
    """Say which kept token made a site overflow; ``rows`` begin with the first kept token of ``block``."""
    if not rows.sum().isfinite() and not (finite := rows.isfinite().all(dim=1)).all():
        row = int(corpus.kept[:block].sum()) + int(finite.logical_not().nonzero()[0])
        name, position = corpus.names[corpus.kept_document_ids[row]], corpus.kept_positions[row]
        raise ValueError(f"{site} must give finite values, got NaN or infinity first at token {position} of {name}")
