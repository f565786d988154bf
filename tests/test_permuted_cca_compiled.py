"""The kernel of permuted products compiled for GPUs without one: registers, shared memory, spills, tensor cores, loads.

Run as a program, this file compiles and prints what came out; it must not be under Triton's interpreter then.
"""

import pytest
import torch

import compile_cases
from analogue.kernels import _config
from analogue.kernels._config import PERMUTED_CCA
from compile_cases import GPUS, assert_fits_without_spilling, assert_tensor_cores, multiplied

TARGETS = {
    f"{product[0]} {product[1]} {gpu}".removeprefix("torch."): (product, gpu)
    for product in PERMUTED_CCA["cuda"]
    for gpu in GPUS
}


def compiled(product, gpu):
    """Compile the kernel with the tile of the table, as the launcher calls it, and report what it needs."""
    import triton.language as tl

    from analogue.kernels.permuted_cca import permuted_products_kernel

    dtype, precision = product
    tile = PERMUTED_CCA[GPUS[gpu][0]][product]
    wide = dtype == torch.float64
    constants = {
        "BLOCK_X": tile.block_a,
        "BLOCK_Y": tile.block_b,
        "BLOCK_N": tile.block_n,
        "SUM_TYPE": tl.float64 if wide else tl.float32,
        "PRECISION": precision,
        "UPCAST": False,
    }
    element = {torch.float64: "*fp64", torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}[dtype]
    types = {
        "x_ptr": element,
        "y_ptr": element,
        "permutations_ptr": "*i64",
        "products_ptr": "*fp64" if wide else "*fp32",
    } | dict.fromkeys(("n", "KX", "KY"), "i32")
    aligned = [*(name for name in types if name.endswith("_ptr")), "KX", "KY"]
    return compile_cases.compiled(permuted_products_kernel, types, constants, aligned, tile, gpu)


@pytest.fixture(scope="module")
def binaries(tmp_path_factory):
    return compile_cases.compiled_elsewhere(__file__, tmp_path_factory.mktemp("triton"))


@pytest.mark.parametrize("target", TARGETS)
def test_fits_its_gpu_without_spilling(binaries, target):
    assert_fits_without_spilling(binaries[target], TARGETS[target][-1])


@pytest.mark.parametrize("target", TARGETS)
def test_tensor_cores_multiply_all_but_float32(binaries, target):
    product, gpu = TARGETS[target]
    assert_tensor_cores(binaries[target], multiplied(product), gpu)


@pytest.mark.parametrize("target", [name for name in TARGETS if "gfx942" not in name and "tf32" not in name])
def test_rows_are_copied_16_bytes_at_a_time_as_they_are_gathered(binaries, target):
    """Indices are copied too, 8 bytes each. TF32 tiles lie transposed in shared memory, and are copied by the value."""
    assert binaries[target]["copies"] == [8, 16]


def test_every_device_has_the_same_products(monkeypatch):
    assert set(PERMUTED_CCA["cuda"]) == set(PERMUTED_CCA["hip"])
    monkeypatch.setattr(_config, "INTERPRET", False)
    for hip, device in [(None, "cuda"), ("6.3", "hip")]:
        monkeypatch.setattr(torch.version, "hip", hip)
        for product, tile in PERMUTED_CCA[device].items():
            assert _config.permuted_cca_config(*product) == tile


if __name__ == "__main__":
    compile_cases.print_compiled(compiled, TARGETS)
