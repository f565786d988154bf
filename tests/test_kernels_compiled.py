"""The correlation kernel compiled for GPUs without one: registers, shared memory, spills, tensor cores, wide loads.

Run as a program, this file compiles and prints what came out; it must not be under Triton's interpreter then.
"""

import pytest
import torch

import compile_cases
from analogue.kernels import _config
from analogue.kernels._config import CORRELATION
from compile_cases import GPUS, assert_fits_without_spilling, assert_tensor_cores, multiplied

PRODUCTS = list(CORRELATION["cuda"])

# Sizes as Triton sees them: multiples of 16 (wide loads), odd, or 1, which becomes a constant.
TARGETS = {
    f"{product[0]} {product[1]} top {top} {size} {gpu}".removeprefix("torch."): (product, top, size, gpu)
    for product in PRODUCTS
    for top in (1, 8)
    for size, gpu in [("wide", "sm_80"), ("wide", "sm_90"), ("wide", "gfx942"), ("odd", "sm_80"), ("odd", "sm_90")]
    if size == "wide" or top == 8
}
TARGETS["one column"] = (PRODUCTS[0], 1, "one", "sm_90")


def compiled(product, top, size, gpu):
    """Compile the kernel for contiguous inputs with the tile of the table, and report what it needs."""
    from analogue.kernels.correlation import PRODUCT_TYPES, correlation_argmax_kernel

    (dtype, precision), device = product, GPUS[gpu][0]
    tile = CORRELATION[device if size == "wide" or device == "hip" else "cuda, odd sizes"][product]
    constants = {
        "stride_xf": 1,
        "stride_yf": 1,
        "BLOCK_A": tile.block_a,
        "BLOCK_B": tile.block_b,
        "BLOCK_N": tile.block_n,
        "ROWS_OF_X": tile.rows_of_x,
        "TOP": top,
        "PRODUCT_TYPE": PRODUCT_TYPES[torch.bfloat16 if precision == "bf16" else dtype],
        "PRECISION": "tf32" if precision == "tf32" else "ieee",
        "UPCAST": False,
    }
    sizes = ("F_A", "F_B", "stride_xn", "stride_yn")
    if size == "one":
        constants |= dict.fromkeys(sizes, 1)
    names = correlation_argmax_kernel.arg_names
    types = {name: "*fp32" if name.endswith("_ptr") else "i32" for name in names} | {"keys_ptr": "*i64"}
    element = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}[dtype]
    types |= {"x_ptr": element, "y_ptr": element}
    aligned = [name for name in names if name.endswith("_ptr") or (name in sizes and size == "wide")]
    return compile_cases.compiled(correlation_argmax_kernel, types, constants, aligned, tile, gpu)


@pytest.fixture(scope="module")
def binaries(tmp_path_factory):
    return compile_cases.compiled_elsewhere(__file__, tmp_path_factory.mktemp("triton"))


@pytest.mark.parametrize("target", TARGETS)
def test_fits_its_gpu_without_spilling(binaries, target):
    assert_fits_without_spilling(binaries[target], TARGETS[target][-1])


@pytest.mark.parametrize("target", TARGETS)
def test_tensor_cores_multiply_what_may_be_rounded(binaries, target):
    product, _, _, gpu = TARGETS[target]
    assert_tensor_cores(binaries[target], multiplied(product), gpu)


@pytest.mark.parametrize("target", [name for name in TARGETS if "wide sm" in name])
def test_sizes_that_are_multiples_of_16_are_copied_16_bytes_at_a_time(binaries, target):
    assert binaries[target]["copies"] == [16]


def test_the_tile_follows_the_width_of_the_loads(monkeypatch):
    monkeypatch.setattr(_config, "INTERPRET", False)
    monkeypatch.setattr(torch.version, "hip", None)
    wide = torch.empty(4, 32)
    for x, table in [
        (wide, "cuda"),
        (wide[:, :31], "cuda, odd sizes"),
        (torch.empty(4, 33)[:, :32], "cuda, odd sizes"),
        (torch.empty(4, 48)[:, 2:34], "cuda, odd sizes"),
        (torch.empty(32, 16).t(), "cuda, odd sizes"),
    ]:
        for pair in [(x, wide), (wide, x)]:
            assert _config.correlation_config(*pair, "tf32") == CORRELATION[table][torch.float32, "tf32"]
    monkeypatch.setattr(torch.version, "hip", "6.3")
    assert _config.correlation_config(wide, wide, "bf16") == CORRELATION["hip"][torch.float32, "bf16"]


if __name__ == "__main__":
    compile_cases.print_compiled(compiled, TARGETS)
