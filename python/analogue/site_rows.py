"""Rows of a site: a model's activations themselves, of blocks that lie evenly over a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .capture import check_corpus
from .corpus import Corpus
from .devices import input_device
from .forward import site_outputs
from .sites import Site, find_site

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_TOKENS_AT_ONCE = 8192


def site_rows(model: PreTrainedModel, site: str, corpus: Corpus, tokens: int) -> Tensor:
    """Return activations of one site in float32, shape (about ``tokens``, d), on the model's device; see `rows_of`."""
    return rows_of(model, {site: find_site(model, site)}, corpus, tokens)[site]


def rows_of(model: PreTrainedModel, sites: Mapping[str, Site], corpus: Corpus, tokens: int) -> dict[str, Tensor]:
    """Read blocks that lie evenly over a corpus, until they hold the kept tokens wanted.

    Returns
    -------
    dict of str to Tensor of float32, shape (n, d)
        By site; n is ``tokens`` to the nearest block, or all kept tokens of the corpus.
    """
    import torch

    check_corpus(model, corpus)
    share = corpus.n_kept / corpus.n_blocks
    blocks = np.unique(np.linspace(0, corpus.n_blocks - 1, max(1, round(tokens / share))).astype(np.int64))
    at_once = max(1, _TOKENS_AT_ONCE // corpus.token_ids.shape[1])
    parts: dict[str, list[Tensor]] = {site: [] for site in sites}
    for chosen in np.split(blocks, range(at_once, len(blocks), at_once)):
        longest = int(corpus.attention_mask[chosen].sum(axis=1).max())
        ids, attention, kept = (
            torch.from_numpy(values[chosen, :longest]).to(input_device(model))
            for values in (corpus.token_ids, corpus.attention_mask, corpus.kept)
        )
        for site, rows in site_outputs(model, sites, ids, attention, kept).items():
            parts[site].append(rows)
    return {site: torch.cat(own) for site, own in parts.items()}
