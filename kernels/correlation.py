"""Dense correlation with a running top-m: the best columns of x for every column of y.

The F_A x F_B matrix of correlations never exists: a program keeps one block of columns of y, walks over a share of the
columns of x and carries, in registers, the few largest correlations and where they were.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ._config import INTERPRET, Config, correlation_config, shares

MAX_TOP = 8  # partners that a program carries in registers
MAX_TOKENS = 2**24  # ones that float32 can count: above, the sum of a strong correlation stops growing

# A column whose variance is at most this share of its mean square is constant up to rounding.
_VARIANCE_FLOOR = 1e-12
_MOMENT_COLUMNS = 1024
_NOBODY: tl.constexpr = tl.constexpr(-(2**63))


@triton.jit
def _standardised_tile(
    ptr,
    mean,
    scale,
    rows,
    columns,
    row_mask,
    column_mask,
    stride_row,
    stride_column,
    PRODUCT_TYPE: tl.constexpr,
    UPCAST: tl.constexpr,
):
    tile = tl.load(
        ptr + rows[:, None] * stride_row + columns[None, :] * stride_column,
        mask=row_mask[:, None] & column_mask[None, :],
        other=0.0,
    )
    z = (tile.to(tl.float32) - mean[None, :]) * scale[None, :]
    z = tl.where(row_mask[:, None], z, 0.0).to(PRODUCT_TYPE)  # a row beyond the last must add nothing; 0 - mean would
    return z.to(tl.float32) if UPCAST else z


@triton.jit
def _largest(total, start_a):
    """Return the largest entry of every row as a key, and its column.

    A key is the float's bits, made to order as integers do, over the complement of the column of x: the larger key is
    the larger correlation or, of two equal ones, the lower column. Keys are distinct.
    """
    value, column = tl.max(total, axis=1, return_indices=True, return_indices_tie_break_left=True)  # [BB]
    bits = (value + 0.0).to(tl.int32, bitcast=True)  # -0.0 becomes 0.0, which it ties with
    ordered = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(tl.int64)
    key = (ordered << 32) | (0xFFFFFFFF - (start_a + column.to(tl.int64)))
    return tl.where(value > float("-inf"), key, _NOBODY), column


@triton.jit(do_not_specialize=["n", "share"])
def correlation_argmax_kernel(
    # matrices
    x_ptr,  # (n, F_A)
    y_ptr,  # (n, F_B)
    mean_x_ptr,  # (F_A,) float32
    scale_x_ptr,  # (F_A,) float32, 1 / standard deviation, 0 for a column that is no candidate
    mean_y_ptr,  # (F_B,)
    scale_y_ptr,  # (F_B,)
    keys_ptr,  # (shares, F_B, TOP) int64, out, in no order
    # sizes
    n,
    F_A,
    F_B,
    share,  # blocks of x that one program walks over
    # strides
    stride_xn,
    stride_xf,
    stride_yn,
    stride_yf,
    # meta
    BLOCK_A: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr,
    ROWS_OF_X: tl.constexpr,  # whether columns of x are the rows of the product
    TOP: tl.constexpr,  # a power of two
    PRODUCT_TYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """For every column b of y: the TOP largest n r_ab over a share of the columns a of x, the lowest a where they tie.

    r_ab = 1/n sum_t (x_ta - mean_a) / sd_a * (y_tb - mean_b) / sd_b

    Moments are given, so tiles are standardised as they are loaded and the products stay small whatever the mean:
    raw moments in float32 would cancel. One program serves BLOCK_B columns of y and one share of x. Shares come first
    in the order of programs, so that those which run together read few tiles of x and few of y, from the cache.
    """
    part = tl.program_id(0).to(tl.int64)
    b = tl.program_id(1).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)  # [BB]
    b_mask = b < F_B
    mean_y = tl.load(mean_y_ptr + b, mask=b_mask, other=0.0)
    scale_y = tl.load(scale_y_ptr + b, mask=b_mask, other=0.0)

    slots = tl.arange(0, TOP)  # [TOP]
    within = tl.arange(0, BLOCK_A)  # [BA]
    keys = tl.full((BLOCK_B, TOP), _NOBODY, tl.int64) + slots[None, :]  # distinct, below every key
    first = part * share
    for block_a in range(first, tl.minimum(first + share, tl.cdiv(F_A, BLOCK_A))):
        start_a = block_a * BLOCK_A
        a = start_a + within
        a_mask = a < F_A
        mean_x = tl.load(mean_x_ptr + a, mask=a_mask, other=0.0)
        scale_x = tl.load(scale_x_ptr + a, mask=a_mask, other=0.0)

        total = tl.zeros((BLOCK_A, BLOCK_B) if ROWS_OF_X else (BLOCK_B, BLOCK_A), tl.float32)
        for start_n in range(0, n, BLOCK_N):
            t = tl.cast(start_n, tl.int64) + tl.arange(0, BLOCK_N)  # [BN]
            t_mask = t < n
            x = _standardised_tile(
                x_ptr, mean_x, scale_x, t, a, t_mask, a_mask, stride_xn, stride_xf, PRODUCT_TYPE, UPCAST
            )
            y = _standardised_tile(
                y_ptr, mean_y, scale_y, t, b, t_mask, b_mask, stride_yn, stride_yf, PRODUCT_TYPE, UPCAST
            )
            if ROWS_OF_X:
                total = tl.dot(tl.trans(x), y, total, input_precision=PRECISION)  # [BA, BB]
            else:
                total = tl.dot(tl.trans(y), x, total, input_precision=PRECISION)  # [BB, BA]
        if ROWS_OF_X:
            total = tl.trans(total)  # [BB, BA]

        total = tl.where((scale_y > 0)[:, None] & (scale_x > 0)[None, :], total, float("-inf"))
        # The largest entry of each row takes the place of the worst key carried, until no row gains.
        key, column = _largest(total, start_a)
        worst = tl.min(keys, axis=1)  # [BB]
        while tl.max((key > worst).to(tl.int32), axis=0) > 0:
            keys = tl.where((keys == worst[:, None]) & (key > worst)[:, None], key[:, None], keys)
            total = tl.where(within[None, :] == column[:, None], float("-inf"), total)
            key, column = _largest(total, start_a)
            worst = tl.min(keys, axis=1)

    place = (part * F_B + b)[:, None] * TOP + slots[None, :]
    tl.store(keys_ptr + place, keys, mask=b_mask[:, None])


def correlation_argmax(
    x: torch.Tensor,
    y: torch.Tensor,
    candidates_x: torch.Tensor | None = None,
    candidates_y: torch.Tensor | None = None,
    config: Config | None = None,
    *,
    top: int = 1,
    metric: str = "pearson",
    precision: str = "ieee",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find, for every column of y, the columns of x with the largest signed correlation.

    Parameters
    ----------
    x : Tensor of float32, float16 or bfloat16, shape (n, F_A)
        One row a token. Any strides.
    y : Tensor of the same type on the same device, shape (n, F_B)
    candidates_x, candidates_y : Tensor of bool, shape (F_A,) and (F_B,), optional
        Columns that may be chosen, and columns that may choose. A column with a NaN or an infinity is never a
        candidate, nor is one whose variance is at most 1e-12 of its mean square (``pearson``) or that is all zeros
        (``cosine``).
    config : Config, optional
        The tile; by default the one of the table for these inputs and this precision.
    top : int
        Partners kept for each column of y, 1 to 8.
    metric : str
        ``pearson``, or ``cosine``: the same of columns that are not centred.
    precision : str
        How float32 inputs are multiplied once standardised; sums are float32 always. ``ieee``: in float32. ``tf32``
        and ``bf16``: cut to 11 and rounded to 8 significant bits, for tensor cores. float16 and bfloat16 inputs are
        rounded to their own type, and take ``ieee`` only.

    Returns
    -------
    best : Tensor of int64, shape (F_B,) for ``top=1``, else (F_B, top)
        Columns of x, best first, the lowest where several tie; -1 where there is no candidate left.
    corr : Tensor of float32, likewise
        Their correlations; 0 where there is no candidate left. Moments are float64. What tensor cores do not see of the
        standardised values makes them wrong by at most 2^-9 (TF32), 2^-10 (float16) or 2^-7 (bfloat16).

    Raises
    ------
    TypeError
        If x and y differ in type, or it is none of the three, or ``top`` is no integer.
    ValueError
        If x and y are no matrices of one length on one device, they have more than 2^24 rows, a mask does not have one
        bool a column, or ``top``, ``metric`` or ``precision`` is none of those above.
    """
    _check(x, y, candidates_x, candidates_y)
    _check_options(top, metric, precision, x.dtype)
    n, F_A = x.shape
    F_B = y.shape[1]
    tile = config or correlation_config(x, y, precision)
    share, parts = shares(F_A, tile)
    carried = triton.next_power_of_2(top)
    keys = torch.empty(parts, F_B, carried, dtype=torch.int64, device=x.device)
    if keys.numel():
        product = torch.bfloat16 if precision == "bf16" else x.dtype
        with torch.cuda.device_of(x):  # Triton launches on the current device, not on that of its arguments
            correlation_argmax_kernel[(parts, triton.cdiv(F_B, tile.block_b))](
                x,
                y,
                *_moments(x, candidates_x, metric),
                *_moments(y, candidates_y, metric),
                keys,
                n,
                F_A,
                F_B,
                share,
                *x.stride(),
                *y.stride(),
                BLOCK_A=tile.block_a,
                BLOCK_B=tile.block_b,
                BLOCK_N=tile.block_n,
                ROWS_OF_X=tile.rows_of_x,
                TOP=carried,
                PRODUCT_TYPE=PRODUCT_TYPES[product],
                PRECISION="tf32" if precision == "tf32" else "ieee",
                UPCAST=INTERPRET and product == torch.bfloat16,  # there, tl.dot multiplies bit patterns of bfloat16
                num_warps=tile.num_warps,
                num_stages=tile.num_stages,
                enable_fp_fusion=True,  # Triton's default differs between versions
            )
    best, total = _ranked(keys, top)
    corr = (total / max(n, 1)).clamp_(-1.0, 1.0)
    return (best[:, 0], corr[:, 0]) if top == 1 else (best, corr)


PRODUCT_TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def _ranked(keys: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge the keys of all shares of x; return the best columns and their sums of products, (F_B, top)."""
    F_B = keys.shape[1]
    keys = keys.transpose(0, 1).flatten(1)
    best = torch.full((F_B, top), -1, dtype=torch.int64, device=keys.device)
    total = torch.zeros(F_B, top, dtype=torch.float32, device=keys.device)
    kept = keys.topk(min(top, keys.shape[1]), dim=1).values
    ordered = kept >> 32
    found = ordered > -(2**31)
    bits = torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).int()
    best[:, : kept.shape[1]] = torch.where(found, 0xFFFFFFFF - (kept & 0xFFFFFFFF), -1)
    total[:, : kept.shape[1]] = torch.where(found, bits.view(torch.float32), 0.0)
    return best, total


def _moments(x: torch.Tensor, candidates: torch.Tensor | None, metric: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each column's centre and 1 / its root mean square about it (0 for no candidate); float64 inside."""
    centre, scale = (torch.zeros(x.shape[1], dtype=torch.float32, device=x.device) for _ in range(2))
    if len(x) == 0:
        return centre, scale
    for start in range(0, x.shape[1], _MOMENT_COLUMNS):
        columns = slice(start, start + _MOMENT_COLUMNS)
        block = x[:, columns].double()
        square = spread = block.square().mean(0)
        if metric == "pearson":
            mean = block.mean(0)
            spread = (block - mean).square().mean(0)
            centre[columns] = mean.float()
        varies = spread > _VARIANCE_FLOOR * square  # not so for NaN, nor for infinities
        scale[columns] = torch.where(varies, spread.rsqrt(), 0.0).float()
    if candidates is not None:
        scale[~candidates] = 0.0
    return centre, scale


def _check(
    x: torch.Tensor, y: torch.Tensor, candidates_x: torch.Tensor | None, candidates_y: torch.Tensor | None
) -> None:
    if x.dtype != y.dtype or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"x and y must both be float32, float16 or bfloat16, got {x.dtype} and {y.dtype}")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"x and y must be matrices of one length, got shapes {tuple(x.shape)} and {tuple(y.shape)}")
    if len(x) > MAX_TOKENS:
        raise ValueError(f"x and y must have at most {MAX_TOKENS} rows, which float32 sums can count, got {len(x)}")
    if x.device != y.device:
        raise ValueError(f"x and y must be on one device, got {x.device} and {y.device}")
    for name, mask, columns in (("candidates_x", candidates_x, x.shape[1]), ("candidates_y", candidates_y, y.shape[1])):
        if mask is not None and (mask.dtype != torch.bool or mask.shape != (columns,)):
            raise ValueError(f"{name} must be {columns} bools, got {mask.dtype} of shape {tuple(mask.shape)}")


def _check_options(top: int, metric: str, precision: str, dtype: torch.dtype) -> None:
    if not isinstance(top, int) or isinstance(top, bool):
        raise TypeError(f"top must be an integer, got {top!r}")
    if not 1 <= top <= MAX_TOP:
        raise ValueError(f"top must be 1 to {MAX_TOP}, got {top}")
    if metric not in ("pearson", "cosine"):
        raise ValueError(f"metric must be pearson or cosine, got {metric!r}")
    if precision not in ("ieee", "tf32", "bf16"):
        raise ValueError(f"precision must be ieee, tf32 or bf16, got {precision!r}")
    if precision != "ieee" and dtype != torch.float32:
        raise ValueError(f"precision must be ieee for {dtype}, which is multiplied as it is, got {precision!r}")
