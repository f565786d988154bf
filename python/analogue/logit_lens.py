"""Logit lens: the tokens that a feature's decoder direction promotes, as labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from .documents import special_ids
from .labels import Labels
from .ops import infer_device

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

_FEATURES, _TOKENS = 1024, 8192  # a block of logits: 32 MB


def logit_lens(
    directions: ArrayLike | Tensor,
    unembedding: ArrayLike | Tensor,
    tokenizer: PreTrainedTokenizerBase,
    k: int = 5,
    *,
    gain: ArrayLike | Tensor | None = None,
    device: str = "auto",
) -> Labels:
    """Label every feature with the tokens whose logits its decoder direction raises most.

    For features that are about what they make the model say: "say I'm BOB" may fire on any token. Only tokens count
    whose logit is raised, that the tokenizer has, and that are not special. The F x V matrix of logits is never held.

    Parameters
    ----------
    directions : array_like or Tensor, shape (F, d)
        Decoder rows, such as ``dictionary.w_dec``, in the residual stream of ``unembedding``.
    unembedding : array_like or Tensor, shape (V, d)
        Such as ``model.get_output_embeddings().weight``; V may be more than the tokenizer's ids, as padding.
    tokenizer : PreTrainedTokenizerBase
    k : int
        Tokens a feature; where fewer count, those.
    gain : array_like or Tensor, shape (d,), optional
        The final norm's weight, which stands between the two (of Gemma, 1 + weight). A LayerNorm centres its input as
        well: take the mean out of every row of ``directions`` for that.
    device : str
        See `infer_device`.

    Returns
    -------
    Labels
        The promoted tokens, largest logit first, the lowest id first on ties; ``activation`` is the logit, per unit of
        the feature's activation and before the norm's division. They stand in no document and have no window, so a
        piece of a word matches as it is: "token" and "word" are the same for `keyword_hits`. ``top_token`` is the
        first of them.

    Raises
    ------
    TypeError, ValueError
        If these are no finite matrices of one width, the gain does not fit, or a number is out of range.

    References
    ----------
    nostalgebraist (2020), "interpreting GPT: the logit lens"; Bloom & Lin (2024), "Understanding SAE features with the
    logit lens".
    """
    import torch

    k = _checks.integer("k", k, minimum=1)
    place = infer_device(device)
    rows, columns = _matrix("directions", directions), _matrix("unembedding", unembedding)
    if rows.shape[1] != columns.shape[1]:
        raise ValueError(f"directions and unembedding must have one width, got {rows.shape[1]} and {columns.shape[1]}")
    if gain is not None:
        weight = torch.from_numpy(_checks.array("gain", _detached(gain), ndim=1, dtype=np.float32))
        if len(weight) != rows.shape[1]:
            raise ValueError(f"gain must have one number for each of {rows.shape[1]} dimensions, got {len(weight)}")
        rows = rows * weight
    if not hasattr(tokenizer, "all_special_ids"):
        raise TypeError(f"tokenizer must be a tokenizer of transformers, got {type(tokenizer).__name__}")
    counts = torch.zeros(len(columns), dtype=torch.bool)
    counts[: len(tokenizer)] = True
    counts[[token for token in special_ids(tokenizer) if token < len(columns)]] = False
    candidates = counts.nonzero()[:, 0]
    with torch.no_grad():
        keys = _largest(rows.to(place), columns.to(place), candidates.to(place), k)
    logits, tokens = _split(keys)
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite in float32, but directions and unembedding give larger ones")
    return _labels(logits, tokens, tokenizer)


def _largest(rows: Tensor, columns: Tensor, candidates: Tensor, k: int) -> NDArray[np.int64]:
    """Return the k largest keys of every row, descending, shape (F, k or the candidates); see `_keys`."""
    import torch

    found = []
    for some in torch.split(rows, _FEATURES):
        best = torch.empty((len(some), 0), dtype=torch.int64, device=rows.device)
        for ids in torch.split(candidates, _TOKENS):
            best = torch.cat([best, _largest_of(some @ columns[ids].T, ids, k)], dim=1)
            best = best.topk(min(k, best.shape[1]), dim=1).values
        found.append(best.cpu().numpy())
    return np.concatenate(found) if found else np.empty((0, 0), dtype=np.int64)


def _largest_of(logits: Tensor, ids: Tensor, k: int) -> Tensor:
    """Return the largest keys of a block; floats are ranked, ten times as fast, and keys where the kth is a tie."""
    values, places = logits.topk(min(k + 1, len(ids)), dim=1)
    keys = _keys(values, ids[places])[:, :k]
    if values.shape[1] > k:
        tied = (values[:, k - 1] == values[:, k]) & (values[:, k] > 0)
        keys[tied] = _keys(logits[tied], ids).topk(k, dim=1).values
    return keys


def _keys(logits: Tensor, ids: Tensor) -> Tensor:
    """Return int64 that sort by logit, then by the lower id: the bits of a positive float32 rise with it."""
    import torch

    return (logits.clamp(min=0).contiguous().view(torch.int32).long() << 32) | (0x7FFFFFFF - ids)


def _split(keys: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    logits = np.ascontiguousarray((keys >> 32).astype(np.int32)).view(np.float32)
    return logits, 0x7FFFFFFF - (keys & 0x7FFFFFFF)


def _labels(logits: NDArray[np.float32], tokens: NDArray[np.int64], tokenizer: PreTrainedTokenizerBase) -> Labels:
    raised = logits > 0
    ids = np.unique(tokens[raised]).tolist()
    texts = {token: str(tokenizer.decode([token], clean_up_tokenization_spaces=False)) for token in ids}
    shown = [texts[token] for token in tokens[raised].tolist()]
    sizes = raised.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    first = [shown[row].strip().lower() if size else None for row, size in zip(offsets, sizes, strict=False)]
    nowhere = np.full(len(shown), -1, dtype=np.int64)
    window = [""] * len(shown)
    return Labels(offsets, logits[raised], shown, window, window, nowhere, nowhere, first)


def _matrix(name: str, given: Any) -> Tensor:
    import torch

    return torch.from_numpy(_checks.array(name, _detached(given), ndim=2, dtype=np.float32))


def _detached(given: Any) -> Any:
    """Return an array of what may be a tensor, on a device, with a gradient or in bfloat16, which NumPy lacks."""
    return given.detach().float().cpu().numpy() if hasattr(given, "detach") else given
