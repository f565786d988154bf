"""The correlation kernel compiled for GPUs without one: registers, shared memory, spills, tensor cores, wide loads.

Run as a program, this file compiles and prints what came out; it must not be under Triton's interpreter then.
"""

import json
import os
import re
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from analogue.kernels import _config
from analogue.kernels._config import CORRELATION

GPUS = {"sm_80": ("cuda", 80, 32), "sm_90": ("cuda", 90, 32), "gfx942": ("hip", "gfx942", 64)}
SHARED = {"sm_80": 163 * 1024, "sm_90": 227 * 1024, "gfx942": 64 * 1024}  # bytes that a program may have
PRODUCTS = list(CORRELATION["cuda"])
# How an instruction of the tensor cores names its operands, by what is multiplied; AMD's multiply full float32 too.
PTX = {"tf32": ".tf32.tf32", "bf16": ".bf16.bf16", "float16": ".f16.f16", "bfloat16": ".bf16.bf16"}
AMD = {"float32": "f32", "tf32": "xf32", "bf16": "bf16", "float16": "f16", "bfloat16": "bf16"}


def multiplied(product):
    dtype, precision = product
    return str(dtype).removeprefix("torch.") if precision == "ieee" else precision


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
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from analogue.kernels.correlation import PRODUCT_TYPES, correlation_argmax_kernel

    (dtype, precision), target = product, GPUS[gpu]
    tile = CORRELATION[target[0] if size == "wide" or target[0] == "hip" else "cuda, odd sizes"][product]
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
    types |= {"x_ptr": element, "y_ptr": element} | dict.fromkeys(constants, "constexpr")
    aligned = [name for name in names if name.endswith("_ptr") or (name in sizes and size == "wide")]
    binary = triton.compile(
        ASTSource(
            correlation_argmax_kernel,
            types,
            {(names.index(name),): value for name, value in constants.items()},
            {(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
        ),
        target=GPUTarget(*target),
        options={"num_warps": tile.num_warps, "num_stages": tile.num_stages, "enable_fp_fusion": True},
    )
    read = _read_amd if target[0] == "hip" else _read_nvidia
    return {"shared": binary.metadata.shared, "warps": tile.num_warps} | read(binary)


def _read_nvidia(binary):
    import triton

    file = Path(os.environ["TRITON_CACHE_DIR"]) / f"{os.getpid()}.cubin"
    file.write_bytes(binary.asm["cubin"])
    cuobjdump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    usage = subprocess.run([cuobjdump, "-res-usage", file], capture_output=True, text=True, check=True).stdout
    ptx = binary.asm["ptx"]
    return {
        "binary": file.stat().st_size,
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "spilled": int(re.search(r"STACK:(\d+)", usage)[1]),
        "tensor_cores": sorted(set(re.findall(r"\b(?:wgmma\.mma_async|mma)\.sync\.\S*?(?=;|\s)", ptx))),
        "copies": sorted({int(size, 0) for size in re.findall(r"cp\.async\.c\w\.\S+ .*?\], (\w+)", ptx)}),
    }


def _read_amd(binary):
    assembly = binary.asm["amdgcn"]

    def metadata(key):
        return int(re.search(rf"\.{key}:\s*(\d+)", assembly)[1])

    return {
        "binary": len(binary.asm["hsaco"]),
        "registers": metadata("vgpr_count"),
        "spilled": 4 * metadata("vgpr_spill_count") + metadata("private_segment_fixed_size"),
        "tensor_cores": sorted(set(re.findall(r"\bv_mfma_\w+", assembly))),
    }


@pytest.fixture(scope="module")
def binaries(tmp_path_factory):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("target", TARGETS)
def test_fits_its_gpu_without_spilling(binaries, target):
    made, gpu = binaries[target], TARGETS[target][-1]
    assert made["binary"] > 1000
    assert made["shared"] <= SHARED[gpu]
    if gpu == "gfx942":  # 512 registers a lane on each of the four units that share a program's wavefronts
        assert 64 < made["registers"] * -(-made["warps"] // 4) <= 512
    else:  # 65 536 on a multiprocessor, given out by eights a thread: more, and a launch would fail
        assert 64 * 256 < -(-made["registers"] // 8) * 8 * 32 * made["warps"] <= 65_536
    assert made["spilled"] <= 64  # bytes of stack a thread


@pytest.mark.parametrize("target", TARGETS)
def test_tensor_cores_multiply_what_may_be_rounded(binaries, target):
    product, _, _, gpu = TARGETS[target]
    found, kind = binaries[target]["tensor_cores"], multiplied(product)
    if gpu == "gfx942":
        assert found
        assert all(re.search(rf"(?<![a-z]){AMD[kind]}", made.removeprefix("v_mfma_f32")) for made in found)
    elif kind == "float32":
        assert not found
    else:
        assert found
        assert all(PTX[kind] in made and made.startswith("wgmma" if gpu == "sm_90" else "mma") for made in found)


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
    warnings.simplefilter("error")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = pool.map(compiled, *zip(*TARGETS.values(), strict=True))
        print(json.dumps(dict(zip(TARGETS, made, strict=True))))
