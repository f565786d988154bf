"""The work that benches/roofline.py states: counted tile by tile, and printed in kernels/README.md."""

from pathlib import Path

import pytest
import torch

import roofline
from analogue.kernels._config import CORRELATION, PERMUTED_CCA, Config, shares


@pytest.mark.parametrize(("n", "F_A", "F_B"), [(1, 1, 1), (7, 63, 257), (63, 1000, 65), (257, 64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_and_operations_are_those_of_every_tile(n, F_A, F_B, dtype):
    tile = Config(32, 64, 16)
    share, parts = shares(F_A, tile)
    operations = asked = 0
    for part in range(parts):
        for b in range(0, F_B, tile.block_b):
            columns_b = min(tile.block_b, F_B - b)
            for block in range(part * share, (part + 1) * share):
                columns_a = max(0, min(tile.block_a, F_A - block * tile.block_a))
                for t in range(0, n, tile.block_n if columns_a else n):
                    rows = min(tile.block_n, n - t)
                    asked += rows * (columns_a + (columns_b if columns_a else 0)) * dtype.itemsize
                    operations += 2 * rows * columns_a * columns_b
    work = roofline.correlation(n, F_A, F_B, dtype, "ieee", tile, roofline.H100)
    assert (work.asked_bytes, work.operations) == (asked, operations)
    assert n * (F_A + F_B) * dtype.itemsize <= work.memory_bytes <= work.asked_bytes


def test_tiles_are_shared_by_the_programs_that_run_at_once():
    """A device of 8 programs and 2 shares of x: 2 x 4 tiles at once, each x tile for 4 programs, each y tile for 2."""
    gpu = roofline.Gpu("toy", {"float32": 1e3}, memory=10.0, multiprocessors=8)
    work = roofline.correlation(10, 64, 320, torch.float32, "ieee", Config(32, 32, 16), gpu)
    assert work.memory_bytes == 40 * 64 * 10 / 4 + 40 * 320 * 2 / 2
    assert work.memory_seconds == work.memory_bytes / 10
    assert work.compute_seconds == 2 * 10 * 64 * 320 / 1e3
    assert work.seconds == work.memory_seconds
    assert work.cache_rate == (40 * 64 * 10 + 40 * 320 * 2) / work.seconds


@pytest.mark.parametrize(("n", "kx", "ky", "R"), [(1, 1, 1, 1), (7, 63, 257, 3), (63, 96, 65, 1), (257, 64, 64, 2)])
@pytest.mark.parametrize(("dtype", "summed"), [(torch.float64, 8), (torch.float32, 4), (torch.bfloat16, 4)])
def test_bytes_and_operations_of_permuted_products_are_those_of_every_tile(n, kx, ky, R, dtype, summed):
    tile = Config(32, 64, 16)
    KX, KY = kx + -kx % 16, ky + -ky % 16
    operations = asked = 0
    for _ in range(R):
        for i in range(0, KX, 32):
            for j in range(0, KY, 64):
                for t in range(0, n, 16):
                    rows = min(16, n - t)
                    asked += rows * ((min(32, KX - i) + min(64, KY - j)) * dtype.itemsize + 8)
                    operations += 2 * rows * 32 * 64
    work = roofline.permuted_products(n, kx, ky, R, dtype, "ieee", tile, roofline.H100)
    assert (work.asked_bytes, work.operations) == (asked, operations)
    assert work.memory_bytes == n * (KX + KY) * dtype.itemsize + 8 * n * R + summed * R * KX * KY


def test_the_table_of_permuted_products_is_the_one_computed():
    readme = (Path(__file__).parent.parent / "kernels" / "README.md").read_text()
    assert roofline.permuted_table() in readme
    n, kx, ky, R = roofline.SUBSPACES
    assert f"2 n kx ky R = {2 * n * kx * ky * R / 1e12:.2f} TFLOP" in readme
    bases = n * (kx + ky + -ky % 16)
    for dtype in {dtype for dtype, _ in PERMUTED_CCA["cuda"]}:
        assert bases * dtype.itemsize < 50e6  # the L2 cache of an H100
    gram = 2 * kx**2 * ky * R
    assert f"2 kx^2 ky R = {gram / 1e12:.2f} TFLOP" in readme
    assert f"{1e3 * gram / roofline.H100.flops['float64']:.1f} ms" in readme


def test_the_table_of_the_kernels_is_the_one_computed():
    readme = (Path(__file__).parent.parent / "kernels" / "README.md").read_text()
    assert roofline.table() in readme
    operations = roofline.correlation(
        *roofline.PAPER, torch.float32, "ieee", CORRELATION["cuda"][torch.float32, "ieee"], roofline.H100
    ).operations
    assert f"{operations / 1e12:.1f} TFLOP" in readme
