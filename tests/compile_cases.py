"""What tests of compiled kernels share: the GPUs, what a binary needs, a process without the interpreter."""

import json
import os
import re
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

GPUS = {"sm_80": ("cuda", 80, 32), "sm_90": ("cuda", 90, 32), "gfx942": ("hip", "gfx942", 64)}
SHARED = {"sm_80": 163 * 1024, "sm_90": 227 * 1024, "gfx942": 64 * 1024}  # bytes that a program may have
# How an instruction of the tensor cores names its operands, by what is multiplied; AMD's multiply full float32 too.
PTX = {
    "float64": ".f64.f64",
    "tf32": ".tf32.tf32",
    "bf16": ".bf16.bf16",
    "float16": ".f16.f16",
    "bfloat16": ".bf16.bf16",
}
AMD = {"float64": "f64", "float32": "f32", "tf32": "xf32", "bf16": "bf16", "float16": "f16", "bfloat16": "bf16"}


def multiplied(product):
    dtype, precision = product
    return str(dtype).removeprefix("torch.") if precision == "ieee" else precision


def compiled(kernel, types, constants, aligned, tile, gpu):
    """Compile a kernel and report what it needs.

    ``types`` of arguments that are no constants; ``aligned`` ones are multiples of 16.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target, names = GPUS[gpu], kernel.arg_names
    binary = triton.compile(
        ASTSource(
            kernel,
            {name: "constexpr" if name in constants else types[name] for name in names},
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


def compiled_elsewhere(file, folder):
    """Run a test file as a program, which prints what it compiled, without the interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(folder)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def print_compiled(compile_one, targets):
    """Compile every target in two processes, and print the reports as JSON."""
    warnings.simplefilter("error")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = pool.map(compile_one, *zip(*targets.values(), strict=True))
        print(json.dumps(dict(zip(targets, made, strict=True))))


def assert_fits_without_spilling(made, gpu):
    """Judge a report: shared memory, registers that a launch can have, and at most 64 bytes of stack a thread."""
    assert made["binary"] > 1000
    assert made["shared"] <= SHARED[gpu]
    if gpu == "gfx942":  # 512 registers a lane on each of the four units that share a program's wavefronts
        assert 64 < made["registers"] * -(-made["warps"] // 4) <= 512
    else:  # 65 536 on a multiprocessor, given out by eights a thread: more, and a launch would fail
        assert 64 * 256 < -(-made["registers"] // 8) * 8 * 32 * made["warps"] <= 65_536
    assert made["spilled"] <= 64


def assert_tensor_cores(made, kind, gpu):
    """Judge that tensor cores multiply this kind of value, and float32 only where they do not round it."""
    found = made["tensor_cores"]
    if gpu == "gfx942":
        assert found
        assert all(re.search(rf"(?<![a-z]){AMD[kind]}", name.removeprefix("v_mfma_f32")) for name in found)
    elif kind == "float32":
        assert not found
    else:
        warpgroup = gpu == "sm_90" and kind != "float64"
        assert found
        assert all(PTX[kind] in name and name.startswith("wgmma" if warpgroup else "mma") for name in found)
