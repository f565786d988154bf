"""The SAEs of the embedded pair: trained by `analogue.training`, saved in the layout of EleutherAI's sparsify."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from analogue.dictionaries.autoencoder import SparseAutoencoder
from analogue.training import train_topk

LATENTS, K = 2048, 16


def train_sae(x: torch.Tensor, seed: int, tokens: int) -> SparseAutoencoder:
    """Train once over ``tokens`` rows of (n, width) activations."""
    return train_topk(x, LATENTS, K, tokens=min(tokens, len(x)), seed=seed)


@torch.no_grad()
def explained_variance(sae: SparseAutoencoder, x: torch.Tensor) -> dict[str, float]:
    fired = torch.zeros(LATENTS, dtype=torch.bool)
    residual = 0.0
    for batch in x.split(4096):
        features = sae.encode(batch)
        fired |= (features != 0).any(dim=0)
        residual += (batch - sae.decode(features)).pow(2).sum().item()
    total = (x - x.mean(0)).pow(2).sum().item()
    return {"explained_variance": 1 - residual / total, "dead_share": 1 - fired.float().mean().item()}


def save_sae(sae: SparseAutoencoder, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    named = {"encoder.weight": sae.w_enc, "encoder.bias": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    save_file({name: tensor.half().contiguous() for name, tensor in named.items()}, folder / "sae.safetensors")
    config = {
        "activation": "topk",
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": LATENTS,
        "k": K,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": sae.d_in,
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
