"""Block sizes of the kernels, by what they run on."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

# Triton decides the same way, from the same variable, when it decorates a kernel.
INTERPRET = os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


@dataclass(frozen=True)
class Config:
    """One choice of tile: columns of x, columns of y, tokens, and how many warps and pipeline stages serve it."""

    block_a: int
    block_b: int
    block_n: int
    num_warps: int = 4
    num_stages: int = 3


CORRELATION = {
    (torch.float32, "ieee"): Config(64, 64, 32, num_warps=8),  # 4 warps spill on sm_80
    (torch.float32, "tf32"): Config(64, 64, 32, num_warps=8),
    (torch.float32, "bf16"): Config(64, 64, 32, num_warps=8),
    (torch.float16, "ieee"): Config(64, 64, 64),
    (torch.bfloat16, "ieee"): Config(64, 64, 64),
}

# The interpreter takes about the same time for a tile of any size: few large ones.
CORRELATION_INTERPRETED = Config(256, 256, 256)

_SPLITS = 16


def correlation_config(dtype: torch.dtype, precision: str) -> Config:
    """Return the tile of the correlation kernel for inputs of this type, multiplied in this precision."""
    return CORRELATION_INTERPRETED if INTERPRET else CORRELATION[dtype, precision]


def splits(columns: int, tile: Config) -> tuple[int, int]:
    """Return how many blocks of x one program walks over, and how many programs share x."""
    blocks = -(-columns // tile.block_a)
    share = -(-blocks // _SPLITS)
    return share, -(-blocks // share) if share else 0
