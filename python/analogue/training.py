"""Training: a small TopK dictionary on the activations of one site, for controls that need one of their own."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from . import _checks
from .dictionaries.autoencoder import SparseAutoencoder, TopK
from .progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 2048
_LEARNING_RATE = 1e-3
_SILENT_STEPS, _AUX_K = 60, 64  # a latent is dead after so many steps without firing; so many dead ones learn at once
_TIMED_STEPS = 3


def train_topk(
    x: Tensor,
    latents: int,
    k: int,
    *,
    tokens: int | None = None,
    seed: int = 0,
    site: str | None = None,
    stage: str = "training",
    progress: Progress | None = None,
) -> SparseAutoencoder:
    """Train a TopK sparse autoencoder (Gao et al. 2024), with their auxiliary loss for dead latents.

    Features are the ``k`` largest of ``relu((x - b_dec) W_enc' + b_enc)``; decoder rows have unit norm. Adam at 1e-3
    that falls to zero, batches of 2048 tokens.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        Activations of the site, a row a token; training is on their device.
    latents : int
        Width of the dictionary.
    k : int
        Latents that fire on a token.
    tokens : int, optional
        Rows to train on, passing over ``x`` as often as that takes; by default every row once.
    seed : int
        Of the first weights and the order of rows.
    site : str, optional
        What the dictionary's site is to be.
    stage : str
        How progress calls the training; the seconds it is estimated to take are added after its first steps.
    progress : callable, optional
        Called with the stage, the rows that were trained on, and their total.

    Returns
    -------
    SparseAutoencoder

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no finite matrix with at least 2 rows that differ, or a number is out of range.
    """
    import torch

    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"x must have shape (tokens, width) with at least 2 tokens, got {tuple(x.shape)}")
    F = _checks.integer("latents", latents, minimum=1)
    if _checks.integer("k", k, minimum=1) > F:
        raise ValueError(f"k must be at most latents, {F}, got {k}")
    total = len(x) if tokens is None else _checks.integer("tokens", tokens, minimum=1)
    rows = x.detach().float()
    if not bool(rows.isfinite().all()):
        raise ValueError("x must be finite, got NaN or infinite values")
    if not bool((rows != rows[0]).any()):
        raise ValueError("x must have rows that differ, got one row again and again")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(_checks.integer("seed", seed, minimum=0))
        return _Trainer(rows, F, k).train(total, site, stage, progress)


class _Trainer:
    def __init__(self, x: Tensor, latents: int, k: int) -> None:
        import torch
        from torch.nn import functional

        self.x, self.k = x, k
        self.scale = x.norm(dim=1).mean().item() / math.sqrt(x.shape[1])
        rows = functional.normalize(torch.randn(latents, x.shape[1]), dim=1).to(x.device)
        self.w_enc, self.w_dec = rows.clone().requires_grad_(), rows.clone().requires_grad_()
        self.b_enc = torch.zeros(latents, device=x.device, requires_grad=True)
        self.b_dec = (x.mean(0) / self.scale).clone().requires_grad_()
        self.variance = (x / self.scale).var(0).sum().item()
        self.optimizer = torch.optim.Adam([self.w_enc, self.b_enc, self.w_dec, self.b_dec], lr=_LEARNING_RATE)
        self.silent = torch.zeros(latents, device=x.device)

    def train(self, total: int, site: str | None, stage: str, progress: Progress | None) -> SparseAutoencoder:
        import torch

        passes = -(-total // len(self.x))
        order = torch.cat([torch.randperm(len(self.x)) for _ in range(passes)])[:total]
        batches = torch.split(order.to(self.x.device), _BATCH)
        done, started = 0, time.perf_counter()
        for step, rows in enumerate(batches):
            if step == min(_TIMED_STEPS, len(batches) - 1) and progress is not None:
                seconds = (time.perf_counter() - started) / max(step, 1) * len(batches)
                stage = f"{stage}, about {max(seconds, 1):.0f} s"
                progress(stage, done, total)
            for group in self.optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * min(1.0, 1.25 * (1 - step / len(batches)))
            self._step(self.x[rows] / self.scale)
            done += len(rows)
            if progress is not None and step >= _TIMED_STEPS:
                progress(stage, done, total)
        with torch.no_grad():
            b_dec = self.b_dec.detach() * self.scale
            return SparseAutoencoder(
                format="trained",
                site=site,
                promised_l0=float(self.k),
                w_enc=self.w_enc.detach(),
                b_enc=self.b_enc.detach() * self.scale,
                b_pre=b_dec,
                w_dec=self.w_dec.detach(),
                b_dec=b_dec,
                nonlinearity=TopK(self.k),
            )

    def _step(self, batch: Tensor) -> None:
        """Take one step on the reconstruction, and on what is left of it by latents that are dead."""
        import torch
        from torch.nn import functional

        z = torch.relu(functional.linear(batch - self.b_dec, self.w_enc, self.b_enc))
        values, ids = z.topk(self.k)
        error = batch - (_combined(values, ids, self.w_dec) + self.b_dec)
        loss = error.pow(2).sum(1).mean() / self.variance
        self.silent += 1
        self.silent[ids[values > 0]] = 0
        dead = (self.silent > _SILENT_STEPS).nonzero().flatten()
        if len(dead) > 1:
            aux = functional.linear(batch - self.b_dec, self.w_enc[dead], self.b_enc[dead])
            aux_values, aux_ids = aux.topk(min(_AUX_K, len(dead)))
            guess = _combined(aux_values, aux_ids, self.w_dec[dead])
            loss = loss + (error.detach() - guess).pow(2).sum(1).mean() / self.variance / 32
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.w_dec.copy_(functional.normalize(self.w_dec, dim=1))


def _combined(values: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.embedding_bag(ids, rows, per_sample_weights=values, mode="sum")
