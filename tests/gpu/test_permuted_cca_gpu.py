"""What only a GPU can show of permuted products: tensor cores at work, larger shapes, races, memory; and the whole op.

tests/test_permuted_cca.py runs on the GPU too where there is one.
"""

import numpy as np
import pytest
import torch

from analogue import ops
from analogue.kernels.permuted_cca import permuted_products
from analogue.nulls import permutation_test
from kernel_cases import PERMUTED_PRODUCTS, bases, multiplied, permutations

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
EVERY_PRODUCT = pytest.mark.parametrize(
    ("dtype", "precision", "tolerance"), PERMUTED_PRODUCTS.values(), ids=PERMUTED_PRODUCTS
)


@EVERY_PRODUCT
@pytest.mark.parametrize(("n", "kx", "ky", "R"), [(3001, 300, 77, 40), (4000, 448, 654, 20), (30_000, 512, 768, 3)])
def test_larger_shapes(n, kx, ky, R, dtype, precision, tolerance):
    """The identity is among the permutations, and y shares directions with x: entries reach from 0 to 1.

    Tensor cores cut sums rather than round them, so the error may grow as n does.
    """
    x, y = bases(n, kx, ky, dtype)
    y[:, : min(kx, ky) // 2] = x[:, : min(kx, ky) // 2]
    orders = permutations(n, R)
    orders[-1] = torch.arange(n)
    found = permuted_products(x, y, orders, precision=precision)
    exact_x, exact_y = (torch.from_numpy(multiplied(side, precision)).cuda() for side in (x, y))
    for product, order in zip(found, orders, strict=True):
        torch.testing.assert_close(product.double(), exact_x.T @ exact_y[order], atol=tolerance * (1 + n / 40), rtol=0)


@EVERY_PRODUCT
def test_the_same_bits_every_time(dtype, precision, tolerance):
    x, y = bases(2000, 130, 70, dtype)
    orders = permutations(2000, 300)
    expected = permuted_products(x, y, orders, precision=precision)
    for _ in range(5):
        assert torch.equal(permuted_products(x, y, orders, precision=precision), expected)


def test_memory_is_that_of_the_products():
    """A permuted copy would take R n ky elements, sixty times the products."""
    n, kx, ky, R = 8192, 128, 128, 256
    x, y = bases(n, kx, ky, torch.float32)
    orders = permutations(n, R)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    products = permuted_products(x, y, orders)
    peak = torch.cuda.max_memory_allocated() - before
    assert peak <= 4 * (products.numel() + x.numel() + y.numel()) + 2**22


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-7)])
@pytest.mark.parametrize("singular_values", ["gram", "svd"])
def test_means_are_those_of_the_cpu(singular_values, dtype, tolerance):
    rng = np.random.default_rng(0)
    qx, qy = (np.linalg.qr(rng.standard_normal((4000, k)))[0].astype(dtype) for k in (448, 654))
    orders = np.stack([rng.permutation(4000) for _ in range(60)])
    found = ops.permuted_cca(qx, qy, orders, singular_values=singular_values, device="cuda")
    expected = ops.permuted_cca(qx.astype(float), qy.astype(float), orders[-3:], singular_values="svd", device="cpu")
    np.testing.assert_allclose(found[-3:] / 448, expected / 448, atol=tolerance, rtol=0)


def test_a_null_on_the_gpu_is_that_on_the_cpu():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((400, 60)), rng.standard_normal((400, 80))
    on_cpu, on_gpu = (permutation_test(x, y, "svcca", permutations=99, device=d)["svcca"] for d in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu.draws, on_cpu.draws, atol=1e-7)
    assert (on_gpu.p_value, on_gpu.observed) == (on_cpu.p_value, on_cpu.observed)
