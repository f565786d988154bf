"""Cross products of two bases under many row permutations: Qx' Qy[p] for every p, and no permuted copy.

A program gathers the rows of y by the permutation as it loads them; what is written is kx x ky a permutation.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ._config import INTERPRET, Config, permuted_cca_config

_ALIGNED = 16  # columns: rows of a multiple of them are loaded 16 bytes at a time
_TF32_SPLIT = 2.0**13 + 1


@triton.jit(do_not_specialize=["n"])
def permuted_products_kernel(
    # matrices, rows contiguous
    x_ptr,  # (n, KX)
    y_ptr,  # (n, KY)
    permutations_ptr,  # (R, n) int64
    products_ptr,  # (R, KX, KY), out
    # sizes, KX and KY multiples of 16
    n,
    KX,
    KY,
    # meta
    BLOCK_X: tl.constexpr,
    BLOCK_Y: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SUM_TYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """For every permutation p: one BLOCK_X x BLOCK_Y tile a program of sum_t x_ti y_{p(t)j}.

    Tiles of one permutation are neighbours in the order of programs, so that those which run together read both bases
    from the cache.
    """
    program = tl.program_id(0).to(tl.int64)
    tiles_x = tl.cdiv(KX, BLOCK_X)
    tiles = tiles_x * tl.cdiv(KY, BLOCK_Y)
    draw = program // tiles
    tile = program % tiles
    i = (tile % tiles_x) * BLOCK_X + tl.arange(0, BLOCK_X)  # [BX]
    j = (tile // tiles_x) * BLOCK_Y + tl.arange(0, BLOCK_Y)  # [BY]
    i_mask = i < KX
    j_mask = j < KY

    total = tl.zeros((BLOCK_X, BLOCK_Y), SUM_TYPE)
    for start in range(0, n, BLOCK_N):
        t = tl.cast(start, tl.int64) + tl.arange(0, BLOCK_N)  # [BN]
        t_mask = t < n
        moved = tl.load(permutations_ptr + draw * n + t, mask=t_mask, other=0)
        x = tl.load(x_ptr + t[:, None] * KX + i[None, :], mask=t_mask[:, None] & i_mask[None, :], other=0.0)
        y = tl.load(y_ptr + moved[:, None] * KY + j[None, :], mask=t_mask[:, None] & j_mask[None, :], other=0.0)
        if UPCAST:
            x = x.to(tl.float32)
            y = y.to(tl.float32)
        total = tl.dot(tl.trans(x), y, total, input_precision=PRECISION, out_dtype=SUM_TYPE)  # [BX, BY]

    place = (draw * KX + i)[:, None] * KY + j[None, :]
    tl.store(products_ptr + place, total, mask=i_mask[:, None] & j_mask[None, :])


def permuted_products(
    x: torch.Tensor,
    y: torch.Tensor,
    permutations: torch.Tensor,
    config: Config | None = None,
    *,
    precision: str = "ieee",
) -> torch.Tensor:
    """Multiply x' with the permuted rows of y, for every permutation.

    Parameters
    ----------
    x : Tensor of float64, float32, float16 or bfloat16, shape (n, kx)
        Any strides.
    y : Tensor of the same type on the same device, shape (n, ky)
    permutations : Tensor of int64 on the same device, shape (R, n)
        Row t of x meets row ``permutations[r, t]`` of y. Any indices of rows will do.
    config : Config, optional
        The tile; by default the one of the table for this type and precision.
    precision : str
        How float32 values are multiplied; they are summed in float32 always. ``ieee``: in float32. ``tf32`` and
        ``bf16``: rounded, once, to 11 and 8 significant bits, for tensor cores. Other types take ``ieee`` only: float64
        is multiplied and summed in float64, float16 and bfloat16 values exactly, with float32 sums.

    Returns
    -------
    Tensor of float32 (of float64 for float64), shape (R, kx, ky)
        ``x.T @ y[permutations[r]]`` for every r. For columns of unit norm rounding makes an entry wrong by at most
        2^-10 (TF32) or 2^-7 (bfloat16). Float32 sums add about sqrt(n) 2^-25 to an entry near 1, less to a smaller one.

    Raises
    ------
    TypeError
        If x and y differ in type, or it is none of the four, or permutations are not int64.
    ValueError
        If x and y are no matrices of one length, permutations no matrix of indices of their rows, all three not on one
        device, or ``precision`` is none of those above.
    """
    _check(x, y, permutations, precision)
    (n, kx), ky, R = x.shape, y.shape[1], len(permutations)
    x, y = (_aligned(side, precision) for side in (x, y))
    KX, KY = x.shape[1], y.shape[1]
    multiplied = "tf32" if precision == "tf32" else "ieee"
    tile = config or permuted_cca_config(x.dtype, multiplied)
    wide = x.dtype == torch.float64
    products = torch.empty(R, KX, KY, dtype=torch.float64 if wide else torch.float32, device=x.device)
    if products.numel():
        with torch.cuda.device_of(x):  # Triton launches on the current device, not on that of its arguments
            permuted_products_kernel[(R * triton.cdiv(KX, tile.block_a) * triton.cdiv(KY, tile.block_b),)](
                x,
                y,
                permutations.contiguous(),
                products,
                n,
                KX,
                KY,
                BLOCK_X=tile.block_a,
                BLOCK_Y=tile.block_b,
                BLOCK_N=tile.block_n,
                SUM_TYPE=tl.float64 if wide else tl.float32,
                PRECISION=multiplied,
                UPCAST=INTERPRET and x.dtype == torch.bfloat16,  # there, tl.dot multiplies bit patterns of bfloat16
                num_warps=tile.num_warps,
                num_stages=tile.num_stages,
                enable_fp_fusion=True,  # Triton's default differs between versions
            )
    return products[:, :kx, :ky]


def _aligned(side: torch.Tensor, precision: str) -> torch.Tensor:
    """Return a contiguous copy, rounded to the type of the product, with columns of zeros up to a multiple of 16."""
    if precision == "tf32":  # what tensor cores would cut off is rounded to nearest first: half the error
        multiple = side * _TF32_SPLIT
        side = multiple - (multiple - side)
    n, columns = side.shape
    padded = -(-columns // _ALIGNED) * _ALIGNED
    copy = torch.zeros(n, padded, dtype=torch.bfloat16 if precision == "bf16" else side.dtype, device=side.device)
    copy[:, :columns] = side
    return copy


def _check(x: torch.Tensor, y: torch.Tensor, permutations: torch.Tensor, precision: str) -> None:
    if x.dtype != y.dtype or x.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"x and y must both be float64, float32, float16 or bfloat16, got {x.dtype} and {y.dtype}")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"x and y must be matrices of one length, got shapes {tuple(x.shape)} and {tuple(y.shape)}")
    if permutations.dtype != torch.int64:
        raise TypeError(f"permutations must be int64, got {permutations.dtype}")
    if permutations.ndim != 2 or permutations.shape[1] != len(x):
        raise ValueError(f"permutations must have {len(x)} columns, got shape {tuple(permutations.shape)}")
    if not x.device == y.device == permutations.device:
        devices = f"{x.device}, {y.device} and {permutations.device}"
        raise ValueError(f"x, y and permutations must be on one device, got {devices}")
    if permutations.numel() and not (permutations.min() >= 0 and permutations.max() < len(x)):
        raise ValueError(
            f"permutations must be rows from 0 to {len(x) - 1}, got {permutations.min()} to {permutations.max()}"
        )
    if precision not in ("ieee", "tf32", "bf16"):
        raise ValueError(f"precision must be ieee, tf32 or bf16, got {precision!r}")
    if precision != "ieee" and x.dtype != torch.float32:
        raise ValueError(f"precision must be ieee for {x.dtype}, which is multiplied as it is, got {precision!r}")
