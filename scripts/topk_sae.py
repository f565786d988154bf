"""A small TopK SAE and its trainer (Gao et al. 2024), saved in the layout of EleutherAI's sparsify."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional

LATENTS, K = 2048, 16


class TopKSae(torch.nn.Module):
    """relu((x - b_dec) W_enc' + b_enc), the K largest kept; decoder rows have unit norm."""

    def __init__(self, width: int, mean: torch.Tensor) -> None:
        super().__init__()
        directions = functional.normalize(torch.randn(LATENTS, width), dim=1)
        self.encoder = torch.nn.Linear(width, LATENTS)
        self.encoder.weight.data = directions.clone()
        torch.nn.init.zeros_(self.encoder.bias)
        self.W_dec = torch.nn.Parameter(directions)
        self.b_dec = torch.nn.Parameter(mean.clone())

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.encoder(x - self.b_dec))

    def decode(self, values: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        return functional.embedding_bag(indices, self.W_dec, per_sample_weights=values, mode="sum") + self.b_dec


def train_sae(x: torch.Tensor, seed: int, tokens: int) -> TopKSae:
    """Train once over ``tokens`` rows of (n, width) activations; dead latents learn the residual (AuxK)."""
    torch.manual_seed(seed)
    scale = x.norm(dim=1).mean().item() / math.sqrt(x.shape[1])
    sae = TopKSae(x.shape[1], x.mean(0) / scale)
    variance = (x / scale).var(0).sum().item()
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-3)
    batches = (torch.randperm(len(x))[:tokens]).split(2048)
    silent = torch.zeros(LATENTS)
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, 1.25 * (1 - step / len(batches)))
        batch = x[rows] / scale
        pre = sae.encode(batch)
        values, indices = pre.topk(K)
        error = batch - sae.decode(values, indices)
        loss = error.pow(2).sum(1).mean() / variance
        silent += 1
        silent[indices[values > 0]] = 0
        dead = (silent > 60).nonzero().flatten()
        if len(dead) > 1:
            aux = functional.linear(batch - sae.b_dec, sae.encoder.weight[dead], sae.encoder.bias[dead])
            aux_values, aux_indices = aux.topk(min(64, len(dead)))
            guess = functional.embedding_bag(aux_indices, sae.W_dec[dead], per_sample_weights=aux_values, mode="sum")
            loss = loss + (error.detach() - guess).pow(2).sum(1).mean() / variance / 32
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            sae.W_dec.data = functional.normalize(sae.W_dec.data, dim=1)
    with torch.no_grad():
        sae.encoder.bias *= scale
        sae.b_dec *= scale
    return sae


@torch.no_grad()
def explained_variance(sae: TopKSae, x: torch.Tensor) -> dict[str, float]:
    fired = torch.zeros(LATENTS, dtype=torch.bool)
    residual = 0.0
    for batch in x.split(4096):
        values, indices = sae.encode(batch).topk(K)
        fired[indices[values > 0]] = True
        residual += (batch - sae.decode(values, indices)).pow(2).sum().item()
    total = (x - x.mean(0)).pow(2).sum().item()
    return {"explained_variance": 1 - residual / total, "dead_share": 1 - fired.float().mean().item()}


def save_sae(sae: TopKSae, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().half().contiguous() for name, tensor in sae.state_dict().items()}
    save_file(tensors, folder / "sae.safetensors")
    config = {
        "activation": "topk",
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": LATENTS,
        "k": K,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": sae.W_dec.shape[1],
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
