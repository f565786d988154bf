"""What only a GPU can show of the correlation kernel: tensor cores at work, larger shapes, races.

tests/test_kernels.py runs on the GPU too where there is one.
"""

import pytest
import torch

from analogue.kernels import _config
from analogue.kernels.correlation import correlation_argmax
from kernel_cases import PRODUCTS, assert_best, random, signs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
EVERY_PRODUCT = pytest.mark.parametrize(("dtype", "precision", "tolerance"), PRODUCTS.values(), ids=PRODUCTS)


def standardised(x):
    centred = x.double() - x.double().mean(0)
    return centred / centred.square().mean(0).sqrt()


@EVERY_PRODUCT
@pytest.mark.parametrize("top", [1, 8])
@pytest.mark.parametrize(("n", "F_A", "F_B"), [(3001, 1000, 777), (30_000, 4096, 1024)])
def test_larger_shapes(n, F_A, F_B, top, dtype, precision, tolerance):
    """ReLU'd activations, a shared part in every pair of columns, so that correlations reach from 0 to near 1."""
    shared, share = random(n, F_A, seed=1), torch.linspace(0, 1, F_B, device="cuda")
    x = (shared + 0.3).relu().to(dtype)
    y = (shared[:, :F_B] * share + random(n, F_B, seed=2) * (1 - share)).relu().to(dtype)
    r = (standardised(x).T @ standardised(y) / n).cpu()
    rounding_of_sums = n**0.5 * 2.0**-24
    found = correlation_argmax(x, y, top=top, precision=precision)
    assert_best(found, r, top, tolerance + rounding_of_sums)


@EVERY_PRODUCT
@pytest.mark.parametrize("top", [1, 8])
def test_ties_go_to_the_lowest_column_on_tensor_cores(top, dtype, precision, tolerance):
    """Signs and their sums are exact in every type."""
    x, y = signs(24, 5000, 3).to(dtype), signs(24, 300, 4).to(dtype)
    r = x.double().T @ y.double() / len(x)
    wanted = r.T.sort(dim=1, descending=True, stable=True)
    best, corr = (side.reshape(-1, top) for side in correlation_argmax(x, y, top=top, precision=precision))
    assert torch.equal(best, wanted.indices[:, :top])
    torch.testing.assert_close(corr.double(), wanted.values[:, :top], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("dtype", "precision"), [(torch.bfloat16, "ieee"), (torch.float32, "bf16")])
def test_a_bfloat16_product_is_that_of_the_rounded_values(dtype, precision):
    """The interpreter cannot multiply bfloat16, so nothing else tests that product closer than its rounding."""
    x, y = random(4096, 512, dtype, 5), random(4096, 256, dtype, 6)
    scales = [side.double().std(0, correction=0).reciprocal().float() for side in (x, y)]
    means = [side.double().mean(0).float() for side in (x, y)]
    rounded = [((s.float() - m) * scale).bfloat16() for s, m, scale in zip((x, y), means, scales, strict=True)]
    r = (rounded[0].double().T @ rounded[1].double() / len(x)).cpu()
    assert_best(correlation_argmax(x, y, top=8, precision=precision), r, 8, 5e-5)


@EVERY_PRODUCT
@pytest.mark.parametrize("programs", [1, 5, 16])
def test_the_same_bits_every_time_and_for_any_number_of_programs(programs, dtype, precision, tolerance, monkeypatch):
    x, y = random(2000, 4000, dtype, 7), random(2000, 1500, dtype, 8)
    expected = correlation_argmax(x, y, top=8, precision=precision)
    monkeypatch.setattr(_config, "SHARES", programs)
    for _ in range(5):
        found = correlation_argmax(x, y, top=8, precision=precision)
        assert all(torch.equal(now, before) for now, before in zip(found, expected, strict=True))
