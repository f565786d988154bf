"""Dense Pearson correlation with a running argmax: the best column of x for every column of y.

The F_A x F_B matrix of correlations never exists: a program keeps one block of columns of y, walks over all columns
of x and remembers the largest correlation and where it was.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ._config import INTERPRET, Config, correlation_config

# A column whose variance is at most this share of its mean square is constant up to rounding.
_VARIANCE_FLOOR = 1e-12
_MOMENT_COLUMNS = 1024


@triton.jit
def _standardised_tile(
    ptr, mean, scale, rows, columns, row_mask, column_mask, stride_row, stride_column, UPCAST: tl.constexpr
):
    tile = tl.load(
        ptr + rows[:, None] * stride_row + columns[None, :] * stride_column,
        mask=row_mask[:, None] & column_mask[None, :],
        other=0.0,
    )
    z = (tile.to(tl.float32) - mean[None, :]) * scale[None, :]
    z = tl.where(row_mask[:, None], z, 0.0)  # a row beyond the last must add nothing, and 0 - mean would
    return z if UPCAST else z.to(tile.dtype)


@triton.jit(do_not_specialize=["n", "F_A", "F_B"])
def correlation_argmax_kernel(
    # matrices
    x_ptr,  # (n, F_A)
    y_ptr,  # (n, F_B)
    mean_x_ptr,  # (F_A,) float32
    scale_x_ptr,  # (F_A,) float32, 1 / standard deviation, 0 for a column that is no candidate
    mean_y_ptr,  # (F_B,)
    scale_y_ptr,  # (F_B,)
    best_ptr,  # (F_B,) int64, out
    corr_ptr,  # (F_B,) float32, out
    # sizes
    n,
    F_A,
    F_B,
    # strides
    stride_xn,
    stride_xf,
    stride_yn,
    stride_yf,
    # meta
    BLOCK_A: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """For every column b of y: the largest r_ab over the columns a of x, and the lowest a that has it.

    r_ab = 1/n sum_t (x_ta - mean_a) / sd_a * (y_tb - mean_b) / sd_b

    Moments are given, so tiles are standardised as they are loaded and the products stay small whatever the mean:
    raw moments in float32 would cancel. One program serves BLOCK_B columns of y and walks over all of x.
    """
    b = tl.program_id(0).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)  # [BB]
    b_mask = b < F_B
    mean_y = tl.load(mean_y_ptr + b, mask=b_mask, other=0.0)
    scale_y = tl.load(scale_y_ptr + b, mask=b_mask, other=0.0)

    best = tl.full((BLOCK_B,), float("-inf"), tl.float32)
    best_a = tl.full((BLOCK_B,), -1, tl.int64)
    for start_a in range(0, F_A, BLOCK_A):
        a = tl.cast(start_a, tl.int64) + tl.arange(0, BLOCK_A)  # [BA]
        a_mask = a < F_A
        mean_x = tl.load(mean_x_ptr + a, mask=a_mask, other=0.0)
        scale_x = tl.load(scale_x_ptr + a, mask=a_mask, other=0.0)

        total = tl.zeros((BLOCK_A, BLOCK_B), tl.float32)
        for start_n in range(0, n, BLOCK_N):
            t = tl.cast(start_n, tl.int64) + tl.arange(0, BLOCK_N)  # [BN]
            t_mask = t < n
            x = _standardised_tile(x_ptr, mean_x, scale_x, t, a, t_mask, a_mask, stride_xn, stride_xf, UPCAST)
            y = _standardised_tile(y_ptr, mean_y, scale_y, t, b, t_mask, b_mask, stride_yn, stride_yf, UPCAST)
            total = tl.dot(tl.trans(x), y, total, input_precision="ieee")  # [BA, BB]

        total = tl.where((scale_x > 0)[:, None], total, float("-inf"))
        block_best, block_a = tl.max(total, axis=0, return_indices=True, return_indices_tie_break_left=True)
        better = block_best > best  # strictly: an earlier block keeps a tie
        best = tl.where(better, block_best, best)
        best_a = tl.where(better, start_a + block_a, best_a)

    found = (best_a >= 0) & (scale_y > 0)
    tl.store(best_ptr + b, tl.where(found, best_a, -1), mask=b_mask)
    tl.store(corr_ptr + b, tl.where(found, best / n, 0.0), mask=b_mask)


def correlation_argmax(
    x: torch.Tensor,
    y: torch.Tensor,
    candidates_x: torch.Tensor | None = None,
    candidates_y: torch.Tensor | None = None,
    config: Config | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find, for every column of y, the column of x with the largest signed Pearson correlation.

    Parameters
    ----------
    x : Tensor of float32, float16 or bfloat16, shape (n, F_A)
        One row a token. Any strides.
    y : Tensor of the same type on the same device, shape (n, F_B)
    candidates_x, candidates_y : Tensor of bool, shape (F_A,) and (F_B,), optional
        Columns that may be chosen, and columns that may choose. A column whose variance is at most 1e-12 of its mean
        square is never a candidate, nor is one with a NaN or an infinity.
    config : Config, optional
        The tile; by default the one of the table for this type.

    Returns
    -------
    best : Tensor of int64, shape (F_B,)
        Column of x, the lowest where several tie; -1 where there is no candidate.
    corr : Tensor of float32, shape (F_B,)
        Its correlation; 0 where there is no candidate. Sums are float32 and moments float64; standardised values of
        float16 and bfloat16 inputs are rounded to that type, for the tensor cores.

    Raises
    ------
    TypeError
        If x and y differ in type, or it is none of the three.
    ValueError
        If x and y are no matrices of one length on one device, or a mask does not have one bool a column.
    """
    _check(x, y, candidates_x, candidates_y)
    n, F_A = x.shape
    F_B = y.shape[1]
    best = torch.empty(F_B, dtype=torch.int64, device=x.device)
    corr = torch.empty(F_B, dtype=torch.float32, device=x.device)
    if F_B == 0:
        return best, corr
    mean_x, scale_x = _moments(x, candidates_x)
    mean_y, scale_y = _moments(y, candidates_y)
    tile = config or correlation_config(x.dtype)
    with torch.cuda.device_of(x):  # Triton launches on the current device, not on that of its arguments
        correlation_argmax_kernel[(triton.cdiv(F_B, tile.block_b),)](
            x,
            y,
            mean_x,
            scale_x,
            mean_y,
            scale_y,
            best,
            corr,
            n,
            F_A,
            F_B,
            *x.stride(),
            *y.stride(),
            BLOCK_A=tile.block_a,
            BLOCK_B=tile.block_b,
            BLOCK_N=tile.block_n,
            UPCAST=INTERPRET and x.dtype == torch.bfloat16,  # the interpreter multiplies the bit patterns of bfloat16
            num_warps=tile.num_warps,
            num_stages=tile.num_stages,
            enable_fp_fusion=True,  # Triton's default differs between versions
        )
    return best, corr.clamp_(-1.0, 1.0)


def _moments(x: torch.Tensor, candidates: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each column's mean and 1 / standard deviation (0 for no candidate); float64 inside, float32 out."""
    mean, scale = (torch.zeros(x.shape[1], dtype=torch.float32, device=x.device) for _ in range(2))
    if len(x) == 0:
        return mean, scale
    for start in range(0, x.shape[1], _MOMENT_COLUMNS):
        columns = slice(start, start + _MOMENT_COLUMNS)
        block = x[:, columns].double()
        centre = block.mean(0)
        variance = (block - centre).square().mean(0)
        varies = variance > _VARIANCE_FLOOR * block.square().mean(0)
        mean[columns] = centre.float()
        scale[columns] = torch.where(varies, variance.rsqrt(), 0.0).float()
    if candidates is not None:
        scale[~candidates] = 0.0
    return mean, scale


def _check(
    x: torch.Tensor, y: torch.Tensor, candidates_x: torch.Tensor | None, candidates_y: torch.Tensor | None
) -> None:
    if x.dtype != y.dtype or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"x and y must both be float32, float16 or bfloat16, got {x.dtype} and {y.dtype}")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"x and y must be matrices of one length, got shapes {tuple(x.shape)} and {tuple(y.shape)}")
    if x.device != y.device:
        raise ValueError(f"x and y must be on one device, got {x.device} and {y.device}")
    for name, mask, columns in (("candidates_x", candidates_x, x.shape[1]), ("candidates_y", candidates_y, y.shape[1])):
        if mask is not None and (mask.dtype != torch.bool or mask.shape != (columns,)):
            raise ValueError(f"{name} must be {columns} bools, got {mask.dtype} of shape {tuple(mask.shape)}")
