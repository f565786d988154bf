"""The correlation kernel against torch on a GPU: standardised copies, a product in blocks, and its argmax.

Prints the card, the versions and the share of the roofline; `pytest -s benches/gpu`. Never run so far.
"""

import pytest
import torch

import roofline
from analogue.kernels._config import CORRELATION
from analogue.kernels.correlation import correlation_argmax

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
BLOCK = 4096  # columns of y: 512 MiB of correlations at the paper's width
LARGEST_ERROR = {"tf32": 2**-9, "bf16": 2**-7, torch.float16: 2**-10, torch.bfloat16: 2**-7}


def activations(n, columns, dtype, seed):
    generator = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(n, columns, generator=generator, device="cuda").relu_().to(dtype)


def matmul_and_argmax(x, y, precision):
    """What a careful user writes: two standardised copies in the type of the product, a block of y at a time."""
    product = torch.bfloat16 if precision == "bf16" else x.dtype
    x, y = ((s.float() - s.mean(0, dtype=torch.float32)).div_(s.float().std(0)).to(product) for s in (x, y))
    found = [(x.T @ y[:, start : start + BLOCK]).max(0) for start in range(0, y.shape[1], BLOCK)]
    return torch.cat([block.indices for block in found]), torch.cat([block.values for block in found]).float() / len(x)


@pytest.mark.parametrize("top", [1, 8])
@pytest.mark.parametrize("shape", [(30_000, 8192, 8192), roofline.PAPER], ids=["8192", "paper"])
@pytest.mark.parametrize(("dtype", "precision"), CORRELATION["cuda"], ids=lambda value: str(value))
def test_speed(dtype, precision, shape, top):
    import triton

    n, F_A, F_B = shape
    x, y = activations(n, F_A, dtype, 1), activations(n, F_B, dtype, 2)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        ours, rival = (
            triton.testing.do_bench(function, quantiles=[0.5, 0.2, 0.8])
            for function in (
                lambda: correlation_argmax(x, y, top=top, precision=precision),
                lambda: matmul_and_argmax(x, y, precision),
            )
        )
        best, corr = (side.reshape(F_B, top) for side in correlation_argmax(x, y, top=top, precision=precision))
        _, rival_corr = matmul_and_argmax(x, y, precision)
    finally:
        torch.set_float32_matmul_precision(before)

    sample = torch.arange(0, F_B, F_B // 256, device="cuda")
    a, b = (side.double() - side.double().mean(0) for side in (x[:, best[sample].flatten()], y[:, sample]))
    exact = (
        torch.einsum("nbt,nb->bt", a.reshape(n, -1, top), b) / a.norm(dim=0).reshape(-1, top) / b.norm(dim=0)[:, None]
    )
    error = LARGEST_ERROR.get(precision, LARGEST_ERROR.get(dtype, 0.0)) + 1e-5
    torch.testing.assert_close(corr[sample].double(), exact, atol=error, rtol=0)
    assert (corr[:, 0] >= rival_corr - 2 * error).all()

    work = roofline.correlation(n, F_A, F_B, dtype, precision, CORRELATION["cuda"][dtype, precision], roofline.H100)
    versions = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}"
    print(
        f"\n{versions}: {shape}, top {top}, {dtype} {precision}: {ours[0]:.1f} ms ({ours[1]:.1f}-{ours[2]:.1f}), torch "
        f"{rival[0]:.1f} ms, {rival[0] / ours[0]:.2f}x; {work.operations / ours[0] / 1e9:.0f} TFLOP/s, "
        f"{100 * work.seconds / (ours[0] / 1e3):.0f} % of the roofline of an {roofline.H100.name}"
    )
