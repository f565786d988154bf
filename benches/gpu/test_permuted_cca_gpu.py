"""Permuted products on a GPU against torch's: a gathered copy and a product, one permutation or many at a time.

Prints the card, the versions and the share of the roofline, and how long the singular values take that follow, which
the kernel has no part in; `pytest -s benches/gpu`. Never run so far.
"""

import pytest
import torch

import roofline
from analogue import ops
from analogue.kernels._config import PERMUTED_CCA
from analogue.kernels.permuted_cca import permuted_products

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TOGETHER = 50  # permutations of one call, as the op takes them at the shape of the roofline
RIVALS = {
    "one at a time": lambda x, y, orders: torch.stack([x.T @ y[order] for order in orders]),
    "gathered copies": lambda x, y, orders: x.T @ y[orders],
}


@pytest.mark.parametrize(("dtype", "precision"), PERMUTED_CCA["cuda"], ids=lambda value: str(value))
def test_speed(dtype, precision):
    import triton

    n, kx, ky, permutations = roofline.SUBSPACES
    generator = torch.Generator("cuda").manual_seed(0)
    x, y = (torch.randn(n, k, generator=generator, device="cuda", dtype=torch.float64) for k in (kx, ky))
    x, y = (torch.linalg.qr(side).Q.to(dtype) for side in (x, y))
    orders = torch.stack([torch.randperm(n, generator=generator, device="cuda") for _ in range(TOGETHER)])
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        ours = triton.testing.do_bench(
            lambda: permuted_products(x, y, orders, precision=precision), quantiles=[0.5, 0.2, 0.8]
        )
        theirs = {
            name: triton.testing.do_bench(lambda rival=rival: rival(x, y, orders), quantiles=[0.5, 0.2, 0.8])
            for name, rival in RIVALS.items()
        }
        found = permuted_products(x, y, orders, precision=precision)
    finally:
        torch.set_float32_matmul_precision(before)
    error = 2**-10 if precision == "tf32" else 1e-6
    for product, order in zip(found, orders, strict=True):
        torch.testing.assert_close(product.double(), x.double().T @ y.double()[order], atol=error, rtol=0)

    work = roofline.permuted_products(
        n, kx, ky, TOGETHER, dtype, precision, PERMUTED_CCA["cuda"][dtype, precision], roofline.H100
    )
    rivals = ", ".join(f"torch {name} {times[0]:.2f} ms ({times[0] / ours[0]:.2f}x)" for name, times in theirs.items())
    print(
        f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}: "
        f"{n} x ({kx}, {ky}), {TOGETHER} permutations, {dtype} {precision}: "
        f"{ours[0]:.2f} ms ({ours[1]:.2f}-{ours[2]:.2f}), {rivals}; "
        f"{100 * work.seconds / (ours[0] / 1e3):.0f} % of the roofline of an {roofline.H100.name}; {permutations} "
        f"permutations {permutations / TOGETHER * ours[0]:.0f} ms"
    )


@pytest.mark.parametrize("singular_values", ["gram", "svd"])
def test_speed_of_the_singular_values(singular_values):
    """What follows the products: two ways to the same sums."""
    import triton

    _, kx, ky, permutations = roofline.SUBSPACES
    products = torch.randn(TOGETHER, kx, ky, device="cuda")
    times = triton.testing.do_bench(
        lambda: ops._nuclear_norms(products, singular_values), quantiles=[0.5, 0.2, 0.8], warmup=1, rep=1000
    )
    exact = torch.linalg.matrix_norm(products.double(), "nuc")
    torch.testing.assert_close(ops._nuclear_norms(products, singular_values), exact, rtol=1e-9, atol=0)
    whole = permutations / TOGETHER * times[0]
    print(f"\n{singular_values}: {times[0]:.1f} ms for {TOGETHER} permutations, {whole:.0f} ms for {permutations}")
