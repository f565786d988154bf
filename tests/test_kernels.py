"""Triton kernels: right in the interpreter (or on a GPU where there is one), and compiled for GPUs without one.

Run as a program, this file compiles the kernels and prints what came out; it must not be under the interpreter then.
"""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import oracles
from analogue.kernels._config import CORRELATION, Config
from analogue.kernels.correlation import correlation_argmax, correlation_argmax_kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Largest error of a correlation. Half types: twice the rounding of a standardised value, as tensor cores see it.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}
DTYPES = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=lambda dtype: str(dtype).removeprefix("torch."))
SMALL = Config(16, 16, 16)


@pytest.fixture(autouse=True)
def _poisoned_empty(monkeypatch):
    """Fill what `torch.empty` returns, so that an output nobody wrote is seen."""
    empty = torch.empty

    def poisoned(*args, **kwargs):
        fresh = empty(*args, **kwargs)
        return fresh.fill_(torch.nan if fresh.is_floating_point() else -77)

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


def assert_best(x, y, best, corr, tolerance):
    assert best.dtype == torch.int64
    assert corr.dtype == torch.float32
    r = torch.from_numpy(oracles.pearson_matrix(x.double().cpu().numpy(), y.double().cpu().numpy()))
    best, corr = best.cpu(), corr.cpu().double()
    none = r.isnan().all(0)
    assert (best[none] == -1).all()
    assert (corr[none] == 0).all()
    r, best, corr = r[:, ~none].nan_to_num(-torch.inf), best[~none], corr[~none]
    if not len(best):
        return
    assert ((best >= 0) & (best < len(r))).all()
    chosen = r.gather(0, best[None])[0]
    torch.testing.assert_close(corr, chosen, atol=tolerance, rtol=0)
    largest = r.topk(min(2, len(r)), dim=0)
    assert (chosen >= largest.values[0] - 2 * tolerance).all()
    clear = largest.values[0] - largest.values[-1] > 2 * tolerance if len(r) > 1 else torch.ones_like(best).bool()
    assert torch.equal(best[clear], largest.indices[0][clear])


@DTYPES
@pytest.mark.parametrize(
    ("n", "F_A", "F_B"),
    [(1, 7, 7), (2, 1, 7), (7, 63, 1), (7, 1, 257), (63, 7, 7), (63, 257, 63), (257, 63, 257), (257, 257, 257)],
)
def test_odd_shapes(n, F_A, F_B, dtype):
    x, y = random(n, F_A, dtype, 1), random(n, F_B, dtype, 2)
    assert_best(x, y, *correlation_argmax(x, y), TOLERANCE[dtype])


@DTYPES
def test_the_maximum_is_carried_across_many_blocks(dtype):
    x, y = random(47, 63, dtype, 3), random(47, 37, dtype, 4)
    assert_best(x, y, *correlation_argmax(x, y, config=SMALL), TOLERANCE[dtype])


@DTYPES
def test_a_mean_of_fifty_standard_deviations(dtype):
    x, y = random(257, 63, dtype, 5, mean=50.0), random(257, 63, dtype, 6, mean=-50.0)
    assert_best(x, y, *correlation_argmax(x, y), TOLERANCE[dtype])


@DTYPES
def test_standardised_values_do_not_overflow_the_half_types(dtype):
    x, y = random(63, 7, seed=7), random(63, 7, seed=8)
    x, y = (x * 3e4).clamp(-6e4, 6e4).to(dtype), (y * 1e-4).to(dtype)
    assert_best(x, y, *correlation_argmax(x, y), TOLERANCE[dtype])


def test_strides():
    wide_x, wide_y = random(126, 126, seed=9), random(126, 16, seed=10)
    x, y = wide_x[::2, 1::2], wide_y[1::2, ::2]
    expected = correlation_argmax(x.contiguous(), y.contiguous())
    for a, b in [(x, y), (x.t().contiguous().t(), y), (x, y.t().contiguous().t())]:
        found = correlation_argmax(a, b)
        assert torch.equal(found[0], expected[0])
        torch.testing.assert_close(found[1], expected[1])
    assert_best(x, y, *expected, TOLERANCE[torch.float32])


def test_ties_go_to_the_lowest_column_within_and_across_blocks():
    base, y = signs(62, 12, 1), signs(62, 33, 2)
    x = base.repeat(1, 4)  # every column four times, 12 apart, in blocks of 16
    best, corr = correlation_argmax(x, y, config=SMALL)
    r = torch.from_numpy(oracles.pearson_matrix(base.cpu().numpy(), y.cpu().numpy()))
    lowest = [int((column > column.max() - 1e-9).nonzero()[0, 0]) for column in r.T]
    assert best.tolist() == lowest
    torch.testing.assert_close(corr.cpu().double(), r.amax(0), atol=1e-6, rtol=0)


def test_equal_columns_choose_the_first():
    column = signs(62, 1)
    best, corr = correlation_argmax(column.repeat(1, 40), column.repeat(1, 20), config=SMALL)
    assert best.tolist() == [0] * 20
    assert corr.tolist() == [1.0] * 20


def test_constant_columns_are_no_candidates():
    x, y = random(63, 33, seed=11), random(63, 20, seed=12)
    x[:, [0, 15, 16]], y[:, [3, 19]] = 0.1, 1e4
    x[:, 32] = 1e4 * (1 + 1e-7 * torch.randn(63, device=DEVICE))  # noise of the last bit
    best, corr = correlation_argmax(x, y, config=SMALL)
    assert_best(x, y, best, corr, TOLERANCE[torch.float32])
    assert best[[3, 19]].tolist() == [-1, -1]


def test_masks():
    x, y = random(63, 33, seed=13), random(63, 20, seed=14)
    may_be_chosen, may_choose = torch.arange(33, device=DEVICE) % 3 == 1, torch.arange(20, device=DEVICE) != 4
    best, corr = correlation_argmax(x, y, may_be_chosen, may_choose, SMALL)
    only, among = correlation_argmax(x[:, may_be_chosen], y)
    assert best[4] == -1
    assert corr[4] == 0
    assert torch.equal(best[may_choose], (3 * only + 1)[may_choose])
    torch.testing.assert_close(corr[may_choose], among[may_choose])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, in the interpreter
def test_columns_with_nan_or_infinity_are_no_candidates_and_spoil_no_other():
    x, y = random(63, 33, seed=15), random(63, 20, seed=16)
    x[5, 2], x[6, 17], y[7, 3] = torch.nan, torch.inf, torch.nan
    clean = torch.ones(33, dtype=torch.bool, device=DEVICE)
    clean[[2, 17]] = False
    best, corr = correlation_argmax(x, y, config=SMALL)
    expected = correlation_argmax(x.nan_to_num(0, 0), y.nan_to_num(0), clean, config=SMALL)
    assert best[3] == -1
    others = torch.arange(20, device=DEVICE) != 3
    assert torch.equal(best[others], expected[0][others])
    torch.testing.assert_close(corr[others], expected[1][others])


def test_the_only_partner_may_be_negative():
    x = random(63, 1, seed=17)
    best, corr = correlation_argmax(x, -x)
    assert best.item() == 0
    assert corr.item() == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize(("n", "F_A", "F_B"), [(0, 3, 2), (5, 0, 2), (5, 3, 0)])
def test_nothing_to_correlate(n, F_A, F_B):
    best, corr = correlation_argmax(random(n, F_A), random(n, F_B))
    assert best.tolist() == [-1] * F_B
    assert corr.tolist() == [0.0] * F_B


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((torch.ones(3, 2), torch.ones(3, 2).half()), TypeError, r"^x and y must both be .* and torch\.float16$"),
        ((torch.ones(3, 2).double(),) * 2, TypeError, r"^x and y must both be .* got torch\.float64"),
        ((torch.ones(3, 2), torch.ones(4, 2)), ValueError, r"^x and y must be matrices of one length, got shapes"),
        ((torch.ones(3), torch.ones(3, 2)), ValueError, r"^x and y must be matrices of one length, got shapes"),
        ((torch.ones(3, 2),) * 2 + (torch.ones(2),), ValueError, r"^candidates_x must be 2 bools, got torch\.float32"),
        ((torch.ones(3, 2),) * 2 + (None, torch.ones(1).bool()), ValueError, r"^candidates_y must be 2 bools"),
        ((torch.ones(3, 2), torch.ones(3, 2, device="meta")), ValueError, r"^x and y must be on one device"),
    ],
)
def test_bad_input_is_named(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        correlation_argmax(*arguments)


def compiled(dtype, capability):
    """Compile the kernel for contiguous inputs of a type with the tile of the table, and report what it needs."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    tile, element = CORRELATION[dtype], {"float32": "*fp32", "float16": "*fp16", "bfloat16": "*bf16"}
    constants = {"BLOCK_A": tile.block_a, "BLOCK_B": tile.block_b, "BLOCK_N": tile.block_n, "UPCAST": False}
    constants |= {"stride_xf": 1, "stride_yf": 1}
    names = correlation_argmax_kernel.arg_names
    types = {name: "*fp32" if name.endswith("_ptr") else "i32" for name in names} | dict.fromkeys(
        constants, "constexpr"
    )
    types |= dict.fromkeys(("x_ptr", "y_ptr"), element[str(dtype).removeprefix("torch.")]) | {"best_ptr": "*i64"}
    aligned = [name for name in names if name.endswith("_ptr") or name in ("stride_xn", "stride_yn")]
    binary = triton.compile(
        ASTSource(
            correlation_argmax_kernel,
            types,
            {(names.index(name),): value for name, value in constants.items()},
            {(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
        ),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": tile.num_warps, "num_stages": tile.num_stages, "enable_fp_fusion": True},
    )
    file = Path(os.environ["TRITON_CACHE_DIR"]) / "kernel.cubin"
    file.write_bytes(binary.asm["cubin"])
    cuobjdump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    usage = subprocess.run([cuobjdump, "-res-usage", file], capture_output=True, text=True, check=True).stdout
    return {
        "cubin": file.stat().st_size,
        "shared": binary.metadata.shared,
        "stack": int(re.search(r"STACK:(\d+)", usage)[1]),
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "tensor_cores": bool(re.search(r"^\s*w?g?mma\.", binary.asm["ptx"], re.MULTILINE)),
    }


TARGETS = {f"{str(dtype).removeprefix('torch.')} sm_{c}": (dtype, c) for dtype in CORRELATION for c in (80, 90)}


@pytest.fixture(scope="module")
def binaries(tmp_path_factory):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("target", TARGETS)
def test_compiles_for_gpus_within_their_means(binaries, target):
    made = binaries[target]
    assert made["cubin"] > 1000
    assert made["shared"] <= 163 * 1024  # of an A100; an H100 has 227
    assert made["stack"] <= 64  # spilled registers
    assert made["registers"] <= 255
    assert made["tensor_cores"] == ("float32" not in target)  # full float32 products have none


if __name__ == "__main__":
    warnings.simplefilter("error")
    print(json.dumps({name: compiled(*target) for name, target in TARGETS.items()}))
