"""Block sizes of the kernels, by what they run on."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

# Triton decides the same way, from the same variable, when it decorates a kernel.
INTERPRET = os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


@dataclass(frozen=True)
class Config:
    """One choice of tile: columns of x, columns of y, tokens, and how many warps and pipeline stages serve it.

    ``rows_of_x``, of the correlation kernel alone, says whether the columns of x are the rows of the product, or its
    columns: the sums are the same, but they lie in other threads, and the search for the largest needs more or fewer
    registers.
    """

    block_a: int
    block_b: int
    block_n: int
    num_warps: int = 8
    num_stages: int = 3
    rows_of_x: bool = False


# By type of the inputs and precision of the product. Larger tiles than these, or longer ones, spill registers: with
# sizes that are no multiples of 16 every element is loaded by an address of its own, and tiles are shorter.
CORRELATION = {
    "cuda": {
        (torch.float32, "ieee"): Config(128, 128, 16, num_stages=2, rows_of_x=True),
        (torch.float32, "tf32"): Config(128, 128, 32),
        (torch.float32, "bf16"): Config(128, 128, 32),
        (torch.float16, "ieee"): Config(128, 128, 64),
        (torch.bfloat16, "ieee"): Config(128, 128, 64),
    },
    "cuda, odd sizes": {
        (torch.float32, "ieee"): Config(128, 128, 8, num_stages=2, rows_of_x=True),
        (torch.float32, "tf32"): Config(128, 128, 16, num_stages=2),
        (torch.float32, "bf16"): Config(128, 128, 16, num_stages=2),
        (torch.float16, "ieee"): Config(128, 128, 64),
        (torch.bfloat16, "ieee"): Config(128, 128, 64),
    },
    "hip": {
        (torch.float32, "ieee"): Config(128, 128, 16, num_stages=2),
        (torch.float32, "tf32"): Config(128, 128, 32, num_stages=2),
        (torch.float32, "bf16"): Config(128, 128, 32, num_stages=2),
        (torch.float16, "ieee"): Config(128, 128, 64, num_stages=2),
        (torch.bfloat16, "ieee"): Config(128, 128, 64, num_stages=2),
    },
}

# Products of float32 and float64 are bound by arithmetic, and narrow tiles leave less of it beyond the last column; the
# others are bound by the L2 cache, and ask less of it with square ones. A gathered row takes two loads, one after the
# other: of five stages two are for each.
PERMUTED_CCA = {
    "cuda": {
        (torch.float64, "ieee"): Config(64, 128, 16),
        (torch.float32, "ieee"): Config(64, 128, 16, num_warps=4),
        (torch.float32, "tf32"): Config(128, 128, 32, num_stages=5),
        (torch.float16, "ieee"): Config(128, 128, 64, num_stages=5),
        (torch.bfloat16, "ieee"): Config(128, 128, 64, num_stages=5),
    },
    "hip": {
        (torch.float64, "ieee"): Config(64, 128, 16, num_stages=2),
        (torch.float32, "ieee"): Config(64, 128, 16, num_warps=4, num_stages=2),
        (torch.float32, "tf32"): Config(128, 128, 32, num_stages=2),
        (torch.float16, "ieee"): Config(128, 128, 64, num_stages=2),
        (torch.bfloat16, "ieee"): Config(128, 128, 64, num_stages=2),
    },
}

# The interpreter takes about the same time for a tile of any size: few large ones.
INTERPRETED = Config(256, 256, 256)

# Programs that share the columns of x between them. Those that run at once then stand in a rectangle of tiles, not in
# a line along y, and read each tile from memory once for all; and a narrow y still fills the device.
SHARES = 16


def correlation_config(x: torch.Tensor, y: torch.Tensor, precision: str) -> Config:
    """Return the tile of the correlation kernel for these inputs, multiplied in this precision."""
    if INTERPRET:
        return INTERPRETED
    device = "hip" if torch.version.hip else "cuda" if _wide(x) and _wide(y) else "cuda, odd sizes"
    return CORRELATION[device][x.dtype, precision]


def permuted_cca_config(dtype: torch.dtype, precision: str) -> Config:
    """Return the tile of the kernel of permuted products for bases of this type, multiplied in this precision."""
    if INTERPRET:
        return INTERPRETED
    return PERMUTED_CCA["hip" if torch.version.hip else "cuda"][dtype, precision]


def _wide(x: torch.Tensor) -> bool:
    """Say whether rows can be loaded 16 bytes at a time, as Triton will see it."""
    return x.stride(1) == 1 and all(number % 16 == 0 for number in (x.shape[1], x.stride(0), x.data_ptr()))


def shares(columns: int, tile: Config) -> tuple[int, int]:
    """Return how many blocks of x one program walks over, and how many programs share x."""
    blocks = -(-columns // tile.block_a)
    share = -(-blocks // SHARES)
    return share, -(-blocks // share) if share else 0
