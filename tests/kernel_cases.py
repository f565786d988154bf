"""What tests of the kernels share, in the interpreter and on a GPU: products, inputs, the judgement."""

import numpy as np
import torch
from scipy.spatial.distance import cdist

import oracles
import oracles_kernels
from analogue.kernels._config import INTERPRET

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
_BFLOAT16 = 2**-6 if INTERPRET else 2**-7  # the interpreter truncates where a GPU rounds

# Every product: type of the inputs, precision, largest error of a correlation. Tensor cores see standardised values
# rounded to 11 bits (float16) or 8 (bfloat16), or cut to 11 (TF32; not in the interpreter): twice that is the error.
PRODUCTS = {
    "float32": (torch.float32, "ieee", 2e-6),
    "float32 as tf32": (torch.float32, "tf32", 2**-9),
    "float32 as bf16": (torch.float32, "bf16", _BFLOAT16),
    "float16": (torch.float16, "ieee", 2**-10),
    "bfloat16": (torch.bfloat16, "ieee", _BFLOAT16),
}

# The same of permuted products of orthonormal columns, against the product of the very values that are multiplied:
# what is left is the rounding of sums.
PERMUTED_PRODUCTS = {
    "float64": (torch.float64, "ieee", 1e-15),
    "float32": (torch.float32, "ieee", 3e-7),
    "float32 as tf32": (torch.float32, "tf32", 3e-7),
    "float32 as bf16": (torch.float32, "bf16", 3e-7),
    "float16": (torch.float16, "ieee", 3e-7),
    "bfloat16": (torch.bfloat16, "ieee", 3e-7),
}


def poison_empty(monkeypatch):
    """Fill what `torch.empty` returns, so that an output nobody wrote is seen: read as a key, the integer is a NaN."""
    empty = torch.empty

    def poisoned(*args, **kwargs):
        fresh = empty(*args, **kwargs)
        return fresh.fill_(torch.nan if fresh.is_floating_point() else torch.iinfo(fresh.dtype).max)

    monkeypatch.setattr(torch, "empty", poisoned)


def random(n, columns, dtype=torch.float32, seed=0, mean=0.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, columns, generator=generator) + mean).to(DEVICE, dtype)


def signs(n, columns, seed=0):
    """Columns of +1 and -1 with mean 0: every sum over them is exact in float32."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.ones(n // 2)
    column = torch.cat([half, -half])
    return torch.stack([column[torch.randperm(n, generator=generator)] for _ in range(columns)], 1).to(DEVICE)


def correlations(x, y, metric="pearson"):
    """Every column of x with every column of y, float64; NaN where either is no candidate."""
    x, y = (side.double().cpu().numpy() for side in (x, y))
    if metric == "pearson":
        return torch.from_numpy(oracles.pearson_matrix(x, y))
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(1 - cdist(x.T, y.T, "cosine"))


def assert_best(found, r, top, tolerance):
    """Judge what the kernel found against all correlations: each within the tolerance, none better left out."""
    best, corr = (side.cpu().reshape(-1, top) for side in found)
    assert [side.shape for side in found] == [(r.shape[1],) if top == 1 else (r.shape[1], top)] * 2
    assert best.dtype == torch.int64
    assert corr.dtype == torch.float32
    candidates = (~r.isnan()).sum(0)
    has = torch.arange(top) < candidates[:, None]
    assert torch.equal(best >= 0, has)
    assert (best[~has] == -1).all()
    assert (corr[~has] == 0).all()
    assert (corr.where(has, torch.tensor(-2.0)).diff(dim=1) <= 0).all()
    known = torch.cat([r.nan_to_num(-torch.inf), torch.full((top + 1, r.shape[1]), -torch.inf)]).T.double()
    ranked = known.sort(dim=1, descending=True)
    for row, found_here in enumerate(has):
        chosen = best[row][found_here]
        assert len(set(chosen.tolist())) == len(chosen)
        exact = known[row, chosen]
        largest = ranked.values[row]
        torch.testing.assert_close(corr[row][found_here].double(), exact, atol=tolerance, rtol=0)
        assert (exact >= largest[: len(chosen)] - 2 * tolerance).all()
        gaps = torch.cat([torch.tensor([torch.inf]), largest[: len(chosen)] - largest[1 : len(chosen) + 1]])
        clear = gaps.minimum(gaps.roll(-1))[: len(chosen)] > 2 * tolerance
        assert torch.equal(chosen[clear], ranked.indices[row][: len(chosen)][clear])


def bases(n, kx, ky, dtype):
    """Two matrices of orthonormal columns, rounded to the type."""
    generator = torch.Generator().manual_seed(n + kx + ky)
    sides = (torch.randn(n, k, generator=generator, dtype=torch.float64) for k in (kx, ky))
    return [torch.linalg.qr(side).Q.to(DEVICE, dtype) for side in sides]


def permutations(n, R, seed=0):
    generator = torch.Generator().manual_seed(seed)
    orders = torch.zeros(R, n, dtype=torch.int64)
    for row in orders:
        row[:] = torch.randperm(n, generator=generator)
    return orders.to(DEVICE)


def multiplied(side, precision):
    """The values that a precision multiplies, float64: rounded to the nearest of 11 (TF32) or 8 (bfloat16) bits."""
    if precision == "bf16":
        return side.bfloat16().double().cpu().numpy()
    exact = side.double().cpu().numpy()
    if precision == "tf32":
        fraction, exponent = np.frexp(exact)
        return np.ldexp(np.rint(fraction * 2**11), exponent - 11)
    return exact


def assert_products(found, x, y, orders, precision, tolerance):
    """Judge permuted products by the textbook's, on the values that were multiplied."""
    assert found.dtype == (torch.float64 if x.dtype == torch.float64 else torch.float32)
    sides = (multiplied(side, precision) for side in (x, y))
    expected = oracles_kernels.permuted_products(*sides, orders.cpu().numpy())
    np.testing.assert_allclose(found.double().cpu().numpy(), expected, atol=tolerance, rtol=0)
